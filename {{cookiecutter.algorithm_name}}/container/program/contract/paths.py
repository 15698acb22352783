"""Template: the ``/opt/ml`` tree (P-40), whose root tests can move (P-44)."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import UserError


@dataclass(frozen=True)
class Paths:
    """Where the platform puts and expects files."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        """``SAGEMAKER_BASE_DIR`` if it is set and not empty (P-34), else ``/opt/ml``."""
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"))

    @property
    def model(self) -> Path:
        """The model directory: written by ``train``, read-only for ``serve`` (P-41)."""
        return self.root / "model"

    def config(self, name: str) -> dict[str, Any]:
        """The JSON object in ``input/config/<name>.json``, ``{}`` if it is missing or empty (T-02).

        Raises ``UserError`` if it holds anything else.
        """
        path = self.root / "input" / "config" / f"{name}.json"
        try:
            text = path.read_text(encoding="utf-8-sig").strip() if path.exists() else ""
            given = json.loads(text or "{}", object_pairs_hook=_unique)
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} cannot be read as JSON in UTF-8: {getattr(error, 'strerror', error)}.") from error
        if not isinstance(given, dict):
            raise UserError(f"{path} must hold one JSON object of names and values.")
        return given

    @property
    def checkpoints(self) -> Path:
        """Copied to S3 while the job runs, and back when it restarts; ``SAGEMAKER_CHECKPOINT_DIR`` moves it (T-50)."""
        return Path(os.environ.get("SAGEMAKER_CHECKPOINT_DIR") or self.root / "checkpoints")

    @property
    def channels(self) -> Path:
        """One directory for each channel (T-21)."""
        return self.root / "input" / "data"

    @property
    def output_data(self) -> Path:
        """Side artifacts such as reports; becomes ``output.tar.gz`` (T-42)."""
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        """Why the job failed; its first 1,024 characters become ``FailureReason`` (T-43)."""
        return self.root / "output" / "failure"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"it has the key '{key}' twice, keep one")
    return dict(pairs)
