"""Yours: the algorithm, which forecasts months from a trend and the seasons. In NumPy, kept as JSON.

A request says how many months it asks for, ``{"horizon": 12}``: it is not a table, so ``predict`` gets it as it is.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from contract.api import BadInput, Payload, Predictions, Range, TrainingJob, UserError

CONTENT_TYPES = ["application/json"]


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "passengers"  # the column to forecast, above 0: a row for each month, in the order of time
    half_life: Annotated[float, Range(1, 1200)] = 12.0  # months after which a month counts half as much


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Fit the logarithms of the channel 'training', so that trend and seasons are factors.

    The coefficients are those of ``columns``. The channel 'validation' holds the months that follow, if there is one.
    """
    settings = job.hyperparameters
    values = job.channel("training").table()[settings.target].to_numpy(float)
    if len(values) < 24 or not (values > 0).all():
        raise UserError(f"The column '{settings.target}' cannot be forecast: give 24 months or more, all above 0.")
    months = np.arange(-len(values), 0)
    weights = 0.5 ** (-months / settings.half_life / 2)  # their squares count
    model, *_ = np.linalg.lstsq(weights[:, None] * columns(months), weights * np.log(values))
    if job.has_channel("validation"):
        later = job.channel("validation").table()[settings.target].to_numpy(float)
        job.log_predictions(later, forecast(model, len(later)))
    return model


def save(model: Any, directory: Path) -> None:
    """One file that anyone can read."""
    (directory / "model.json").write_text(json.dumps(list(model)), encoding="utf-8")


def load(directory: Path) -> Any:
    """Read what ``save`` wrote."""
    return np.array(json.loads((directory / "model.json").read_text(encoding="utf-8")))


def example(model: Any) -> Payload:
    """A request that the server answers itself before it says that it is ready."""
    return Payload(b'{"horizon": 12}', "application/json")


def predict(model: Any, requests: list[Payload]) -> Predictions:
    """For each request as many months as it asks for."""
    return {"forecast": [forecast(model, horizon(request.json())) for request in requests]}


def horizon(document: Any) -> int:
    """The months that a request asks for."""
    months = document.get("horizon") if isinstance(document, dict) else None
    if type(months) is not int or not 1 <= months <= 120:
        raise BadInput('the horizon is not a whole number from 1 to 120: send {"horizon": 12}, for example')
    return months


def forecast(model: Any, months: int) -> Any:
    """The months after the last one of training, which are counted from 0."""
    return np.exp(columns(np.arange(months)) @ model)


def columns(months: Any) -> Any:
    """The month itself, for the trend, and one column for each month of the year, of which one is 1."""
    return np.column_stack([months, np.eye(12)[months % 12]])
