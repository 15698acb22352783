"""Template: what ``predict`` returns, and the check of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import UserError, counted
from contract.payload import Payload

Predictions = Mapping[str, ArrayLike | Sequence[Any]]
"""Named columns, each with one value for each row: ``{"label": labels, "score": scores}``. The first is the answer;
the others are sent if a request asks for them. A value can be a number, a string, a list, an array or a dict.

``predict`` can also return a DataFrame, one column without a name, a dict for each row, or a ``Payload`` for each
request.

It can yield any of these. Each piece holds values for the next rows, in order; together they hold one value
for each row. A raw request can get any number of pieces, and a request of one row any number of ``Payload``."""

Columns = dict[str, NDArray[Any]]
"""Arrays whose first axis is the rows."""


def as_columns(predictions: object, rows: int | None = None) -> Columns:
    """The columns as arrays of length ``rows`` (H-58), or as long as the first if ``rows`` is None.

    Raises ``UserError`` if ``predict`` returned something else.
    """
    columns = {str(name): _column(str(name), values) for name, values in _named(predictions).items()}
    if rows is None:
        rows = len(next(iter(columns.values())))
    for name, values in columns.items():
        if len(values) != rows:
            raise UserError(
                f"predict() in algorithm.py returned the column '{name}' with shape {values.shape} "
                f"for {counted(rows, 'row')}: return one value for each row."
            )
    return columns


def describe(columns: Columns) -> dict[str, Any]:
    """What each column holds, and the shape of its values: ``[]`` for one value per row."""
    return {name: {"kind": _kind(values), "shape": list(values.shape[1:])} for name, values in columns.items()}


def as_payloads(predictions: object, rows: int, requests: int | None = None) -> list[Payload]:
    """The answers to raw requests; none if ``predict`` returned columns."""
    given = [predictions] if isinstance(predictions, Payload) else predictions
    if not isinstance(given, list) or not any(isinstance(each, Payload) for each in given):
        return []
    if requests and requests < rows:
        raise UserError("predict() in algorithm.py returned a Payload for one of several rows: return columns.")
    if len(given) != rows or not all(isinstance(each, Payload) for each in given):
        raise UserError(
            f"predict() in algorithm.py returned {counted(len(given), 'value')}, among them a Payload, for "
            f"{counted(rows, 'request')}: return one Payload for each."
        )
    return given


def each_piece(pieces: Iterator[Any], rows: int | None) -> Iterator[Columns | Payload]:
    """What ``predict`` yields for a request of ``rows`` rows, or for a raw request if that is ``None``.

    Raises ``UserError`` unless all pieces are alike and hold one value for each row, or at least one for a raw request.
    """
    first, count = None, 0
    for piece in pieces:
        found: Sequence[Columns | Payload] = as_payloads(piece, rows or 1, 1) or [as_columns(piece)]
        [part] = found
        if isinstance(part, Payload):
            kind, count = [part.content_type], 1
        else:
            kind, count = list(part), count + len(next(iter(part.values())))
        first = first or kind
        if kind != first:
            other = "content types" if isinstance(part, Payload) else "columns"
            raise UserError(f"predict() in algorithm.py yielded other {other} than at first: yield the same ones.")
        if rows and count > rows:
            break
        yield part
    if not count or (rows and count != rows):
        wanted = f"{rows} rows: yield one value for each row" if rows else "a request: yield at least one value"
        raise UserError(f"predict() in algorithm.py yielded {count} values for {wanted}.")


def _kind(values: NDArray[Any]) -> str:
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat):
        return "text"
    return {"i": "number", "u": "number", "f": "number", "b": "boolean", "U": "text"}.get(values.dtype.kind, "any")


def _named(predictions: Any) -> Mapping[Any, Any]:
    """Columns by name, from any of the allowed forms."""
    if isinstance(predictions, Mapping) and predictions:
        return predictions
    if hasattr(predictions, "to_dict") and hasattr(predictions, "columns"):  # a DataFrame
        _require_order(predictions)
        return {name: predictions[name].to_numpy() for name in predictions}
    if isinstance(predictions, list) and predictions and all(isinstance(row, Mapping) for row in predictions):
        names = predictions[0].keys()
        if names and all(row.keys() == names for row in predictions):
            return {name: [row[name] for row in predictions] for name in names}
        raise UserError("predict() in algorithm.py returned dicts with different keys: give each row the same keys.")
    if isinstance(predictions, list | np.ndarray) or hasattr(predictions, "__array__"):
        return {"prediction": predictions}
    raise UserError(
        f"predict() in algorithm.py returned {type(predictions).__name__}: "
        'return a dict of named columns such as {"label": labels}.'
    )


def _require_order(frame: Any) -> None:
    """Raise ``UserError`` for a DataFrame whose rows were sorted, or with two columns of the same name."""
    if frame.index.dtype.kind == "i" and not frame.index.is_monotonic_increasing:
        raise UserError(
            "predict() in algorithm.py returned a DataFrame whose rows are in another order than those it got: "
            "return it with sort_index()."
        )
    if not frame.columns.is_unique:
        raise UserError("predict() in algorithm.py returned a DataFrame with two columns of the same name: rename one.")


def _column(name: str, values: Any) -> NDArray[Any]:
    try:
        column = np.asarray(values)
    except ValueError:  # lists of different lengths
        column = np.empty(len(values), object)
        column[:] = values
    if column.dtype.kind in "cSV":
        raise UserError(
            f"predict() in algorithm.py returned a value of the type {type(column.flat[0]).__name__}, which CSV "
            "and JSON cannot represent: return numbers, strings, lists or dicts."
        )
    if not column.ndim:
        raise UserError(
            f"predict() in algorithm.py returned the column '{name}' as {type(values).__name__}: "
            "return a list or an array with one value for each row."
        )
    return column
