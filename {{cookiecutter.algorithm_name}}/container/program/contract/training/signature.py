"""Template: what training learns of the model's input, and the target beside it."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contract import schema
from contract.errors import UserError
from contract.feature import Feature
from contract.training.tables import Tables

Kind = Literal["classes", "numbers"]
CHOICES = 100  # A column of more texts is taken for free text,
ROWS_FOR_EACH = 10  # and so is one whose texts are rarer: a request with a new one is then answered.
CLASSES = 20  # More numbers than that, each in few rows, are amounts and not classes.
ROWS_TO_TRY = 5  # after training


def _a_frame(model: Any, rows: "DataFrame") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Stands for the algorithm where none is known."""


@dataclass
class Signature:
    """The features of the model, once the first channel has been split."""

    predict: Callable[..., Any] = _a_frame
    features: list[Feature] = field(default_factory=list)
    rows: Any = None
    """Some that ``predict`` must be able to predict."""
    _target: Feature = field(default_factory=lambda: Feature(""))
    _declared: Mapping[str, Feature] = field(default_factory=dict)

    def split(
        self, channel: str, paths: Sequence[Path], target: str, kind: Kind, declared: Sequence[Feature]
    ) -> tuple[Any, NDArray[Any]]:
        """Implements ``Channel.split``."""
        tables = Tables(channel, paths, keep=True)
        if self.features and target == self._target.name:
            table = self._read(tables, channel)
        else:
            table = self._learn(tables, channel, target, kind, {each.name: each for each in declared})
        rows = schema.Schema(self.features, self.predict).typed(table)
        if self.rows is None:
            self.rows = rows[:ROWS_TO_TRY]
        return rows, _classes(table[target]) if kind == "classes" else table[target].to_numpy(np.float64)

    def write(self, directory: Path, answer: Mapping[str, Any] | None = None) -> None:
        """Keep the features with the model, if they are known, and what its ``answer`` holds."""
        if self.features:
            schema.write(self.features, directory, answer)

    def _learn(self, tables: Tables, channel: str, target: str, kind: Kind, declared: Mapping[str, Feature]) -> Any:
        found = tables.features()
        _require_columns(channel, found, [target, *declared])
        if len(found) == 1:
            raise UserError(f"The channel '{channel}' has no column to learn from beside '{target}'.")
        self._target = replace(found[target], kind=found[target].kind if kind == "classes" else float, missing=False)
        table = self._concat(tables, {**found, **declared, target: self._target})
        self.features = [
            _with_example(declared.get(name) or _with_choices(found[name], table[name]), table[name])
            for name in table
            if name != target
        ]
        self._declared = declared
        if kind == "classes":
            _require_classes(table[target], channel)
        return table

    def _concat(self, tables: Tables, wanted: Mapping[str, Feature]) -> Any:
        """All rows as one DataFrame. Raises ``UserError`` about the first text where ``predict`` takes an array."""
        texts = [each.name for each in wanted.values() if each.kind is str and each.name != self._target.name]
        array = bool(texts) and not schema.wants_frame(self.predict)
        if array:
            wanted = {**wanted, **{name: Feature(name, missing=True) for name in texts}}
        try:
            return importlib.import_module("pandas").concat(tables.read(wanted), ignore_index=True)
        except UserError as error:
            remedy = " Mend the cell, or annotate the rows of predict() as pandas.DataFrame, which can hold texts."
            raise UserError(f"{error}{remedy if array else ''}") from error

    def _read(self, tables: Tables, channel: str) -> Any:
        """Another channel, whose texts may be new: the model is evaluated on them too."""
        known = {each.name: self._declared.get(each.name) or replace(each, choices=()) for each in self.features}
        wanted = {**known, self._target.name: self._target}
        table = self._concat(tables, wanted)
        _require_columns(channel, table, list(wanted))
        return table


def _require_columns(channel: str, found: Any, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in found:
            raise UserError(f"The channel '{channel}' has no column '{name}': it has {', '.join(map(str, found))}.")


def _with_choices(feature: Feature, column: Any) -> Feature:
    """The feature with the texts of its column as choices, if they are few."""
    if feature.kind is str:
        counts = column.value_counts()
        if 0 < len(counts) <= CHOICES and counts.sum() >= ROWS_FOR_EACH * len(counts):
            return replace(feature, choices=tuple(sorted(counts.index)))
    return feature


def _with_example(feature: Feature, column: Any) -> Feature:
    """The feature with a typical value of its column as the example: the lower median, or the most frequent."""
    filled = column.dropna()
    if feature.example is not None or not len(filled):
        return feature
    if feature.kind is float:
        middle = (len(filled) - 1) // 2
        return replace(feature, example=float(np.partition(filled.to_numpy(), middle)[middle]))
    return replace(feature, example=feature.from_value(filled.mode().tolist()[0]))


def _classes(column: Any) -> NDArray[Any]:
    """Labels as texts. A number has one however it is written: '1' for 1, 1.0 and 01."""
    codes, labels = importlib.import_module("pandas").factorize(column)
    numbers = column.dtype.kind == "f"
    texts = [f"{label:.0f}" if numbers and label % 1 == 0 else str(label) for label in labels]
    named: NDArray[Any] = np.array(texts)[codes]
    return named


def _require_classes(column: Any, channel: str) -> None:
    """Raise ``UserError`` if there is one class alone, or one for nearly each of many numbers."""
    values = column.unique()
    about = f"The column '{column.name}' of the channel '{channel}'"
    if len(values) < 2:
        raise UserError(f"{about} has one class alone, '{_classes(column)[0]}': give rows of two or more.")
    if column.dtype.kind != "f":
        return
    if (values % 1).any() or (len(values) > CLASSES and len(column) < ROWS_FOR_EACH * len(values)):
        raise UserError(
            f"{about} holds {len(values)} different numbers in {len(column)} rows, which are amounts and not classes: "
            f'name another column as the target, or predict numbers with split("{column.name}", "numbers").'
        )
