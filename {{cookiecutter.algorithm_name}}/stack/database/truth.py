"""Template: puts into the database what turned out to be true, from a CSV file."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from local.project import LocalError
from stack.database import captured

FORM = "inference_id, value and, optionally, row and at"
COPY = "copy incoming (inference_id, row, value, at) from stdin"
UPSERT = """insert into truth select * from incoming
on conflict (inference_id, row) do update set value = excluded.value, at = excluded.at"""
JOINED = """select count(*) from incoming join outcomes
on incoming.inference_id = coalesce(outcomes.inference_id, outcomes.event_id) and incoming.row = outcomes.row"""
Value = tuple[str, int, str, datetime]


def load(connection: psycopg.Connection, path: Path) -> tuple[int, int]:
    """Put all values of a file into the database, in the place of those that it has for the same rows.

    Returns how many there are, and how many are about predictions that the database has. Raises ``LocalError``.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("create temporary table incoming (like truth) on commit drop")
        with cursor.copy(COPY) as copy:
            for value in values(path):
                copy.write_row(value)
        count = cursor.execute(UPSERT).rowcount
        [joined] = cursor.execute(JOINED).fetchone() or [0]
    return count, joined


def values(path: Path) -> Iterator[Value]:
    """Yield each value with its inference id, row and time."""
    now, seen = datetime.now(UTC), dict[tuple[str, int], int]()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not {"inference_id", "value"} <= set(reader.fieldnames or []):
                raise LocalError(f"{path} lacks a required column: start it with a header of {FORM}.")
            for cells in reader:
                found = _value(f"{path}, line {reader.line_num}", cells, now)
                before = seen.setdefault(found[:2], reader.line_num)
                if before != reader.line_num:
                    raise LocalError(f"{path}, line {reader.line_num} has the same row as line {before}: keep one.")
                yield found
    except (OSError, UnicodeError, csv.Error) as error:
        raise LocalError(f"{path} cannot be read as CSV: {getattr(error, 'strerror', None) or error}.") from error


def _value(where: str, cells: dict[str, str], now: datetime) -> Value:
    if None in cells or None in cells.values():
        raise LocalError(f"{where} has another number of cells than the header.")
    id_, row, value, at = (cells.get(name, "").strip() for name in ("inference_id", "row", "value", "at"))
    if not id_ or not value:
        raise LocalError(f"{where} has no {'value' if id_ else 'inference_id'}: fill it in, or leave the line out.")
    if row and not row.isdecimal():
        raise LocalError(f"{where} has the row {row!r}: give a whole number, 0 for a request's first row.")
    try:
        time = datetime.fromisoformat(at) if at else now
    except ValueError:
        raise LocalError(f"{where} has the time {at!r}: write it as 2026-01-31T12:00:00Z.") from None
    known = captured.dump(captured.cell(value)) or "null"
    return id_, int(row or 0), known, time if time.tzinfo else time.replace(tzinfo=UTC)
