"""Template: the server's settings, each read from a variable and checked once (P-35)."""

import difflib
import os
import re
from dataclasses import dataclass

from contract import resources
from contract.errors import UserError

NAMES = (
    "SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_INFERENCE_OUTPUT",
    "MODEL_SERVER_WORKERS", "MODEL_SERVER_THREADS", "MODEL_SERVER_TIMEOUT", "MODEL_SERVER_QUEUE", "MODEL_SERVER_BATCH",
    "MODEL_SERVER_BODY_MB", "MODEL_SERVER_MARK_BAD_ROWS", "MODEL_SERVER_METRICS", "MODEL_SERVER_PRELOAD",
    "MODEL_SERVER_LOG",
    "MODEL_SERVER_CAPTURE", "MODEL_SERVER_CAPTURE_PERCENT", "MODEL_SERVER_CAPTURE_COLUMNS", "MODEL_SERVER_CAPTURE_MB",
)  # fmt: skip
KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)")
"""Kubernetes sets these variables in each pod for a Service that is named model-server."""


@dataclass(frozen=True)
class Settings:
    """The serving settings, the same for nginx, gunicorn and the application."""

    port: int
    """``SAGEMAKER_BIND_TO_PORT``: the port to listen on (H-01)."""
    workers: int
    """``MODEL_SERVER_WORKERS``: processes that predict; by default one for each CPU, fewer if memory is short."""
    threads: int
    """``MODEL_SERVER_THREADS``: predictions at a time in each worker; more than one needs a thread-safe predict."""
    timeout: int
    """``MODEL_SERVER_TIMEOUT``: seconds that a prediction may take; by default what batch transform allows (B-11)."""
    queue: int
    """``MODEL_SERVER_QUEUE``: requests that a worker holds, waiting or being predicted; more are answered 503."""
    batch: int
    """``MODEL_SERVER_BATCH``: how many waiting requests can be predicted together; 1 predicts each by itself."""
    body_limit: int
    """``MODEL_SERVER_BODY_MB``, in bytes: the largest body, also after decompression. By default what memory and /tmp
    have room for, from 8 MiB to the 1,024 that async allows (A-02)."""
    body_remedy: str
    """What would allow a larger body, to end "send less, or ..."."""
    mark_bad_rows: bool
    """``MODEL_SERVER_MARK_BAD_ROWS``: whether bad rows of CSV are answered ``ERROR``, not all with a 400 (B-10)."""
    metrics: bool
    """``MODEL_SERVER_METRICS``: whether GET /metrics is answered (M-50)."""
    preload: bool
    """``MODEL_SERVER_PRELOAD``: whether the model is loaded once, before the workers are forked (P-51)."""
    behind_nginx: bool
    """Whether nginx is in front: ``serve`` says so in ``WORKER_SOCKETS``."""
    log_json: bool
    """``MODEL_SERVER_LOG``: ``json``, one object per line, or ``text``, lines as they are printed."""
    columns: tuple[str, ...]
    """``SAGEMAKER_INFERENCE_OUTPUT``: the columns of an answer, separated by commas, or ``all``; else the first."""
    capture: str
    """``MODEL_SERVER_CAPTURE``: the folder that requests and answers are written to; empty for none (M-40)."""
    capture_percent: int
    """``MODEL_SERVER_CAPTURE_PERCENT``: the percentage of requests to capture."""
    capture_columns: tuple[str, ...]
    """``MODEL_SERVER_CAPTURE_COLUMNS``: the columns to store, or ``all``; else requests are stored unchanged."""
    capture_bytes: int
    """``MODEL_SERVER_CAPTURE_MB``, in bytes: the size limit of the folder."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Raises ``UserError`` for an invalid value, and for an unknown variable."""
        _refuse_unknown_names()
        workers = number("MODEL_SERVER_WORKERS", resources.workers(), 1024)
        body_mb, body_remedy = _body(workers)
        return cls(
            port=number("SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            workers=workers,
            threads=number("MODEL_SERVER_THREADS", 1, 64),
            timeout=number("MODEL_SERVER_TIMEOUT", 600, 3600),
            queue=number("MODEL_SERVER_QUEUE", 128, 100_000),
            batch=number("MODEL_SERVER_BATCH", 64, 10_000),
            body_limit=body_mb * 2**20,
            body_remedy=body_remedy,
            mark_bad_rows=switch("MODEL_SERVER_MARK_BAD_ROWS"),
            metrics=switch("MODEL_SERVER_METRICS"),
            preload=switch("MODEL_SERVER_PRELOAD", default=True),
            behind_nginx=bool(os.environ.get("WORKER_SOCKETS")),
            log_json=_log_json(),
            columns=_names("SAGEMAKER_INFERENCE_OUTPUT"),
            capture=_text("MODEL_SERVER_CAPTURE"),
            capture_percent=number("MODEL_SERVER_CAPTURE_PERCENT", 100, 100),
            capture_columns=_names("MODEL_SERVER_CAPTURE_COLUMNS"),
            capture_bytes=number("MODEL_SERVER_CAPTURE_MB", 1024, 10**6) * 2**20,
        )


def _refuse_unknown_names() -> None:
    """Raises ``UserError`` for a mistyped variable. The platform may add names that start with SAGEMAKER_."""
    if os.environ.get("GUNICORN_CMD_ARGS"):
        raise UserError(
            "GUNICORN_CMD_ARGS is not read here: unset it, and set "
            "MODEL_SERVER_WORKERS, MODEL_SERVER_THREADS and MODEL_SERVER_TIMEOUT instead."
        )
    for name, value in os.environ.items():
        ours = name.upper().startswith("MODEL_SERVER_") and name not in NAMES
        if ours and value and not KUBERNETES.fullmatch(name) and "://" not in value:
            closest = difflib.get_close_matches(name.upper(), NAMES, 1, cutoff=0.88)
            remedy = f"did you mean {closest[0]}?" if closest else f"the settings are {', '.join(NAMES)}."
            raise UserError(f"{name} is not a setting of this server: {remedy}")


def _body(workers: int) -> tuple[int, str]:
    """The MiB that a body may have, and what would allow a larger one."""
    room, more_room = resources.largest_body(workers)
    default = min(1024, max(8, room))
    body_mb = number("MODEL_SERVER_BODY_MB", default, 8192)
    if body_mb < room:
        return body_mb, "raise MODEL_SERVER_BODY_MB"
    return body_mb, more_room if body_mb == default else f"{more_room} and raise MODEL_SERVER_BODY_MB"


def _text(name: str) -> str:
    """The variable, or its spelling in SageMaker's toolkits; empty means unset (P-34)."""
    return (os.environ.get(name) or os.environ.get(f"SAGEMAKER_{name}", "")).strip()


def _names(name: str) -> tuple[str, ...]:
    """The variable as names separated by commas."""
    return tuple(each.strip() for each in _text(name).split(",") if each.strip())


def number(name: str, default: int, highest: int) -> int:
    """The variable as a whole number. Raises ``UserError`` if it is not one or is out of bounds."""
    text = _text(name)
    if not text:
        return default
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= highest:
        return int(text)
    raise UserError(f"{name} is {text!r}: give a whole number from 1 to {highest}.")


def switch(name: str, default: bool = False) -> bool:
    """Whether the variable is on. Raises ``UserError`` if it is neither on nor off."""
    text = _text(name).lower() or str(default).lower()  # P-34
    if text in ("0", "false", "no", "off", "1", "true", "yes", "on"):
        return text in ("1", "true", "yes", "on")
    raise UserError(f"{name} is {text!r}: give true or false.")


def _log_json() -> bool:
    text = _text("MODEL_SERVER_LOG").lower() or "json"
    if text in ("json", "text"):
        return text == "json"
    raise UserError(f"MODEL_SERVER_LOG is {text!r}: give json or text.")
