"""Template: what helps when an endpoint fails: its last log lines, how to see the same here, how to remove it."""

import shlex
from typing import Any

from botocore.exceptions import ClientError

from deploy.context import Context
from deploy.logs import Log
from deploy.waiting import print_progress

LINES = 20


def explain(context: Context, endpoint: str, model: dict[str, Any]) -> None:
    """Print it for an endpoint and the ``CreateModel`` request of what it was to serve."""
    group, container = f"/aws/sagemaker/Endpoints/{endpoint}", model["PrimaryContainer"]
    lines = _last_lines(context, group)
    run = [f"--env={name}={value}" for name, value in container.get("Environment", {}).items()]
    if context.settings.inference == "serverless":  # another user, and one folder to write to (S-03)
        run += [f"--memory={context.settings.memory_mb}m", "--read-only", "--tmpfs=/tmp", "--user=65534"]
    unpack = "mkdir -p model && tar -xzf model.tar.gz -C model"
    for line in (
        f"The last lines of its log {group}:" if lines else f"Its log {group} holds no line yet.",
        *(f"  {line}" for line in lines),
        "To see the same on this machine:",
        f"  aws s3 cp {shlex.quote(container['ModelDataUrl'])} model.tar.gz && {unpack}",
        '  docker run --rm --publish 8080:8080 --volume "$PWD/model:/opt/ml/model:ro" '
        + shlex.join([*run, container["Image"], "serve"]),
        "or, with this project's own image: make serve MODEL=model.tar.gz",
        f"To remove it, which is all that AWS lets you do now: python -m deploy delete --endpoint {endpoint}",
    ):
        print_progress(line)


def _last_lines(context: Context, group: str) -> list[str]:
    """The end of its log; nothing if there is none, or the caller may not read it."""
    try:
        return [line.rstrip() for line in Log(context.client("logs"), group, "").read()][-LINES:]
    except ClientError:
        return []
