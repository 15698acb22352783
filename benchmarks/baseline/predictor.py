"""The plain container's application: pandas reads, the estimator predicts on a data frame, pandas writes."""

import pickle
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import flask
import pandas as pd

MODEL = Path("/opt/ml/model/model.pkl")


class Predictor:
    """Holds the model, which each worker reads by itself when it first needs it."""

    model: ClassVar[Any] = None

    @classmethod
    def get(cls) -> Any:
        """The model, read at the first call."""
        if cls.model is None:
            with MODEL.open("rb") as file:
                cls.model = pickle.load(file)
        return cls.model

    @classmethod
    def predict(cls, table: pd.DataFrame) -> Any:
        """One label for each row."""
        return cls.get().predict(table)


app = flask.Flask(__name__)


@app.route("/ping", methods=["GET"])
def ping() -> flask.Response:
    """Healthy if the model can be read."""
    return flask.Response("\n", 200 if Predictor.get() is not None else 404, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invocations() -> flask.Response:
    """CSV without a header in, one label a line out."""
    if flask.request.content_type != "text/csv":
        return flask.Response("This predictor only reads CSV", 415, mimetype="text/plain")
    table = pd.read_csv(StringIO(flask.request.data.decode("utf-8")), header=None)
    print(f"invoked with {table.shape[0]} rows")
    answer = StringIO()
    pd.DataFrame({"label": Predictor.predict(table)}).to_csv(answer, header=False, index=False)
    return flask.Response(answer.getvalue(), mimetype="text/csv")
