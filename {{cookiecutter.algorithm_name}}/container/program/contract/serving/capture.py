"""Template: writes requests and their answers to files as SageMaker's data capture does (M-40), if that is set.

No request waits for it or fails because of it. Short events are copied at once to a file in memory, which outlives the
process; a thread writes long bodies and chosen columns. Events without room are dropped, counted and logged.
"""

import random
import threading
import time
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from werkzeug.http import parse_options_header

from contract.errors import UserError
from contract.paths import Paths
from contract.schema import RawSchema, Schema
from contract.serving import log, negotiation
from contract.serving.capture_files import CaptureFiles
from contract.serving.formats import CSV, JSON, JSON_LINES, Body
from contract.serving.request import Request
from contract.serving.response import Response
from contract.settings import Settings

SHORT_BYTES = 2**16
WAITING_BYTES = 2**24  # that the thread has not written yet
STREAM_BYTES = 2**20  # of a streamed answer, which is kept until its end
EVENT_BYTES = 2**11  # that an event takes besides its bodies
QUIET_SECONDS, CLOSE_SECONDS, RETRY_SECONDS = 60, 3, 1
FORM = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
ENCODINGS = {CSV.media_type: "CSV", JSON.media_type: "JSON", JSON_LINES.media_type: "JSON", JSON_LINES.alias: "JSON"}


class Capture:
    """What a process captures."""

    def __init__(self, schema: Schema | RawSchema, settings: Settings) -> None:
        self._schema, self._settings = schema, settings
        self._columns = _columns(schema, settings.capture_columns)
        manifest = Paths.from_environment().model / "manifest.json"
        self._model = sha256(manifest.read_bytes()).hexdigest() if manifest.exists() else ""
        self._files = CaptureFiles(Path(settings.capture), settings.capture_bytes, settings.workers)
        self._thread, self._lock = ThreadPoolExecutor(1), threading.Lock()
        self._waiting, self._preparing, self._again = 0, False, 0.0
        self._counts, self._told = Counter[str](), -float(QUIET_SECONDS)

    def prepare(self) -> None:
        """Have the thread start a file, if one is due."""
        if self._files.due and not self._preparing:
            self._preparing = True
            self._thread.submit(self._prepare)

    def sample(self) -> "Recording | None":
        """Returns a recording for the percentage of requests that is set."""
        return Recording(self) if random.random() * 100 < self._settings.capture_percent else None

    def add(self, request: Request, response: Response, answer: bytes) -> None:
        """Have a request and its answer written. The body of a refused request is not kept."""
        size = len(request.body) + len(answer) + EVENT_BYTES
        short = size < SHORT_BYTES and self._columns is None and not request.head.content_encoding
        try:
            if not short or not self._files.add(self._line(request, response, answer)):
                self._leave_to_thread(size, request, response, answer)
            self.prepare()
        except Exception as error:  # no request may fail because of it
            self.lose(error)

    def lose(self, error: Exception) -> None:
        reason = "there was no room for it" if isinstance(error, BufferError) else type(error).__name__
        self._tell(f"a request was not captured: {reason}", 1)

    def close(self) -> None:
        """Write what waits, and log what has not been logged yet."""
        wait([self._thread.submit(self._files.follow)], CLOSE_SECONDS)
        self._tell()

    def _leave_to_thread(self, size: int, *event: Any) -> None:
        with self._lock:
            if self._waiting + size > WAITING_BYTES:
                raise BufferError
            self._waiting += size
        self._thread.submit(self._write, size, *event)

    def _write(self, size: int, *event: Any) -> None:
        try:
            line = self._line(*event)
            if not self._files.add(line):
                self._prepare(len(line))
                if not self._files.add(line):
                    raise BufferError
        except Exception as error:  # the thread goes on with the next event
            self.lose(error)
        with self._lock:
            self._waiting -= size

    def _prepare(self, length: int = 0) -> None:
        try:
            if time.monotonic() >= self._again and (length or self._files.due):
                removed = self._files.prepare(length)
                self._tell("an old file of captured requests was removed: MODEL_SERVER_CAPTURE_MB is used up", removed)
        except OSError as error:
            self._tell(f"{self._settings.capture} cannot be written: {error.strerror}", 1)
            self._again = time.monotonic() + RETRY_SECONDS
        self._preparing = False

    def _tell(self, what: str = "", times: int = 0) -> None:
        """Log an event and how often it happened, at most once in a while."""
        with self._lock:
            self._counts[what] += times
            if what and time.monotonic() - self._told < QUIET_SECONDS:
                return
            counts, self._counts, self._told = self._counts, Counter(), time.monotonic()
        for what in filter(counts.get, counts):
            log.write("warning", what, times=counts[what])

    def _line(self, request: Request, response: Response, answer: bytes) -> bytes:
        """An event as SageMaker writes it, with three more fields."""
        head, kind = request.head, dict(response.headers)[b"content-type"].decode()
        captured = {"endpointOutput": _part("OUTPUT", kind, answer)}
        if response.status == 200:
            captured = {"endpointInput": self._input(request)} | captured
        metadata = {
            # nginx keeps the id of a request that it retries; without nginx, clients may send any id
            "eventId": head.id if self._settings.behind_nginx else uuid.uuid4().hex,
            "inferenceId": head.inference_id,
            "customAttributes": [head.custom_attributes] if head.custom_attributes else [],
            "inferenceTime": datetime.now(UTC),
            "requestId": head.id,
            "modelVersion": self._model,
            "statusCode": response.status,
        }
        known = {name: value for name, value in metadata.items() if value}
        return orjson.dumps({"captureData": captured, "eventMetadata": known, "eventVersion": "0"}, option=FORM)

    def _input(self, request: Request) -> dict[str, str]:
        head, settings, schema = request.head, self._settings, self._schema
        data = negotiation.decompress(request.body, head.content_encoding, settings.body_limit, settings.body_remedy)
        if isinstance(schema, RawSchema):
            return _part("INPUT", head.content_type or schema.content_types[0], data)
        format_, parameters = negotiation.content_type(head.content_type, data)
        if self._columns is None and format_.media_type in ENCODINGS:
            return _part("INPUT", head.content_type or format_.media_type, data)
        bad: list[int] = []
        rows = negotiation.read_rows(Body(data, parameters, settings.body_limit, bad), format_, schema)
        kept = [(place, name) for place, name in enumerate(schema.names) if name in (self._columns or schema.names)]
        lines = [orjson.dumps({name: row[place] for place, name in kept}, option=FORM) for row in rows]
        for place in bad:
            lines[place] = b"null\n"
        return _part("INPUT", JSON_LINES.media_type, b"".join(lines))


