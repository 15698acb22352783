"""Template: CSV files as DataFrames, with cells read as in requests.

pandas splits files into cells and reads plain numbers. What a column holds is decided from all files and rows.
"""

import importlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import UserError
from contract.feature import GAPS, WORDS, Feature, number
from contract.training import csv_files

EMPTY, BITS, NUMBER, BOOLEAN, TEXT = range(5)
"""What the cells of a column have been so far: only missing values, only 0 and 1, and so on."""
Options = Mapping[str, Any] | None
Remedy = Callable[[str, str], str]  # returns how to fix a cell, given its column and what is wrong with it
KINDS = {EMPTY: float, BITS: float, NUMBER: float, BOOLEAN: bool, TEXT: str}


@dataclass(frozen=True)
class Seen:
    """What some cells of a column are."""

    cells: int = EMPTY
    empty: bool = False
    """Whether one is empty."""
    gap: bool = False
    """Whether one is a word such as NA, which is a missing value unless the column is text."""

    def plus(self, other: "Seen") -> "Seen":
        """All cells together."""
        low, high = sorted((self.cells, other.cells))
        together = TEXT if (low, high) == (NUMBER, BOOLEAN) else high
        return Seen(together, self.empty or other.empty, self.gap or other.gap)

    def feature(self, name: str) -> Feature:
        """A column of such cells."""
        kind = KINDS[self.cells]
        return Feature(name, kind, missing=self.empty or (self.gap and kind is not str))


class Tables:
    """The CSV files of a channel, ``rows`` rows at a time, read with some options of ``pandas.read_csv``."""

    def __init__(
        self, channel: str, paths: Sequence[Path], rows: int = 100_000, options: Options = None, keep: bool = False
    ) -> None:
        """``keep`` holds all cells in memory, so that the files need not be read twice."""
        self._channel, self._paths, self._options = channel, paths, options or {}
        self._pandas = importlib.import_module("pandas")  # the server does not need it
        exact = {} if int(self._pandas.__version__.split(".")[0]) > 2 else {"float_precision": "round_trip"}
        gaps = {"keep_default_na": False, "na_values": [""]}
        self._defaults = exact | gaps | {"index_col": False, "chunksize": rows, "low_memory": False}
        self._keep, self._kept = keep, list[tuple[Path, Any]]()

    def features(self) -> dict[str, Feature]:
        """What the columns hold: numbers, booleans or strings, and whether values are missing. Reads all files."""
        found: dict[str, Seen] = {}
        written = any(path.is_fifo() for path in self._paths)  # cannot be read again if pandas guessed wrong
        for path, table in self._raw(str if written else {}):
            for name in table:
                found[name] = found.get(name, Seen()).plus(_look(table[name]))
            if self._keep:
                self._kept.append((path, table))
        features = {name: seen.feature(name) for name, seen in found.items()}
        texts = [name for name, feature in features.items() if feature.kind is str]
        if not written and any(table[name].dtype.kind in "iufb" for _, table in self._kept for name in texts):
            self._kept.clear()
        return features

    def codes(self) -> dict[str, str]:
        """The columns of the first file that seem to hold codes such as 007, each with one."""
        first = self._paths[0]
        return {} if self._options or first.is_fifo() else csv_files.codes_of(first)

    def read(self, features: Mapping[str, Feature], remedy: Remedy = lambda name, problem: "") -> Iterator[Any]:
        """Yield DataFrames with columns as in ``features``, others as pandas reads them.

        Raises ``UserError`` with file and line for a cell that a feature does not allow, and the ``remedy`` for it.
        """
        texts = {name: str for name, feature in features.items() if feature.kind is str}
        if any(table[name].dtype.kind in "iufb" for _, table in self._kept[:1] for name in texts):
            self._kept.clear()  # a feature is declared as str, but pandas has read numbers
        for path, table in self._kept or self._raw(texts):
            yield self._typed(path, table, features, remedy)

    def read_once(self) -> Iterator[Any]:
        """The same for a pipe of any length, which can be read once: the first table decides what the columns hold."""
        features: dict[str, Feature] = {}
        for path, table in self._raw(str):
            if not features:
                features = {name: replace(_look(table[name]).feature(name), missing=True) for name in table}
            yield self._typed(path, table, features, lambda name, problem: "")

    def _raw(self, texts: Any) -> Iterator[tuple[Path, Any]]:
        """The files with their cells as pandas reads them: as they are written in the columns ``texts``."""
        columns: list[Any] = []
        for path in self._paths:
            looked = bool(self._options) or path.is_fifo()
            for table in self._pieces(path, texts):
                columns = columns or list(table)
                if not looked and table.iloc[:, -1].isna().any():
                    csv_files.require_even_rows(path)
                    looked = True
                if different := sorted(set(table) ^ set(columns), key=str):
                    raise UserError(
                        f"{path} differs from the files before it in the column '{different[0]}': make them alike."
                    )
                yield path, table[columns]
        if not columns:
            raise UserError(f"The channel '{self._channel}' has no rows: its files hold only a header.")

    def _pieces(self, path: Path, texts: Any) -> Iterator[Any]:
        warning = self._pandas.errors.ParserWarning
        with csv_files.reading(path, by_pandas=not self._options and path.is_file()):
            source, names = self._source(path)
            header = {"header": 0, "names": names} if names else {}
            with self._pandas.read_csv(source, **{**self._defaults, **header, "dtype": texts, **self._options}) as it:
                while True:
                    with warnings.catch_warnings(action="error", category=warning):
                        table = next(it, None)
                    if table is None:
                        return
                    if len(table):
                        yield table

    def _source(self, path: Path) -> tuple[Any, list[str]]:
        """The file, and the names in its header, which pandas would silently change; none if options set them."""
        if self._options.keys() & {"header", "names", "skiprows", "sep", "delimiter", "encoding", "compression"}:
            return path, []
        if path.is_fifo():
            source = csv_files.OneHeader(path)
            return io.BufferedReader(source), csv_files.names_of(path, [source.header.decode("utf-8-sig")])
        with csv_files.opened(path) as file:
            return path, csv_files.names_of(path, file)

    def _typed(self, path: Path, table: Any, features: Mapping[str, Feature], remedy: Remedy) -> Any:
        columns = {}
        for name in table:
            values, feature = table[name], features.get(str(name))
            if feature:
                values, place, problem = typed(values, feature, self._pandas)
                if problem:
                    where = self._place(path, table.index[place])
                    raise UserError(f"{path}, {where}: the column '{name}' {problem}.{remedy(str(name), problem)}")
            columns[name] = values
        return self._pandas.DataFrame(columns, index=table.index, copy=False)

    def _place(self, path: Path, row: int) -> str:
        """The line of a row, which may span several lines."""
        if self._options or not path.is_file():
            return f"row {row + 1}"
        return f"line {csv_files.line_of(path, row)}"


