"""Template: a training job from its ``/opt/ml`` tree to an exit status."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Generic, NoReturn, SupportsFloat, TypeVar

from contract import failure, hyperparameters, interface
from contract.channels import Channel
from contract.errors import UserError
from contract.paths import Paths

H = TypeVar("H")


@dataclass(frozen=True)
class TrainingJob(Generic[H]):
    """What ``train(job)`` gets: checked hyperparameters, the channels, a place for reports, metrics."""

    hyperparameters: H
    paths: Paths

    def channel(self, name: str) -> Channel:
        """The input channel ``name``. Raises ``UserError`` where the job has none of that name (T-25)."""
        if not self.has_channel(name):
            known = sorted(path.name for path in self.paths.channels.glob("*")) or ["none"]
            raise UserError(
                f"The job has no channel '{name}': {self.paths.channels} holds {', '.join(known)}. "
                "Name the channel so when the job is started."
            )
        return Channel(name, self.paths.channels / name)

    def has_channel(self, name: str) -> bool:
        """Whether the job was given the channel ``name``."""
        return (self.paths.channels / name).is_dir()

    @property
    def output(self) -> Path:
        """A directory for reports and plots; the platform keeps it as ``output.tar.gz`` (T-42)."""
        self.paths.output_data.mkdir(parents=True, exist_ok=True)
        return self.paths.output_data

    def log_metric(self, name: str, value: SupportsFloat) -> None:
        """Print ``name=value;`` on a line of its own, where SageMaker's metric scraper finds it (T-55)."""
        print(f"{name}={float(value)!r};", flush=True)


def run(import_algorithm: Callable[[], ModuleType]) -> int:
    """Train, save and say how it went: the exit status of ``train`` (P-23).

    A failure is logged, written to the failure file and ends in 1.
    """
    signal.signal(signal.SIGTERM, _stop)  # P-21: without a handler PID 1 would ignore it
    paths = Paths.from_environment()
    try:
        algorithm = interface.obtain(import_algorithm)
        settings = hyperparameters.parse(algorithm.Hyperparameters, _read_hyperparameters(paths.hyperparameters))
        print(f"hyperparameters: {settings}", flush=True)
        model = fit(algorithm, TrainingJob(settings, paths))
        _save(algorithm, model, paths.model)
    except (Exception, SystemExit) as error:  # the outermost boundary: whatever it is, the job says why it failed
        failure.report(error, paths.failure)
        return 1
    print(f"model saved in {paths.model}", flush=True)
    return 0


def fit(algorithm: interface.Algorithm, job: TrainingJob[Any]) -> Any:
    """Return the model that ``train`` returns. Raises ``UserError`` where it returns none."""
    model = algorithm.train(job)
    if model is None:
        raise UserError("train() in algorithm.py returned None: return the model that save() is to write.")
    return model


def _read_hyperparameters(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        given = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.") from error
    if not isinstance(given, dict):
        raise UserError(f"{path} must hold one JSON object of names and values.")
    return given


def _save(algorithm: interface.Algorithm, model: Any, directory: Path) -> None:
    """Save beside the model, then move: a stop in mid-save leaves no partial file (T-46)."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=directory) as staging:
        algorithm.save(model, Path(staging))
        saved = sorted(Path(staging).iterdir())
        if not saved:
            raise UserError("save() in algorithm.py wrote nothing: write the model into the directory it is given.")
        for path in saved:
            target = directory / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise UserError("The training job was stopped before it saved a model.")
