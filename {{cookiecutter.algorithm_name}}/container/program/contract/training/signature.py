"""Template: what training learns of the model's input, and the target beside it."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from contract import schema
from contract.errors import UserError
from contract.feature import GAPS, NO_VALUE, WORDS, Feature, number
from contract.training.baseline import Sample, sampled
from contract.training.csv_files import CODE
from contract.training.tables import Tables

if TYPE_CHECKING:
    from pandas import DataFrame

Kind = Literal["classes", "numbers"]
CHOICES = 100  # A column with more different strings is free text,
ROWS_FOR_EACH = 10  # and so is one with fewer rows for each: requests can then have new ones.
CLASSES = 20  # More numbers than that, each in few rows, are amounts and not classes.
DIGITS = 300  # of a class that is a number
ROWS_TO_TRY = 5  # after training


def _a_frame(model: Any, rows: "DataFrame") -> None:
    """Stands for the algorithm if none is known."""


@dataclass
class Signature:
    """The features of the model, once the first channel has been split."""

    predict: Callable[..., Any] = _a_frame
    features: list[Feature] = field(default_factory=list)
    rows: Any = None
    """Some rows that ``predict`` must be able to predict."""
    samples: dict[str, Sample] = field(default_factory=dict)
    """Samples of the channels, in the order they were read."""
    _target: Feature = field(default_factory=lambda: Feature(""))
    _declared: Mapping[str, Feature] = field(default_factory=dict)
    _numeric: bool = False
    """Whether the target holds numbers or booleans."""

    def split(
        self, channel: str, paths: Sequence[Path], target: str, kind: Kind, declared: Sequence[str | Feature]
    ) -> tuple[Any, NDArray[Any]]:
        """Implements ``Channel.split``."""
        if kind not in get_args(Kind):
            raise UserError(f'split() got the kind {kind!r}: give "classes" or "numbers".')
        tables, first = Tables(channel, paths, keep=True), not self.features
        if first:
            table = self._learn(tables, channel, target, kind, schema.Schema(declared, _a_frame).features)
        elif target == self._target.name:
            table = self._read(tables, channel)
        else:
            raise UserError(
                f"split() first had the target '{self._target.name}' and now has '{target}': use one target, "
                "and read others with table()."
            )
        [table] = sampled(self.samples, channel, [table])
        rows = schema.Schema(self.features, self.predict).typed(table)
        if self.rows is None:
            self.rows = rows[:ROWS_TO_TRY]
        if kind == "numbers":
            return rows, table[target].to_numpy(np.float64)
        labels = self._classes(table[target], channel)
        if first:
            _require_classes(labels, target, channel)
        return rows, labels

    def write(self, directory: Path, answer: Mapping[str, Any] | None = None) -> None:
        """Keep the features with the model, if they are known, and what its ``answer`` holds."""
        if self.features:
            schema.write(self.features, directory, answer)

    def _learn(self, tables: Tables, channel: str, target: str, kind: Kind, declared: Sequence[Feature]) -> Any:
        found = tables.features()
        self._declared = {each.name: each for each in declared}
        _require_columns(channel, found, [target, *self._declared])
        if target in self._declared:
            raise UserError(f"The column '{target}' is the target: leave it out of the features of split().")
        if len(found) == 1:
            raise UserError(f"The channel '{channel}' has no column to learn from besides '{target}'.")
        self._numeric = kind == "numbers" or found[target].kind is not str
        as_text = kind == "classes" and not (self._numeric and found[target].missing)  # else report what is missing
        self._target = replace(found[target], kind=str if as_text else float, missing=False)
        table = self._concat(tables, {**found, **self._declared, target: self._target})
        self.features = [
            _with_example(self._declared.get(name) or _with_choices(found[name], table[name]), table[name])
            for name in table
            if name != target
        ]
        self._tell(channel, tables.codes(), table)
        return table

    def _tell(self, channel: str, codes: Mapping[str, str], table: Any) -> None:
        """Log the columns that are not numbers, due to one stray cell perhaps, and those that lose digits."""
        for kind, name in ((str, "texts"), (bool, "booleans")):
            if names := [each.name for each in self.features if each.kind is kind]:
                print(f"{channel}: {name} in {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}", flush=True)
        for each in self.features:
            if each.kind is not float or each.name in self._declared:
                continue
            if lost := _lost(table[each.name], codes.get(each.name, "")):
                remedy = f'features=[Feature("{each.name}", str)] in split() keeps them as they are'
                print(f"{channel}: the numbers in {each.name} {lost}: if they are codes, {remedy}", flush=True)

    def _classes(self, column: Any, channel: str) -> NDArray[Any]:
        """Labels as strings. A number has the same label in any form, such as '1' for 1 and 1.0, but 01 is a code."""
        codes, labels = importlib.import_module("pandas").factorize(column)
        texts = [str(label) for label in labels]
        if self._numeric:
            if any(text.strip().lower() in GAPS for text in texts):
                raise UserError(f"The column '{column.name}' of the channel '{channel}' lacks a value in some rows.")
            texts = list(map(_plain, texts)) if not any(map(CODE.match, texts)) else texts
        named: NDArray[Any] = np.array(texts)[codes]
        return named

    def _concat(self, tables: Tables, wanted: Mapping[str, Feature]) -> Any:
        """All rows as one DataFrame. Raises ``UserError`` for the first string if ``predict`` takes an array."""
        texts = [each.name for each in wanted.values() if each.kind is str and each.name != self._target.name]
        if not schema.wants_frame(self.predict):
            wanted = {**wanted, **{name: Feature(name, missing=True) for name in texts}}

        def remedy(name: str, problem: str) -> str:
            if problem == NO_VALUE and name != self._target.name:
                kind = "" if wanted[name].kind is float else f", {wanted[name].kind.__name__}"
                allowed = f'features=[Feature("{name}"{kind}, missing=True)]'
                return f" Fill in the cell, or allow missing values in the first call of split(): {allowed}."
            if name in texts and wanted[name].kind is float:
                return " Fix the cell, or annotate the rows of predict() as pandas.DataFrame, which can hold text."
            return ""

        return importlib.import_module("pandas").concat(tables.read(wanted, remedy), ignore_index=True)

    def _read(self, tables: Tables, channel: str) -> Any:
        """Another channel, which may hold new strings: the model is evaluated on them too."""
        known = {each.name: self._declared.get(each.name) or replace(each, choices=()) for each in self.features}
        wanted = {**known, self._target.name: self._target}
        table = self._concat(tables, wanted)
        _require_columns(channel, table, list(wanted))
        return table


def _require_columns(channel: str, found: Any, wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in found:
            raise UserError(f"The channel '{channel}' has no column '{name}': it has {', '.join(map(str, found))}.")


def _lost(numbers: Any, code: str) -> str:
    """What the numbers of a column lose if they are codes, such as ``code``; empty if nothing."""
    if numbers.abs().max() >= 2**53:
        return "have more digits than a number keeps"
    return f"lose the zero of {code.strip()}" if code else ""


def _with_choices(feature: Feature, column: Any) -> Feature:
    """The feature with the strings of its column as choices, if they are few."""
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


def _plain(text: str) -> str:
    """The standard form of a number or a boolean."""
    word = WORDS.get(text.strip().lower())
    if word is not None:
        return str(word)
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return text
    short = value.is_finite() and abs(value.adjusted()) <= DIGITS
    return str(int(value)) if short and value == int(value) else text


def _require_classes(labels: NDArray[Any], target: str, channel: str) -> None:
    """Raise ``UserError`` if there is only one class, or one for nearly every number."""
    classes = np.unique(labels)
    about = f"The column '{target}' of the channel '{channel}'"
    if len(classes) < 2:
        raise UserError(f"{about} has only one class, '{classes[0]}': give rows of at least two.")
    numbers = [number(each) for each in classes]
    if any(value != value for value in numbers):
        return
    if any(value % 1 for value in numbers) or (len(classes) > CLASSES and len(labels) < ROWS_FOR_EACH * len(classes)):
        raise UserError(
            f"{about} holds {len(classes)} different numbers in {len(labels)} rows, which are amounts and not classes: "
            f'name another column as the target, or predict numbers with split("{target}", "numbers").'
        )
