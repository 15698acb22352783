"""Template: nginx and gunicorn write log lines to a pipe, and ``serve`` passes on what it reads there.

``serve`` has one thread and waits for signals: SIGIO says that there are new lines.
"""

import fcntl
import json
import os
import re
import select
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

BEGIN = b'{"time":'
"""The start of a line that is already an object."""
NGINX_ALONE = b'{"nginx":'
"""How nginx.conf starts a line about a request that no worker answered."""
NGINX_ERROR = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] (?:\d+#\d+: )?")
LEVELS = {"debug": "info", "info": "info", "notice": "info", "warn": "warning"}
"""The levels in nginx's log; others are errors."""
NO_WORKERS = re.compile(r"cannot be respawned|fork\(\) failed while spawning")
LONGEST_LINE = 2**18  # bytes: CloudWatch accepts no longer lines
BACKLOG = 2**20  # bytes that wait for a slow reader of the log before writers wait too
PIECE = select.PIPE_BUF  # bytes that a pipe takes without waiting if it has any room


def log_line(level: str, message: str, **fields: object) -> bytes:
    """One JSON object in one line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"time": now, "level": level, "message": message} | fields
    known = {name: value for name, value in event.items() if value != ""}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


class LogLines:
    """Turns what programs print into lines of JSON, or leaves it as it is, and counts what nginx itself answered."""

    def __init__(self, as_json: bool) -> None:
        self.front_statuses: Counter[str] = Counter()
        """Answers of nginx itself, by status."""
        self.front_failed = False
        """Whether nginx has said that it cannot start its worker processes."""
        self._as_json = as_json
        self._rest = b""
        self._traceback: list[str] = []

    def take(self, written: bytes) -> bytes:
        """The complete lines so far; the rest of ``written`` waits for its end."""
        block, newline, self._rest = (self._rest + written).rpartition(b"\n")
        if len(self._rest) > LONGEST_LINE:
            block, newline, self._rest = block + newline + self._rest, b"\n", b""
        if not newline:
            return b""
        if self._as_json and block.startswith(BEGIN) and block.count(b"\n") == block.count(b"\n" + BEGIN):
            return block + b"\n"  # almost always
        return b"".join(map(self._line, block.split(b"\n")))

    def end(self) -> bytes:
        """An incomplete last line."""
        last = self.take(b"\n") if self._rest else b""
        traceback, self._traceback = self._traceback, []
        return last + (log_line("error", "\n".join(traceback)) if traceback else b"")

    def _line(self, line: bytes) -> bytes:
        if line.startswith(NGINX_ALONE):
            return self._nginx_alone(line)
        if not self._as_json:
            self.front_failed |= bool(NO_WORKERS.search(line.decode("utf-8", "replace")))
            return line + b"\n"
        if line.startswith(BEGIN):
            return line + b"\n"
        text, begin, event = line.partition(BEGIN)  # a long write of one process may surround another's line
        return self._text(text.decode("utf-8", "replace").rstrip()) + (begin + event + b"\n" if begin else b"")

    def _text(self, text: str) -> bytes:
        """An object for a line of text; none for an empty line or inside a traceback."""
        if self._traceback or text.startswith("Traceback (most recent call last)"):
            self._traceback.append(text)
            if text.startswith((" ", "Traceback")):
                return b""
            text, self._traceback = "\n".join(self._traceback), []
            return log_line("error", text)
        if not text:
            return b""
        self.front_failed |= bool(NO_WORKERS.search(text))
        begin = NGINX_ERROR.match(text)
        if not begin or "initgroups(" in text:  # root without capabilities stays root, as intended
            return log_line("info", text)
        return log_line(LEVELS.get(begin[1], "error"), text[begin.end() :])

    def _nginx_alone(self, line: bytes) -> bytes:
        event = json.loads(line)
        self.front_statuses[str(event["status"])] += 1
        if not self._as_json:
            return line + b"\n"
        level = "error" if event["status"] >= 500 else "warning"
        return log_line(level, event.pop("nginx"), **event)


class LogPipe:
    """Passes lines on to stdout, and never waits for their reader."""

    def __init__(self, as_json: bool, front_statuses: Path | None) -> None:
        self.lines = LogLines(as_json)
        self.limit = float(BACKLOG)
        """Bytes that may wait; unlimited while programs stop, so that none is held up."""
        self.waiting = bytearray()
        self._as_json = as_json
        self._reader, self.writer = os.pipe()
        self._stdout = select.poll()
        self._stdout.register(1, select.POLLOUT)
        self._front_statuses = front_statuses
        self._saved: Counter[str] = Counter()
        os.set_blocking(self._reader, False)
        with suppress(OSError, AttributeError):  # only Linux can, up to a quota
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, BACKLOG)
        fcntl.fcntl(self._reader, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._reader, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)

    def say(self, level: str, message: str) -> None:
        """Log a message of ``serve`` itself."""
        self.waiting += log_line(level, message) if self._as_json else message.encode() + b"\n"
        self._write()

    def pump(self) -> None:
        """Read all that has been written, and write what stdout takes."""
        self._write()
        while len(self.waiting) < self.limit:
            try:
                written = os.read(self._reader, BACKLOG)
            except BlockingIOError:
                break
            if not written:
                break
            self.waiting += self.lines.take(written)
            self._write()
        self._save_front_statuses()

    def finish(self, seconds: float) -> None:
        """Pass on the last lines, once all programs have ended. They are lost if the reader takes nothing."""
        self.pump()
        self.waiting += self.lines.end()
        end = time.monotonic() + seconds
        self._write()
        while self.waiting and time.monotonic() < end:
            time.sleep(0.01)
            self._write()

    def _write(self) -> None:
        try:
            while self.waiting and self._stdout.poll(0):
                del self.waiting[: os.write(1, self.waiting[:PIECE])]
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more
            self.waiting.clear()

    def _save_front_statuses(self) -> None:
        """For /metrics, which a worker answers."""
        if self._front_statuses and self._saved != self.lines.front_statuses:
            self._saved = self.lines.front_statuses.copy()
            new = self._front_statuses.with_suffix(".new")
            with suppress(OSError):  # /tmp may be full
                new.write_text(json.dumps(self._saved), encoding="utf-8")
                new.replace(self._front_statuses)
