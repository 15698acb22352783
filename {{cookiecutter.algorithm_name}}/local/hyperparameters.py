"""Template: prints the hyperparameters as a table, and their ranges for a tuning job."""

import dataclasses
import importlib
import inspect
import json
import re
import sys

from contract import algorithm_interface, failure
from contract.training.hyperparameters import Field, fields_of, ranges


def main() -> int:
    """Print the table and the ranges. An error in ``algorithm.py`` is one sentence and exit status 1."""
    try:
        algorithm = algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))
        algorithm_interface.require_training(algorithm)
        schema = algorithm.Hyperparameters
        fields = list(fields_of(schema))
    except Exception as error:  # importing algorithm.py runs it
        print(failure.describe(error), file=sys.stderr)
        return 1
    rows = [("name", "value", "default", "what it is"), *table(schema, fields)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nParameterRanges of a tuning job:\n{json.dumps(parameter_ranges(fields), indent=2)}")
    return 0


def table(schema: type, fields: list[Field]) -> list[tuple[str, str, str, str]]:
    """For each hyperparameter its name, allowed values, default, and the comment on its line."""
    notes = dict(re.findall(r"^\s+(\w+):.*?\s# (.*)$", inspect.getsource(schema), re.MULTILINE))
    made = {field.name: field for field in dataclasses.fields(schema)}
    return [(field.name, field.expected, default_text(made[field.name]), notes.get(field.name, "")) for field in fields]


def default_text(field: "dataclasses.Field[object]") -> str:
    """The default, in the form in which a job can set it."""
    if field.default_factory is not dataclasses.MISSING:
        return json.dumps(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "(must be set)"
    return field.default if isinstance(field.default, str) else json.dumps(field.default).replace("null", "none")


def parameter_ranges(fields: list[Field]) -> dict[str, list[dict[str, object]]]:
    """``ParameterRanges`` as CreateHyperParameterTuningJob takes them; a number needs two bounds to have a range."""
    found: dict[str, list[dict[str, object]]] = {
        f"{kind}ParameterRanges": [] for kind in ("Integer", "Continuous", "Categorical")
    }
    for kind, entry in ranges(fields):
        found[f"{kind}ParameterRanges"].append(entry)
    return found


if __name__ == "__main__":
    sys.exit(main())
