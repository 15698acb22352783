"""Template: what may be set from outside: one variable each, read and checked once (P-35)."""

import os
from dataclasses import dataclass

from contract import resources
from contract.errors import UserError


@dataclass(frozen=True)
class Settings:
    """The serving settings, the same for nginx, gunicorn and the application."""

    port: int
    """``SAGEMAKER_BIND_TO_PORT``: the port to listen on (H-01)."""
    workers: int
    """``MODEL_SERVER_WORKERS``: processes that predict; by default one for each CPU, as far as memory goes."""
    threads: int
    """``MODEL_SERVER_THREADS``: predictions at a time in each worker; more than one needs a thread-safe predict."""
    timeout: int
    """``MODEL_SERVER_TIMEOUT``: seconds that a prediction may take; by default what batch transform allows (B-11)."""
    queue: int
    """``MODEL_SERVER_QUEUE``: requests that a worker holds, waiting or being predicted; more are answered 503."""
    batch: int
    """``MODEL_SERVER_BATCH``: requests that are predicted together if they wait; 1 keeps each by itself."""
    body_limit: int
    """``MODEL_SERVER_BODY_MB``, in bytes: of a body, also unpacked; by default what async allows (A-02)."""
    mark_bad_rows: bool
    """``MODEL_SERVER_MARK_BAD_ROWS``: whether bad rows of CSV are answered ``ERROR``, not all with a 400 (B-10)."""
    metrics: bool
    """``MODEL_SERVER_METRICS``: whether GET /metrics is answered (M-50)."""
    preload: bool
    """``MODEL_SERVER_PRELOAD``: whether the model is loaded once, before the workers are forked (P-51)."""
    behind_nginx: bool
    """Whether nginx is in front: ``serve`` says so in ``WORKER_SOCKETS``."""
    columns: tuple[str, ...]
    """``SAGEMAKER_INFERENCE_OUTPUT``: the columns of an answer: names with commas, or ``all``; else the first."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises ``UserError`` for a value that is not a whole number in the variable's range."""
        return cls(
            port=_number("SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            workers=_number("MODEL_SERVER_WORKERS", resources.workers(), 1024),
            threads=_number("MODEL_SERVER_THREADS", 1, 64),
            timeout=_number("MODEL_SERVER_TIMEOUT", 600, 3600),
            queue=_number("MODEL_SERVER_QUEUE", 128, 100_000),
            batch=_number("MODEL_SERVER_BATCH", 64, 10_000),
            body_limit=_number("MODEL_SERVER_BODY_MB", 1024, 8192) * 2**20,
            mark_bad_rows=switch("MODEL_SERVER_MARK_BAD_ROWS"),
            metrics=switch("MODEL_SERVER_METRICS"),
            preload=switch("MODEL_SERVER_PRELOAD", default=True),
            behind_nginx=bool(os.environ.get("WORKER_SOCKETS")),
            columns=tuple(name.strip() for name in _text("SAGEMAKER_INFERENCE_OUTPUT").split(",") if name.strip()),
        )


def _text(name: str) -> str:
    """The variable, or its spelling in SageMaker's toolkits; empty means unset (P-34)."""
    return (os.environ.get(name) or os.environ.get(f"SAGEMAKER_{name}", "")).strip()


def _number(name: str, default: int, highest: int) -> int:
    text = _text(name)
    if not text:
        return default
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= highest:
        return int(text)
    raise UserError(f"{name} is {text!r}: give a whole number from 1 to {highest}.")


def switch(name: str, default: bool = False) -> bool:
    """Whether the variable is on. Raises ``UserError`` where it is neither on nor off."""
    text = _text(name).lower() or str(default).lower()  # P-34
    if text in ("0", "false", "no", "off", "1", "true", "yes", "on"):
        return text in ("1", "true", "yes", "on")
    raise UserError(f"{name} is {text!r}: give true or false.")
