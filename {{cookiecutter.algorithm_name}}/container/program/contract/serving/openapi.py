"""Template: the OpenAPI description of the server, made from the model's own features."""

import math
from typing import Any

from contract.feature import Feature
from contract.schema import RawSchema, Schema
from contract.serving.encoder import quoted
from contract.serving.formats import CSV, JSON


def describe(schema: Schema | RawSchema) -> dict[str, Any]:
    """An OpenAPI 3.1 document. Every request that it allows is answered 200, and every other one 4xx."""
    if isinstance(schema, RawSchema):
        content = {each: {"schema": {"type": "string", "contentMediaType": each}} for each in schema.content_types}
    else:
        content = _tables(schema)
    error = {"description": "What is wrong and how to fix it, as one JSON object"}
    answers = {"200": _answer(schema), "4XX": error, "503": error}
    ping = {"200": {"description": "A prediction has worked"}, "503": error}
    predict = {"requestBody": {"required": True, "content": content}, "responses": answers}
    paths = {"/ping": {"get": {"responses": ping}}, "/invocations": {"post": predict}}
    return {"openapi": "3.1.0", "info": {"title": "SageMaker endpoint", "version": "1"}, "paths": paths}


def _answer(schema: Schema | RawSchema) -> dict[str, Any]:
    """The response to a request, with its columns if they are known."""
    found: dict[str, Any] = {"description": "One prediction for each row, in order"}
    if isinstance(schema, Schema) and schema.answer:
        cells = {name: _value(**column) for name, column in schema.answer.items()}
        items = {"type": "array", "items": {"type": "object", "properties": cells}}
        rows = {"type": "object", "properties": {"predictions": items}, "required": ["predictions"]}
        found["content"] = {JSON.media_type: {"schema": rows}}
    return found


def _value(kind: str, shape: list[int]) -> dict[str, Any]:
    if shape:
        return {"type": "array", "items": _value(kind, shape[1:])}
    types = {"number": ["number", "null"], "boolean": ["boolean"], "text": ["string"]}
    return {"type": types[kind]} if kind in types else {}


def _tables(schema: Schema) -> dict[str, Any]:
    cells = [_cell(feature) for feature in schema.features]
    row = {"type": "array", "prefixItems": cells, "items": False, "minItems": len(cells)}
    properties = {"type": "object", "properties": dict(zip(schema.names, cells, strict=True))}
    needed = [feature.name for feature in schema.features if not feature.missing]
    named = properties | {"required": needed, "minProperties": 1}  # other properties are ignored
    instances = {"type": "array", "items": {"anyOf": [row, named]}, "minItems": 1}
    rows = {"type": "object", "properties": {"instances": instances}, "required": ["instances"]}
    sample = schema.sample()
    line = ",".join(quoted(str(value)) for value in sample) + "\n"
    return {
        CSV.media_type: {"schema": {"type": "string"}, "example": line},
        JSON.media_type: {"schema": rows, "example": {"instances": [sample]}},
    }


def _cell(feature: Feature) -> dict[str, Any]:
    kind = {float: "number", str: "string", bool: "boolean"}[feature.kind]
    bounds = {"minimum": feature.minimum, "maximum": feature.maximum}
    cell: dict[str, Any] = {"type": kind} | {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
    if feature.choices:
        cell["enum"] = feature.choices
    elif feature.kind is str:
        cell["minLength"] = 1
    return {"title": feature.name} | ({"anyOf": [cell, {"enum": [None, ""]}]} if feature.missing else cell)
