"""Template: what to do about the errors of AWS that people meet most, found by their words."""

import re

TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", '
    '"Principal": {"Service": "sagemaker.amazonaws.com"}}]}'
)
QUOTAS = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"
_REMEDIES = {
    "(could not|cannot) assume": f"The role must exist, and have this trust policy: {TRUST}",
    "ResourceLimitExceeded|service limit": f"Ask for more at {QUOTAS}, or take another instance type.",
    r"Insufficient\w*Capacity|CapacityError|Unable to provision": "AWS has none to give now: try later, in another "
    "region or subnet, or take another instance type.",
    "already exist": "Someone has made it already: take another name, or delete it first.",
}


def remedy(said: str) -> str:
    """A sentence with a space before it, or nothing, for what AWS said."""
    return next((f" {text}" for words, text in _REMEDIES.items() if re.search(words, said, re.IGNORECASE)), "")
