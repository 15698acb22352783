"""Template: a virtual environment for each part that has its own packages, such as ``rehearsal``.

It is created from the part's ``requirements.lock`` at its first use, and again when that file has changed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.project import ROOT, VENV, LocalError

INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")


def enter(part: str) -> None:
    """Continue in the part's own Python. ``part`` is the package that this process was started with, by ``python -m``.

    Raises ``LocalError`` if the packages cannot be installed.
    """
    if os.path.realpath(sys.prefix) != os.path.realpath(_folder(part)):
        own = python_of(part)
        os.execv(own, [str(own), "-m", part, *sys.argv[1:]])


def python_of(part: str) -> Path:
    """The Python that has the packages of ``part``, which is a package such as ``rehearsal`` or ``stack.tracking``.

    They are installed first if they are not. Raises ``LocalError`` if they cannot be installed.
    """
    folder, lock = _folder(part), ROOT / part.replace(".", "/") / "requirements.lock"
    ready = folder / "ready"
    with _alone(folder):
        if not ready.exists() or ready.read_bytes() != lock.read_bytes():
            _make(folder, lock)
            shutil.copy(lock, ready)
    return folder / "bin/python"


def _folder(part: str) -> Path:
    return VENV / part.rpartition(".")[2]


def _make(folder: Path, lock: Path) -> None:
    print(f"installing {os.path.relpath(lock)} into {os.path.relpath(folder)}, which takes a minute", file=sys.stderr)
    if subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=False).returncode != 0:
        raise LocalError(f"{os.path.relpath(folder)} cannot be created: the lines above say why.")
    if subprocess.run([folder / "bin/python", *INSTALL, "-r", lock], check=False).returncode != 0:
        raise LocalError(f"The packages of {os.path.relpath(lock)} cannot be installed: the lines above say why.")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """If two commands need one environment at the same time, the second waits for the first."""
    import fcntl  # not on Windows, where a notebook imports this module but does not call it

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
