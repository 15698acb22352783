"""Template: the server's log, one JSON object per line with its time and level; never a payload (P-53, P-54)."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

DELAY_SECONDS = 0.02  # lines are collected for this long: writing each alone takes longer than many predictions
PIPE_BYTES = 4096  # a pipe takes this many at once, so that the lines of two workers never mix
as_json = os.environ.get("MODEL_SERVER_LOG") != "text"


def line(level: str, fields: dict[str, Any]) -> bytes:
    """A line of the log: JSON, or text for people."""
    now = datetime.now(UTC)
    if as_json:
        return orjson.dumps({"time": now, "level": level, **fields}, str, orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    message = fields.pop("message", "")
    words = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{now:%H:%M:%S} {level} {words} {message}\n".encode(errors="replace")


def write(level: str, message: str, **fields: Any) -> None:
    """Log a message at once."""
    os.write(1, line(level, {**fields, "message": message}))


class RequestLog:
    """Logs requests, several at once if ``later`` can call a function after some seconds."""

    def __init__(self) -> None:
        self.later: Callable[[float, Callable[[], None]], object] | None = None
        self._lines: list[bytes] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, event: dict[str, Any]) -> None:
        """Log a request."""
        new = line("info" if event["status"] < 500 else "error", event)
        with self._lock:
            if self._bytes + len(new) > PIPE_BYTES:
                self._write()
            if self.later and not self._lines:
                self.later(DELAY_SECONDS, self.flush)
            self._lines.append(new)
            self._bytes += len(new)
            if not self.later:
                self._write()

    def flush(self) -> None:
        """Write the collected lines."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        if self._lines:
            os.write(1, b"".join(self._lines))
            self._lines, self._bytes = [], 0


class Formatter(logging.Formatter):
    """Formats the records of Python's own ``logging``, gunicorn's and the algorithm's."""

    def format(self, record: logging.LogRecord) -> str:
        """A line of the log without its end."""
        fields = {"message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return line(record.levelname.lower(), fields).decode().rstrip("\n")
