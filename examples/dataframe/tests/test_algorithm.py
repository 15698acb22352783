"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import numpy as np


def test_it_errs_by_less_than_the_rent_of_three_square_meters(job, model):
    assert job.metrics["validation_mae"][-1] < 60


def test_the_same_flat_is_dearer_where_rents_are(algorithm, model, rows):
    lyon, zurich = (algorithm.predict(model, rows.assign(city=city))["rent"] for city in ("Lyon", "Zürich"))
    assert (zurich > lyon).all()


def test_a_flat_without_year_and_heating_has_a_rent(algorithm, model, rows):
    unknown = rows.assign(year=np.nan, heating=rows["heating"].mask(rows["area"] > 0))
    assert np.isfinite(algorithm.predict(model, unknown)["rent"]).all()


def test_a_loaded_model_predicts_as_the_saved_one(algorithm, model, rows, tmp_path):
    algorithm.save(model, tmp_path)
    assert np.array_equal(
        algorithm.predict(algorithm.load(tmp_path), rows)["rent"], algorithm.predict(model, rows)["rent"]
    )
