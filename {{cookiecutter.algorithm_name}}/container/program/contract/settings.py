"""Template: what may be set from outside when serving: one variable each, read and checked once (P-35)."""

import os
from dataclasses import dataclass

from contract.errors import UserError


@dataclass(frozen=True)
class Settings:
    """The serving settings, the same for nginx and gunicorn."""

    port: int
    """``SAGEMAKER_BIND_TO_PORT``: the port to listen on (H-01)."""
    workers: int
    """``MODEL_SERVER_WORKERS``: processes that predict; by default one for each CPU."""
    timeout: int
    """``MODEL_SERVER_TIMEOUT``: seconds that a prediction may take; by default what batch transform allows (B-11)."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises ``UserError`` for a value that is not a whole number in the variable's range."""
        return cls(
            port=_read(8080, 65535, "SAGEMAKER_BIND_TO_PORT"),
            workers=_read(_cpus(), 1024, "MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS"),
            timeout=_read(600, 3600, "MODEL_SERVER_TIMEOUT", "SAGEMAKER_MODEL_SERVER_TIMEOUT"),
        )


def _read(default: int, highest: int, *names: str) -> int:
    """The first variable that is set and not empty (P-34), from 1 to ``highest``."""
    for name in names:
        if text := os.environ.get(name, "").strip():
            if text.isascii() and text.isdecimal() and 1 <= int(text) <= highest:
                return int(text)
            raise UserError(f"{name} is {text!r}: give a whole number from 1 to {highest}.")
    return default


def _cpus() -> int:
    """The CPUs this process may use; not every system can tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