def typed(column: Any, feature: Feature, pandas: Any) -> tuple[Any, int, str]:
    """The values of a column as ``feature`` reads its cells; the index of the first bad one and what is wrong with it.

    Numbers are of type float64, booleans of type bool, or float64 where one is missing.
    """
    if feature.kind is float and column.dtype.kind in "iuf":
        values = column.to_numpy(np.float64)
        good = np.isfinite(values) & (values >= feature.minimum) & (values <= feature.maximum)
        if (good | (np.isnan(values) & feature.missing)).all():
            return values, 0, ""
    if feature.kind is str and not feature.choices and (feature.missing or not column.isna().any()):
        return column, 0, ""
    codes, cells = pandas.factorize(column, use_na_sentinel=False)
    read: list[Any] = []
    for code, cell in enumerate(cells):
        try:
            read.append(_value(feature, cell))
        except ValueError as error:
            return column, int((codes == code).argmax()), str(error)
    if feature.kind is str:
        return column, 0, ""
    whole = feature.kind is bool and not feature.missing
    return np.array(read, bool if whole else np.float64)[codes], 0, ""


def _value(feature: Feature, cell: Any) -> Any:
    if isinstance(cell, str):
        return feature.from_text(cell)
    return feature.from_value(cell.item() if isinstance(cell, np.generic) else cell)


def _look(column: Any) -> Seen:
    if column.dtype.kind == "b":
        return Seen(BOOLEAN)
    if column.dtype.kind in "iuf":
        values = column.to_numpy()
        gaps = np.isnan(values)
        filled = values[~gaps]
        only_bits = bool(((filled == 0) | (filled == 1)).all())
        return Seen(EMPTY if gaps.all() else BITS if only_bits else NUMBER, bool(gaps.any()))
    texts = {str(cell).strip().lower() for cell in column.dropna().unique()}
    cells = texts.difference(GAPS)
    numbers = [number(cell) for cell in cells if cell not in WORDS]
    seen = TEXT
    if not any(value != value for value in numbers):
        bits = set(numbers) <= {0, 1}
        words = len(numbers) < len(cells)
        seen = (BOOLEAN if bits else TEXT) if words else (BITS if bits else NUMBER) if cells else EMPTY
    return Seen(seen, bool(column.isna().any()), len(cells) < len(texts))
