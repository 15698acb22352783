"""Template: writes the columns that ``predict`` returns as the body of a response.

Each number is the shortest text that reads back to the same value in the column's own precision. In JSON a number that
is not finite is null (X-42).
"""

import datetime
import decimal
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import RequestError, UserError
from contract.predictions import Columns

GAPS = ("NoneType", "NAType", "NaTType")
"""Types of Python and pandas for a missing value."""


def select(columns: Columns, wanted: Sequence[str]) -> Columns:
    """The columns named in ``wanted``: the first column if it is empty, every one if it is ``all``.

    Raises ``RequestError`` 406 for an unknown name.
    """
    if not wanted:
        name = next(iter(columns))
        return {name: columns[name]}
    if list(wanted) == ["all"]:
        return columns
    for name in wanted:
        if name not in columns:
            known = ", ".join(columns)
            raise RequestError(406, "not_acceptable", f"the answer does not have all requested columns: it has {known}")
    return {name: columns[name] for name in wanted}


def encode_npy(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """One array of one column, or of several columns of numbers. Raises ``RequestError`` 406 for others."""
    arrays = list(columns.values())
    if bad_rows or any(array.dtype.kind not in "iufb" for array in arrays):
        raise RequestError(406, "not_acceptable", f"the answer is not all numbers: {_NAME_NUMBERS}")
    if len(arrays) > 1 and any(array.ndim > 1 for array in arrays):
        raise RequestError(406, "not_acceptable", f"the columns have different shapes: {_NAME_NUMBERS}")
    file = io.BytesIO()
    np.save(file, arrays[0] if len(arrays) == 1 else np.column_stack(arrays), allow_pickle=False)
    return file.getvalue()


_NAME_NUMBERS = "accept another type, or name a column of numbers, as in 'Accept: application/x-npy; columns=score'"


def encode_csv(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """Rows in the order of the input without a header, and one final newline (H-58, B-09).

    In bad rows each column says ``ERROR`` (B-10).
    """
    texts = [_mark(_csv(values), bad_rows, "ERROR") for values in columns.values()]
    lines: Iterable[str] = texts[0] if len(texts) == 1 else map(",".join, zip(*texts, strict=True))
    return "\n".join([*lines, ""]).encode()


def encode_document(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """``{"predictions": [...]}`` with an object for each row."""
    return b'{"predictions":[%b]}\n' % ",".join(_objects(columns, bad_rows)).encode()


def encode_lines(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """An object for each row, on a line of its own."""
    return "\n".join([*_objects(columns, bad_rows), ""]).encode()


def _objects(columns: Columns, bad_rows: Sequence[int]) -> Iterable[str]:
    texts = [_mark(_json(values), bad_rows, '"ERROR"') for values in columns.values()]
    form = ",".join(orjson.dumps(name).decode().replace("%", "%%") + ":%s" for name in columns)
    return map(f"{{{form}}}".__mod__, zip(*texts, strict=True))


def _mark(texts: list[str], bad_rows: Sequence[int], mark: str) -> list[str]:
    for place in bad_rows:
        texts[place] = mark
    return texts


def _json(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind in "iuf" and values.ndim < 3:
        kind = np.float32 if values.dtype == np.float16 else values.dtype.newbyteorder("=")
        packed = np.ascontiguousarray(values, kind)
        if not packed.size:
            return ["[]"] * len(packed)
        text = orjson.dumps(packed, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        return text[1:-1].split(",") if values.ndim == 1 else [f"[{row}]" for row in text[2:-2].split("],[")]
    return list(map(_document, values.tolist()))


def _csv(values: NDArray[Any]) -> list[str]:
    """Cells of a column. A vector fills one cell for each of its values; other shapes are JSON in one cell."""
    if values.ndim == 2 and values.shape[1]:
        return list(map(",".join, zip(*(_csv(column) for column in values.T), strict=True)))
    if values.ndim > 1:
        return list(map(quoted, _json(values)))
    if values.dtype.kind in "iu" or (values.dtype.kind == "f" and np.isfinite(values).all()):
        return _json(values)
    texts = values.tolist() if values.dtype.kind in "OU" else list(map(str, values))
    try:
        joined = "".join(texts)
    except TypeError:
        texts = list(map(_cell, texts))
        joined = "".join(texts)
    if not all(texts) or any(mark in joined for mark in ',"\r\n'):
        texts = list(map(quoted, texts))
    return texts


def _cell(value: Any) -> str:
    if type(value).__name__ in GAPS or (isinstance(value, float) and value != value):
        return ""
    plain = isinstance(value, str | int | float | np.generic | datetime.date | decimal.Decimal)
    return str(value) if plain else _document(value)


def _document(value: Any) -> str:
    """A value as JSON. Raises ``UserError`` for one that JSON cannot represent."""
    try:
        return orjson.dumps(value, _plain, orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise UserError(
            f"predict() in algorithm.py returned a value of the type {type(value).__name__}, which CSV and JSON "
            "cannot represent: return numbers, strings, lists or dicts."
        ) from error


def quoted(text: str) -> str:
    """A cell of CSV."""
    plain = text and not any(mark in text for mark in ',"\r\n')  # a line must not be empty: readers skip it
    return text if plain else '"' + text.replace('"', '""') + '"'


def _plain(value: object) -> object:
    """Convert what orjson cannot: numpy's scalars and arrays in a column of objects."""
    if type(value).__name__ in GAPS:
        return None
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, datetime.date | decimal.Decimal):
        return str(value)
    raise TypeError
