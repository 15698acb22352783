"""Template: from the columns that ``predict`` returns to the body of a response."""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import UserError

Predictions = Mapping[str, ArrayLike]
"""Named columns, each with one value for each row: ``{"label": labels, "score": scores}``."""

Columns = dict[str, NDArray[Any]]


def check(predictions: object, rows: int) -> Columns:
    """The columns as one-dimensional arrays of length ``rows`` (H-58).

    Raises ``UserError`` where ``predict`` returned something else.
    """
    if not isinstance(predictions, Mapping) or not predictions:
        raise UserError(
            f"predict() in algorithm.py returned {type(predictions).__name__}: "
            'return a dict of named columns such as {"label": labels}.'
        )
    columns = {str(name): np.asarray(values) for name, values in predictions.items()}
    for name, values in columns.items():
        if values.ndim != 1 or len(values) != rows:
            raise UserError(
                f"predict() in algorithm.py returned the column '{name}' with shape {values.shape} "
                f"for {rows} rows: return one value for each row."
            )
    return columns


def to_csv(columns: Columns) -> str:
    """One line for each row in the order of the input, no header, one final newline (H-58, B-09)."""
    out = io.StringIO()
    texts = [_texts(values) for values in columns.values()]
    csv.writer(out, lineterminator="\n").writerows(zip(*texts, strict=True))
    return out.getvalue()


def to_json(columns: Columns) -> str:
    """``{"predictions": [{"label": ..., "score": ...}, ...]}``; a missing number is null (X-42)."""
    values = [_plain(column) for column in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    return json.dumps({"predictions": rows}, allow_nan=False) + "\n"


def _texts(values: NDArray[Any]) -> list[str]:
    """The shortest text that reads back to the same value in the column's own precision."""
    return [str(value) for value in values]


def _plain(values: NDArray[Any]) -> list[Any]:
    if np.issubdtype(values.dtype, np.floating):
        numbers = map(float, _texts(values))
        return [number if math.isfinite(number) else None for number in numbers]
    return list(values.tolist())
