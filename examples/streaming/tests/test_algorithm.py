"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import numpy as np


def test_the_pieces_are_the_predictions_of_the_forest(algorithm, model, rows):
    pieces = list(algorithm.predict(model, rows))
    assert len(pieces) > 1
    assert np.array_equal(np.concatenate([piece["label"] for piece in pieces]), model.predict(rows))


def test_each_row_comes_once(algorithm, model, rows):
    for count in (1, algorithm.ROWS_AT_A_TIME, algorithm.ROWS_AT_A_TIME + 1):
        pieces = algorithm.predict(model, rows[:count])
        assert sum(len(piece["label"]) for piece in pieces) == count


def test_a_loaded_model_predicts_as_the_saved_one(algorithm, model, rows, tmp_path):
    algorithm.save(model, tmp_path)
    assert np.array_equal(algorithm.load(tmp_path).predict_proba(rows), model.predict_proba(rows))
