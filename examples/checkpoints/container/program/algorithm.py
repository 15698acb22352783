"""Yours: the algorithm, in rounds. A stopped job keeps the rounds so far, a killed one goes on from its checkpoint.

Kept with joblib, which is a pickle: load only what your own ``train`` wrote, under the versions that wrote it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import sklearn

from contract.api import Predictions, Range, Rows, TrainingJob, UserError


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "diagnosis"  # the column to predict; all others are features
    trees: Annotated[int, Range(1, 10_000)] = 200
    trees_a_round: Annotated[int, Range(1, 10_000)] = 20  # after each there is a checkpoint
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Boost round by round, from the newest checkpoint on; a job told to stop returns what it has."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import log_loss

    settings, newest = job.hyperparameters, job.checkpoints.newest
    rows, labels = job.channel("training").split(settings.target, "classes")
    losses = {"training_loss": (rows, labels)}  # the learning curves of the report
    if job.has_channel("validation"):
        losses["validation_loss"] = job.channel("validation").split(settings.target, "classes")
    start = GradientBoostingClassifier(n_estimators=0, warm_start=True, random_state=settings.seed)
    estimator = joblib.load(newest) if newest else start
    while estimator.n_estimators < settings.trees and not (job.stopping and estimator.n_estimators):
        estimator.n_estimators = min(estimator.n_estimators + settings.trees_a_round, settings.trees)
        estimator.fit(rows, labels)
        job.checkpoints.write(lambda path: joblib.dump(estimator, path))
        job.log_metric("trees", estimator.n_estimators)
        for name, (known, answers) in losses.items():
            job.log_metric(name, log_loss(answers, estimator.predict_proba(known), labels=estimator.classes_))
    job.log_importances(estimator.feature_importances_)
    if "validation_loss" in losses:
        known, answers = losses["validation_loss"]
        probabilities = dict(zip(estimator.classes_, estimator.predict_proba(known).T, strict=True))
        job.log_predictions(answers, predict(estimator, known)["label"], probabilities=probabilities)
    return estimator


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
