"""Template: the columns that ``predict`` expects, as ``features(model)`` declares them."""

import inspect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import UserError

Rows = NDArray[np.float64]
Records = Rows | list[list[Any]]
"""Rows as they were decoded: an array where all features are numbers, else a list for each row."""

_HALF = re.compile("[\ud800-\udfff]")  # half a character, which JSON can spell and UTF-8 cannot


@dataclass(frozen=True)
class Feature:
    """A column of the input. In ``features()`` a plain name stands for ``Feature(name)``: a number in every row.

    ``kind`` is ``float`` or ``str``. ``choices`` are the texts allowed; empty allows any. With ``missing`` a cell may
    be empty, which gives NaN or None. ``example`` is a value the model can predict from: the server proves itself
    with a row of them before it says that it is ready (H-05).
    """

    name: str
    kind: type[float] | type[str] = float
    choices: tuple[str, ...] = ()
    missing: bool = False
    example: float | str | None = None

    @property
    def sample(self) -> float | str:
        """``example``, or a neutral value."""
        if self.example is not None:
            return self.example
        return 0.0 if self.kind is float else (*self.choices, "")[0]

    def from_text(self, cell: str) -> float | str | None:
        """Read a cell of CSV. Raises ``ValueError`` with the rest of a sentence about it."""
        if self.kind is str or not cell.strip():
            return self.from_value(cell or None if self.kind is str else None)
        if self.missing and cell.strip().lower() in ("nan", "na", "null"):
            return math.nan
        try:
            number = float(cell) if cell.isascii() and "_" not in cell else math.nan  # float() reads '1_000' too
        except ValueError:
            number = math.nan
        return self.from_value(number)

    def from_value(self, value: object) -> float | str | None:
        """Check a JSON value. Raises ``ValueError`` as ``from_text`` does."""
        if value is None and self.missing:
            return math.nan if self.kind is float else None
        if self.kind is str:
            if not isinstance(value, str) or _HALF.search(value):
                raise ValueError("is not a text")
            if self.choices and value not in self.choices:
                raise ValueError(f"is none of {', '.join(self.choices)}")
            return value
        try:
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
        except OverflowError:  # a whole number that no float can hold
            pass
        raise ValueError("is not a finite number")


class Schema:
    """The features of a model, and the form in which ``predict`` wants them."""

    def __init__(self, features: Sequence[str | Feature], predict: Any) -> None:
        self.features = [item if isinstance(item, Feature) else Feature(str(item)) for item in features]
        self.names = [feature.name for feature in self.features]
        self.numbers = all(feature.kind is float and not feature.missing for feature in self.features)
        self.frame = _wants_frame(predict)
        if not self.frame and any(feature.kind is str for feature in self.features):
            raise UserError(
                "features() in algorithm.py declares text, which an array of numbers cannot hold: "
                "annotate the rows of predict() as pandas.DataFrame."
            )

    def sample(self) -> list[float | str]:
        """A row of examples."""
        return [feature.sample for feature in self.features]

    def table(self, records: Records) -> Any:
        """What ``predict`` is called with: an array of shape (rows, features), or a DataFrame with named columns."""
        if not self.frame:
            return np.asarray(records, np.float64)
        import pandas as pd  # only where the algorithm asks for it

        return pd.DataFrame(records, columns=self.names)


def _wants_frame(predict: Any) -> bool:
    """Whether the second parameter of ``predict`` is annotated as a DataFrame, by name or by class."""
    rows = list(inspect.signature(predict).parameters.values())[1].annotation
    return (rows if isinstance(rows, str) else getattr(rows, "__name__", "")).split(".")[-1] == "DataFrame"
