"""Template: reads CSV into rows, or says what is wrong with the first bad cell.

No message repeats a value of the body (H-55): it names the row, counted from 1, and the column.
"""

import codecs
import csv
import difflib
import io
import struct
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
import orjson

from contract.errors import RequestError, counted
from contract.feature import SEPARATORS, Feature, separator
from contract.schema import Records, Rows, Schema
from contract.serving.formats import Body

csv.field_size_limit(sys.maxsize)  # a cell is limited to 128 KiB otherwise
BLOCK = 2**16  # bytes read at a time: as Python's numbers they take five times as much


def decode(body: Body, schema: Schema) -> Records:
    """Read ``text/csv``: one row per line, without a header unless the Content-Type has ``header=present`` (H-59).

    A header that is not declared is refused; ``header=absent`` says that a first line that looks like one is a row.
    Raises ``RequestError`` 400 that names the row and the column of the first error. If ``body.bad_rows`` is a list,
    the indices of bad rows, from 0, are added to it instead, and example values replace the rows (B-10).
    """
    header = {"present": True, "absent": False}.get(body.parameters.get("header", "").lower())
    rows = _numbers(body.data, schema, header) if schema.numbers else None
    return rows if rows is not None else _cells(body.data, schema, header, body.bad_rows)


def _numbers(body: bytes, schema: Schema, header: bool | None) -> Rows | None:
    """All rows at once, each block read as one JSON array; None if anything is unusual."""
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
            blocks.append(np.frombuffer(struct.pack(f"{len(values)}d", *values)))  # faster than numpy's functions
        rows = np.concatenate(blocks).reshape(-1, len(schema.names))
        if len(rows) and np.isfinite(rows).all():
            return rows
    return None


def _cells(body: bytes, schema: Schema, header: bool | None, bad: list[int] | None) -> Records:
    """Cell by cell, up to the first error."""
    records: list[list[Any]] = []
    columns: Header | None = None
    one_with_gaps = len(schema.features) == 1 and schema.features[0].missing
    try:
        text = body.decode().removeprefix("\ufeff")
        if one_with_gaps:  # its lines can be empty, or "" as csv writers have it
            text = text.rstrip("\r\n")
        for cells in csv.reader(io.StringIO(text, newline=""), strict=True):
            if not "".join(cells).strip() and len(cells) < 2 and not (one_with_gaps and (columns or not header)):
                continue
            if header and not columns:
                columns = Header.read(cells, schema)
            elif header is None and not records and set(schema.names) <= {cell.strip() for cell in cells}:
                refuse(
                    "row 1 is a header: leave it out, or send 'Content-Type: text/csv; header=present'; if it is a "
                    "row, send header=absent"
                )
            else:
                records.append(_read(cells, len(records), schema, columns, bad))
    except csv.Error as error:
        refuse(f"the body is not CSV: {error}")
    except UnicodeDecodeError as error:
        refuse(f"the body is not UTF-8: byte {error.start + 1} cannot be read")
    if not records:
        refuse("the body holds no rows: send one line of comma-separated values for each row")
    return records


class Header(NamedTuple):
    """Where the cells of a row are, by the header."""

    width: int
    places: list[int | None]
    """One for each feature; None if the column is left out."""

    @classmethod
    def read(cls, cells: list[str], schema: Schema) -> Self:
        """Raises ``RequestError`` 400 for a header that lacks a column or has one twice."""
        names = [cell.strip() for cell in cells]
        if len(names) == 1 and names[0] not in schema.names and (mark := separator(names[0])):
            refuse(f"the header has 1 column: separate the names with commas, not {SEPARATORS[mark]}")
        require_names("the header", names, schema)
        for feature in schema.features:
            if names.count(feature.name.strip()) > 1:
                refuse(f"the header has the column '{feature.name}' twice")
        places = {name: place for place, name in enumerate(names)}
        return cls(len(cells), [places.get(name.strip()) for name in schema.names])

    def ordered(self, cells: list[str], number: int) -> list[str]:
        """The cells in the order of the features. Raises ``RequestError`` 400 if the row does not fit the header."""
        if len(cells) == self.width + 1 and not cells[-1]:
            cells = cells[:-1]  # a comma at the end, which pandas ignores too
        if len(cells) != self.width:
            refuse(f"row {number} has {counted(len(cells), 'column')}, the header has {self.width}")
        return ["" if place is None else cells[place] for place in self.places]


def _read(cells: list[str], place: int, schema: Schema, columns: Header | None, bad: list[int] | None) -> list[Any]:
    try:
        ordered = columns.ordered(cells, place + 1) if columns else cells
        return read_row(ordered or [""], place + 1, schema.features, Feature.from_text)
    except RequestError:
        if bad is None:
            raise
        bad.append(place)
        return schema.sample()


def require_names(what: str, given: Collection[str], schema: Schema) -> None:
    """Raise ``RequestError`` 400 if a column is not among the names ``given``, unless its values can be missing.

    Other names are ignored, unless one is almost the name of a column that is left out.
    """
    absent = [feature for feature in schema.features if feature.name.strip() not in given and feature.name not in given]
    if not absent:
        return
    for feature in absent:
        if not feature.missing:
            refuse(f"{what} lacks the column '{feature.name}'")
    others = [str(name) for name in given if name not in schema.names]
    for feature in absent:
        if difflib.get_close_matches(feature.name, others, 1, cutoff=0.7):
            refuse(f"{what} lacks the column '{feature.name}' and has one of almost that name: rename it")


def read_row(
    cells: Sequence[Any], number: int, features: Sequence[Feature], read: Callable[[Feature, Any], object]
) -> list[Any]:
    """The cells of row ``number`` as ``read`` reads them. Raises ``RequestError`` 400 about the first bad one."""
    if len(cells) != len(features):
        mark = separator("".join(cell for cell in cells if isinstance(cell, str)), max(1, len(features) - 1))
        hint = f": separate the cells with commas, not {SEPARATORS[mark]}" if mark else ""
        refuse(f"row {number} has {counted(len(cells), 'column')}, the model expects {len(features)}{hint}")
    row = []
    for cell, feature in zip(cells, features, strict=True):
        try:
            row.append(read(feature, cell))
        except ValueError as error:
            refuse(f"row {number}, column '{feature.name}' {error}")
    return row


def refuse(message: str) -> NoReturn:
    """Raise ``RequestError`` 400."""
    raise RequestError(400, "bad_input", message)
