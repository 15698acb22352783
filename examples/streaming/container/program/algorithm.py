"""Yours: the algorithm, which answers piece by piece. For predictions that take long: the first are soon there.

``predict`` is a generator: each ``yield`` is sent at once, and the next is computed when the one before has gone.
A client that leaves ends the loop at its ``yield``, so that no time is lost on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib

from contract.api import Predictions, Range, Rows, TrainingJob

ROWS_AT_A_TIME = 8


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "diagnosis"  # the column to predict; all others are features
    n_estimators: Annotated[int, Range(1, 2000)] = 100
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Fit on the channel 'training'."""
    from sklearn.ensemble import RandomForestClassifier

    settings = job.hyperparameters
    rows, labels = job.channel("training").split(settings.target, "classes")
    forest = RandomForestClassifier(settings.n_estimators, random_state=settings.seed)
    return forest.fit(rows, labels)


def save(model: Any, directory: Path) -> None:
    """One file. It is a pickle: load only what your own ``train`` wrote."""
    joblib.dump(model, directory / "model.joblib", compress=3)


def load(directory: Path) -> Any:
    """Read what ``save`` wrote."""
    return joblib.load(directory / "model.joblib")


def predict(model: Any, rows: Rows) -> Iterator[Predictions]:
    """A label for each row, and how many of the trees say so: some rows at a time, in their order.

    Every piece has the same columns, and all together have one value for each row: else the request fails. Requests
    are not predicted together here: each has a loop of its own.
    """
    classes = model.classes_
    for begin in range(0, len(rows), ROWS_AT_A_TIME):
        probabilities = model.predict_proba(rows[begin : begin + ROWS_AT_A_TIME])
        yield {"label": classes[probabilities.argmax(axis=1)], "agreement": probabilities.max(axis=1)}
