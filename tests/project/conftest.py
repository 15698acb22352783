"""A project to work in."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from projects import TEMPLATE_VENV, run


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Iterator[Path]:
    """A project to work in, whose commands use the virtual environment of these tests."""
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    os.utime(folder / "requirements-dev.lock", (0, 0))  # older than that environment: nothing is installed into it
    yield folder
    if (folder / "local").exists():
        assert run(folder, "make", "stop", VENV=str(TEMPLATE_VENV)).returncode == 0
