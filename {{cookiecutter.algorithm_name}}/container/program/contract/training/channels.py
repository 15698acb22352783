"""Template: a channel, which is a named directory of input files, or a named pipe for each time that it is read."""

import importlib
import io
import itertools
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import UserError
from contract.schema import Rows
from contract.training.digests import files_below, size

SECONDS_TO_APPEAR = 30  # for a pipe


@dataclass(frozen=True)
class Channel:
    """A named input of the training job: ``/opt/ml/input/data/<name>`` (T-21)."""

    name: str
    directory: Path
    mode: str = "File"
    """Or ``FastFile``, for files that are downloaded as they are read, or ``Pipe``, for one stream (T-21 to T-23)."""
    _pipes: Iterator[int] = field(default_factory=itertools.count)

    def files(self, *suffixes: str) -> list[Path]:
        """All files below the directory whose names end in one of ``suffixes``, sorted, without hidden and empty ones.

        Raises ``UserError`` if there are none (T-24, T-25). In Pipe mode it is one pipe, to be read once from beginning
        to end; the next call gives the next one.
        """
        if self.mode == "Pipe":
            return [self._next_pipe()]
        found = files_below(self.directory)
        fit = [path for path in found if path.name.endswith(suffixes) and self._counts(path)]
        if not fit:
            names = ", ".join(path.name for path in found[:5]) or "nothing"
            raise UserError(
                f"The channel '{self.name}' has no {' or '.join(suffixes)} file with data: {self.directory} holds "
                f"{names}; hidden and empty files do not count. Check the channel's name, its S3 prefix and that the "
                "role may read it."
            )
        megabytes = size(fit)["bytes"] / 2**20  # An out-of-memory kill leaves no other trace (T-45).
        print(f"{self.name}: {len(fit)} {'file' if len(fit) == 1 else 'files'}, {megabytes:,.2f} MB", flush=True)
        return fit

    def tables(self, rows: int = 100_000, **options: Any) -> Iterator[Any]:
        """Yields all CSV files, also gzipped ones, as DataFrames of at most ``rows`` rows: only one is in memory.

        ``options`` are those of ``pandas.read_csv``, such as ``header=None``. By default the files are UTF-8, with or
        without a byte order mark, and begin with a header (T-31). Raises ``UserError`` if a file cannot be read or has
        other columns than those before it, and if there are no rows.
        """
        columns: list[Any] = []
        for path in self.files(".csv", ".csv.gz"):
            for table in _tables(path, rows, options):
                columns = columns or list(table)
                if different := sorted(set(table) ^ set(columns), key=str):
                    raise UserError(
                        f"{path} differs from the files before it in the column '{different[0]}': make them alike."
                    )
                yield table[columns]
        if not columns:
            raise UserError(f"The channel '{self.name}' has no rows: its files hold no more than a header.")

    def column(self, table: Any, name: str) -> Any:
        """A column of a table. Raises ``UserError`` if there is none of that name, or if a value is missing."""
        if name not in table:
            raise UserError(f"The channel '{self.name}' has no column '{name}': it has {', '.join(map(str, table))}.")
        self._require_all(table[name].notna(), name, "a value")
        return table[name]

    def numbers(self, table: Any, names: Sequence[str]) -> Rows:
        """Some columns of a table, as an array of shape (rows, columns). Raises ``UserError`` for other values."""
        if not names:
            raise UserError(f"The channel '{self.name}' has no column to learn from beside what is to be predicted.")
        to_numeric = importlib.import_module("pandas").to_numeric
        columns = [to_numeric(self.column(table, name), errors="coerce").to_numpy(np.float64) for name in names]
        for name, values in zip(names, columns, strict=True):
            self._require_all(np.isfinite(values), name, "a finite number")
        return np.column_stack(columns)

    def describe(self) -> dict[str, Any]:
        """What the manifest says without reading the files; the digests come with the size in File mode."""
        return {"mode": self.mode} | (size(files_below(self.directory)) if self.mode == "FastFile" else {})

    def _require_all(self, good: Any, name: str, what: str) -> None:
        if (bad := np.flatnonzero(~np.asarray(good))).size:
            raise UserError(
                f"The column '{name}' of the channel '{self.name}' must hold {what} in every row: "
                f"row {bad[0] + 1} does not."
            )

    def _next_pipe(self) -> Path:
        pipe = self.directory.with_name(f"{self.name}_{next(self._pipes)}")
        deadline = time.monotonic() + SECONDS_TO_APPEAR
        while not pipe.exists():
            if time.monotonic() > deadline:
                raise UserError(
                    f"The channel '{self.name}' is in Pipe mode, but {pipe} does not appear: "
                    "start the job with the input mode File or FastFile."
                )
            time.sleep(0.1)
        return pipe

    def _counts(self, path: Path) -> bool:
        inside = path.relative_to(self.directory)
        return path.stat().st_size > 0 and not any(part.startswith(".") for part in inside.parts)


def _tables(path: Path, rows: int, options: Mapping[str, Any]) -> Iterator[Any]:
    """The rows of a file or pipe. Raises ``UserError`` with pandas' reason if it cannot be read."""
    pandas = importlib.import_module("pandas")  # the server does not need it
    source = io.BufferedReader(_OneHeader(path)) if path.is_fifo() and "header" not in options else path
    try:
        with pandas.read_csv(source, **{"index_col": False, "chunksize": rows, **options}) as tables:
            while True:
                with warnings.catch_warnings(action="error", category=pandas.errors.ParserWarning):
                    table = next(tables, None)
                if table is None:
                    return
                if len(table):
                    yield table
    except pandas.errors.ParserWarning as error:
        raise UserError(f"{path} cannot be read as CSV: its rows have more cells than its header.") from error
    except (ValueError, EOFError, OSError, zlib.error) as error:
        text = getattr(error, "strerror", None) or str(error).strip().removeprefix("Error tokenizing data. C error: ")
        reason = "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else text
        raise UserError(f"{path} cannot be read as CSV: {reason}.") from error


class _OneHeader(io.RawIOBase):
    """The content of a pipe, with the header of the first file only (T-23)."""

    def __init__(self, pipe: Path) -> None:
        self._lines, self._rest = _with_one_header(pipe), b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill in a line, or as much of it as there is room for; 0 at the end."""
        line = self._rest or next(self._lines, b"")
        count = min(len(line), len(buffer))
        buffer[:count], self._rest = line[:count], line[count:]
        return count


def _with_one_header(pipe: Path) -> Iterator[bytes]:
    with pipe.open("rb") as file:
        header = file.readline()
        yield header
        yield from (line for line in file if line != header)
