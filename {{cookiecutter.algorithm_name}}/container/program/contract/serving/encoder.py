"""Template: writes the columns that ``predict`` returns as the body of a response.

Each number is the shortest text that reads back to the same value in the column's own precision. In JSON a number that
is not finite is null (X-42).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import RequestError
from contract.predictions import Columns


def select(columns: Columns, wanted: Sequence[str]) -> Columns:
    """The columns named in ``wanted``: the first of all where it is empty, every one where it is ``all``.

    Raises ``RequestError`` 406 for a name that is not there.
    """
    if not wanted:
        name = next(iter(columns))
        return {name: columns[name]}
    if list(wanted) == ["all"]:
        return columns
    for name in wanted:
        if name not in columns:
            known = ", ".join(columns)
            raise RequestError(406, "not_acceptable", f"the answer has no column of a name asked for: it has {known}")
    return {name: columns[name] for name in wanted}


def encode_csv(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """Rows in the order of the input without a header, and one final newline (H-58, B-09).

    In bad rows each column says ``ERROR`` (B-10).
    """
    texts = [_mark(_csv(values), bad_rows, "ERROR") for values in columns.values()]
    lines: Iterable[str] = texts[0] if len(texts) == 1 else map(",".join, zip(*texts, strict=True))
    return "\n".join(lines).encode() + b"\n"


def encode_document(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """``{"predictions": [...]}`` with an object for each row."""
    return b'{"predictions":[%b]}\n' % ",".join(_objects(columns, bad_rows)).encode()


def encode_lines(columns: Columns, bad_rows: Sequence[int] = ()) -> bytes:
    """An object for each row, on a line of its own."""
    return "\n".join(_objects(columns, bad_rows)).encode() + b"\n"


def _objects(columns: Columns, bad_rows: Sequence[int]) -> Iterable[str]:
    texts = [_mark(_json(values), bad_rows, '"ERROR"') for values in columns.values()]
    form = ",".join(orjson.dumps(name).decode().replace("%", "%%") + ":%s" for name in columns)
    return map(f"{{{form}}}".__mod__, zip(*texts, strict=True))


def _mark(texts: list[str], bad_rows: Sequence[int], mark: str) -> list[str]:
    for place in bad_rows:
        texts[place] = mark
    return texts


def _json(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind in "iuf":
        kind = np.float32 if values.dtype == np.float16 else values.dtype.newbyteorder("=")
        packed = np.ascontiguousarray(values, kind)
        return orjson.dumps(packed, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",") if len(packed) else []
    return [orjson.dumps(value, _plain).decode() for value in values.tolist()]


def _csv(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind in "iu" or (values.dtype.kind == "f" and np.isfinite(values).all()):
        return _json(values)
    texts = values.tolist() if values.dtype.kind in "OU" else list(map(str, values))
    try:
        joined = "".join(texts)
    except TypeError:
        texts = ["" if value is None else str(value) for value in texts]
        joined = "".join(texts)
    if not all(texts) or any(mark in joined for mark in ',"\r\n'):
        texts = list(map(quoted, texts))
    return texts


def quoted(text: str) -> str:
    """A cell of CSV."""
    plain = text and not any(mark in text for mark in ',"\r\n')  # a line must not be empty: readers skip it
    return text if plain else '"' + text.replace('"', '""') + '"'


def _plain(value: object) -> object:
    """What orjson asks for where it does not know a type: numpy's own scalars in a column of objects."""
    return value.item() if isinstance(value, np.generic) else str(value)
