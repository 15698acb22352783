"""A part with packages of its own is started in an environment of its own, which is made from its lock."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import TEMPLATE, run

PROGRAM = """
import sys
from local import environments
from local.project import LocalError

try:
    environments.enter("stack.greeting")
except LocalError as error:
    sys.exit(str(error))
import six
print(six.__version__, sys.prefix, *sys.argv[1:])
"""


def pinned(version: str) -> str:
    """A line of a lock for the package six, with a hash that fits one version alone."""
    lines = (TEMPLATE / "{{cookiecutter.algorithm_name}}/stack/tracking/requirements.lock").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("six=="))
    return "\n".join(lines[start : start + 3]).replace("1.17.0", version)


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    part = folder / "stack/greeting"
    part.mkdir(parents=True)
    (part / "__init__.py").touch()
    (part / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (part / "requirements.lock").write_text(pinned("1.17.0"), encoding="utf-8")
    return folder


def greet(mine: Path) -> subprocess.CompletedProcess[str]:
    return run(mine, sys.executable, "-m", "stack.greeting", "hello", "two words", VENV="own/venv")


def test_it_is_made_at_the_first_use_and_anew_when_the_lock_changes(mine: Path) -> None:
    first = greet(mine)
    assert first.stdout == f"1.17.0 {mine}/own/venv/greeting hello two words\n", first.stderr
    assert "installing stack/greeting/requirements.lock into own/venv/greeting" in first.stderr
    again = greet(mine)
    assert (again.stdout, again.stderr) == (first.stdout, "")
    lock = mine / "stack/greeting/requirements.lock"
    lock.write_text("# Another comment.\n" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    assert "installing" in greet(mine).stderr


def test_packages_that_cannot_be_installed_are_told_and_tried_again(mine: Path) -> None:
    lock = mine / "stack/greeting/requirements.lock"
    good = lock.read_text(encoding="utf-8")
    lock.write_text(pinned("1.16.0"), encoding="utf-8")  # whose hash is another
    done = greet(mine)
    assert done.returncode == 1
    sentence = "The packages of stack/greeting/requirements.lock cannot be installed: the lines above say why."
    assert done.stderr.splitlines()[-1] == sentence
    assert "Traceback" not in done.stderr
    lock.write_text(good, encoding="utf-8")
    assert greet(mine).returncode == 0


def test_two_commands_at_a_time_make_it_once(mine: Path) -> None:
    command = [sys.executable, "-m", "stack.greeting"]
    variables = {"VENV": "venv", "PATH": "/usr/bin:/bin", "HOME": str(mine)}
    starts = [
        subprocess.Popen(command, cwd=mine, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate() for process in starts]
    assert [process.returncode for process in starts] == [0, 0], said
    assert sorted("installing" in errors for _, errors in said) == [False, True]
