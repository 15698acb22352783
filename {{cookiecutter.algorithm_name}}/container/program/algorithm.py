"""Yours: the algorithm, the one file to edit.

A random forest that tells classes apart in tables of numbers. It is trained with scikit-learn and kept as
ONNX: serving needs neither scikit-learn nor pandas, starts fast, and opens no pickle.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract import Channel, Predictions, Range, TrainingJob, UserError

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

Rows = NDArray[np.float64]
Labels = NDArray[np.str_]
MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class Hyperparameters:
    """What a training job may set: names, types, defaults and bounds, checked before any data is read."""

    target: str = "diagnosis"  # the column to predict; all others are features
    n_estimators: Annotated[int, Range(1, 2000)] = 100
    max_depth: Annotated[int | None, Range(1, 100)] = None
    seed: int = 0


class Model:
    """A trained forest: the bytes of its ONNX file, and a session that runs them."""

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the server runs one process for each CPU
        self.onnx = onnx
        self.session = onnxruntime.InferenceSession(onnx, options)
        about = self.session.get_modelmeta().custom_metadata_map
        self.features: list[str] = json.loads(about["features"])
        self.classes: list[str] = json.loads(about["classes"])


def train(job: TrainingJob[Hyperparameters]) -> Model:
    """Fit on the channel 'training'; report on the channel 'validation' where the job has one."""
    from sklearn.ensemble import RandomForestClassifier  # imported here: serving has no use for it

    settings = job.hyperparameters
    rows, labels, names = read(job.channel("training"), settings.target)
    forest = RandomForestClassifier(settings.n_estimators, max_depth=settings.max_depth, random_state=settings.seed)
    model = export(forest.fit(rows, labels), names)
    if not np.array_equal(predict(model, rows)["label"], forest.predict(rows)):
        raise UserError("The ONNX model does not predict what scikit-learn's does: try another max_depth or seed.")
    if job.has_channel("validation"):
        rows, labels, _ = read(job.channel("validation"), settings.target, names)
        job.log_metric("validation_accuracy", np.mean(predict(model, rows)["label"] == labels))
    return model


def save(model: Model, directory: Path) -> None:
    """One file, complete in itself: trees, features, classes and versions."""
    (directory / MODEL_FILE).write_bytes(model.onnx)


def load(directory: Path) -> Model:
    """What ``save`` wrote."""
    return Model((directory / MODEL_FILE).read_bytes())


def features(model: Model) -> Sequence[str]:
    """The columns that ``predict`` expects, in order."""
    return model.features


def predict(model: Model, rows: Rows) -> Predictions:
    """A label for each row, and the probability of each class."""
    labels, probabilities = model.session.run(None, {"rows": rows.astype(np.float32)})
    return {"label": labels} | {f"probability_{name}": probabilities[:, i] for i, name in enumerate(model.classes)}


def read(channel: Channel, target: str, names: list[str] | None = None) -> tuple[Rows, Labels, list[str]]:
    """The features, labels and feature names in all CSV files of a channel; each file has a header."""
    import pandas as pd

    table = pd.concat([pd.read_csv(file) for file in channel.files(".csv")], ignore_index=True)
    for name in (target, *(names or [])):
        if name not in table:
            raise UserError(f"The channel '{channel.name}' has no column '{name}': it has {', '.join(table)}.")
    labels = table.pop(target).to_numpy(str)
    table = table[names or list(table)]
    for name, column in table.items():
        if column.dtype.kind not in "iuf" or column.isna().any():
            raise UserError(f"The column '{name}' of the channel '{channel.name}' must hold a number in every row.")
    return table.to_numpy(np.float64), labels, list(table)


def export(forest: "RandomForestClassifier", names: list[str]) -> Model:
    """The forest as ONNX, with what a reader of the file should know about it (T-47)."""
    import onnx
    import skl2onnx
    import sklearn

    kind = skl2onnx.common.data_types.FloatTensorType([None, len(names)])
    proto = skl2onnx.to_onnx(forest, initial_types=[("rows", kind)], options={"zipmap": False})
    about = {"features": json.dumps(names), "classes": json.dumps(list(forest.classes_))}
    onnx.helper.set_model_props(proto, about | {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__})
    return Model(proto.SerializeToString())
