"""Template: a channel is a directory of input files with a name."""

from dataclasses import dataclass
from pathlib import Path

from contract.errors import UserError


@dataclass(frozen=True)
class Channel:
    """A named input of the training job: ``/opt/ml/input/data/<name>`` (T-21)."""

    name: str
    directory: Path

    def files(self, *suffixes: str) -> list[Path]:
        """All files below the directory whose names end in one of ``suffixes``, sorted (T-24).

        Hidden and empty files are passed over. Raises ``UserError`` where none is left (T-25).
        """
        there = sorted(path for path in self.directory.rglob("*") if path.is_file())
        fit = [path for path in there if path.name.endswith(suffixes) and self._counts(path)]
        if not fit:
            names = ", ".join(path.name for path in there[:5]) or "nothing"
            raise UserError(
                f"The channel '{self.name}' has no {' or '.join(suffixes)} file with data: {self.directory} holds "
                f"{names}. Check the channel's name, its S3 prefix and that the role may read it."
            )
        return fit

    def _counts(self, path: Path) -> bool:
        inside = path.relative_to(self.directory)
        return path.stat().st_size > 0 and not any(part.startswith(".") for part in inside.parts)
