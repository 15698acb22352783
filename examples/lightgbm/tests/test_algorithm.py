"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import numpy as np


def test_it_is_right_more_than_eight_times_in_ten(job, model):
    assert job.metrics["validation_accuracy"][-1] >= 0.85


def test_customers_who_call_often_leave_sooner(algorithm, model, rows):
    never, often = (algorithm.predict(model, rows.assign(calls_to_support=calls)) for calls in (0.0, 6.0))
    assert often["probability_yes"].mean() > never["probability_yes"].mean() + 0.2


def test_a_customer_of_whom_little_is_known_is_predicted(algorithm, model, rows):
    unknown = rows.assign(age=np.nan, source=rows["source"].mask(rows["months"] > 0))
    assert set(algorithm.predict(model, unknown)["label"]) <= {"yes", "no"}


def test_a_row_alone_is_predicted_as_among_others(algorithm, model, rows):
    together = algorithm.predict(model, rows)["probability_yes"]
    alone = [algorithm.predict(model, rows[place : place + 1])["probability_yes"][0] for place in range(len(rows))]
    assert np.array_equal(alone, together)


def test_a_loaded_model_predicts_as_the_saved_one(algorithm, model, rows, tmp_path):
    algorithm.save(model, tmp_path)
    before, after = algorithm.predict(model, rows), algorithm.predict(algorithm.load(tmp_path), rows)
    assert all(np.array_equal(before[name], after[name]) for name in before)
