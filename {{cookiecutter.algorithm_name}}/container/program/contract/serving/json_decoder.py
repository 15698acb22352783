"""Template: reads JSON and JSON Lines into rows."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import orjson

from contract.schema import Feature, Records, Rows, Schema
from contract.serving.csv_decoder import read_row, refuse
from contract.serving.formats import Body

_FORM = 'send {"instances": [[...], ...]} with one list of values for each row'


def decode_document(body: Body, schema: Schema) -> Records:
    """Read ``application/json``: ``{"instances": [...]}``, ``{"columns": [...], "data": [...]}``, rows, or columns.

    Each instance is a list in the order of the features, or an object that names them.
    """
    return records(_instances(_load(body.data, f"the body is not JSON: {_FORM}"), schema.names), schema)


def decode_lines(body: Body, schema: Schema) -> Records:
    """Read ``application/jsonlines``: an instance on each line that is not blank."""
    lines = enumerate(body.data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
    instances = [_load(line, f"line {number} is not JSON: {_FORM_OF_LINE}") for number, line in lines if line.strip()]
    return records(instances, schema)


_FORM_OF_LINE = "send one list of values, or one object that names them, on each line"


def _load(text: bytes, sentence: str) -> Any:
    """What orjson reads, where every key counts; json tells when an object has a key twice."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(text)
        if text.count(b'"') == (2 * len(document) if isinstance(document, dict) else 0):
            return document  # each string is a key of the one object there is
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        refuse(sentence)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        refuse("an object has the same key twice: name each column once")
    return document


def _instances(document: Any, names: list[str]) -> list[Any]:
    if isinstance(document, dict):
        columns, data = document.get("columns"), document.get("data")
        if set(document) == set(names) and all(isinstance(column, list) for column in document.values()):
            if len({len(column) for column in document.values()}) > 1:
                refuse("the columns differ in length: send one value for each row in each")
            columns, data = list(document), [list(row) for row in zip(*document.values(), strict=True)]
        if isinstance(columns, list) and isinstance(data, list) and sorted(map(str, columns)) == sorted(names):
            order = [list(map(str, columns)).index(name) for name in names]
            return [[row[i] for i in order] if type(row) is list and len(row) == len(order) else row for row in data]
        document = document.get("instances")
    if not isinstance(document, list) or not document:
        refuse(f"the body holds no rows: {_FORM}")
    return document


def records(instances: list[Any], schema: Schema) -> Records:
    """Check rows that are lists of values or objects that name them. Raises ``RequestError`` 400 about a bad one."""
    if not instances:
        refuse(f"the body holds no rows: {_FORM_OF_LINE}")
    if schema.numbers:
        rows = _numbers(instances, len(schema.names))
        if rows is not None:
            return rows
    names = schema.names
    cells = (_cells(number, instance, names) for number, instance in enumerate(instances, 1))
    return [read_row(row, number, schema.features, Feature.from_value) for number, row in enumerate(cells, 1)]


def _numbers(instances: list[Any], width: int) -> Rows | None:
    """All rows at once; None where anything at all is odd."""
    with suppress(TypeError, ValueError, OverflowError):
        if set(map(type, chain.from_iterable(instances))) <= {int, float}:  # numpy would read True and '1' too
            rows = np.array(instances, np.float64)
            if rows.shape == (len(instances), width) and np.isfinite(rows).all():
                return rows
    return None


def _cells(number: int, instance: object, names: Sequence[str]) -> list[Any]:
    if isinstance(instance, list):
        return instance
    if not isinstance(instance, dict):
        refuse(f"row {number} is neither a list of values nor an object of named values")
    for name in names:
        if name not in instance:
            refuse(f"row {number} lacks the column '{name}'")
    if len(instance) > len(names):
        refuse(f"row {number} has {len(instance) - len(names)} columns too many: the model expects {', '.join(names)}")
    return [instance[name] for name in names]
