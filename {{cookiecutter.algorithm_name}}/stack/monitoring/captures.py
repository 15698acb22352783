"""Template: what was asked and answered in a time, from captured files here or on S3, or from the database."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg

from contract.errors import RequestError
from local.project import LocalError
from stack.monitoring import bodies
from stack.monitoring.model import Model, client

HOUR = re.compile(r"(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]+$")
SLACK = timedelta(hours=2)  # by which a file's folder may differ from the time of its events
ROWS = """
select p.at, p.model, coalesce(p.inference_id, p.event_id), (to_jsonb(p) ->> 'status')::int, p.input, p.output, t.value
from predictions p left join truth t on t.inference_id = coalesce(p.inference_id, p.event_id) and t.row = p.row
where p.at >= %s and p.at < %s"""


class Event(NamedTuple):
    """A request and its answer, or in the database a row of them."""

    at: datetime
    model: str | None
    ids: tuple[str, ...]
    """By which its ground truth may be known."""
    status: int | None = None
    inputs: bodies.Columns | None = None
    """``None`` where they cannot be read."""
    answers: bodies.Columns | None = None
    truth: list[Any] | None = None
    refused_rows: int = 0


def events(place: str, model: Model, since: datetime, until: datetime, names: Sequence[str]) -> Iterator[Event]:
    """Yields those of a folder, an address on S3 or a database. ``names`` are of the columns of answers in CSV."""
    if place.startswith(("postgresql://", "postgres://")):
        yield from _of_database(place, model, since, until)
        return
    for line in _lines(place, since - SLACK, until):
        event = _event(line, model, names)
        if event and since <= event.at < until:
            yield event


def truth(place: str) -> dict[str, list[Any]]:
    """The true values of the rows of each request, by its id, from files in SageMaker's form."""
    found = {}
    for line in _lines(place):
        said = json.loads(line)
        text = bodies.data(said["groundTruthData"]).decode()
        found[said["eventMetadata"]["eventId"]] = [row.partition(",")[0].strip('" ') for row in text.splitlines()]
    return found


def _event(line: bytes, model: Model, names: Sequence[str]) -> Event | None:
    try:
        said = json.loads(line)
        about, parts = said["eventMetadata"], said["captureData"]
        at = datetime.fromisoformat(about["inferenceTime"])
    except (ValueError, KeyError, TypeError):  # a line that is being written, or none of a capture
        return None
    ids = tuple(str(about[name]) for name in ("inferenceId", "eventId") if about.get(name))
    event = Event(at if at.tzinfo else at.replace(tzinfo=UTC), about.get("modelVersion"), ids, about.get("statusCode"))
    try:
        inputs, refused = bodies.inputs(parts["endpointInput"], model.features)
    except (RequestError, ValueError, KeyError):
        return event
    answers = bodies.answers(parts.get("endpointOutput") or {}, model.answer, names)
    return event._replace(inputs=inputs, answers=answers, refused_rows=refused)


def _of_database(place: str, model: Model, since: datetime, until: datetime) -> Iterator[Event]:
    with psycopg.connect(place) as connection, connection.cursor(name="monitoring") as cursor:
        for at, version, id_, status, given, answered, true in cursor.execute(ROWS, (since, until)):
            event = Event(at, version, (id_,), status, truth=None if true is None else [true])
            try:
                inputs = bodies.row(given, model.features) if model.features else {}
            except ValueError:
                yield event
                continue
            row = answered if isinstance(answered, dict) else {next(iter(model.answer), "prediction"): answered}
            scalars = {name: [value] for name, value in row.items() if not isinstance(value, list | dict)}
            yield event._replace(inputs=inputs, answers=scalars)


def _lines(place: str, since: datetime | None = None, until: datetime | None = None) -> Iterator[bytes]:
    """The lines of all files, by name; of captured ones those whose folder is for an hour of that time."""
    for name, lines in _on_s3(place) if place.startswith("s3://") else _here(Path(place).expanduser()):
        if since and until and (hour := HOUR.search(name)):
            year, month, day, hours = map(int, hour.groups())
            if not since <= datetime(year, month, day, hours, tzinfo=UTC) < until:
                continue
        yield from (line for line in lines() if line.startswith(b"{"))


def _here(folder: Path) -> Iterator[tuple[str, Callable[[], Iterable[bytes]]]]:
    if not folder.exists():
        raise LocalError(f"There is no {folder}: give a folder, s3://BUCKET/PREFIX or postgresql://...")
    for path in sorted(folder.rglob("*.jsonl")) if folder.is_dir() else [folder]:
        yield path.as_posix(), partial(_lines_of_file, path)


def _on_s3(address: str) -> Iterator[tuple[str, Callable[[], Iterable[bytes]]]]:
    place, s3 = urlsplit(address), client("s3")
    prefix = place.path.strip("/")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=place.netloc, Prefix=prefix):
        for each in page.get("Contents", []):
            key = each["Key"]
            yield key, partial(_lines_of_object, s3, place.netloc, key)


def _lines_of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _lines_of_object(s3: Any, bucket: str, key: str) -> Iterator[bytes]:
    yield from s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines()
