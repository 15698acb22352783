"""Yours: the algorithm, kept with joblib. For estimators that have no ONNX form: here splines and a linear model.

A joblib file is a pickle: anyone who can write it can run any program where it is loaded. So load only what your own
``train`` wrote, from a bucket that only your own jobs can write to. It is also bound to its versions: the image that
trained a model must serve it, which SageMaker does unless you say otherwise.
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
    knots: Annotated[int, Range(2, 100)] = 4
    strength: Annotated[float, Range(1e-6, 1e6)] = 1.0  # less is smoother


def train(job: TrainingJob[Hyperparameters]) -> Any:
    """Fit on the channel 'training'. Evaluate on the channel 'validation' if the job has one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    settings = job.hyperparameters
    rows, labels = job.channel("training").split(settings.target, "classes")
    splines = SplineTransformer(settings.knots, extrapolation="linear")
    pipeline = make_pipeline(StandardScaler(), splines, LogisticRegression(C=settings.strength, max_iter=10_000))
    model = pipeline.fit(rows, labels)
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
    version, pipeline = joblib.load(directory / "model.joblib")
    if version != sklearn.__version__:
        raise UserError(f"The model is of scikit-learn {version}, this is {sklearn.__version__}: train it again.")
    threads = [name for name in pipeline.get_params() if name.split("__")[-1] == "n_jobs"]
    pipeline.set_params(**dict.fromkeys(threads, 1))  # the server runs one process for each CPU
    return pipeline


def predict(model: Any, rows: Rows) -> Predictions:
    """A label for each row, and the probability of each class.

    Requests that wait come together as one array, so a batch costs little more than a row. The server has checked
    the rows already: scikit-learn need not do it again. The label is read off the probabilities, not computed again.
    """
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        probabilities = model.predict_proba(rows)
    classes = model.classes_
    columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(classes)}
    return {"label": classes[probabilities.argmax(axis=1)], **columns}
