"""Template: a channel is a directory of input files with a name, or a pipe for each time that it is read."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import UserError

SECONDS_TO_APPEAR = 30  # for a pipe


@dataclass(frozen=True)
class Channel:
    """A named input of the training job: ``/opt/ml/input/data/<name>`` (T-21)."""

    name: str
    directory: Path
    mode: str = "File"
    """Or ``FastFile``: files that are downloaded as they are read; or ``Pipe``: all of them in a row (T-21 to T-23)."""
    _pipes: Iterator[int] = field(default_factory=itertools.count)

    def files(self, *suffixes: str) -> list[Path]:
        """All files below the directory whose names end in one of ``suffixes``, sorted (T-24).

        Hidden and empty files are passed over. Raises ``UserError`` where none is left (T-25). In Pipe mode it is one
        pipe, to be read once from its begin to its end; the next call gives the next one.
        """
        if self.mode == "Pipe":
            return [self._next_pipe()]
        there = self.everything()
        fit = [path for path in there if path.name.endswith(suffixes) and self._counts(path)]
        if not fit:
            names = ", ".join(path.name for path in there[:5]) or "nothing"
            raise UserError(
                f"The channel '{self.name}' has no {' or '.join(suffixes)} file with data: {self.directory} holds "
                f"{names}; hidden and empty files do not count. Check the channel's name, its S3 prefix and that the "
                "role may read it."
            )
        size = sum(path.stat().st_size for path in fit) / 2**20
        print(f"{self.name}: {len(fit)} {'file' if len(fit) == 1 else 'files'}, {size:,.2f} MB", flush=True)  # T-45
        return fit

    def everything(self) -> list[Path]:
        """All files below the directory, sorted, whatever they are."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

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
