"""Template: what ``predict`` returns, and the check of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import UserError

Predictions = Mapping[str, ArrayLike]
"""Named columns, each with one value for each row: ``{"label": labels, "score": scores}``. The first is the answer;
the others are there for those who ask for them."""

Columns = dict[str, NDArray[Any]]


def as_columns(predictions: object, rows: int | None = None) -> Columns:
    """The columns as one-dimensional arrays of length ``rows`` (H-58), or as long as the first where that is open.

    Raises ``UserError`` where ``predict`` returned something else.
    """
    if not isinstance(predictions, Mapping) or not predictions:
        raise UserError(
            f"predict() in algorithm.py returned {type(predictions).__name__}: "
            'return a dict of named columns such as {"label": labels}.'
        )
    columns = {str(name): np.asarray(values) for name, values in predictions.items()}
    if rows is None:
        rows = next(iter(columns.values())).size
    for name, values in columns.items():
        if values.ndim != 1 or len(values) != rows:
            raise UserError(
                f"predict() in algorithm.py returned the column '{name}' with shape {values.shape} "
                f"for {rows} rows: return one value for each row."
            )
    return columns
