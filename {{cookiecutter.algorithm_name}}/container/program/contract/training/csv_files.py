"""Template: what pandas does not report about a CSV file: mistakes in its header and rows, and line numbers."""

import csv
import gzip
import io
import itertools
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from contract.errors import UserError, counted
from contract.feature import SEPARATORS, separator

REASONS = {"UnicodeDecodeError": "it is not in UTF-8", "ParserWarning": "its rows have more cells than its header"}
ROWS_FOR_CODES = 1000
CODE = re.compile(r"\s*[+-]?0\d")  # a number would lose its zero
csv.field_size_limit(sys.maxsize)  # a cell is limited to 128 KiB otherwise


def opened(path: Path) -> TextIO:
    """A file, decompressed if its name ends in ``.gz``."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def reading(path: Path, by_pandas: bool = False) -> Iterator[None]:
    """Raises ``UserError`` for an error while the file is read. pandas's line numbers are not used: they differ."""
    try:
        yield
    except (Warning, ValueError, EOFError, OSError, zlib.error) as error:
        text = getattr(error, "strerror", None) or str(error).strip()
        if by_pandas:
            require_even_rows(path, closed="EOF inside string" not in text)
        reason = REASONS.get(type(error).__name__, text.removeprefix("Error tokenizing data. C error: "))
        raise UserError(f"{path} cannot be read as CSV: {reason}.") from error


def rows_of(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, int, list[str]]]:
    """The first and the last line of each row, and its cells. Blank lines are skipped, as in pandas."""
    rows, first = csv.reader(lines), 1
    try:
        for cells in rows:
            if cells and (cells[1:] or not cells[0] or cells[0].strip(" \t")):
                yield first, rows.line_num, cells
            first = rows.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {first} cannot be read as CSV: {error}.") from error


def names_of(path: Path, lines: Iterable[str]) -> list[str]:
    """The columns' names, without blanks around them. Raises ``UserError`` unless each column has a unique name."""
    _, line, cells = next(rows_of(path, lines), (1, 1, []))
    names, where = [cell.strip() for cell in cells], f"{path}, line {line}:"
    if len(cells) == 1 and (mark := separator(cells[0])):
        raise UserError(
            f"{where} the columns seem to be separated by {SEPARATORS[mark]}: separate them by commas, or read the "
            f"file with table(sep={mark!r})."
        )
    for place, name in enumerate(names, 1):
        if not name or re.fullmatch(r"Unnamed: \d+", name):
            remedy = "name it, or remove the comma at the end of the header"
            if place == 1:
                remedy = "if it is the index of a DataFrame, write the file with to_csv(index=False)"
            raise UserError(f"{where} column {place} has no name: {remedy}.")
        if names.index(name) + 1 < place:
            raise UserError(f"{where} two columns are named '{name}': give each its own name.")
    return names


def require_even_rows(path: Path, closed: bool = True) -> None:
    """Raise ``UserError`` for a row with fewer or more cells than the header, or for a quote that is not ``closed``.

    pandas would read cells that are left out as missing values. A comma at the end of each row does no harm.
    """
    first = most = 0
    with reading(path), opened(path) as file:
        rows = rows_of(path, file)
        width = len(next(rows, (0, 0, []))[2])
        for first, line, cells in rows:  # noqa: B007 # of the last one
            most = most or max(width, len(cells))
            if len(cells) != width and closed and (not width < len(cells) <= most or any(cells[width:])):
                few = len(cells) < width
                remedy = "write a comma for each empty cell" if few else "quote each cell that holds a comma"
                given = f"the row has {counted(len(cells), 'cell')}, but the header has {width}"
                raise UserError(f"{path}, line {line}: {given}: {remedy}.")
    if not closed:
        raise UserError(f"{path}, line {first or 1}: a quote is not closed: close it or remove it.")


def codes_of(path: Path) -> dict[str, str]:
    """The columns in whose first cells a zero stands before a digit, as in postal codes, each with such a cell."""
    with reading(path), opened(path) as file:
        names = names_of(path, file)
        rows = (zip(names, cells, strict=False) for _, _, cells in rows_of(path, file))
        return {name: cell for row in itertools.islice(rows, ROWS_FOR_CODES) for name, cell in row if CODE.match(cell)}


def line_of(path: Path, row: int) -> int:
    """The last line of a row, counted from 0 after the header: a row may span several."""
    with reading(path), opened(path) as file:
        ends = (line for _, line, _ in rows_of(path, file))
        return next(itertools.islice(ends, row + 1, None), row + 2)


class OneHeader(io.RawIOBase):
    """The content of a pipe, with the header of the first file only (T-23)."""

    def __init__(self, pipe: Path) -> None:
        self._file = pipe.open("rb")
        self.header = self._rest = self._file.readline()
        self._lines = (line for line in self._file if line != self.header)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill in a line, or as much of it as there is room for; 0 at the end."""
        line = self._rest or next(self._lines, b"")
        count = min(len(line), len(buffer))
        buffer[:count], self._rest = line[:count], line[count:]
        return count

    def close(self) -> None:
        """Close the pipe."""
        self._file.close()
        super().close()
