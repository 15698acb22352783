"""Template: from the body of a request to an array of numbers, or a sentence about the first bad cell.

No message repeats a value of the body (H-55): it names the row, counted from 1, and the column.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from contract.errors import RequestError

Rows = NDArray[np.float64]


def from_csv(body: bytes, features: Sequence[str], header: bool) -> Rows:
    """Read ``text/csv``: one record a line, no header unless ``header`` says so (H-59).

    Returns an array of shape (records, features). Blank lines are no records. Raises
    ``RequestError`` 400 that names the row and the column of the first fault.
    """
    text = _text(body)
    if header:
        first, _, text = text.partition("\n")
        _check_header(_records(first), features)
    if not text.strip():
        _refuse("the body holds no rows: send one line of comma-separated numbers for each")
    try:
        rows = np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2, comments=None, quotechar='"')
    except ValueError:
        _refuse_first_fault(text, features)
    if rows.shape[1] != len(features) or not np.isfinite(rows).all():
        _refuse_first_fault(text, features)
    return rows


def from_json(body: bytes, features: Sequence[str]) -> Rows:
    """Read ``application/json``: ``{"instances": [...]}`` or the list alone.

    Each instance is a list of numbers in the order of ``features``, or an object that names them.
    Returns and raises as ``from_csv``.
    """
    try:
        document = json.loads(_text(body))
    except (ValueError, RecursionError):
        _refuse('the body is not JSON: send {"instances": [[...], ...]} with one list of numbers for each row')
    instances = document.get("instances") if isinstance(document, dict) else document
    if not isinstance(instances, list) or not instances:
        _refuse('the body holds no rows: send {"instances": [[...], ...]} with one list of numbers for each')
    records = [_record(number, instance, features) for number, instance in enumerate(instances, 1)]
    _check_cells(records, features, _is_finite_json)
    return np.array(records, dtype=np.float64)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"the body is not UTF-8: byte {error.start + 1} cannot be read")


def _records(text: str) -> list[list[str]]:
    """The records that ``np.loadtxt`` sees, as text."""
    try:
        return [record for record in csv.reader(io.StringIO(text)) if record]
    except csv.Error as error:
        _refuse(f"the body is not CSV: {error}")


def _check_header(records: list[list[str]], features: Sequence[str]) -> None:
    names = records[0] if records else []
    _check_width("the header", len(names), features)
    for number, (name, wanted) in enumerate(zip(names, features, strict=True), 1):
        if name.strip() != wanted:
            _refuse(f"the header's column {number} is not '{wanted}': send the columns in the order of training")


def _refuse_first_fault(text: str, features: Sequence[str]) -> NoReturn:
    records = _records(text)
    if all(cell.strip() == name for cell, name in zip(records[0], features, strict=False)):
        _refuse("row 1 is a header: leave it out, or send 'Content-Type: text/csv; header=present'")
    _check_cells(records, features, _is_finite_text)
    _refuse("the body cannot be read as lines of comma-separated numbers")


def _record(number: int, instance: object, features: Sequence[str]) -> list[Any]:
    if isinstance(instance, list):
        return instance
    if not isinstance(instance, dict):
        _refuse(f"row {number} is neither a list of numbers nor an object of named numbers")
    for name in features:
        if name not in instance:
            _refuse(f"row {number} lacks the column '{name}'")
    _check_width(f"row {number}", len(instance), features)
    return [instance[name] for name in features]


def _check_cells(records: Sequence[Sequence[Any]], features: Sequence[str], is_finite: Callable[[Any], bool]) -> None:
    for number, record in enumerate(records, 1):
        _check_width(f"row {number}", len(record), features)
        for cell, name in zip(record, features, strict=True):
            if not is_finite(cell):
                _refuse(f"row {number}, column '{name}' is not a finite number")


def _check_width(what: str, width: int, features: Sequence[str]) -> None:
    if width != len(features):
        _refuse(f"{what} has {width} columns, the model expects {len(features)}")


def _is_finite_text(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and cell.isascii() and "_" not in cell  # float() reads '1_000' too
    except ValueError:
        return False


def _is_finite_json(cell: object) -> bool:
    try:
        return isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
    except OverflowError:  # a whole number that no float can hold
        return False


def _refuse(message: str) -> NoReturn:
    raise RequestError(400, "bad_input", message)
