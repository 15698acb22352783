"""Template: runs git in the project."""

import os
import subprocess
from pathlib import Path

from local.project import ROOT, LocalError


def git(*arguments: str | Path, folder: Path = ROOT, **variables: str | Path) -> str:
    """What git prints. Raises ``LocalError`` with git's own words if it fails."""
    done = run_git(*arguments, folder=folder, **variables)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise LocalError(f"`git {arguments[0]}` failed: {said[-1]}")
    return done.stdout.strip()


def run_git(*arguments: str | Path, folder: Path = ROOT, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run git in ``folder``, with ``variables`` in its environment. Its exit status is not checked."""
    command = ["git", *map(str, arguments)]
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except FileNotFoundError:
        raise LocalError("git is not installed, and `make update` needs it.") from None
