"""Template: AWS takes its time: until a status settles, and until what was just created can be used."""

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click
from botocore.exceptions import ClientError

from deploy.errors import UserError

Seen = TypeVar("Seen")

_NOT_YET = re.compile(r'could not find [\w ]+ ["\']arn:|(could not|cannot) assume', re.IGNORECASE)


def say(progress: str) -> None:
    """Progress goes to stderr: stdout is for the result."""
    click.echo(progress, err=True)


def settle(
    subject: str,
    describe: Callable[[], Seen],
    status: Callable[[Seen], str],
    passing: tuple[str, ...],
    wanted: str = "",
) -> Seen:
    """Ask until the status begins with none of ``passing``, and say each new one; returns the last description.

    Raises ``UserError`` with AWS's reason where that status does not begin with ``wanted`` (C-27).
    """
    pause, said = 0.5, ""
    while True:
        seen = describe()
        if status(seen) != said:
            said = status(seen)
            say(f"{subject}: {said}")
        if not said.startswith(passing):
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 15)
    if not said.startswith(wanted):
        reason = cast("dict[str, str]", seen or {}).get("FailureReason")
        raise UserError(f"The {subject} ended as {said}" + (f": {reason}" if reason else "."))
    return seen


def patiently(call: Callable[..., object], **request: Any) -> None:
    """Call; again for half a minute where AWS does not see yet what was created a moment ago (C-09)."""
    for pause in (1, 2, 4, 8, 16, 0):
        try:
            call(**request)
            return
        except ClientError as error:
            if not pause or not _NOT_YET.search(error.response["Error"]["Message"]):
                raise
            time.sleep(pause)
