"""Template: what went wrong, in one sentence for whoever runs a command. Anything else is a bug and looks like one."""

import json

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError


class UserError(Exception):
    """A mistake that the caller can mend: the message names what is wrong and how to mend it."""


EXPECTED = (UserError, Boto3Error, BotoCoreError, ClientError, OSError)


def sentence(error: Exception) -> str:
    """What ``error``, one of ``EXPECTED``, means."""
    if isinstance(error, NoCredentialsError):
        return "AWS has no credentials for you: run `aws configure` or `aws sso login`, or set AWS_PROFILE."
    if not isinstance(error, ClientError):
        return " ".join(str(error).split())
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code == "ModelError":
        return _answer_of_the_container(error)
    return f"AWS refused {error.operation_name}: {message} ({code})"


def _answer_of_the_container(error: ClientError) -> str:
    """The sentence in the container's own JSON (H-42, H-55), or what else it said."""
    status = error.response.get("OriginalStatusCode")
    said = str(error.response.get("OriginalMessage") or error.response["Error"]["Message"])
    try:
        said = json.loads(said)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        said = " ".join(said.split())
    return f"The container answered {status}: {said}"
