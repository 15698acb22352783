"""Template: the lock of an endpoint: a tag that says who is changing it, and since when.

Each command writes a tag of its own, then reads all. If there are two, the later withdraws, and the earlier looks
again. Should AWS show a tag later than that, UpdateEndpoint still refuses an endpoint that is being updated.
"""

import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime

import click
from botocore.exceptions import ClientError

from deploy import context, tags
from deploy.context import Context
from deploy.errors import DeployError
from deploy.waiting import print_progress

PREFIX = "deploy-lock"
SETTLED = 2  # seconds, after which another command that came later has withdrawn


def take(context: Context, endpoint: str) -> None:
    """Lock an endpoint until the command ends, however it ends. Raises ``DeployError`` if another command holds it."""
    there = None if context.dry_run else context.describe("Endpoint", endpoint)
    if not there or there["EndpointStatus"] == "Deleting":
        return
    arn, key = there["EndpointArn"], f"{PREFIX}-{secrets.token_hex(4)}"
    _refuse(endpoint, _locks(context, arn))
    own = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {context.caller}"[:256]
    click.get_current_context().call_on_close(lambda: _release(context, arn, key))
    context.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": key, "Value": own}]})
    held = _locks(context, arn) | {key: own}
    if len(held) > 1 and min((value, name) for name, value in held.items()) == (own, key):
        time.sleep(SETTLED)
        held = _locks(context, arn)
    held.pop(key, None)
    _refuse(endpoint, held)


@context.verb(changes=False, endpoint=True)
def unlock(context: Context, endpoint: str) -> None:
    """Remove the lock that a command left on an endpoint because its process was killed."""
    arn = context.call("DescribeEndpoint", {"EndpointName": endpoint})["EndpointArn"]
    held = _locks(context, arn)
    for key, value in held.items():
        context.client().delete_tags(ResourceArn=arn, TagKeys=[key])
        print_progress(f"endpoint {endpoint}: removed the lock of {value}")
    if not held:
        print_progress(f"endpoint {endpoint}: is not locked")


def _locks(context: Context, arn: str) -> dict[str, str]:
    return {key: value for key, value in tags.read(context, arn).items() if key.startswith(PREFIX)}


def _refuse(endpoint: str, held: dict[str, str]) -> None:
    for value in held.values():
        since, _, who = value.partition(" ")
        raise DeployError(
            f"The endpoint '{endpoint}' is locked: {who} has been changing it since {since[:19]}Z. Wait for the end; "
            "if that command was killed, run `python -m deploy unlock`."
        )


def _release(context: Context, arn: str, key: str) -> None:
    """Cleaning up must not hide how the command ended; with an endpoint, its tags are gone as well."""
    with suppress(ClientError):
        context.client().delete_tags(ResourceArn=arn, TagKeys=[key])
