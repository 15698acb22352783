"""Template: from the strings of ``hyperparameters.json`` to the algorithm's typed dataclass.

The platform sends only strings, and each SDK writes the same value differently: ``True``, ``true``, ``"gini"`` with and
without quotes, encoded once or twice. One recipe reads them all (T-10).
"""

import ast
import dataclasses
import difflib
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from contract.errors import UserError

Schema = TypeVar("Schema")

SCRIPTS = ("sagemaker_program", "sagemaker_submit_directory")
SCRIPT_VARIABLES = ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY", "SAGEMAKER_TRAINING_MODULE")
"""AWS's toolkit runs a script that these name. SDK v2's tuner also sends the estimator's class, without a script."""

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", list: "a JSON list"}
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included: ``Annotated[int, Range(1, 100)]``."""

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        """Whether a number lies within the bounds."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """The bounds in words, for an error message."""
        if self.high == math.inf:
            return f"at least {self.low}"
        return f"at most {self.high}" if self.low == -math.inf else f"from {self.low} to {self.high}"


class Extras(dict[str, str]):
    """Hyperparameters that the schema does not name, as strings: ``others: Extras = field(default_factory=Extras)``."""


@dataclass(frozen=True)
class Field:
    """One hyperparameter as the dataclass declares it."""

    name: str
    type: type
    choices: tuple[Any, ...]
    optional: bool
    bounds: Range | None
    required: bool

    def accepts(self, value: Any) -> bool:
        """Whether a converted value has the declared type and lies within choices and bounds."""
        right_kind = type(value) is self.type and (not self.choices or value in self.choices)
        return right_kind and (self.bounds is None or value in self.bounds)

    @property
    def expected(self) -> str:
        """The allowed values, for an error message."""
        choices = "one of " + ", ".join(map(str, self.choices)) if self.choices else ""
        bounds = f" {self.bounds}" if self.bounds else ""
        return (choices or _NAMES.get(self.type, "a JSON object")) + bounds + (", or none" if self.optional else "")


def warn_about_scripts(given: Mapping[str, object]) -> None:
    """Print a warning if the job asks for a script, since this image runs none."""
    asked = {key: _peel(_peel(str(given.get(key) or ""))) for key in SCRIPTS}
    asked |= {name: os.environ.get(name, "") for name in SCRIPT_VARIABLES}
    if named := ", ".join(f"{name}={value}" for name, value in asked.items() if value not in ("", "null", "None")):
        answer = "which does not run: this image runs algorithm.py, so put your code there."
        print(f"The job asks for a script ({named}), {answer}", flush=True)


def parse(schema: type[Schema], given: Mapping[str, object]) -> Schema:
    """Check ``given`` against the dataclass ``schema`` and return an instance of it.

    Raises ``UserError`` for an unknown key (T-12), a value of the wrong form or outside its bounds, and a missing value
    without a default.
    """
    fields = {field.name: field for field in fields_of(schema)}
    values: dict[str, Any] = {field.name: Extras() for field in fields.values() if field.type is Extras}
    others = next(iter(values.values()), None)
    for key, raw in given.items():
        name = key.replace("-", "_")  # Consoles and scripts write either (T-13).
        if key == "_tuning_objective_metric" or key.startswith("sagemaker_"):
            continue  # Tuning jobs and SDKs add these; the algorithm does not need them (T-11).
        if name in fields:
            if name in values:
                raise UserError(f"The hyperparameter '{name}' is given twice, once spelled with '-': keep one.")
            values[name] = _decode(fields[name], raw)
        elif others is not None:
            others[key] = _peel(_peel(str(raw)))
        else:
            raise UserError(_unknown(key, list(fields)))
    for field in fields.values():
        if field.required and field.name not in values:
            raise UserError(f"The hyperparameter '{field.name}' is missing and has no default: set it.")
    return schema(**values)


def fields_of(schema: type) -> Iterator[Field]:
    """The declared hyperparameters. Raises ``UserError`` for a declaration that cannot be decoded."""
    try:
        hints = typing.get_type_hints(schema, include_extras=True)
    except (NameError, TypeError) as error:
        raise UserError(f"The types of Hyperparameters in algorithm.py cannot be read: {error}.") from error
    for declared in dataclasses.fields(schema):
        annotation, bounds = hints[declared.name], None
        if get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            bounds = next((extra for extra in extras if isinstance(extra, Range)), None)
        members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
        kinds = [member for member in members if member is not type(None)]
        choices = get_args(kinds[0]) if get_origin(kinds[0]) is Literal else ()
        kind = type(choices[0]) if choices else get_origin(kinds[0]) or kinds[0]
        if len(kinds) != 1 or kind not in (int, float, bool, str, list, dict, Extras):
            raise UserError(
                f"Hyperparameters.{declared.name} in algorithm.py is annotated {declared.type!r}: "
                "use int, float, bool, str, list, dict or Literal[...], each also with '| None'."
            )
        no_default = declared.default is declared.default_factory is dataclasses.MISSING
        yield Field(declared.name, kind, choices, len(kinds) < len(members), bounds, no_default)


def ranges(fields: Iterable[Field]) -> Iterator[tuple[str, dict[str, object]]]:
    """For each field with choices or two bounds: the kind of its range in a tuning job, and the range in AWS's form."""
    for field in fields:
        if choices := ("true", "false") if field.type is bool else field.choices:
            yield "Categorical", {"Name": field.name, "Values": [str(choice) for choice in choices]}
        elif field.bounds and math.isfinite(field.bounds.low) and math.isfinite(field.bounds.high):
            bounds = {"MinValue": str(field.bounds.low), "MaxValue": str(field.bounds.high)}
            yield "Integer" if field.type is int else "Continuous", {"Name": field.name, **bounds}


def _unknown(key: str, names: list[str]) -> str:
    near = difflib.get_close_matches(key.replace("-", "_"), names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"algorithm.py has {', '.join(sorted(names)) or 'none'}."
    return f"There is no hyperparameter '{key}': {hint}"


def _decode(field: Field, raw: object) -> Any:
    value = _read(field, raw)
    if value is None and field.optional:
        return None
    value = _convert(field, value)
    if not field.accepts(value):
        raise UserError(f"The hyperparameter '{field.name}' is {raw!r}: give {field.expected}.")
    return value


def _read(field: Field, raw: object) -> object:
    """Remove quotes, then read JSON or a Python literal unless a string is expected."""
    if not isinstance(raw, str):
        return raw
    text = _peel(_peel(raw))
    if field.optional and text.strip().lower() in ("", "null", "none") and text.strip() not in field.choices:
        return None
    if field.type is str:
        return text
    readers: tuple[Callable[[str], object], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


def _peel(text: str) -> str:
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return inner if isinstance(inner, str) else text


def _convert(field: Field, value: object) -> object:
    """The few conversions between forms that mean the same: 5.0 is 5, 'yes' is true, 1 is 1.0."""
    if field.type is bool:
        return _BOOLEANS.get(str(value).lower(), value)
    if isinstance(value, bool):
        return value
    if field.type is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if field.type is float and isinstance(value, int | str):
        try:
            return float(value)  # 'nan' and 'inf' are strings
        except (ValueError, OverflowError):
            return value
    return value
