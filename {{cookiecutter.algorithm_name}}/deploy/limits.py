"""Template: checks a request as AWS describes it, since boto3 does not check all of that before it sends (C-11).

The patterns, maxima and enumerations of each field come from botocore, so none is written down here.
"""

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.validate import ParamValidator

from deploy.errors import DeployError
from deploy.waiting import print_progress

if TYPE_CHECKING:
    from botocore.client import BaseClient

Request = TypeVar("Request")

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.(nano|micro|small|medium|(\d*x)?large|metal(-\d+xl)?)")
IN_WORDS = {  # what a pattern asks for, by the name of the shape
    "ChannelName": "letters, digits, '.', '-' and '_'",
    "RoleArn": "a role's ARN, arn:PARTITION:iam::ACCOUNT:role/NAME",
    "S3Uri": "s3://BUCKET/PATH",
    **dict.fromkeys(
        ("EndpointName", "HyperParameterTuningJobName", "ModelName", "TrainingJobName"),
        "letters, digits, and hyphens between them",
    ),
}


def valid_request(client: "BaseClient", operation: str, request: Request) -> Request:
    """Return ``request`` if AWS would take it for ``operation``. Raises ``DeployError`` if not."""
    shape: Any = client.meta.service_model.operation_model(operation).input_shape
    for fault in _faults(shape, request, ""):
        raise DeployError(fault)
    report = ParamValidator().validate(cast("dict[str, Any]", request), shape).generate_report()
    if report:
        raise DeployError(f"{operation}: {' '.join(report.split())}")
    return request


def filled(client: "BaseClient", operation: str, request: Any) -> Any:
    """``request`` without its empty members: None, False, and texts, lists and structures that hold nothing."""
    return _filled(client.meta.service_model.operation_model(operation).input_shape, request)


def _filled(shape: Any, value: Any) -> Any:
    """A table of texts, which has no members, is left as it is: an empty hyperparameter is one."""
    if getattr(shape, "type_name", "") == "list":
        return [_filled(shape.member, inner) for inner in value]
    if getattr(shape, "type_name", "") != "structure" or not value:
        return value
    members = {name: _filled(shape.members.get(name), inner) for name, inner in value.items()}
    return {name: inner for name, inner in members.items() if inner or (inner == 0 and inner is not False)}


def _faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Each fault of ``value`` against the botocore shape, as a sentence that names the field."""
    rules, size = shape.metadata, value if isinstance(value, int | float) else len(value)
    if size > rules.get("max", size):
        yield f"{path} has a size of {size}: at most {rules['max']} is allowed."
    elif "pattern" in rules and not _matches(rules["pattern"], value):
        yield f"{path} is '{value}': give {IN_WORDS.get(shape.name, 'what matches ' + rules['pattern'])}."
    elif value not in rules.get("enum", [value]):
        near = difflib.get_close_matches(value, rules["enum"], n=1, cutoff=0)
        unknown = f"{path} is '{value}', which this version of boto3 does not know: did you mean {near[0]}?"
        if not _INSTANCE_TYPE.fullmatch(value):
            yield unknown
        else:  # AWS adds some every month
            print_progress(unknown)
    elif size < rules.get("min", size):
        yield f"{path} has a size of {size}: at least {rules['min']} is needed."
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from _faults(shape.members[name], inner, f"{path}.{name}".lstrip("."))
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _faults(shape.member, inner, f"{path}[{number}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _faults(shape.key, key, f"a name in {path}")
            yield from _faults(shape.value, inner, f"{path}.{key}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:  # a few patterns are Java's, such as \p{ASCII}: there AWS judges
        return True
