"""Set the run bits, which a zip or Windows may have dropped, record the template, and say what to do next."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

PROGRAMS = [
    "container/program/train",
    "container/program/serve",
    "container/build_and_push.sh",
    "container/build_and_push.py",
]
# As JSON, which escapes the single quote too, so that no answer can end this string.
CONTEXT: dict[str, Any] = json.loads(r'{{ cookiecutter | tojson }}')  # fmt: skip
# Where git itself runs cookiecutter, in a hook, these would lead to another repository.
OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in OTHERS}
CALLER = Path(os.environ.get("PWD", os.sep))

# Each starts with where the template is.
FOLDER = """ is where `make update` looks for later versions of the template.
If that folder will not stay there, write the address of its git repository to "template" in .cruft.json."""
ELSEWHERE = """ is not a git repository, which `make update` needs:
write the address of the template's git repository to "template" in .cruft.json."""
CHANGES = """ has uncommitted changes, which `make update` would treat as yours:
commit them, and generate the project again."""


def main() -> None:
    """Finish the project, which is the current directory."""
    for program in map(Path, PROGRAMS):
        program.chmod(program.stat().st_mode | 0o111)
    # cruft keeps the record itself. It gives the commit, which cookiecutter does not know.
    told = "" if "_commit" in CONTEXT else record()
    # Short where the project lies below the caller's directory, and right in any case.
    project = Path.cwd()
    folder = project.relative_to(CALLER) if project.is_relative_to(CALLER) else project
    print(f"""
The project is ready. Next:

    cd {shlex.quote(str(folder))}
    make train     # on the included data, in a container if Docker answers
    make serve
    make predict

Then edit container/program/algorithm.py; README.md says how. `make` lists all commands.
{told}""")


def record() -> str:
    """Write .cruft.json, the record of the template that `make update` reads. Returns what to say about it."""
    template = template_folder()
    # The template may lie in a repository of something else, untracked: its commit says nothing about the template.
    commit = git(template, "rev-parse", "HEAD") if git(template, "rev-parse", "HEAD:./cookiecutter.json") else ""
    address, told = address_in_git(template, commit) if commit else address_elsewhere()
    state = {
        "template": address,
        "commit": commit or archived_commit(template),
        "checkout": CONTEXT.get("_checkout"),
        "context": {"cookiecutter": {name: CONTEXT[name] for name in CONTEXT if not name.startswith("_")}},
        "directory": (commit and git(template, "rev-parse", "--show-prefix").rstrip("/")) or None,
    }
    text = json.dumps(state, ensure_ascii=False, indent=2) + "\n"
    Path(".cruft.json").write_text(text, encoding="utf-8", newline="\n")
    return told


def template_folder() -> Path:
    """The folder that the project was made from. Cookiecutter gives it as the caller did, perhaps relative."""
    given: str = CONTEXT["_repo_dir"]
    places = [place / given for place in (CALLER, Path(CONTEXT["_output_dir"]))]
    return next((place.resolve() for place in places if (place / "cookiecutter.json").is_file()), places[0])


def archived_commit(template: Path) -> str | None:
    """The commit of a folder that came as an archive: git, and so GitHub, writes it to a file when it packs one."""
    archived = template / ".git_archival.txt"
    found = re.search(r"\b[0-9a-f]{40}\b", archived.read_text(encoding="utf-8")) if archived.exists() else None
    return found.group() if found else None


def address_in_git(template: Path, commit: str) -> tuple[str, str]:
    """Where git finds the commit later, and what to say about it."""
    address, told = git(template, "rev-parse", "--show-toplevel"), FOLDER
    origin = git(template, "config", "--get", "remote.origin.url")
    if origin and git(template, "for-each-ref", f"--contains={commit}", "refs/remotes", "refs/tags"):
        address, told = without_password(origin), " is where `make update` looks for later versions of the template."
    if git(template, "status", "--porcelain"):
        return address, str(template) + CHANGES
    return address, address + told


def address_elsewhere() -> tuple[str, str]:
    """The address of an archive, or of a folder without git, and what to do so that there can be updates."""
    given: str = CONTEXT["_template"]
    address = str((CALLER / given).resolve()) if (CALLER / given).exists() else without_password(given)
    return address, address + ELSEWHERE


def without_password(address: str) -> str:
    """The address without the user and the password or token: the record is committed, and git asks for them."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", address)


def git(folder: Path, *arguments: str) -> str:
    """What git prints in ``folder``. Empty where it fails, or is not installed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


main()
