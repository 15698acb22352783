"""Template: one JSON line a request on stdout, never a payload (P-53, P-54)."""

import os
from collections.abc import Callable
from typing import Any

import orjson

DELAY = 0.02  # seconds in which lines gather: to write each by itself takes longer than many a prediction
PIECE = 4096  # bytes that a pipe takes as a whole, so that the lines of two workers never mix


class Log:
    """Writes lines at once; or together, where ``later`` calls a function after a number of seconds."""

    def __init__(self) -> None:
        self.later: Callable[[float, Callable[[], None]], object] | None = None
        self._waiting = b""

    def __call__(self, event: dict[str, Any]) -> None:
        """Log a request."""
        line = orjson.dumps(event) + b"\n"
        if not self.later:
            os.write(1, line)
            return
        if len(self._waiting) + len(line) > PIECE:
            self.flush()
        if not self._waiting:
            self.later(DELAY, self.flush)
        self._waiting += line

    def flush(self) -> None:
        """Write what has gathered."""
        os.write(1, self._waiting)
        self._waiting = b""
