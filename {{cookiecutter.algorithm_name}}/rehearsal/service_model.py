"""Template: what AWS's service model says of a request, read independently of ``deploy`` (C-11)."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

JAVA = {r"\p{ASCII}": r"[\x00-\x7F]", r"\p{Print}": r" -~", r"\A": "", r"\z": ""}
JAVA |= {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": " ", r"\p{M}": ""}
JAVA |= {r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}", r"\p{S}": r"$+<->^`|~"}  # those of ASCII
INVOCATIONS = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
"""The operations of sagemaker-runtime by the end of their path."""


@functools.cache
def _service(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


def _shape(operation: str) -> Any:
    service = _service("sagemaker-runtime" if operation in INVOCATIONS.values() else "sagemaker")
    return service.operation_model(operation).input_shape


def headers(operation: str, given: Any) -> dict[str, Any]:
    """The members of a request that were sent as headers."""
    named = {name: shape.serialization.get("name", "") for name, shape in _shape(operation).members.items()}
    return {name: given[header] for name, header in named.items() if header in given}


def violations(operation: str, request: dict[str, Any]) -> list[str]:
    """All that the service would refuse.

    Types, required members and minima as botocore checks them; patterns, maxima and enumerations, which it does not.
    """
    shape = _shape(operation)
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report.splitlines() or list(_walk(shape, request, operation))


def _walk(shape: Any, value: Any, path: str) -> Iterator[str]:
    children: list[tuple[Any, Any, str]] = []
    if shape.type_name == "structure":
        children = [(shape.members[key], inner, key) for key, inner in value.items() if key in shape.members]
    elif shape.type_name == "list":
        children = [(shape.member, inner, str(number)) for number, inner in enumerate(value)]
    elif shape.type_name == "map":
        children = [(shape.key, key, f"key {key}") for key in value]
        children += [(shape.value, inner, key) for key, inner in value.items()]
    elif shape.type_name == "string":
        pattern = shape.metadata.get("pattern", "(?s).*")
        for java, python in JAVA.items():
            pattern = pattern.replace(java, python)
        pattern = re.sub(r"\$\{[\d,]+\}$", "", pattern)  # a slip in some of AWS's own
        if not re.fullmatch(pattern, value):
            yield f"Value at '{path}' failed to satisfy constraint: Member must satisfy the pattern {pattern}"
        if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
            yield f"Value at '{path}' failed to satisfy constraint: Member must satisfy enum value set"
    size = value if isinstance(value, int | float) else len(value)
    if size > shape.metadata.get("max", size):
        yield f"Value at '{path}' failed to satisfy constraint: Member must not exceed {shape.metadata['max']}"
    for inner_shape, inner, key in children:
        yield from _walk(inner_shape, inner, f"{path}.{key}")
