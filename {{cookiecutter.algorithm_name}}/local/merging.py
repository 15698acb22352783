"""Template: merges the differences between two versions of the template into the project, for `make update`."""

import os
import shutil
import tomllib
from pathlib import Path, PurePosixPath

from local import pins
from local.git import git, run_git
from local.project import ROOT, LocalError

ME = {f"GIT_{who}_{what}": "make update" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def take_locks(generated: Path) -> dict[str, str]:
    """Remove the locks from a generated project, and return their texts: they are merged by package."""
    found = {}
    for lock in pins.inputs():
        if (generated / lock).exists():
            found[lock] = (generated / lock).read_text(encoding="utf-8")
            (generated / lock).unlink()
    return found


def leave_out_yours(generated: Path) -> None:
    """Remove the files that belong to the user: those that pyproject.toml lists for cruft."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    for pattern in tools.get("cruft", {}).get("skip", []):
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts or not pattern:
            raise LocalError(f"pyproject.toml, tool.cruft.skip: {pattern!r} is not a path in the project.")
        for path in list(generated.glob(pattern)):
            _remove(path)


def leave_out_deleted(old: Path, new: Path) -> list[str]:
    """Remove the files that the project has deleted, and return those that the template has changed."""
    changed = []
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        if os.path.lexists(path) and not os.path.lexists(ROOT / name):
            if _contents(path) != _contents(new / name):
                changed.append(name.as_posix())
            _remove(path)
            _remove(new / name)
    return changed


def commit(generated: Path, message: str, *parents: str) -> str:
    """Make a commit of a generated project, on no branch, with its files where the project has them."""
    prefix = git("rev-parse", "--show-prefix")
    tree = generated.with_name(f"{generated.name}-tree")
    (tree / prefix).parent.mkdir(parents=True, exist_ok=True)
    generated.rename(tree / prefix)
    # Its own index, and the repository's objects.
    variables: dict[str, Path | str] = {
        "GIT_DIR": git("rev-parse", "--absolute-git-dir"),
        "GIT_WORK_TREE": tree,
        "GIT_INDEX_FILE": tree.with_suffix(".index"),
    }
    git("add", "--all", "--force", ".", folder=tree, **variables)
    written = git("write-tree", folder=tree, **variables)
    parent = [word for commit in parents for word in ("-p", commit)]
    return git("commit-tree", written, *parent, "-m", message, folder=ROOT, **ME)


def apply(new: str) -> dict[str, set[str]]:
    """Apply what the commit ``new`` changes.

    Returns the files with a conflict, each with the sides that have it: 1 before both, 2 the project, 3 the template.
    """
    done = run_git("cherry-pick", "--no-commit", new)
    conflicts: dict[str, set[str]] = {}
    for line in filter(None, git("ls-files", "--unmerged", "-z").split("\0")):
        about, name = line.split("\t", 1)
        conflicts.setdefault(name, set()).add(about[-1])
    if done.returncode != 0 and not conflicts:
        raise LocalError(f"git cannot apply the update:\n{done.stderr.strip()}")
    return conflicts


def merge_locks(old: dict[str, str], new: dict[str, str]) -> bool:
    """Give the project's locks the versions that the template has changed. Returns whether they need `make lock`."""
    if old == new:
        return False
    for lock in new:
        if (ROOT / lock).exists():
            ours = pins.read(lock)
            text = new[lock] if ours == old.get(lock) else pins.merged(old.get(lock, ""), ours, new[lock])
            (ROOT / lock).write_text(text, encoding="utf-8")
    try:
        pins.check()
    except LocalError:
        return True
    return False


def _contents(path: Path) -> dict[Path, bytes]:
    files = [path, *path.rglob("*")]
    return {file.relative_to(path): file.read_bytes() for file in files if file.is_file()}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
