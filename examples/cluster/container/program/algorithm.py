"""Yours: the algorithm, the best of many, tried on all hosts of the job by a Dask cluster.

Kept with joblib, which is a pickle: load only what your own ``train`` wrote, under the versions that wrote it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
import sklearn

from contract.api import Predictions, Range, Rows, TrainingJob, UserError


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "diagnosis"  # the column to predict; all others are features
    candidates: Annotated[int, Range(1, 10_000)] = 12  # how many forests are tried
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Cross-validate each candidate on whatever CPU of the job is free, then fit the best on all rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import ParameterSampler

    settings = job.hyperparameters
    rows, labels = job.channel("training").split(settings.target, "classes")
    forest = RandomForestClassifier(random_state=settings.seed)
    choices = {"n_estimators": range(50, 400, 10), "max_depth": range(2, 12), "max_features": ["sqrt", "log2", None]}
    candidates = list(ParameterSampler(choices, settings.candidates, random_state=settings.seed))
    scores = job.cluster.gather(job.cluster.map(score, candidates, estimator=forest, rows=rows, labels=labels))
    job.log_metric("cross_validated_accuracy", max(scores))
    model = forest.set_params(**candidates[int(np.argmax(scores))]).fit(rows, labels)
    if job.has_channel("validation"):
        rows, labels = job.channel("validation").split(settings.target, "classes")
        probabilities = dict(zip(model.classes_, model.predict_proba(rows).T, strict=True))
        job.log_predictions(labels, predict(model, rows)["label"], probabilities=probabilities)
    return model


def save(model: Any, directory: Path) -> None:
    """One file, with the version that can read it."""
    joblib.dump((sklearn.__version__, model), directory / "model.joblib", compress=3)


def load(directory: Path) -> Any:
    """Read what ``save`` wrote. Another version of scikit-learn might predict something else, so it is refused."""
    version, estimator = joblib.load(directory / "model.joblib")
    if version != sklearn.__version__:
        raise UserError(f"The model is of scikit-learn {version}, this is {sklearn.__version__}: train it again.")
    return estimator


def predict(model: Any, rows: Rows) -> Predictions:
    """A label for each row, and the probability of each class."""
    probabilities = model.predict_proba(rows)
    classes = model.classes_
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(classes)}
    return {"label": classes[probabilities.argmax(axis=1)], **columns}


def score(candidate: dict[str, Any], estimator: Any, rows: Rows, labels: list[str]) -> float:
    """The share of rows that an estimator with these settings gets right: what a worker does, on any host."""
    from sklearn.model_selection import cross_val_score

    return float(np.mean(cross_val_score(estimator.set_params(**candidate), rows, labels)))
