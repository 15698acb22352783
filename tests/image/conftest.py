"""A project whose image is built quickly."""

import shutil
from pathlib import Path

import pytest

from projects import need_base_image


@pytest.fixture
def mine(docker_answers: None, project: Path, tmp_path: Path) -> Path:
    """A project to build, without Python packages."""
    need_base_image(project)
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    for path in (*folder.glob("*.txt"), *folder.glob("container/requirements*.*"), *folder.glob("*.lock")):
        path.write_text("")
    return folder
