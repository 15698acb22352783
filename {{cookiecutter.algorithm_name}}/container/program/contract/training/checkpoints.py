"""Template: files from which an interrupted training job continues when it is started again (T-50, T-52)."""

import os
from collections.abc import Callable
from pathlib import Path

from contract.errors import UserError

KEPT = 2  # the newest, and the one before it, which the platform may still be copying


class Checkpoints:
    """The checkpoint directory, if the job has one. Each checkpoint is one file, complete or not there at all."""

    def __init__(self, directory: Path, host: int) -> None:
        """``host`` is this host's index among all, since names can change when a job is started again (T-51).

        Raises ``UserError`` if the directory exists and cannot be written, before anything is computed.
        """
        self._directory, self._prefix = directory, f"host-{host}-"
        if directory.is_dir():
            self._write_unfinished(lambda path: path.touch())
            for left in directory.glob(f".half-{self._prefix}*"):  # also those that a killed job left
                left.unlink()

    @property
    def newest(self) -> Path | None:
        """The file to continue from. None if the job has just started or has no checkpoints."""
        return max(self._files(), default=None)

    def write(self, write: Callable[[Path], object]) -> None:
        """Call ``write(path)`` to write the newest checkpoint. Do nothing without a checkpoint directory (T-51).

        Raises ``UserError`` if it cannot be written; the one before is kept.
        """
        if not self._directory.is_dir():
            return
        earlier = self._files()
        number = int(earlier[-1].name[-8:]) + 1 if earlier else 1
        self._write_unfinished(write).replace(self._directory / f"{self._prefix}{number:08d}")
        for old in earlier[: 1 - KEPT]:
            old.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob(self._prefix + 8 * "[0-9]"))

    def _write_unfinished(self, write: Callable[[Path], object]) -> Path:
        path = self._directory / f".half-{self._prefix}{os.getpid()}"  # ``newest`` does not see this name
        try:
            write(path)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(
                f"No checkpoint can be written to {self._directory}: {error.strerror}. Make it writable and give it "
                "space, or start the job without checkpoints."
            ) from error
        return path
