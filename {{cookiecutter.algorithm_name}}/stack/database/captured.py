"""Template: a line of a captured file, by SageMaker's endpoint or by ``serve``, and the rows in it."""

import base64
import csv
import hashlib
import io
import json
import math
import mimetypes
import re
import sys
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

csv.field_size_limit(sys.maxsize)
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # as JSON writes it: 007 stays a text
WRAPPERS = ("instances", "inputs", "dataframe_records", "dataframe_split", "predictions")
LINES = ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson")
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # PostgreSQL has no such character


class Row(NamedTuple):
    """A row of the table ``predictions``; JSON as text."""

    event_id: str
    row: int
    inference_id: str | None
    request_id: str | None
    model: str | None
    endpoint: str | None
    at: datetime
    status: int | None
    content_type: str | None
    input: str | None = None
    output: str | None = None


def rows(line: bytes, endpoint: str | None, bodies: Path | None) -> list[Row]:
    """The rows of a captured request. Bodies that are neither tables nor texts go to the folder ``bodies``.

    Where the answer has another number of rows than the request, all are one row. Raises ``ValueError`` for a line that
    is no captured request.
    """
    try:
        event = load(line)
        about, data = event["eventMetadata"], event["captureData"]
        given, answered = data.get("endpointInput"), data.get("endpointOutput")
        outputs = [_scalar(value) for value in _values(answered, None, bodies)] if answered else None
        count = None if outputs is None else len(outputs)
        inputs = _values(given, count, bodies) if given else None
        at = datetime.fromisoformat(about["inferenceTime"])
        first = Row(
            event_id=_text(about.get("eventId")) or hashlib.sha256(line.strip()).hexdigest(),
            row=0,
            inference_id=_text(about.get("inferenceId")),
            request_id=_text(about.get("requestId")),
            model=_text(about.get("modelVersion")),
            endpoint=_text(endpoint),
            at=at if at.tzinfo else at.replace(tzinfo=UTC),
            status=int(about["statusCode"]) if "statusCode" in about else None,
            content_type=_text(given["observedContentType"]) if given else None,
        )
    except (KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if inputs is not None and outputs is not None and len(inputs) != count:
        inputs, outputs = [inputs], [outputs]
    pairs = list(zip_longest(inputs or [], outputs or [])) or [(None, None)]
    return [first._replace(row=row, input=dump(each), output=dump(output)) for row, (each, output) in enumerate(pairs)]


def _values(part: dict[str, Any], count: int | None, bodies: Path | None) -> list[Any]:
    """The rows of one side of an event, of which ``count`` are expected where that is known."""
    content_type = part.get("observedContentType") or ""
    kind, data, encoding = content_type.partition(";")[0].strip().lower(), part["data"], part.get("encoding")
    if encoding == "BASE64":
        raw = base64.b64decode(data, validate=True)
        if kind not in ("text/csv", "application/json", *LINES) and not kind.startswith("text/"):
            return [_beside(raw, kind, bodies)]
        data = raw.decode()
    if kind == "text/csv" or (encoding == "CSV" and kind not in LINES):
        return _csv(data, "header=present" in content_type.lower().replace(" ", ""), count)
    if kind in LINES:
        return [load(line) for line in data.split("\n") if line.strip()]
    return [data] if kind.startswith("text/") else _document(load(data), count)


def _csv(text: str, header: bool, count: int | None) -> list[Any]:
    """Rows as lists; as objects below a header, which its type tells, or one line too many that has no numbers."""
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
    rows = [[cell(each) for each in line] for line in lines]
    if lines and (header or (len(lines) - 1 == count and all(isinstance(each, str) for each in rows[0]))):
        return [dict(zip(lines[0], row, strict=False)) for row in rows[1:]]
    return rows


def _document(document: Any, count: int | None) -> list[Any]:
    """The rows of a JSON document, in whichever of the usual forms it has them."""
    if isinstance(document, list):
        return [document] if count == 1 and len(document) != 1 else [_features(row) for row in document]
    if not isinstance(document, dict):
        return [document]
    for name in WRAPPERS:
        if isinstance(document.get(name), list | dict):
            return _document(document[name], count)
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return [dict(zip(columns, row, strict=True)) for row in data]
    lengths = {len(values) if isinstance(values, list) else None for values in document.values()}
    if count is not None and lengths == {count} and list(document) != ["features"]:
        return [dict(zip(document, row, strict=True)) for row in zip(*document.values(), strict=True)]
    return [_features(document)]


def _features(row: Any) -> Any:
    return row["features"] if isinstance(row, dict) and list(row) == ["features"] else row


def _text(value: Any) -> str | None:
    return str(value).replace("\0", "") or None if value is not None else None


def _scalar(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _beside(raw: bytes, kind: str, bodies: Path | None) -> dict[str, Any]:
    """What the table has of a raw body: its digest, which is its name in the folder ``bodies``."""
    digest = hashlib.sha256(raw).hexdigest()
    if bodies:
        path = bodies / digest[:2] / f"{digest}{mimetypes.guess_extension(kind) or ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.with_suffix(".new").write_bytes(raw)
            path.with_suffix(".new").replace(path)
    return {"sha256": digest, "bytes": len(raw)}


def cell(text: str) -> float | str | None:
    """A cell of CSV: a number where JSON would write it so, nothing where it is empty."""
    if not text:
        return None
    return load(text) if NUMBER.fullmatch(text) else text


def load(text: str | bytes) -> Any:
    """What is in a JSON text; nothing for numbers that JSON does not have."""
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)


def _finite(text: str) -> float | None:
    return float(text) if math.isfinite(float(text)) else None


def dump(value: Any) -> str | None:
    """JSON as PostgreSQL takes it."""
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
    return NUL.sub("\\1\N{REPLACEMENT CHARACTER}", text)
