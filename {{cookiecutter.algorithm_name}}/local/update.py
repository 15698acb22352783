"""Template: ``python3 -m local.update`` brings a newer version of the template to the project: `make update`."""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from local import merging, pins
from local.git import git, run_git
from local.project import ROOT, LocalError, choice, exit_status
from local.template import Versions, fetch, recorded, version_in, write

HEADING = re.compile(r"^## \[?v?([^]\s]+)", re.MULTILINE)
NOTE = re.compile(r"^### Upgrade\n+(.*?)\s*(?=^#|\Z)", re.MULTILINE | re.DOTALL)
UNDO = "To undo the update: git reset --hard"


@exit_status
def main() -> int:
    """Update the project. An error prints one sentence and returns exit status 1."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # in order with what git and make print
    how = choice("APPLY", "ask", "yes", "no")
    require_clean()
    with tempfile.TemporaryDirectory() as folder:
        return update(Path(folder).resolve(), how)


def require_clean() -> None:
    """Raises ``LocalError`` unless git has each file of the project as it is now."""
    if run_git("rev-parse", "--verify", "--quiet", "HEAD:./pyproject.toml").returncode != 0:
        raise LocalError("git has no commit of this project, and an update needs one: run `git add` and `git commit`.")
    if changed := git("status", "--porcelain").splitlines():
        raise LocalError(
            f"{changed[0].split(maxsplit=1)[1]} is not committed, so an update could not be undone: commit your "
            "changes, or put them aside with `git stash -u`."
        )


@dataclass(frozen=True)
class Update:
    """The template's changes, as two commits that are on no branch."""

    before: str
    after: str
    """The version, and the commit of the template."""
    old: str
    new: str
    old_locks: dict[str, str]
    new_locks: dict[str, str]
    deleted: list[str]
    notes: str

    def show(self, how: str) -> None:
        """Print all that will change."""
        print(f"From version {self.before} of the template to {self.after}.", flush=True)
        pager = ["--no-pager"] if how == "yes" else []
        subprocess.run(["git", *pager, "diff", "--patch-with-stat", self.old, self.new], cwd=ROOT, check=False)
        if packages := self.packages():
            print(f"Packages: {', '.join(packages)}.")
        if self.deleted:
            print(f"Deleted in this project, so left out: {', '.join(self.deleted)}.")
        if self.notes:
            print(f"To do by hand:\n{self.notes}")

    def packages(self) -> list[str]:
        """The packages whose version the template has changed."""
        old, new = (pins.versions(locks.get(pins.ALL, "")) for locks in (self.old_locks, self.new_locks))
        changed = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
        was = {name: f"was {old[name].removeprefix('==')}" if name in old else "new" for name in changed}
        return [f"{name} {new.get(name, 'removed').removeprefix('==')} ({was[name]})" for name in changed]


def update(folder: Path, how: str) -> int:
    """Bring the newest version, or TEMPLATE_VERSION. ``folder`` is for temporary files. Returns the exit status."""
    record, wanted = recorded(), os.environ.get("TEMPLATE_VERSION", "")
    versions = fetch(record, wanted, folder)
    if versions.old == versions.new or not (wanted or versions.is_update()):
        print(f"The project is up to date with version {named(version_in(ROOT), versions.old)} of the template.")
        return 0
    found = compare(versions, folder)
    found.show(how)
    if how == "no" or (how == "ask" and not agreed()):
        print("Nothing was changed.")
        return 0
    conflicts = merging.apply(found.new)
    stale = merging.merge_locks(found.old_locks, found.new_locks)
    answers = {name: value for name, value in versions.context().items() if not name.startswith("_")}
    write(record | {"commit": versions.new, "checkout": wanted or None, "context": {"cookiecutter": answers}})
    return tell(conflicts) if conflicts else finish(found.after, stale)


def compare(versions: Versions, folder: Path) -> Update:
    """Generate the project from both versions, without the files that are not updated."""
    old, new = (versions.generate(commit, folder / commit) for commit in (versions.old, versions.new))
    before, after = named(version_in(old), versions.old), named(version_in(new), versions.new)
    locks = merging.take_locks(old), merging.take_locks(new)
    notes = notes_since(version_in(old), git("show", f"{versions.new}:./CHANGELOG.md", folder=versions.template))
    for generated in (old, new):
        merging.leave_out_yours(generated)
    deleted = merging.leave_out_deleted(old, new)
    first = merging.commit(old, f"Template {before}")
    second = merging.commit(new, f"Update the template to {after}", first)
    return Update(before, after, first, second, *locks, deleted, notes)


def named(version: str, commit: str) -> str:
    """A version, in readable form."""
    return f"{version} ({commit[:7]})" if version else commit[:7]


def notes_since(version: str, changelog: str) -> str:
    """The upgrade notes of all versions that are newer than ``version``."""
    known = next((match.start() for match in HEADING.finditer(changelog) if match[1] == version), len(changelog))
    return "\n".join(NOTE.findall(changelog[:known]))


def agreed() -> bool:
    """Whether the user wants the changes."""
    try:
        return input("Apply these changes? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def tell(conflicts: dict[str, set[str]]) -> int:
    """Print how to resolve the conflicts, and return exit status 1."""
    print("You and the template have changed the same lines of these files:", file=sys.stderr)
    for name, sides in conflicts.items():
        removed = "" if "3" in sides else "   the template has removed it: `git rm` it, or keep it"
        print(f"    {name}{removed}", file=sys.stderr)
    print(
        "Your lines are between <<<<<<< and =======, the template's below: keep what is right, remove the marks.\n"
        f"Then: make lock && make test && git add --all && git commit\n{UNDO}",
        file=sys.stderr,
    )
    return 1


def finish(after: str, stale: bool) -> int:
    """Renew the locks if they are out of date, run the tests, and print how to keep or undo the update."""
    for target in ("lock", "test") if stale else ("test",):
        print(f"make {target}", file=sys.stderr)
        if subprocess.run(["make", "--silent", target], cwd=ROOT, check=False).returncode != 0:
            print(
                f"The update to {after} is applied, but `make {target}` fails: the lines above say why.\n{UNDO}",
                file=sys.stderr,
            )
            return 1
    print(f"The project now has version {after} of the template, and its tests pass.")
    print(f"To keep the update: git add --all && git commit\n{UNDO}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
