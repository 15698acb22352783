"""Template: what `train` and the server get, for a notebook or Python's prompt: ``from local import job, model``.

Packages are imported in the functions, because the commands of `make` run without them.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.paths import Paths
from local.project import DATA, MODEL, TREE, LocalError

if TYPE_CHECKING:
    from contract.algorithm_interface import Algorithm
    from contract.training.job import TrainingJob


_jobs: list[Any] = []  # the newest, which has the columns of the model that was trained with it


class NotebookPaths(Paths):
    """The channels are read in place."""

    @property
    def channels(self) -> Path:
        """The folder ``data/``."""
        return DATA


def job(**hyperparameters: object) -> "TrainingJob[Any]":
    """What ``train(job)`` gets for the channels in ``data/``. Raises ``UserError`` for a wrong hyperparameter."""
    from contract.training.job import TrainingJob

    made = TrainingJob.of(_algorithm(), hyperparameters, NotebookPaths(TREE / "notebook"))
    _jobs[:] = [made]
    return made


def model() -> Any:
    """The model of the last `make train`, as ``load`` reads it. Raises ``LocalError`` if there is none."""
    if not any(MODEL.glob("*")):
        raise LocalError(f"There is no model in {MODEL}: run `make train` first.")
    return _algorithm().load(MODEL)


def predict(rows: Any, trained: Any = None) -> Any:
    """Return what the server answers to ``rows``, with all columns, as a DataFrame.

    ``rows`` are a list of ``Payload`` if ``predict`` in algorithm.py takes that. Otherwise they are a DataFrame with
    the model's columns, or rows without names, and are read as the server reads CSV, so this raises
    ``RequestError`` for rows that the server refuses. ``trained`` is a model, by default ``model()``.
    """
    import pandas as pd

    from contract.predictions import as_columns, each_piece
    from contract.schema import Schema, of_model
    from contract.serving.formats import CSV, Body

    algorithm = _algorithm()
    used = model() if trained is None else trained
    learned = _jobs[0].signature if trained is not None and _jobs else None
    if learned and learned.features and not hasattr(algorithm, "features"):
        schema: Any = Schema(learned.features, algorithm.predict)
    else:
        schema = of_model(algorithm, used, MODEL)
    if isinstance(schema, Schema):
        table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=schema.names)
        body = Body(table.to_csv(index=False).encode(), {"header": "present"}, limit=2**40)
        rows = schema.table(CSV.decode(body, schema))
    result: Any = algorithm.predict(used, rows)
    if not isinstance(result, Iterator):
        return pd.DataFrame(as_columns(result, len(rows)))
    parts = each_piece(result, len(rows) if isinstance(schema, Schema) else None)
    return pd.concat([pd.DataFrame(as_columns(part)) for part in parts], ignore_index=True)


def _algorithm() -> "Algorithm":
    from contract import algorithm_interface

    return algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))
