"""Template: the names of jobs, models and endpoints on SageMaker (C-01, C-04)."""

import re
import secrets
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from deploy.errors import DeployError

MAX_LENGTH = 63
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def project() -> str:
    """The project's name. The image's name may have characters that SageMaker forbids (E-02)."""
    try:
        return str(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise DeployError("pyproject.toml must say name = '...' below [project]: jobs are named after it.") from error


def unique_name(base: str, longest: int = MAX_LENGTH) -> str:
    """A name for one job or endpoint: ``base``, cut to fit, then the time in UTC and four random characters (C-04)."""
    suffix = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return with_suffix(base, suffix, longest)


def with_suffix(base: str, suffix: str, longest: int = MAX_LENGTH) -> str:
    """``base``, folded into what SageMaker takes and cut to fit, a hyphen, and ``suffix``."""
    return f"{folded(base)[: longest - len(suffix) - 1].rstrip('-')}-{suffix}"


def folded(base: str) -> str:
    """``base`` as SageMaker takes it."""
    stem = re.sub(r"[-_./\s]+", "-", base).strip("-")[:MAX_LENGTH].rstrip("-")
    if not re.fullmatch("[a-zA-Z0-9-]+", stem):
        raise DeployError(f"The name '{base}' cannot name a job: SageMaker takes letters a to z, digits and hyphens.")
    return stem


def endpoint(stage: str) -> str:
    """The name of a stage's endpoint, which stays the same over all releases."""
    return with_suffix(project(), stage)
