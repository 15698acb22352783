"""An algorithm that only serves: a model that was trained elsewhere, from any folder or archive."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from programs import free_port, lay_out, train_here
from projects import make

SERVES = """
import json
import numpy as np


def load(directory):
    return json.loads((directory / "weights.json").read_text())


def features(model):
    return list(model)


def predict(model, rows):
    return rows @ np.array(list(model.values()))
"""


@pytest.fixture
def serving_only(mine: Path) -> Path:
    (mine / "container/program/algorithm.py").write_text(SERVES, encoding="utf-8")
    shutil.rmtree(mine / "data")
    (mine / "data").mkdir()
    (mine / "data/predict.csv").write_text("b,a\n1,2\n3,4\n", encoding="utf-8")
    (mine / "tests/test_algorithm.py").unlink()  # the user's, about the forest that is gone
    return mine


def put(folder: Path, a: float, b: float) -> Path:
    """A model's folder."""
    folder.mkdir(parents=True)
    (folder / "weights.json").write_text(json.dumps({"a": a, "b": b}), encoding="utf-8")
    return folder


def answered(project: Path, **variables: str) -> str:
    port = str(free_port())
    served = make(project, "serve", DOCKER="no", PORT=port, **variables)
    assert served.returncode == 0, served.stdout + served.stderr
    try:
        return make(project, "predict", DOCKER="no", PORT=port).stdout
    finally:
        make(project, "stop", DOCKER="no", PORT=port)


def test_a_model_is_served_from_wherever_it_is(serving_only: Path, tmp_path: Path) -> None:
    """L-06: the folder data/model, another folder, and what SageMaker makes of one."""
    put(serving_only / "data/model", 1, 10)
    assert answered(serving_only) == "12.0\n34.0\n"
    folder = put(tmp_path / "my model", 1, 100)
    assert answered(serving_only, MODEL=str(folder)) == "102.0\n304.0\n"
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(folder, ".")
    assert answered(serving_only, MODEL=str(tmp_path / "model.tar.gz")) == "102.0\n304.0\n"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "MODEL names {0}/nowhere, which cannot be served: No such file or directory."),
        ("text", "MODEL names {0}/text, which cannot be served: it is neither a folder nor a model.tar.gz."),
        ("empty", "There is no model in {0}/empty: run `make train` first, or name one in MODEL."),
        ("", "There is no model in {1}/opt_ml/model: run `make train` first, or name one in MODEL."),
    ],
)
def test_a_model_that_is_none_is_named(serving_only: Path, tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no archive", encoding="utf-8")
    done = make(serving_only, "serve", DOCKER="no", MODEL=str(tmp_path / name) if name else "")
    assert done.returncode != 0
    assert sentence.format(tmp_path, serving_only) in done.stderr


def test_its_tests_hold_without_an_edit(serving_only: Path) -> None:
    put(serving_only / "data/model", 1, 10)
    done = make(serving_only, "test", DOCKER="no")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_it_cannot_train_and_says_so(project: Path, serving_only: Path, tmp_path: Path) -> None:
    """T-44."""
    tree = lay_out(tmp_path / "tree", project)
    done = train_here(serving_only, tree)
    assert done.returncode == 1
    assert done.stderr == (
        "algorithm.py has no function train(job): it serves a model that was trained elsewhere. Add train(job), "
        "save(model, directory) and a dataclass Hyperparameters to train one.\n"
    )
    asked = make(serving_only, "hyperparameters", DOCKER="no")
    assert asked.returncode != 0
    assert "algorithm.py has no function train(job): it serves a model that was trained elsewhere." in asked.stderr
