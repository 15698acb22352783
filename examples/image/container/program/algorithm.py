"""Yours: the algorithm, for images. A small convolutional network, served by ONNX Runtime.

``predict`` gets PNG and JPEG files as they are. A channel has a folder of such files for each class.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from contract.api import BadInput, Channel, Payload, Predictions, Range, TrainingJob
from network import Model, fit

CONTENT_TYPES = ["image/png", "image/jpeg"]
SIDE = 16  # pixels, to which each image is scaled


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    filters: Annotated[int, Range(2, 1000)] = 16
    strength: Annotated[float, Range(1e-3, 1e3)] = 1.0  # less is smoother
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


def train(job: TrainingJob[Hyperparameters]) -> Model:
    """Learn from the channel 'training'. Evaluate on the channel 'validation' if the job has one."""
    images, labels = read(job.channel("training"))
    model = fit(images, labels, job.hyperparameters)
    if job.has_channel("validation"):
        images, labels = read(job.channel("validation"))
        job.log_predictions(labels, answer(model, images)["label"])
    return model


def save(model: Model, directory: Path) -> None:
    """Write one file that holds everything."""
    (directory / "model.onnx").write_bytes(model.onnx)


def load(directory: Path) -> Model:
    """Read what ``save`` wrote."""
    return Model((directory / "model.onnx").read_bytes())


def predict(model: Model, requests: list[Payload]) -> Predictions:
    """A label for each image, and the probability of each class."""
    try:
        images = [pixels(io.BytesIO(request.body)) for request in requests]
    except Exception as error:  # Pillow raises many kinds
        raise BadInput("the body is not a PNG or JPEG image that can be read") from error
    return answer(model, np.array(images))


def answer(model: Model, images: Any) -> Predictions:
    """The same for images that have been read."""
    probabilities = model.run(images)
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}
    return {"label": np.array(model.classes)[probabilities.argmax(axis=1)], **columns}


def read(channel: Channel) -> tuple[Any, list[str]]:
    """The images of a channel, and their classes, which are the names of their folders."""
    paths = channel.files(".png", ".jpg", ".jpeg")
    return np.array([pixels(path) for path in paths]), [path.parent.name for path in paths]


def pixels(file: Any) -> Any:
    """The gray values of an image, from 0 to 1, as an array of shape (1, SIDE, SIDE)."""
    with Image.open(file, formats=["PNG", "JPEG"]) as image:
        gray = image.convert("L").resize((SIDE, SIDE))
    return np.asarray(gray, np.float32)[None] / 255
