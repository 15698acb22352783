"""Yours: the algorithm, for a table with texts and gaps. LightGBM on a DataFrame, kept in LightGBM's own format.

It needs libgomp1, which `container/apt.txt` brings into the image.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import lightgbm
import numpy as np
import pandas as pd

from contract.api import Predictions, Range, TrainingJob


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "churned"  # the column to predict; all others are features
    rounds: Annotated[int, Range(1, 10_000)] = 300  # at most: it stops where the channel 'validation' gains nothing
    patience: Annotated[int, Range(1, 1000)] = 30  # rounds
    learning_rate: Annotated[float, Range(0.001, 1.0)] = 0.05
    num_leaves: Annotated[int, Range(2, 1000)] = 15
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0


class Model(NamedTuple):
    """Trees, and the names of the classes whose probabilities they give."""

    booster: lightgbm.Booster
    classes: list[str]


def train(job: TrainingJob[Hyperparameters]) -> Model:
    """Fit on the channel 'training'; stop in time and report by the channel 'validation' where the job has one."""
    settings = job.hyperparameters
    rows, labels = job.channel("training").split(settings.target, "classes")
    classes = sorted(set(labels))
    data = lightgbm.Dataset(with_categories(rows), [classes.index(label) for label in labels])
    watched, callbacks = [], []
    if job.has_channel("validation"):
        later, answers = job.channel("validation").split(settings.target, "classes")
        watched = [data.create_valid(with_categories(later), [classes.index(label) for label in answers])]
        callbacks = [lightgbm.early_stopping(settings.patience, verbose=False)]
    parameters = {"objective": "multiclass", "num_class": len(classes), "learning_rate": settings.learning_rate}
    parameters |= {"num_leaves": settings.num_leaves, "seed": settings.seed, "verbosity": -1}
    model = Model(lightgbm.train(parameters, data, settings.rounds, watched, callbacks=callbacks), classes)
    job.log_importances(model.booster.feature_importance("gain"))
    if job.has_channel("validation"):
        job.log_predictions(answers, predict(model, later)["label"])
    return model


def save(model: Model, directory: Path) -> None:
    """Two files, of text. Loading them runs nothing, and other versions of LightGBM read them too."""
    model.booster.save_model(directory / "model.txt")
    (directory / "classes.json").write_text(json.dumps(model.classes), encoding="utf-8")


def load(directory: Path) -> Model:
    """Read what ``save`` wrote."""
    classes = json.loads((directory / "classes.json").read_text(encoding="utf-8"))
    return Model(lightgbm.Booster(model_file=directory / "model.txt"), classes)


def predict(model: Model, rows: pd.DataFrame) -> Predictions:
    """A label for each row, and the probability of each class. The server runs one process for each CPU."""
    probabilities = model.booster.predict(with_categories(rows), num_threads=1)
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}
    return {"label": np.array(model.classes)[probabilities.argmax(axis=1)], **columns}


def with_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts as categories, whose codes LightGBM keeps with the model; NaN, which stands for a gap, it reads too."""
    return rows.astype({name: "category" for name in rows if not pd.api.types.is_numeric_dtype(rows[name])})
