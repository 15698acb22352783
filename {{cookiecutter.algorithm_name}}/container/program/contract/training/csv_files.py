"""Template: what pandas does not tell of a CSV file: faults of its header and rows, and lines for messages."""

import csv
import gzip
import io
import itertools
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from contract.errors import UserError

csv.field_size_limit(sys.maxsize)  # of a cell, which is 128 KiB otherwise


def opened(path: Path) -> TextIO:
    """A file, unpacked where it ends in ``.gz``."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def names_of(path: Path, lines: Iterable[str]) -> list[str]:
    """The columns' names, without blanks around them. Raises ``UserError`` unless each has one of its own."""
    names = [cell.strip() for cell in next((cells for cells in csv.reader(lines) if cells), [])]
    for place, name in enumerate(names, 1):
        if not name or re.fullmatch(r"Unnamed: \d+", name):
            remedy = (
                "the index of a DataFrame, it seems: write the file with to_csv(index=False)"
                if place == 1
                else "name it, or remove the comma at the end of the header"
            )
            raise UserError(f"{path}, line 1: column {place} has no name: {remedy}.")
        if names.index(name) + 1 < place:
            raise UserError(f"{path}, line 1: the name '{name}' stands there twice: name each column once.")
    return names


def require_full_rows(path: Path) -> None:
    """Raise ``UserError`` where a row is shorter than the header, for which pandas would see gaps at its end."""
    with opened(path) as file:
        rows = csv.reader(file)
        filled = (cells for cells in rows if cells)
        width = len(next(filled, []))
        for cells in filled:
            if len(cells) < width:
                raise UserError(
                    f"{path}, line {rows.line_num}: the row has {len(cells)} cells, the header {width}: "
                    "write a comma for each empty cell."
                )


def line_of(path: Path, row: int) -> int:
    """The last line of a row, counted from 0 after the header: a row may span several."""
    with opened(path) as file:
        rows = csv.reader(file)
        ends = (rows.line_num for cells in rows if cells)
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
