"""Template: the tags of all that ``deploy`` creates, by which it finds it again (C-07)."""

import re
import subprocess
from typing import Any

from deploy import names
from deploy.context import Context

_FORBIDDEN = re.compile(r"[^\w\s.:/=+\-@]")


def of(context: Context) -> dict[str, str]:
    """The tags of what a command creates: the project's own and those of ``deploy.toml``."""
    own = {
        "project": names.project(),
        "stage": context.stage,
        "git-revision": _revision(),
        "image": context.settings.image,
        "created-by": context.caller,
    }
    return cleaned(own | context.settings.tags)


def cleaned(values: dict[str, str]) -> dict[str, str]:
    """``values`` without those that are empty, and with a hyphen for each character that AWS does not take."""
    return {_FORBIDDEN.sub("-", key)[:128]: _FORBIDDEN.sub("-", value)[:256] for key, value in values.items() if value}


def member(client: Any, operation: str, context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The tags as a member of the request, in the form that the operation has for them; none if it has no tags."""
    shape = client.meta.service_model.operation_model(operation).input_shape.members.get("Tags")
    if shape is None or ("ModelPackageGroupName" in request and operation == "CreateModelPackage"):
        return {}  # a version has the tags of its group
    if shape.type_name == "map":
        return {"Tags": of(context) | request.get("Tags", {})}
    given = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    return {"Tags": [{"Key": key, "Value": value} for key, value in (of(context) | given).items()]}


def read(context: Context, arn: str) -> dict[str, str]:
    """The tags that something has now."""
    return {tag["Key"]: tag["Value"] for tag in context.items("list_tags", ResourceArn=arn)}


def _revision() -> str:
    """The git commit, with -dirty if files changed since; empty outside a repository."""
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(names.PYPROJECT.parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