class Recording:
    """A request that is captured, up to the end of its answer."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def begin(self, request: Request, response: Response, more: bool) -> None:
        if not more:
            self._capture.add(request, response, response.body)
        self._request, self._response, self._answer = request, response, bytearray(response.body if more else b"")

    def add(self, piece: bytes) -> None:
        self._answer += piece[: STREAM_BYTES - len(self._answer)]
        if not piece and len(self._answer) < STREAM_BYTES:
            self._capture.add(self._request, self._response, bytes(self._answer))
        elif not piece:
            self._capture.lose(BufferError())


def _part(mode: str, content_type: str, data: bytes) -> dict[str, str]:
    """One side of an event, as text or in base64."""
    encoding, charset = _form(content_type)
    text = data.decode(charset).removeprefix("\ufeff") if charset else b64encode(data).decode()
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}


@lru_cache(256)
def _form(content_type: str) -> tuple[str, str]:
    kind, parameters = parse_options_header(content_type)
    encoding = ENCODINGS.get(kind.lower(), "BASE64")
    return encoding, "" if encoding == "BASE64" else parameters.get("charset", "utf-8")


def _columns(schema: Schema | RawSchema, names: Collection[str]) -> Collection[str] | None:
    """The columns to store, or ``None`` if requests are stored unchanged. Raises ``UserError``."""
    known = [] if isinstance(schema, RawSchema) else schema.names
    for name in names:
        if name not in known and not (known and name == "all"):
            has = f"it has {', '.join(known)}" if known else "it takes raw requests, so unset the variable"
            raise UserError(f"MODEL_SERVER_CAPTURE_COLUMNS names '{name}', which is not a column of the model: {has}.")
    return known if "all" in names else names or None
