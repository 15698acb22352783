"""Template: the ``/opt/ml`` tree (P-40), under a root that can be moved for tests (P-44)."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Where the platform puts things and looks for things."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        """``SAGEMAKER_BASE_DIR`` where it is set and not empty (P-34), else ``/opt/ml``."""
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml"))

    @property
    def model(self) -> Path:
        """The model directory: written by ``train``, read-only for ``serve`` (P-41)."""
        return self.root / "model"

    @property
    def hyperparameters(self) -> Path:
        """A flat JSON map of strings; may be missing or empty (T-02)."""
        return self.root / "input" / "config" / "hyperparameters.json"

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
