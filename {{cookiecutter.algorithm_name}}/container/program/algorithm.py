"""Yours: the algorithm, the one file to edit. A random forest, trained with scikit-learn and served as ONNX."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime

from contract.api import Predictions, Range, Rows, TrainingJob, UserError


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job can set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "diagnosis"  # the column to predict; all others are features
    n_estimators: Annotated[int, Range(1, 2000)] = 100
    max_depth: Annotated[int | None, Range(1, 100)] = None
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


class Model:
    """A trained forest: the bytes of its ONNX file, and a session that runs them."""

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the server runs one process for each CPU
        self.onnx = onnx
        self.session = onnxruntime.InferenceSession(onnx, options)
        self.classes: list[str] = json.loads(self.session.get_modelmeta().custom_metadata_map["classes"])


def train(job: TrainingJob[Hyperparameters]) -> Model:
    """Fit on the channel 'training'. Evaluate on the channel 'validation' if the job has one."""
    from sklearn.ensemble import RandomForestClassifier  # imported here, since serving does not need it

    settings = job.hyperparameters
    rows, labels = job.channel("training").split(settings.target, "classes")
    forest = RandomForestClassifier(settings.n_estimators, max_depth=settings.max_depth, random_state=settings.seed)
    model = export(forest.fit(rows, labels), [feature.name for feature in job.features])
    served, fitted = predict(model, rows), forest.predict_proba(rows)
    if not np.allclose(np.array([served[f"probability_{name}"] for name in model.classes]), fitted.T, atol=1e-5):
        raise UserError("The ONNX model and scikit-learn's predict different values: try another max_depth or seed.")
    job.log_importances(forest.feature_importances_)
    if job.has_channel("validation"):
        rows, labels = job.channel("validation").split(settings.target, "classes")
        found = predict(model, rows)
        probabilities = {name: found[f"probability_{name}"] for name in model.classes}
        job.log_predictions(labels, found["label"], probabilities=probabilities)
    return model


def save(model: Model, directory: Path) -> None:
    """Write one file that holds everything: trees, features and classes."""
    (directory / "model.onnx").write_bytes(model.onnx)


def load(directory: Path) -> Model:
    """Read what ``save`` wrote."""
    return Model((directory / "model.onnx").read_bytes())


def predict(model: Model, rows: Rows) -> Predictions:
    """Return a label for each row, and the probability of each class."""
    labels, probabilities = model.session.run(None, {"X": rows.astype(np.float32)})
    return {"label": labels} | {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}


def export(forest: Any, names: list[str]) -> Model:
    """Convert the forest to ONNX, with the names of its features and classes."""
    import onnx
    import skl2onnx

    proto = skl2onnx.to_onnx(forest, np.zeros((1, len(names)), np.float32), options={"zipmap": False})
    about = {"features": json.dumps(names), "classes": json.dumps(list(forest.classes_))}
    onnx.helper.set_model_props(proto, about)
    return Model(proto.SerializeToString())
