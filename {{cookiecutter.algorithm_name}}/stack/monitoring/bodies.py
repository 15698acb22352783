"""Template: the columns in captured requests and answers, read as the server reads requests."""

import csv
import math
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from contract.feature import WORDS, Feature, number
from contract.schema import Records, Schema
from contract.serving import negotiation
from contract.serving.formats import CSV, JSON, JSON_LINES, Body
from contract.serving.json_decoder import records

if TYPE_CHECKING:
    from pandas import DataFrame

Columns = dict[str, list[Any]]
FAILED = "ERROR"  # stands where the server has marked a bad row (B-10)
BYTES = 2**30  # of rows in a body


def data(part: Mapping[str, str]) -> bytes:
    """The body of one side of an event."""
    return b64decode(part["data"]) if part.get("encoding") == "BASE64" else part["data"].encode()


def inputs(part: Mapping[str, str], features: Sequence[Feature]) -> tuple[Columns, int]:
    """The values of each column, and how many rows the server has refused.

    Raises ``RequestError`` or ``ValueError`` where none can be read. A capture may have been told to leave out columns.
    """
    if not features:  # of requests that are no tables nothing is compared
        return {}, 0
    body = data(part)
    format_, parameters = negotiation.content_type(part.get("observedContentType", ""), body)
    bad: list[int] = []
    if format_ is JSON_LINES:
        lines = [orjson.loads(line) for line in body.splitlines() if line.strip()]
        rows = [line for line in lines if line is not None]  # null stands for a bad row
        if rows and all(isinstance(row, dict) for row in rows) and not any("features" in row for row in rows):
            features = [each for each in features if each.name in rows[0]]
        schema = Schema(features, _table)
        return _columns(schema, records(rows, schema)) if rows else {}, len(lines) - len(rows)
    schema = Schema(features, _table)
    found = negotiation.read_rows(Body(body, parameters, BYTES, bad), format_, schema)
    kept = [row for place, row in enumerate(found) if place not in set(bad)] if bad else found
    if not len(kept):
        raise ValueError("no row can be read")
    return _columns(schema, kept), len(bad)


def answers(part: Mapping[str, str], known: Mapping[str, Any], names: Sequence[str]) -> Columns:
    """The values of each column of an answer. ``names`` are those of answers without; by default the model's.

    Columns of vectors are left out, and all if the answer has another number of columns.
    """
    try:
        format_, _ = negotiation.content_type(part.get("observedContentType", ""), b"")
        body = data(part)
        if format_ is CSV:
            return _unnamed(list(csv.reader(body.decode().splitlines())), known, list(names or known))
        found = orjson.loads(body) if format_ is JSON else [orjson.loads(line) for line in body.splitlines() if line]
        rows = [
            row for row in (found["predictions"] if isinstance(found, dict) else found) if FAILED not in row.values()
        ]
        scalars = [name for name, value in rows[0].items() if not isinstance(value, list | dict)]
        return {name: [row[name] for row in rows] for name in scalars}
    except Exception:  # it may be anything: the algorithm may have made it itself
        return {}


def _unnamed(rows: list[list[str]], known: Mapping[str, Any], names: list[str]) -> Columns:
    names = names[:1] if len(rows[0]) == 1 else names
    if any(len(row) != len(names) for row in rows) or any(known.get(name, {}).get("shape") for name in names):
        return {}
    columns = dict(zip(names, zip(*(row for row in rows if FAILED not in row), strict=True), strict=True))
    numbers = {name for name in names if known.get(name, {}).get("kind") in ("number", "boolean")}
    return {name: [_number(cell) if name in numbers else cell for cell in cells] for name, cells in columns.items()}


def row(cells: Any, features: Sequence[Feature]) -> Columns:
    """The values of a row of the database. Raises ``ValueError`` where one cannot be read."""
    if isinstance(cells, dict):
        return {each.name: [_value(each, cells[each.name])] for each in features if each.name in cells}
    listed = cells if isinstance(cells, list) else [cells]
    return {each.name: [_value(each, cell)] for each, cell in zip(features, listed, strict=True)}


def _value(feature: Feature, cell: Any) -> Any:
    if feature.kind is str and isinstance(cell, int | float):  # a text of digits is one there
        return str(cell)
    return feature.from_text(cell) if isinstance(cell, str) else feature.from_value(cell)


def _columns(schema: Schema, rows: Records | Iterable[Any]) -> Columns:
    columns = rows.T.tolist() if isinstance(rows, np.ndarray) else zip(*rows, strict=True)
    return {name: list(column) for name, column in zip(schema.names, columns, strict=True)}


def _number(cell: str) -> float:
    return float(WORDS.get(cell.lower(), number(cell.strip()))) if cell else math.nan


def _table(model: Any, rows: "DataFrame") -> None:
    """Stands for the algorithm, which may take texts."""
