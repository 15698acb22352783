"""Yours: what the algorithm promises. Change these tests with `algorithm.py`.

The fixtures are in conftest.py: ``model`` is what ``train`` returns for ``data/`` with the default hyperparameters,
``job`` is what ``train`` was given, and ``rows`` are those of ``data/predict.csv`` as ``predict`` gets them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contract.algorithm_interface import Algorithm
from contract.api import TrainingJob


def test_it_is_right_nine_times_in_ten(job: TrainingJob[Any], model: Any) -> None:
    assert job.metrics["validation_accuracy"][-1] >= 0.9


def test_a_row_alone_is_predicted_as_among_others(algorithm: Algorithm, model: Any, rows: Any) -> None:
    together = algorithm.predict(model, rows)
    for place in range(min(10, len(rows))):
        alone = algorithm.predict(model, rows[place : place + 1])
        for name, values in together.items():
            one, among = np.asarray(alone[name])[0], np.asarray(values)[place]
            assert one == among or np.isclose(one, among)  # many rows may be added up in another order than one row


def test_a_loaded_model_predicts_as_the_saved_one(algorithm: Algorithm, model: Any, rows: Any, tmp_path: Path) -> None:
    algorithm.save(model, tmp_path)
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
