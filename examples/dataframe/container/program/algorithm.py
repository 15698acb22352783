"""Yours: the algorithm, for a table with texts and gaps. Gradient boosting on a DataFrame, kept with joblib.

Which columns there are, which texts each may hold and where a value may be missing is learned from the training data;
the server then holds every request to it, and ``GET /openapi.json`` tells it to those who ask.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import pandas as pd
import sklearn.ensemble

from contract.api import Predictions, Range, TrainingJob


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "rent"  # the column to predict; all others are features
    rounds: Annotated[int, Range(1, 10_000)] = 200
    learning_rate: Annotated[float, Range(0.001, 1.0)] = 0.1
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Fit on the channel 'training'. Evaluate on the channel 'validation' if the job has one."""
    settings = job.hyperparameters
    rows, target = job.channel("training").split(settings.target, "numbers")
    regressor = sklearn.ensemble.HistGradientBoostingRegressor(
        max_iter=settings.rounds, learning_rate=settings.learning_rate, random_state=settings.seed
    )
    model = regressor.fit(with_categories(rows), target)
    if job.has_channel("validation"):
        rows, target = job.channel("validation").split(settings.target, "numbers")
        job.log_predictions(target, predict(model, rows)["rent"])
    return model


def save(model: Any, directory: Path) -> None:
    """One file. It is a pickle: load only what your own ``train`` wrote."""
    joblib.dump(model, directory / "model.joblib", compress=3)


def load(directory: Path) -> Any:
    """Read what ``save`` wrote."""
    return joblib.load(directory / "model.joblib")


def predict(model: Any, rows: pd.DataFrame) -> Predictions:
    """A rent for each row. The annotation of ``rows`` is what asks for a table with named columns."""
    return {"rent": model.predict(with_categories(rows)).round(2)}


def with_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts as categories, which the regressor tells apart; it reads NaN, which stands for a gap, too."""
    return rows.astype({name: "category" for name in rows if not pd.api.types.is_numeric_dtype(rows[name])})
