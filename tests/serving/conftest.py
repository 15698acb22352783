"""The model and the servers that most tests of serving ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from programs import Server, lay_out, serving, serving_here, train_here


@pytest.fixture(scope="module")
def model(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained without a container."""
    tree = lay_out(tmp_path_factory.mktemp("trained"), project)
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr
    return tree / "model"


@pytest.fixture(scope="module", params=["here", "container"])
def server(
    request: pytest.FixtureRequest, project: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    if request.param == "here":
        with serving_here(project, model.parent, tmp_path_factory.mktemp("log") / "serve.log") as server:
            yield server
    else:
        with serving(request.getfixturevalue("image"), model) as server:
            yield server


@pytest.fixture(scope="module")
def lines(project: Path) -> list[str]:
    """The held-out rows, header first."""
    return (project / "data/predict.csv").read_text(encoding="utf-8").splitlines()
