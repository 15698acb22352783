"""Yours: the algorithm, for a table with texts and gaps. Gradient boosting on a DataFrame, kept with joblib.

Which columns there are, which texts each may hold and where a value may be missing is learned from the training data;
the server then holds every request to it, and ``GET /openapi.json`` tells it to those who ask.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
import pandas as pd
import sklearn.ensemble

from contract.api import Channel, Feature, Predictions, Range, TrainingJob


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "rent"  # the column to predict; all others are features
    rounds: Annotated[int, Range(1, 10_000)] = 200
    learning_rate: Annotated[float, Range(0.001, 1.0)] = 0.1
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


@dataclass(frozen=True)
class Model:
    """A fitted regressor, and the columns it was fitted on."""

    columns: list[Feature]
    regressor: Any


def train(job: TrainingJob[Hyperparameters]) -> Model:
    """Fit on the channel 'training'; report on the channel 'validation' where the job has one."""
    settings = job.hyperparameters
    table, target = read(job.channel("training"), settings.target)
    columns = [described(table[name]) for name in table]
    regressor = sklearn.ensemble.HistGradientBoostingRegressor(
        max_iter=settings.rounds, learning_rate=settings.learning_rate, random_state=settings.seed
    )
    model = Model(columns, regressor.fit(typed(table, columns), target))
    if job.has_channel("validation"):
        table, target = read(job.channel("validation"), settings.target)
        job.log_predictions(target, predict(model, table)["rent"])
    return model


def save(model: Model, directory: Path) -> None:
    """One file. It is a pickle: load only what your own ``train`` wrote."""
    joblib.dump((model.columns, model.regressor), directory / "model.joblib", compress=3)


def load(directory: Path) -> Model:
    """What ``save`` wrote."""
    return Model(*joblib.load(directory / "model.joblib"))


def features(model: Model) -> list[Feature]:
    """The columns that ``predict`` expects, in order, and what each may hold."""
    return model.columns


def predict(model: Model, rows: pd.DataFrame) -> Predictions:
    """A rent for each row. The annotation of ``rows`` is what asks for a table with named columns."""
    return {"rent": model.regressor.predict(typed(rows, model.columns)).round(2)}


def described(column: "pd.Series[Any]") -> Feature:
    """What a column holds: numbers, or one of some texts; with an example from which the model can predict."""
    name, missing = str(column.name), bool(column.isna().any())
    if pd.api.types.is_numeric_dtype(column):
        return Feature(name, float, missing=missing, example=float(column.median()))
    texts = column.dropna()
    return Feature(name, str, tuple(sorted(texts.unique())), missing, example=str(texts.mode()[0]))


def typed(table: pd.DataFrame, columns: list[Feature]) -> pd.DataFrame:
    """The same types for any rows, however few: a gap becomes NaN, which the regressor has learned to read."""
    types = {each.name: pd.CategoricalDtype(each.choices) if each.kind is str else np.float64 for each in columns}
    return table[list(types)].astype(types)


def read(channel: Channel, target: str) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """The features and the target in all CSV files of a channel, each with a header; an empty cell is a gap."""
    table = pd.concat(channel.tables(), ignore_index=True)
    rents = channel.column(table, target)
    return table.drop(columns=target), rents
