"""Template: reads JSON and JSON Lines into rows."""

import json
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import orjson

from contract.errors import counted
from contract.feature import Feature
from contract.schema import Records, Rows, Schema
from contract.serving.csv_decoder import read_row, refuse, require_names
from contract.serving.formats import Body

WRAPPERS = ("instances", "inputs", "dataframe_records", "dataframe_split")


def decode_document(body: Body, schema: Schema) -> Records:
    """Read ``application/json``: ``{"instances": [...]}``, rows, one named row, or columns.

    Each instance is a list in the order of the features, an object that names them, or ``{"features": [...]}``.
    MLflow's ``inputs``, ``dataframe_records`` and ``dataframe_split`` are read too.
    """
    document = _load(body.data, schema, "the body", _form(schema))
    if isinstance(document, str):
        refuse(f"the body is a JSON string, perhaps because it was encoded twice: {_form(schema)}")
    rows = _rows_of(document, schema)
    return records(rows if isinstance(rows, list) else [], schema)


def decode_lines(body: Body, schema: Schema) -> Records:
    """Read ``application/jsonlines``: an instance on each line that is not blank."""
    lines = enumerate(body.data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
    form = "send one list of values, or one object that names them, on each line"
    instances = [_load(line, schema, f"line {number}", form) for number, line in lines if line.strip()]
    return records(instances, schema)


def _form(schema: Schema) -> str:
    if not schema.frame:
        return 'send {"instances": [[...], ...]} with one list of values for each row'
    more = ", ..." if len(schema.names) > 3 else ""
    row = ", ".join(f'"{name}": ...' for name in schema.names[:3]) + more
    return f'send {{"instances": [{{{row}}}, ...]}} with one object for each row'


def _load(text: bytes, schema: Schema, what: str, form: str) -> Any:
    """Read JSON with orjson, or with json if an object could have a key twice, which orjson does not report."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(text)
        if text.count(b'"') == (2 * len(document) if isinstance(document, dict) else 0):
            return document  # each string is a key of the only object
    twice: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=partial(_object, twice))
        if twice:
            _refuse_twice(document, schema, what)
        return document
    except (ValueError, RecursionError):
        refuse(f"{what} is not JSON: {form}")


def _object(twice: list[str], pairs: list[tuple[str, Any]]) -> dict[str | None, Any]:
    """An object. A key that it has twice is added to the list, and stored under ``None``, which no JSON key can be."""
    document: dict[str | None, Any] = dict(pairs)
    if len(document) != len(pairs):
        document[None] = Counter(name for name, _ in pairs).most_common(1)[0][0]
        twice.append(document[None])
    return document


def _refuse_twice(value: Any, schema: Schema, what: str) -> None:
    """Raise ``RequestError`` 400 about the first object that has a key twice."""
    if isinstance(value, dict) and None in value:
        known = value[None] in (*schema.names, *WRAPPERS, "features", "columns", "data")
        key = f"the key '{value[None]}'" if known else "a key"
        refuse(f"{what} has {key} twice: send each once")
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for number, each in enumerate(inside, 1):
        _refuse_twice(each, schema, f"row {number}" if isinstance(value, list) and what == "the body" else what)


def _rows_of(document: Any, schema: Schema) -> Any:
    """The rows of a document, under any of the known names; something else if it holds none."""
    if not isinstance(document, dict):
        return document
    given = [name for name in WRAPPERS if name in document and name not in schema.names]
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        if not given:
            return _named(columns, data)
        given.append("data")
    if len(given) > 1:
        refuse(f"the body holds rows under '{given[0]}' and under '{given[1]}': send one of them")
    if given:
        return _rows_of(document[given[0]], schema)
    known = {name: document[name] for name in schema.names if name in document}
    if known and all(isinstance(values, list) for values in known.values()):
        if len({len(values) for values in known.values()}) > 1:
            refuse("the columns differ in length: send one value for each row in each")
        return _named(list(known), [list(row) for row in zip(*known.values(), strict=True)])
    return [document] if known or "features" in document else None


def _named(names: list[Any], rows: list[Any]) -> list[Any]:
    """Objects that name the values of rows."""
    if len(set(map(str, names))) < len(names):
        refuse("the body names a column twice: name each once")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names):
            width = counted(len(row), "column") if isinstance(row, list) else "no list of columns"
            refuse(f"row {number} has {width}, the body names {len(names)}")
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def records(instances: list[Any], schema: Schema) -> Records:
    """Check rows that are lists of values or objects that name them. Raises ``RequestError`` 400 about a bad one."""
    if not instances:
        refuse(f"the body holds no rows: {_form(schema)}")
    if schema.numbers:
        rows = _numbers(instances, len(schema.names))
        if rows is not None:
            return rows
    cells = (_cells(f"row {number}", instance, schema) for number, instance in enumerate(instances, 1))
    return [read_row(row, number, schema.features, Feature.from_value) for number, row in enumerate(cells, 1)]


def _numbers(instances: list[Any], width: int) -> Rows | None:
    """All rows at once; None if anything is unusual."""
    with suppress(TypeError, ValueError, OverflowError):
        if set(map(type, chain.from_iterable(instances))) <= {int, float}:  # numpy would read True and '1' too
            rows = np.array(instances, np.float64)
            if rows.shape == (len(instances), width) and np.isfinite(rows).all():
                return rows
    return None


def _cells(what: str, instance: Any, schema: Schema) -> list[Any]:
    if isinstance(instance, dict):
        values = instance.get("features")
        if not isinstance(values, list) or "features" in schema.names:
            require_names(what, instance, schema)
            return [instance.get(name) for name in schema.names]
        instance = values
    if not isinstance(instance, list):
        refuse(f"{what} is neither a list of values nor an object of named values")
    return instance
