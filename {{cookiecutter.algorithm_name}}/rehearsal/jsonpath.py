"""Template: the records of a batch job, and the JSONPaths by which the platform filters them (B-12)."""

import csv
import io
import json
import re
from typing import Any

_STEP = re.compile(r"""\.(?P<name>\w+)|\[(?P<places>[-\d:, ]+)\]|\[(?P<names>'[^']*'(\s*,\s*'[^']*')*)\]""")


def records(media_type: str, body: bytes) -> list[Any]:
    """The records of a body: a row of CSV is a list of texts."""
    if media_type == "text/csv":
        return [row for row in csv.reader(io.StringIO(body.decode(), newline="")) if row]
    if media_type == "application/json":
        return [json.loads(body)]
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def written(media_type: str, found: list[Any]) -> bytes:
    """Records as a body."""
    if media_type != "text/csv":
        return "".join(json.dumps(record) + "\n" for record in found).encode()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(row if isinstance(row, list) else [row] for row in found)
    return text.getvalue().encode()


def join(row: Any, result: Any) -> Any:
    """The input with its result: CSV side by side, JSON below a key."""
    if isinstance(row, list) and isinstance(result, list):
        return [*row, *result]
    return (
        row | {"SageMakerOutput": result}
        if isinstance(row, dict)
        else {"SageMakerInput": row, "SageMakerOutput": result}
    )


def find(path: str, record: Any) -> Any:
    """What a path selects: ``$``, ``$.a.b``, ``$['a','b']``, ``$[0,-1]``, ``$[1:]``, ``$[0,5:]``."""
    if not re.fullmatch(
        rf"\$(?:{_STEP.pattern})*".replace("?P<name>", "").replace("?P<places>", "").replace("?P<names>", ""), path
    ):
        raise ValueError(f"The JSONPath {path} is not supported.")
    for step in _STEP.finditer(path):
        if step["name"]:
            record = record[step["name"]]
        elif step["names"]:
            names = re.findall("'([^']*)'", step["names"])
            record = {name: record[name] for name in names} if len(names) > 1 else record[names[0]]
        else:
            record = _places(step["places"], record)
    return record


def _places(places: str, row: list[Any]) -> Any:
    chosen: list[Any] = []
    for place in places.split(","):
        start, colon, end = (part.strip() for part in place.partition(":"))
        if colon:
            chosen += row[int(start) if start else None : int(end) if end else None]
        else:
            chosen.append(row[int(start)])
    return chosen
