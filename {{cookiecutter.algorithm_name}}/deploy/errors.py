"""Template: one sentence for what can go wrong when a command runs. Any other exception is a bug and looks like one.

``errors.json`` has the remedies, each with what it is for: a pattern of AWS's code and words.
"""

import functools
import json
import re
from pathlib import Path

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError


class DeployError(Exception):
    """The user can fix it: the message says what is wrong and how to fix it."""


EXPECTED = (DeployError, Boto3Error, BotoCoreError, ClientError, OSError)


def describe(error: Exception) -> str:
    """One sentence for ``error``, which is one of ``EXPECTED``, and what to do about it where that is known."""
    said = " ".join(str(error).split())
    about = f"{type(error).__name__}: {said}"
    if isinstance(error, ClientError):
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ModelError":
            return _container_error(error)
        said = f"AWS refused {error.operation_name}: {message} ({code})"
        about = f"{code}: {message}"
    for row in _table():
        if isinstance(error, DeployError) and "reason" not in row:  # its own words have a remedy
            continue
        if match := re.search(row["when"], about, re.IGNORECASE):
            return row.get("instead") or f"{said.rstrip('.')}. {match.expand(row['remedy'])}"
    return said


@functools.cache
def _table() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return rows


def _container_error(error: ClientError) -> str:
    """What the container says (H-42)."""
    status = error.response.get("OriginalStatusCode")
    said = str(error.response.get("OriginalMessage") or error.response["Error"]["Message"])
    return f"The container answered {status}: {message_of(said)}"


def message_of(body: str) -> str:
    """The message in the container's own JSON (H-55), or else the whole body."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return " ".join(body.split())
