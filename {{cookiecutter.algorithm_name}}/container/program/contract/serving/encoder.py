"""Template: from the columns that ``predict`` returns to the body of a response."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import RequestError
from contract.predictions import Columns

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"


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


def encode(columns: Columns, media: str, bad: Sequence[int] = ()) -> bytes:
    """The rows in the order of the input, with one final newline (H-58, B-09).

    As CSV without a header, as JSON Lines, or as ``{"predictions": [...]}``, where a number that is not finite is
    null (X-42). Each number is the shortest text that reads back to the same value in the column's own precision.
    In the rows ``bad`` each column says ``ERROR`` (B-10).
    """
    texts = [_csv(values) if media == CSV else _json(values) for values in columns.values()]
    for text in texts if bad else ():
        for place in bad:
            text[place] = "ERROR" if media == CSV else '"ERROR"'
    if media == CSV:
        lines: Iterable[str] = texts[0] if len(texts) == 1 else map(",".join, zip(*texts, strict=True))
    else:
        form = ",".join(orjson.dumps(name).decode().replace("%", "%%") + ":%s" for name in columns)
        lines = map(f"{{{form}}}".__mod__, zip(*texts, strict=True))
    if media == JSON:
        return b'{"predictions":[%b]}\n' % ",".join(lines).encode()
    return "\n".join(lines).encode() + b"\n"


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
