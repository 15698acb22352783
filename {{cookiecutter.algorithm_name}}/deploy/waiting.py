"""Template: waits for AWS, until a status stays or until what was just created can be used."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import click
from botocore.exceptions import ClientError

from deploy.errors import DeployError

Seen = TypeVar("Seen")

_NOT_YET = re.compile(r'could not find [\w ]+ ["\']arn:|(could not|cannot) assume', re.IGNORECASE)


def print_progress(progress: str) -> None:
    """Print to stderr, since stdout is for the result."""
    click.echo(progress, err=True)


def wait_for_status(
    subject: str,
    describe: Callable[[], Seen],
    status: Callable[[Seen], str],
    passing: tuple[str, ...],
    wanted: str = "",
) -> Seen:
    """Poll until the status begins with none of ``passing``, print each new one, and return the last description.

    Raises ``DeployError`` with AWS's reason if that status does not begin with ``wanted`` (C-27).
    """
    pause, said = 0.5, ""
    while True:
        seen = describe()
        if status(seen) != said:
            said = status(seen)
            print_progress(f"{subject}: {said}")
        if not said.startswith(passing):
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 15)
    if not said.startswith(wanted):
        reason = cast("dict[str, str]", seen or {}).get("FailureReason")
        raise DeployError(f"The {subject} ended as {said}" + (f": {reason}" if reason else "."))
    return seen


def retry_until_visible(call: Callable[..., Any], **request: Any) -> Any:
    """Call, and repeat for half a minute while AWS does not see what was created a moment ago (C-09)."""
    for pause in (1, 2, 4, 8, 16, 0):
        try:
            return call(**request)
        except ClientError as error:
            if not pause or not _NOT_YET.search(error.response["Error"]["Message"]):
                raise
            time.sleep(pause)


def unless_absent(call: Callable[..., Seen], **name: str) -> Seen | None:
    """What ``call`` returns, or None if the thing it names does not exist (C-10)."""
    try:
        return call(**name)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        absent = code == "ValidationException" and re.search("could not find|no scal", message, re.IGNORECASE)
        if absent or code in ("ResourceNotFound", "ObjectNotFoundException"):
            return None
        raise


@contextmanager
def held_interrupt() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, so that each request is answered; a second Ctrl-C does not wait."""
    pressed = []

    def hold(*_: object) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, before)
        print_progress("Interrupted: the request that is under way comes to its end first.")

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
