"""Template: the settings of a command: from ``deploy.toml``, which is yours, and from the flags, which override it.

A key at the top of ``deploy.toml`` holds for all commands; a table holds for one stage (``[dev]``, ``[prod]``), or for
one purpose (``[train]``, ``[batch]``).
"""

import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from deploy.errors import DeployError

DEPLOY_TOML = Path(__file__).resolve().parent.parent / "deploy.toml"
_KINDS = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    tuple: "a list of strings",
    dict: "a table of strings",
}
# What only names a secret may end in _NAME or _ARN.
_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY)$", re.IGNORECASE)


INFERENCE = {
    "real-time": "Make a real-time endpoint.",
    "serverless": "Make a serverless endpoint, which costs nothing while it is not used.",
    "async": "Make an asynchronous endpoint: for large requests, and those that take minutes.",
}
"""The kinds of endpoints."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is a key of ``deploy.toml``, and a flag of the commands that use it. Empty means: not set."""

    region: Annotated[str, "By default AWS_REGION, AWS_DEFAULT_REGION, your profile's, or us-west-2."] = ""
    role: Annotated[str, "ARN of the role that SageMaker assumes."] = ""
    bucket: Annotated[str, "s3://BUCKET/PREFIX for uploads, models and results."] = ""
    image: Annotated[str, "The image in ECR, preferably by digest."] = ""
    tags: Annotated[dict[str, str], "Tags for everything that is created, besides project, stage and others."] = field(
        default_factory=dict
    )
    environment: Annotated[dict[str, str], "Variables of the container, such as MODEL_SERVER_WORKERS."] = field(
        default_factory=dict
    )
    instance_type: Annotated[str, "The instances to run on."] = "ml.m5.large"
    instance_count: Annotated[int, "Number of instances."] = 1
    kms_key: Annotated[str, "KMS key for volumes, models and results."] = ""
    subnets: Annotated[tuple[str, ...], "Subnets to run in; at least two for an endpoint."] = ()
    security_groups: Annotated[tuple[str, ...], "Security groups to run in."] = ()
    network_isolation: Annotated[bool, "Run the container without any network."] = False
    # Of training jobs.
    input_mode: Annotated[str, "File, or FastFile, which reads from S3 what train() opens."] = "File"
    volume_gb: Annotated[int, "Disk of each instance, if it has none of its own."] = 30
    max_hours: Annotated[int, "Hours after which the job is stopped; at most 672."] = 24
    spot: Annotated[bool, "Train on spot instances, and continue from checkpoints."] = False
    keep_alive_minutes: Annotated[int, "Minutes to keep the instances for the next job (a warm pool)."] = 0
    mlflow: Annotated[str, "Log the ended job to this MLflow server: http://HOST:PORT or an MLflow App's ARN."] = ""
    # Of endpoints.
    inference: Annotated[str, f"{', '.join(INFERENCE)}."] = "real-time"
    memory_mb: Annotated[int, "Memory of a serverless endpoint."] = 2048
    concurrency: Annotated[int, "Requests that a serverless or async endpoint answers at a time."] = 5
    capture_percent: Annotated[int, "Percentage of the requests to capture, to BUCKET/capture."] = 0
    startup_seconds: Annotated[int, "Time for the container to answer /ping, 60 to 3600; 0 leaves it to AWS."] = 0
    download_seconds: Annotated[int, "Time for the download of the model."] = 0


def load(table: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is set for a stage or purpose: at the top of ``deploy.toml``, in its table, by what was ``given``.

    A value of None was not given. Raises ``DeployError`` for a file that cannot be read, and for an unknown key.
    """
    document = _document()
    top = {key: value for key, value in document.items() if not isinstance(value, dict) or key in _mappings()}
    tables = {key: value for key, value in document.items() if key not in top}
    _require_table(table, tables)
    flags = {key: value for key, value in given.items() if value is not None}
    _refuse_secrets(flags, "--environment")
    settings: dict[str, Any] = {}
    for where, values in (("at the top", top), (f"[{table}]", tables.get(table, {})), ("", flags)):
        for key, value in values.items():
            value = _checked(where, key, value) if where else value
            settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return settings


def description(name: str) -> str:
    """What a setting is, in a sentence."""
    return str(get_type_hints(Settings, include_extras=True)[name].__metadata__[0])


def require(settings: Settings, *names: str) -> None:
    """Raise ``DeployError`` if one of the settings is empty."""
    for name in names:
        if not getattr(settings, name):
            raise DeployError(
                f"There is no {name}: give --{name.replace('_', '-')}, or set it in deploy.toml, "
                "which `python -m deploy init` writes."
            )


def overlay(path: Path | None) -> dict[str, Any]:
    """What a JSON file adds to requests, by operation: ``{"CreateEndpointConfig": {...}}``."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeployError(f"'{path}' is not JSON: {error}.") from error
    if not isinstance(document, dict) or not all(isinstance(value, dict) for value in document.values()):
        raise DeployError(f"'{path}' must hold an object for each operation: {{\"CreateModel\": {{...}}}}.")
    return document


def _document() -> dict[str, Any]:
    if not DEPLOY_TOML.exists():
        return {}
    try:
        document = tomllib.loads(DEPLOY_TOML.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DeployError(f"deploy.toml cannot be read: {error}.") from error
    _refuse_secrets(document, "deploy.toml")
    return document


def _refuse_secrets(values: Mapping[str, Any], where: str) -> None:
    """Everyone who may describe a model or a job can read its variables (P-32)."""
    for name, value in values.items():
        if _SECRET.search(name):
            remedy = f"keep it in AWS Secrets Manager, and give its name, such as {name}_NAME"
            raise DeployError(f"{where} gives {name}, which looks like a secret: {remedy}.")
        if isinstance(value, dict):
            _refuse_secrets(value, where)


def _require_table(table: str, tables: Mapping[str, Any]) -> None:
    """A mistyped stage would otherwise run with the settings of none."""
    if tables and table not in tables and table not in ("dev", "train", "batch"):
        raise DeployError(f"deploy.toml has no table [{table}]: it has {', '.join(f'[{each}]' for each in tables)}.")


def _mappings() -> list[str]:
    return [each.name for each in dataclasses.fields(Settings) if each.default_factory is dict]


def _checked(where: str, key: str, value: Any) -> Any:
    """A value of ``deploy.toml`` as ``Settings`` holds it."""
    known = {each.name: each for each in dataclasses.fields(Settings)}
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}."
        raise DeployError(f"deploy.toml has a key '{key}' {where}, which is unknown: {hint}")
    default = {} if key in _mappings() else known[key].default
    value = tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
    if type(value) is not type(default) or not _texts(value):
        raise DeployError(f"deploy.toml gives {key} {where} as {json.dumps(value)}: give {_KINDS[type(default)]}.")
    return value


def _texts(value: Any) -> bool:
    """Whether a list or a table holds texts alone."""
    if isinstance(value, dict):
        return all(isinstance(inner, str) for inner in value.values())
    return not isinstance(value, tuple) or all(isinstance(inner, str) for inner in value)


def vpc(settings: Settings) -> dict[str, Any]:
    """The ``VpcConfig`` of a request, if there are subnets (C-08)."""
    if bool(settings.subnets) != bool(settings.security_groups):
        raise DeployError("subnets and security_groups go together: give both, or none.")
    if not settings.subnets:
        return {}
    return {"VpcConfig": {"SecurityGroupIds": list(settings.security_groups), "Subnets": list(settings.subnets)}}
