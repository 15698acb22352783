"""Template: what an image is built from: the project's names, its git commit, its build arguments and indexes."""

import os
import re
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError
from typing import NamedTuple

from publishing.commands import fail, quietly

CONTAINER = Path(__file__).resolve().parent.parent


def in_pyproject(key: str) -> str:
    """Return the value of the project's ``key``, or nothing."""
    with suppress(OSError, KeyError):
        return str(tomllib.loads((CONTAINER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"][key])
    return ""


class Revision(NamedTuple):
    """The state of the files: the git commit, with -dirty if files changed. Without git, it is the time."""

    tag: str
    name: str = ""
    epoch: str = ""
    source: str = ""


def revision_of(folder: Path) -> Revision:
    """Ask git."""
    git = ("git", "-C", str(folder))
    try:
        commit, dirty = quietly(*git, "rev-parse", "HEAD"), quietly(*git, "status", "--porcelain") and "-dirty"
    except (OSError, CalledProcessError):
        return Revision(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    epoch, source = quietly(*git, "log", "-1", "--format=%ct"), ""
    with suppress(CalledProcessError):
        source = re.sub("//[^/@]*@", "//", quietly(*git, "remote", "get-url", "origin"))  # without a password
    return Revision(commit[:12] + dirty, commit + dirty, epoch, source)


def labels_of(revision: Revision) -> dict[str, str]:
    """Return the labels that say what the image was built from."""
    created = ""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH") or revision.epoch:
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
    labels = {"version": in_pyproject("version"), "revision": revision.name, "created": created}
    return {key: value for key, value in {**labels, "source": revision.source}.items() if value}


def build_arguments(context: Path) -> list[str]:
    """Return the lines of build-args.txt that set an argument. ``GPU=no`` is the default."""
    file, found = context / "build-args.txt", []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], start=1):
        if re.match(r"\s*(#|$)", line) or line == "GPU=no":
            continue
        if not re.match("[A-Za-z_][A-Za-z0-9_]*=", line):
            fail(f"container/build-args.txt, line {number}: '{line}' is not NAME=VALUE")
        found.append(line)
    return found


def index_variables() -> list[str]:
    """Return the variables that name an index of packages, perhaps with a password."""
    return [name for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if os.environ.get(name)]


def netrc(context: Path) -> Path | None:
    """Return the file with passwords for indexes, if it exists and the project or a variable names an address."""
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    named = [os.environ[name] for name in index_variables()]
    named += [path.read_text(encoding="utf-8") for path in context.glob("requirements*.txt")]
    return file if file.is_file() and any("://" in text for text in named) else None
