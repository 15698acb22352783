"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import numpy as np
import pandas as pd


def test_it_is_right_nine_times_in_ten(job, model):
    assert job.metrics["validation_accuracy"][-1] >= 0.9


def test_messages_that_nobody_wrote_before_are_understood(algorithm, model):
    texts = ["Where is the parcel that I ordered?", "I cannot log in to my account", "Charged twice!"]
    assert list(algorithm.predict(model, pd.DataFrame({"text": texts}))["label"]) == ["delivery", "account", "payment"]


def test_accents_and_capitals_make_no_difference(algorithm, model):
    plain, other = algorithm.predict(model, pd.DataFrame({"text": ["my parcel", "MY PÀRCEL"]}))["probability_delivery"]
    assert plain == other


def test_a_loaded_model_predicts_as_the_saved_one(algorithm, model, rows, tmp_path):
    algorithm.save(model, tmp_path)
    before, after = algorithm.predict(model, rows), algorithm.predict(algorithm.load(tmp_path), rows)
    assert all(np.array_equal(before[name], after[name]) for name in before)
