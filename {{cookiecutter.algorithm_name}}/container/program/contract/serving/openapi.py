"""Template: the OpenAPI description of the server, made from the model's own features."""

from typing import Any

from contract.feature import Feature
from contract.schema import Schema
from contract.serving.encoder import quoted
from contract.serving.formats import CSV, JSON


def describe(schema: Schema) -> dict[str, Any]:
    """An OpenAPI 3.1 document. Every request that it allows is answered 200, and every other one 4xx."""
    cells = [_cell(feature) for feature in schema.features]
    row = {"type": "array", "prefixItems": cells, "items": False, "minItems": len(cells)}
    named = {"type": "object", "properties": dict(zip(schema.names, cells, strict=True)),
             "required": schema.names, "additionalProperties": False}  # fmt: skip
    instances = {"type": "array", "items": {"anyOf": [row, named]}, "minItems": 1}
    rows = {"type": "object", "properties": {"instances": instances}, "required": ["instances"]}
    sample = schema.sample()
    content = {
        CSV.media_type: {
            "schema": {"type": "string"},
            "example": ",".join(quoted(str(value)) for value in sample) + "\n",
        },
        JSON.media_type: {"schema": rows, "example": {"instances": [sample]}},
    }
    error = {"description": "What is wrong and how to mend it, as one JSON object"}
    answers = {"200": {"description": "One prediction for each row, in order"}, "4XX": error, "503": error}
    ping = {"200": {"description": "A prediction has worked"}, "503": error}
    return {
        "openapi": "3.1.0",
        "info": {"title": "SageMaker endpoint", "version": "1"},
        "paths": {
            "/ping": {"get": {"responses": ping}},
            "/invocations": {"post": {"requestBody": {"required": True, "content": content}, "responses": answers}},
        },
    }


def _cell(feature: Feature) -> dict[str, Any]:
    kinds = ["number" if feature.kind is float else "string", *(["null"] if feature.missing else [])]
    choices = {"enum": [*feature.choices, *([None] if feature.missing else [])]} if feature.choices else {}
    return {"type": kinds, "title": feature.name} | choices
