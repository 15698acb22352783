"""Template: from the strings of ``hyperparameters.json`` to the algorithm's typed dataclass.

The platform sends strings only, and each SDK writes the same value differently: ``True``, ``true``,
``"gini"`` with and without quotes, once or twice encoded. One recipe reads them all (T-10).
"""

import ast
import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from contract.errors import UserError

Schema = TypeVar("Schema")

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


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
        if self.low == -math.inf:
            return f"at most {self.high}"
        return f"from {self.low} to {self.high}"


class Extras(dict[str, str]):
    """Hyperparameters that the schema does not name, as texts: ``others: Extras = field(default_factory=Extras)``."""


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
        right_type = type(value) is self.type
        right_choice = not self.choices or value in self.choices
        return right_type and right_choice and (self.bounds is None or value in self.bounds)

    @property
    def expected(self) -> str:
        """What may be given, for an error message."""
        if self.choices:
            form = "one of " + ", ".join(map(str, self.choices))
        else:
            form = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(
                self.type, f"a JSON {'list' if self.type is list else 'object'}"
            )
        bounds = f" {self.bounds}" if self.bounds else ""
        return form + bounds + (", or none" if self.optional else "")


def parse(schema: type[Schema], given: Mapping[str, object]) -> Schema:
    """Check ``given`` against the dataclass ``schema`` and return an instance of it.

    Raises ``UserError`` for an unknown key (T-12), a value of the wrong form or outside its
    bounds, and a missing value without a default.
    """
    fields = {field.name: field for field in fields_of(schema)}
    values: dict[str, Any] = {field.name: Extras() for field in fields.values() if field.type is Extras}
    others = next(iter(values.values()), None)
    for key, raw in given.items():
        if key == "_tuning_objective_metric" or key.startswith("sagemaker_"):
            continue  # T-11: added by tuning jobs and SDKs, not meant for the algorithm
        name = key.replace("-", "_")  # T-13
        if name not in fields:
            if others is None:
                raise UserError(_unknown(key, list(fields)))
            others[key] = _peel(_peel(str(raw)))
            continue
        if name in values:
            raise UserError(f"The hyperparameter '{name}' is given twice, once spelt with '-': keep one.")
        values[name] = _decode(fields[name], raw)
    missing = [field.name for field in fields.values() if field.required and field.name not in values]
    if missing:
        raise UserError(f"The hyperparameter '{missing[0]}' is missing and has no default: set it.")
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


def _unknown(key: str, names: list[str]) -> str:
    near = difflib.get_close_matches(key.replace("-", "_"), names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(names)) or 'none'}."
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
    """Peel quotes, then read JSON or a Python literal unless a text is wanted."""
    if not isinstance(raw, str):
        return raw
    text = _peel(_peel(raw))
    if field.optional and text.strip() in ("", "null", "None"):
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
        word = str(value).lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if isinstance(value, bool):
        return value
    if field.type is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if field.type is float and isinstance(value, int | str):
        try:
            return float(value)  # 'nan' and 'inf' come as text
        except (ValueError, OverflowError):
            return value
    return value
