"""Yours: what the algorithm promises. Change these tests with `algorithm.py`."""

import io

import numpy as np
import pytest
from PIL import Image

from contract.api import BadInput, Payload


def drawn(*, size=(64, 64), mode="L", kind="PNG"):
    """A black image with a white stroke down its middle: a one."""
    image = Image.new("L", size)
    image.paste(255, (size[0] * 4 // 10, size[1] // 10, size[0] * 6 // 10, size[1] * 9 // 10))
    file = io.BytesIO()
    image.convert(mode).save(file, kind)
    return Payload(file.getvalue(), f"image/{kind.lower()}")


def test_it_is_right_nine_times_in_ten(job, model):
    assert job.metrics["validation_accuracy"][-1] >= 0.9


def test_size_color_and_format_make_no_difference(algorithm, model):
    requests = [drawn(), drawn(size=(200, 200)), drawn(mode="RGB"), drawn(kind="JPEG"), drawn(mode="1")]
    assert len(set(algorithm.predict(model, requests)["label"])) == 1


@pytest.mark.parametrize("body", [b"", b"GIF89a", drawn().body[:60], b"1,2,3"])
def test_what_is_no_image_is_refused(algorithm, model, body):
    with pytest.raises(BadInput):
        algorithm.predict(model, [drawn(), Payload(body, "image/png")])


def test_two_classes_are_enough(algorithm, job):
    images, labels = algorithm.read(job.channel("training"))
    some = [place for place, label in enumerate(labels) if label in ("0", "1")]
    model = algorithm.fit(images[some], [labels[place] for place in some], job.hyperparameters)
    found = algorithm.answer(model, images[some])
    assert np.mean(found["label"] == np.array(labels)[some]) > 0.95
    assert np.allclose(found["probability_0"] + found["probability_1"], 1)


def test_a_loaded_model_predicts_as_the_saved_one(algorithm, model, rows, tmp_path):
    algorithm.save(model, tmp_path)
    before, after = algorithm.predict(model, rows), algorithm.predict(algorithm.load(tmp_path), rows)
    assert all(np.array_equal(before[name], after[name]) for name in before)
