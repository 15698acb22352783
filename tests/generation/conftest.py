"""The template as a git repository."""

from pathlib import Path

import pytest

from projects import copy_template
from repositories import commit, git


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that has the template in its one commit. Shared: tests do not change it."""
    folder = copy_template(tmp_path_factory.mktemp("committed"))
    commit(folder)
    return folder


@pytest.fixture
def repository(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository of its own, which the test may change."""
    folder = tmp_path_factory.mktemp("repository") / "template.git"
    git(committed, "clone", "--quiet", str(committed), str(folder))
    git(folder, "remote", "remove", "origin")
    return folder
