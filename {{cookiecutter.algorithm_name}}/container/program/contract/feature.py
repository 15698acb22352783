"""Template: a column of a table, and how training and serving read its cells."""

import math
import re
from dataclasses import dataclass, fields
from typing import Any

from contract.errors import UserError

GAPS = ("", "na", "n/a", "nan", "null", "none", "<na>", "#n/a")
"""Missing values, in lower case. In a column of strings, only an empty cell is one: NA may be a country."""
WORDS = {"true": True, "false": False}
SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""What some tables have in place of commas."""
NO_VALUE = "has no value, but the model needs one"
KINDS: dict[str, type[Any]] = {"number": float, "text": str, "boolean": bool}
Value = float | str | bool

_HALF = re.compile("[\ud800-\udfff]")  # half a character, which JSON can express but UTF-8 cannot


@dataclass(frozen=True)
class Feature:
    """A column of the input. ``Feature(name)`` expects a finite number in every row.

    ``kind`` is ``float``, ``str`` or ``bool``; all numbers are floats. ``choices`` are the strings allowed, empty for
    any. ``missing`` allows missing values, read as NaN. ``minimum`` and ``maximum`` are the bounds of a
    number. ``example`` is a value that the model can predict from: the server predicts a row of examples before it
    reports that it is ready (H-05).
    """

    name: str
    kind: type[float] | type[str] | type[bool] = float
    choices: tuple[str, ...] = ()
    missing: bool = False
    example: Value | None = None
    minimum: float = -math.inf
    maximum: float = math.inf

    def __post_init__(self) -> None:
        """Raise ``UserError`` if no column can be like this."""
        if self.kind is int:
            object.__setattr__(self, "kind", float)
        if self.kind not in KINDS.values():
            raise UserError(f"Feature('{self.name}') has the kind {self.kind!r}: give float, str or bool.")
        if not isinstance(self.choices, tuple | list) or not all(isinstance(each, str) for each in self.choices):
            raise UserError(f"Feature('{self.name}') has the choices {self.choices!r}: give a tuple of strings.")
        if self.choices and self.kind is not str:
            raise UserError(f"Feature('{self.name}') has choices, which only a str can have: set its kind to str.")
        bounded = (self.minimum, self.maximum) != (-math.inf, math.inf)
        if bounded and (self.kind is not float or not self.minimum <= self.maximum):
            raise UserError(
                f"Feature('{self.name}') has bounds that no value can meet: give them only to a float, minimum first."
            )
        if self.example is not None:
            self._require_example()

    def _require_example(self) -> None:
        try:
            self.from_value(self.example)
        except ValueError as error:
            raise UserError(f"The example of Feature('{self.name}') {error}.") from error

    @property
    def sample(self) -> Value:
        """``example``, or a neutral value."""
        if self.example is not None:
            return self.example
        if self.kind is str:
            return (*self.choices, "text")[0]
        return False if self.kind is bool else min(max(0.0, self.minimum), self.maximum)

    @property
    def plain(self) -> bool:
        """Whether any finite number is allowed, so that many can be checked at once."""
        return self.kind is float and not self.missing and (self.minimum, self.maximum) == (-math.inf, math.inf)

    def from_text(self, cell: str) -> Value:
        """Read a cell of CSV. Raises ``ValueError`` with the rest of a sentence about it."""
        if self.kind is str:
            return self.from_value(cell)
        text = cell.strip()
        if text.lower() in GAPS:
            return self.from_value(None)
        if self.kind is bool and text.lower() in WORDS:
            return WORDS[text.lower()]
        value = number(text)
        return self.from_value(text if value != value else value)  # text that is not a number is not a missing value

    def from_value(self, value: object) -> Value:
        """Check a JSON value. Raises ``ValueError`` as ``from_text`` does."""
        if value is None or value == "" or value != value:
            if self.missing:
                return math.nan
            raise ValueError(NO_VALUE)
        if self.kind is str:
            return self._text(value)
        if isinstance(value, str):  # only in JSON: from_text has read those of CSV
            word = value.strip().lower()
            if math.isfinite(number(word)) or (self.kind is bool and word in WORDS):
                raise ValueError("is a string: send it without quotes")
        if self.kind is bool:
            if isinstance(value, int | float) and value in (0, 1):
                return bool(value)
            raise ValueError("is not true or false")
        return self._number(value)

    def _text(self, value: object) -> str:
        if not isinstance(value, str) or _HALF.search(value):
            raise ValueError("is not a string")
        if self.choices and value not in self.choices:
            few = f": {', '.join(self.choices)}" if len(self.choices) <= 10 else ""
            known = f"not one of the {len(self.choices)} values" if len(self.choices) > 1 else "not the only value"
            raise ValueError(f"is {known} that the model knows{few}")
        return value

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not finite(value):
            raise ValueError("is not a finite number")
        if value < self.minimum:
            raise ValueError(f"is below {self.minimum:g}")
        if value > self.maximum:
            raise ValueError(f"is above {self.maximum:g}")
        return float(value)

    def as_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        kind = next(name for name, kind in KINDS.items() if kind is self.kind)
        default = Feature(self.name)
        others = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("name", "kind")}
        set_ = {name: value for name, value in others.items() if value != getattr(default, name)}
        return {"name": self.name, "kind": kind, **set_}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Feature":
        """What ``as_json`` wrote."""
        return cls(**{**given, "kind": KINDS[given["kind"]], "choices": tuple(given.get("choices", ()))})


def separator(line: str, least: int = 1) -> str:
    """What a line seems to have in place of commas, at least ``least`` times; empty if nothing."""
    return next((mark for mark in SEPARATORS if line.count(mark) >= least), "")


def number(text: str) -> float:
    """A cell without surrounding blanks as a number; NaN if it is not one."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan  # float() reads '1_000' too
    except ValueError:
        return math.nan


def finite(value: float) -> bool:
    """Whether a float can hold the number."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
