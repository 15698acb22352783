"""Template: waits for AWS, until a status stays or until what was just created can be used."""

import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy.errors import DeployError, describe

Seen = TypeVar("Seen")

_NOT_YET = re.compile(r'could not find [\w ]+ ["\']arn:|(could not|cannot) assume|resource not found', re.IGNORECASE)


def print_progress(progress: str) -> None:
    """Print to stderr, since stdout is for the result."""
    click.echo(progress, err=True)


def wait_for_status(
    subject: str,
    look: Callable[[], Seen],
    status: Callable[[Seen], str],
    passing: tuple[str, ...],
    wanted: str | tuple[str, ...] = "",
    also: Callable[[Seen], None] = lambda seen: None,
    region: str = "",
) -> Seen:
    """Poll until the status begins with none of ``passing``, print each new one, and return the last description.

    ``also`` is called after each look. Raises ``DeployError`` with AWS's reason if the last status does not begin with
    ``wanted`` (C-27), and one that says how to come back if the wait is interrupted or cannot go on.
    """
    pause, said = 0.5, ""
    try:
        while True:
            seen = look()
            if status(seen) != said:
                said = status(seen)
                print_progress(f"{subject}: {said}")
            also(seen)
            if not said.startswith(passing):
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 15)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted: {come_back(subject, region)}") from None
    except (BotoCoreError, ClientError) as error:
        if not said:
            raise
        raise DeployError(f"{describe(error).rstrip('.')}. But {come_back(subject, region)}") from error
    if not said.startswith(wanted):
        reason = cast("dict[str, str]", seen or {}).get("FailureReason")
        raise DeployError(f"The {subject} ended as {said}" + (f": {reason}" if reason else "."))
    return seen


def come_back(subject: str, region: str = "") -> str:
    """That ``subject`` goes on, how to wait for it again, and how to end it."""
    name, place = subject.split()[-1], f" --region {region}" if region else ""
    end = f"delete --endpoint {name}" if subject.startswith("endpoint") else f"stop {name}"
    return (
        f"the {subject} is still running, and costs money: `python -m deploy wait {name}{place}` waits for it, "
        f"`python -m deploy {end}{place}` ends it."
    )


def retry_until_visible(call: Callable[..., Any], **request: Any) -> Any:
    """Call, and repeat for half a minute while AWS does not see what was created a moment ago (C-09)."""
    return retry(lambda: call(**request), lambda error: bool(_NOT_YET.search(error.response["Error"]["Message"])))


def retry(
    call: Callable[[], Any], passes: Callable[[ClientError], bool], pauses: Sequence[int] = (1, 2, 4, 8, 16)
) -> Any:
    """Call, and repeat after each of ``pauses``, in seconds, while the error is one that passes."""
    for pause in (*pauses, 0):
        try:
            return call()
        except ClientError as error:
            if not pause or not passes(error):
                raise
            time.sleep(pause)


def unless_absent(call: Callable[..., Seen], **name: str) -> Seen | None:
    """What ``call`` returns, or None if the thing it names does not exist (C-10)."""
    try:
        return call(**name)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        absent = code == "ValidationException" and re.search(
            "(could|resource) not f(i|ou)nd|no scal", message, re.IGNORECASE
        )
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
