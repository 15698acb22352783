"""Virtual environments that the tests share: made from a lock by uv, in seconds, and anew when the lock changes."""

import fcntl
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from projects import TEMPLATE, TEMPLATE_VENV


@cache
def python_with(lock: Path, folder: Path) -> Path:
    """The Python of the environment in ``folder``, which has the packages of ``lock``."""
    python, ready = folder / "bin/python", folder / "ready"
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the workers of pytest-xdist make one
        if not ready.exists() or ready.read_bytes() != lock.read_bytes():
            uv = str(Path(sys.executable).with_name("uv"))
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            install = [uv, "pip", "install", "--quiet", "--system-certs", "--compile-bytecode", "--require-hashes"]
            subprocess.run([*install, "--python", str(python), "--requirements", str(lock)], check=True)
            shutil.copy(lock, ready)
    return python


def part(name: str) -> Path:
    """The Python of a part of the stack, where its commands look for it: they do not install it with pip then."""
    lock = TEMPLATE / "{{cookiecutter.algorithm_name}}/stack" / name / "requirements.lock"
    return python_with(lock, TEMPLATE_VENV / name)
