"""Template: reads CSV into rows, or says in a sentence what the first bad cell is.

No message repeats a value of the body (H-55): it names the row, counted from 1, and the column.
"""

import codecs
import csv
import io
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import orjson

from contract.errors import RequestError
from contract.schema import Feature, Records, Rows, Schema
from contract.serving.formats import Body

BLOCK = 2**16  # bytes read at a time: their numbers as Python's take five times as much


def decode(body: Body, schema: Schema) -> Records:
    """Read ``text/csv``: a row a line, without a header unless the Content-Type has ``header=present`` (H-59).

    Raises ``RequestError`` 400 that names the row and the column of the first fault. Where ``body.bad_rows`` is a list,
    the places of bad rows are added to it instead, from 0, and example values stand in for them (B-10).
    """
    header = body.parameters.get("header", "").lower() == "present"
    rows = _numbers(body.data, schema, header) if schema.numbers else None
    return rows if rows is not None else _cells(body.data, schema, header, body.bad_rows)


def _numbers(body: bytes, schema: Schema, header: bool) -> Rows | None:
    """All rows at once, a block as one array of JSON; None where anything at all is odd."""
    form, blocks = b"," * (len(schema.names) - 1) + b"\n", []
    lines = io.BytesIO(body.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n"))
    with suppress(ValueError, csv.Error):
        if header and next(csv.reader([lines.readline().decode()]), []) != schema.names:
            return None
        while block := lines.read(BLOCK) + lines.readline():
            text = block.rstrip(b"\n") + b"\n"
            marks = text.translate(None, b"0123456789+-.eE ")
            if marks != form * marks.count(b"\n"):
                return None
            values = orjson.loads(b"[%b]" % text[:-1].replace(b"\n", b","))
            blocks.append(np.frombuffer(struct.pack(f"{len(values)}d", *values)))  # faster than numpy's own ways
        rows = np.concatenate(blocks).reshape(-1, len(schema.names))
        if len(rows) and np.isfinite(rows).all():
            return rows
    return None


def _cells(body: bytes, schema: Schema, header: bool, bad: list[int] | None) -> Records:
    """Cell by cell, up to the first fault."""
    records: list[list[Any]] = []
    try:
        text = body.decode().removeprefix("\ufeff")
        for cells in csv.reader(io.StringIO(text, newline=""), strict=True):
            if not "".join(cells).strip() and len(cells) < 2:
                continue
            if header:
                _require_header(cells, schema.names)
                header = False
            else:
                records.append(_read(cells, len(records), schema, bad))
    except csv.Error as error:
        refuse(f"the body is not CSV: {error}")
    except UnicodeDecodeError as error:
        refuse(f"the body is not UTF-8: byte {error.start + 1} cannot be read")
    if header:
        _require_header([], schema.names)
    if not records:
        refuse("the body holds no rows: send one line of comma-separated values for each")
    return records


def _read(cells: list[str], place: int, schema: Schema, bad: list[int] | None) -> list[Any]:
    if place == 0 and [cell.strip() for cell in cells] == schema.names:
        refuse("row 1 is a header: leave it out, or send 'Content-Type: text/csv; header=present'")
    try:
        return read_row(cells, place + 1, schema.features, Feature.from_text)
    except RequestError:
        if bad is None:
            raise
        bad.append(place)
        return schema.sample()


def read_row(
    cells: Sequence[Any], number: int, features: Sequence[Feature], read: Callable[[Feature, Any], object]
) -> list[Any]:
    """The cells of row ``number`` as ``read`` reads them. Raises ``RequestError`` 400 about the first bad one."""
    require_width(f"row {number}", len(cells), features)
    row = []
    for cell, feature in zip(cells, features, strict=True):
        try:
            row.append(read(feature, cell))
        except ValueError as error:
            refuse(f"row {number}, column '{feature.name}' {error}")
    return row


def require_width(what: str, width: int, features: Sequence[object]) -> None:
    """Raises ``RequestError`` 400 where ``what`` has not one cell for each feature."""
    if width != len(features):
        refuse(f"{what} has {width} columns, the model expects {len(features)}")


def refuse(message: str) -> NoReturn:
    """Raise ``RequestError`` 400."""
    raise RequestError(400, "bad_input", message)


def _require_header(cells: list[str], names: list[str]) -> None:
    require_width("the header", len(cells), names)
    for number, (cell, name) in enumerate(zip(cells, names, strict=True), 1):
        if cell.strip() != name:
            refuse(f"the header's column {number} is not '{name}': send the columns in the order of training")
