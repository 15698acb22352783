"""Projects made by cookiecutter's command from git repositories, and what git says about them."""

import os
import subprocess
import sys
from pathlib import Path

IDENTITY = {f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run_cookiecutter(directory: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command line program, in ``directory`` and with a home of its own."""
    (directory / ".home/.cookiecutters").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cookiecutter", *arguments]
    environment = {**os.environ, "HOME": str(directory / ".home"), "PWD": str(directory), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=directory, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | IDENTITY, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, *tag: str) -> str:
    """Commit all that is in a folder, which becomes a repository, and return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A state")
    for name in tag:
        git(folder, "tag", name)
    return git(folder, "rev-parse", "HEAD")
