"""Yours: the algorithm, for texts. Words weighed by TF-IDF and a logistic regression, kept with joblib."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from contract.api import Feature, Predictions, Range, TrainingJob


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "topic"  # the column to predict; the column "text" is what it is predicted from
    words: Annotated[int, Range(1, 5)] = 2  # the longest sequence of words that counts as a term
    strength: Annotated[float, Range(1e-3, 1e3)] = 10.0  # less is smoother


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Fit on the channel 'training'. Evaluate on the channel 'validation' if the job has one."""
    settings = job.hyperparameters
    any_text = Feature("text", str)  # also where the training data repeat a few texts
    rows, labels = job.channel("training").split(settings.target, "classes", features=[any_text])
    terms = TfidfVectorizer(ngram_range=(1, settings.words), sublinear_tf=True, strip_accents="unicode")
    model = make_pipeline(terms, LogisticRegression(C=settings.strength, max_iter=1000)).fit(rows["text"], labels)
    if job.has_channel("validation"):
        rows, labels = job.channel("validation").split(settings.target, "classes")
        job.log_predictions(labels, predict(model, rows)["label"])
    return model


def save(model: Any, directory: Path) -> None:
    """One file. It is a pickle: load only what your own ``train`` wrote."""
    joblib.dump(model, directory / "model.joblib", compress=3)


def load(directory: Path) -> Any:
    """Read what ``save`` wrote."""
    return joblib.load(directory / "model.joblib")


def predict(model: Any, rows: pd.DataFrame) -> Predictions:
    """A label for each text, and the probability of each class."""
    probabilities = model.predict_proba(rows["text"])
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes_)}
    return {"label": model.classes_[probabilities.argmax(axis=1)], **columns}
