"""Template: print what a training job may set: a table, and the same as the ranges that a tuning job takes."""

import dataclasses
import importlib
import inspect
import json
import math
import re
import sys

from contract import algorithm_interface, failure
from contract.training.hyperparameters import Field, fields_of


def main() -> int:
    """The table and the ranges go to stdout; a mistake in ``algorithm.py`` is one sentence and exit status 1."""
    try:
        schema = algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm")).Hyperparameters
        fields = list(fields_of(schema))
    except Exception as error:  # importing it runs it
        print(failure.describe(error), file=sys.stderr)
        return 1
    rows = [("name", "value", "default", "what it is"), *table(schema, fields)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nParameterRanges of a tuning job:\n{json.dumps(ranges(fields), indent=2)}")
    return 0


def table(schema: type, fields: list[Field]) -> list[tuple[str, str, str, str]]:
    """For each hyperparameter its name, what may be given, its default, and the comment on its line."""
    notes = dict(re.findall(r"^\s+(\w+):.*?\s# (.*)$", inspect.getsource(schema), re.MULTILINE))
    made = {field.name: field for field in dataclasses.fields(schema)}
    return [(field.name, field.expected, default(made[field.name]), notes.get(field.name, "")) for field in fields]


def default(field: "dataclasses.Field[object]") -> str:
    """A default as it may be written in a job."""
    if field.default_factory is not dataclasses.MISSING:
        return json.dumps(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "(must be set)"
    return field.default if isinstance(field.default, str) else json.dumps(field.default).replace("null", "none")


def ranges(fields: list[Field]) -> dict[str, list[dict[str, object]]]:
    """As CreateHyperParameterTuningJob wants them; a number without two bounds has no range to search."""
    found: dict[str, list[dict[str, object]]] = {
        f"{kind}ParameterRanges": [] for kind in ("Integer", "Continuous", "Categorical")
    }
    for field in fields:
        choices = ("true", "false") if field.type is bool else field.choices
        if choices:
            values = [str(choice) for choice in choices]
            found["CategoricalParameterRanges"].append({"Name": field.name, "Values": values})
        elif field.bounds and math.isfinite(field.bounds.low) and math.isfinite(field.bounds.high):
            kind = "Integer" if field.type is int else "Continuous"
            bounds = {"MinValue": str(field.bounds.low), "MaxValue": str(field.bounds.high)}
            found[f"{kind}ParameterRanges"].append({"Name": field.name, **bounds})
    return found


if __name__ == "__main__":
    sys.exit(main())
