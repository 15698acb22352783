"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithm import read
from contract.algorithm_interface import Algorithm
from contract.api import Rows, TrainingJob

Table = tuple[Rows, list[str]]


@pytest.fixture(scope="session")
def validation(job: TrainingJob[Any]) -> Table:
    """Rows and labels that the model was not fitted on."""
    rows, labels, _ = read(job.channel("validation"), job.hyperparameters.target)
    return rows, labels


def test_it_is_right_nine_times_in_ten(algorithm: Algorithm, model: Any, validation: Table) -> None:
    rows, labels = validation
    predicted = np.asarray(algorithm.predict(model, rows)["label"])
    assert np.mean(predicted == np.asarray(labels)) >= 0.9


def test_the_probabilities_of_a_row_add_up_to_one(algorithm: Algorithm, model: Any, validation: Table) -> None:
    columns = algorithm.predict(model, validation[0])
    total = sum(np.asarray(column) for name, column in columns.items() if name.startswith("probability_"))
    assert np.allclose(total, 1.0, atol=1e-5)


def test_a_row_alone_is_predicted_as_among_others(algorithm: Algorithm, model: Any, validation: Table) -> None:
    rows, _ = validation
    together = np.asarray(algorithm.predict(model, rows)["label"])
    assert [np.asarray(algorithm.predict(model, row[None])["label"])[0] for row in rows[:10]] == list(together[:10])


def test_a_loaded_model_predicts_as_the_saved_one(
    algorithm: Algorithm, model: Any, validation: Table, tmp_path: Path
) -> None:
    algorithm.save(model, tmp_path)
    rows, _ = validation
    before, after = algorithm.predict(model, rows), algorithm.predict(algorithm.load(tmp_path), rows)
    assert all(np.array_equal(np.asarray(before[name]), np.asarray(after[name])) for name in before)


def test_the_same_seed_gives_the_same_model(
    algorithm: Algorithm, model: Any, job: TrainingJob[Any], tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    algorithm.save(model, tmp_path / "first")
    algorithm.save(algorithm.train(job), tmp_path / "second")
    for saved in (tmp_path / "first").iterdir():
        assert saved.read_bytes() == (tmp_path / "second" / saved.name).read_bytes()
