"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import numpy as np
import pytest

from contract.api import BadInput, Payload


def test_it_errs_half_as_much_as_last_year_again(job, model):
    last, later = (job.channel(name).table()["passengers"].to_numpy(float) for name in ("training", "validation"))
    naive = np.abs(later - np.tile(last[-12:], 2)).mean()
    assert job.metrics["validation_mae"][-1] < naive / 2


def test_a_longer_forecast_begins_as_a_shorter_one(algorithm, model):
    assert np.allclose(algorithm.forecast(model, 30)[:7], algorithm.forecast(model, 7))


def test_requests_are_answered_in_their_order(algorithm, model):
    requests = [Payload(b'{"horizon": %d}' % months, "application/json") for months in (3, 1, 24)]
    assert [len(each) for each in algorithm.predict(model, requests)["forecast"]] == [3, 1, 24]


@pytest.mark.parametrize("body", [b"{}", b"12", b'{"horizon": 0}', b'{"horizon": 121}', b'{"horizon": "12"}', b"{"])
def test_a_request_without_a_horizon_is_refused(algorithm, model, body):
    with pytest.raises(BadInput):
        algorithm.predict(model, [Payload(body, "application/json")])


def test_a_loaded_model_is_the_saved_one(algorithm, model, tmp_path):
    algorithm.save(model, tmp_path)
    assert np.array_equal(algorithm.load(tmp_path), model)
