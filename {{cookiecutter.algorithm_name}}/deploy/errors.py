"""Template: one sentence for what can go wrong when a command runs. Any other exception is a bug and looks like one."""

import json

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from deploy.remedies import remedy


class DeployError(Exception):
    """The user can fix it: the message says what is wrong and how to fix it."""


EXPECTED = (DeployError, Boto3Error, BotoCoreError, ClientError, OSError)


def describe(error: Exception) -> str:
    """One sentence for ``error``, which is one of ``EXPECTED``."""
    if isinstance(error, NoCredentialsError):
        return "AWS has no credentials for you: run `aws configure` or `aws sso login`, or set AWS_PROFILE."
    if not isinstance(error, ClientError):
        return " ".join(str(error).split())
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code == "ModelError":
        return _container_error(error)
    return f"AWS refused {error.operation_name}: {message} ({code}){remedy(f'{code} {message}')}"


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
