"""Template: a channel: a named directory of input files, or a named pipe for each time that it is read."""

import importlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from contract.errors import UserError, counted
from contract.feature import Feature
from contract.training.baseline import sampled
from contract.training.digests import files_below, size
from contract.training.signature import Kind, Signature
from contract.training.tables import Tables

SECONDS_TO_APPEAR = 30  # for a pipe


@dataclass(frozen=True)
class Channel:
    """A named input of the training job: ``/opt/ml/input/data/<name>`` (T-21)."""

    name: str
    directory: Path
    mode: str = "File"
    """Or ``FastFile``, for files that are downloaded as they are read, or ``Pipe``, for one stream (T-21 to T-23)."""
    _pipes: Iterator[int] = field(default_factory=itertools.count)
    _signature: Signature = field(default_factory=Signature)

    def files(self, *suffixes: str) -> list[Path]:
        """All files below the directory whose names end in one of ``suffixes``, sorted, without hidden and empty ones.

        Raises ``UserError`` if there are none (T-24, T-25). In Pipe mode it is one pipe, which can be read
        once; the next call returns the next pipe.
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
        print(f"{self.name}: {counted(len(fit), 'file')}, {megabytes:,.2f} MB", flush=True)
        return fit

    def tables(self, rows: int = 100_000, **options: Any) -> Iterator[Any]:
        """Yields all CSV files, also gzipped ones, as DataFrames of at most ``rows`` rows, so only one is in memory.

        Each column holds numbers, booleans or strings, decided from all files before the first table is yielded. A
        missing value is NaN. ``options`` are those of ``pandas.read_csv``, such as ``header=None``. By default the
        files are UTF-8, with or without a byte order mark, and start with a header (T-31). Raises ``UserError`` if a
        file cannot be read or has other columns than those before it, and if there are no rows.
        """
        tables = Tables(self.name, self.files(".csv", ".csv.gz"), rows, options)
        found = tables.read_once() if self.mode == "Pipe" else tables.read(tables.features())
        return sampled(self._signature.samples, self.name, found)

    def table(self, **options: Any) -> Any:
        """All CSV files as one DataFrame, read as by ``tables``."""
        return importlib.import_module("pandas").concat(self.tables(**options), ignore_index=True)

    def split(self, target: str, kind: Kind, features: Sequence[str | Feature] = ()) -> tuple[Any, NDArray[Any]]:
        """Return the rows of all CSV files, in the form that ``predict`` gets, and the column ``target``.

        The rows are an array of shape (rows, columns), or a DataFrame if ``predict`` is annotated with one. The
        target is strings if ``kind`` is ``classes``, and floats if it is ``numbers``. All other columns are
        features. The first call learns what they hold, which is kept with the model; later calls read their channel
        the same way. ``features`` override what the data show: ``Feature("zip", str)``.

        Raises ``UserError`` with file and line for a cell that does not fit.
        """
        paths = self.files(".csv", ".csv.gz")
        return self._signature.split(self.name, paths, target, kind, features)

    def describe(self) -> dict[str, Any]:
        """What the manifest says without reading the files; the digests come with the size in File mode."""
        return {"mode": self.mode} | (size(files_below(self.directory)) if self.mode == "FastFile" else {})

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
