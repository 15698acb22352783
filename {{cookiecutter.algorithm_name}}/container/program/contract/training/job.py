"""Template: what ``train(job)`` is given."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, SupportsFloat, TypeVar

import orjson
from numpy.typing import ArrayLike

from contract.errors import UserError
from contract.paths import Paths
from contract.training import cluster, evaluation, manifest, report
from contract.training.channels import Channel
from contract.training.checkpoints import Checkpoints
from contract.training.hosts import Followers, Hosts
from contract.training.sigterm import Stop

H = TypeVar("H")


@dataclass(frozen=True)
class TrainingJob(Generic[H]):
    """What ``train(job)`` gets: checked hyperparameters, the channels, a place for reports, metrics."""

    hyperparameters: H
    paths: Paths
    stop: Stop = field(default_factory=Stop)
    _channels: dict[str, Channel] = field(default_factory=dict)  # each knows how often it was read
    _metrics: dict[str, list[float]] = field(default_factory=dict)
    _evaluation: dict[str, dict[str, Any]] = field(default_factory=lambda: {"predictions": {}, "importances": {}})

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts of the job, of which this is one."""
        return Hosts.of(self.paths.config("resourceconfig"))

    @cached_property
    def followers(self) -> Followers:
        """All of them but this one, where this one leads."""
        return Followers(len(self.hosts.names) - 1)

    @cached_property
    def cluster(self) -> Any:
        """A ``distributed.Client`` with a worker for each CPU of each host. Raises ``UserError`` without Dask."""
        return cluster.start(self.followers)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Where an interrupted job finds what it had, if it is given a place for that."""
        return Checkpoints(self.paths.checkpoints, self.hosts.names.index(self.hosts.current))

    @property
    def stopping(self) -> bool:
        """Whether the platform wants the job to end: return the model so far, it is saved (P-27)."""
        return self.stop.asked

    def channel(self, name: str) -> Channel:
        """The input channel ``name``. Raises ``UserError`` where the job has none of that name (T-25)."""
        if not self.has_channel(name):
            known = sorted(path.name for path in self.paths.channels.glob("*/")) or ["none"]
            raise UserError(
                f"The job has no channel '{name}' among the directories in {self.paths.channels}: {', '.join(known)}. "
                "Name the channel so when the job is started."
            )
        if name not in self._channels:
            self._channels[name] = Channel(name, self.paths.channels / name, self._mode(name))
            if len(self.hosts.names) > 1 and self._about(name).get("S3DistributionType") == "ShardedByS3Key":
                print(f"{name}: this host has a share of the files alone, by ShardedByS3Key", flush=True)  # T-26
        return self._channels[name]

    def has_channel(self, name: str) -> bool:
        """Whether the job was given the channel ``name``."""
        return self._mode(name) == "Pipe" or (self.paths.channels / name).is_dir()

    def _mode(self, name: str) -> str:
        return str(self._about(name).get("TrainingInputMode") or "File")

    def _about(self, name: str) -> dict[str, Any]:
        about = self._inputs.get(name)
        return about if isinstance(about, dict) else {}

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        return self.paths.config("inputdataconfig")

    @property
    def output(self) -> Path:
        """A directory for reports and plots; the platform keeps it as ``output.tar.gz`` (T-42)."""
        self.paths.output_data.mkdir(parents=True, exist_ok=True)
        return self.paths.output_data

    def log_metric(self, name: str, value: SupportsFloat) -> None:
        """Print ``name=value;`` on a line of its own, where SageMaker's metric scraper finds it (T-55)."""
        print(f"{name}={float(value)!r};", flush=True)
        self._metrics.setdefault(name, []).append(float(value))

    def log_predictions(
        self, actual: ArrayLike, predicted: ArrayLike, data: str = "validation", kind: evaluation.Kind | None = None
    ) -> None:
        """Judge predictions for rows whose answers are known: as metrics, in ``report.html`` and ``evaluation.json``.

        Where either side holds floats they are judged as numbers, else as classes; ``kind`` says otherwise. The
        metrics are ``<data>_accuracy``, or ``<data>_mae``, ``_rmse`` and ``_r2``. Called again for the same data, the
        metrics become a learning curve, and the report shows the last.
        """
        found = self._evaluation["predictions"][data] = evaluation.evaluate(actual, predicted, kind)
        for figure in ("accuracy", "mae", "rmse", "r2"):
            if figure in found:
                self.log_metric(f"{data}_{figure}", found[figure])

    def log_importances(self, weights: Mapping[str, SupportsFloat]) -> None:
        """How much each feature counts, by whatever measure the algorithm has, for the report."""
        found = {str(name): float(weight) for name, weight in weights.items()}
        for name, weight in found.items():
            if not math.isfinite(weight):
                raise UserError(f"log_importances() got {weight} for '{name}': give a number.")
        self._evaluation["importances"] = dict(sorted(found.items(), key=lambda item: -abs(item[1])))

    def describe(self, directory: Path) -> dict[str, Any]:
        """Write how the model came to be beside it (T-47), and each metric's values to ``output/data`` (T-42)."""
        about = manifest.write(directory, self.hyperparameters, self._channels.values(), self._metrics)
        (self.output / "metrics.json").write_bytes(orjson.dumps(self._metrics) + b"\n")
        return about

    def report(self, about: Mapping[str, Any]) -> None:
        """Write what the model is worth to ``output/data``, for programs and for people (T-42)."""
        try:
            figures = orjson.dumps(self._evaluation, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
            (self.output / "evaluation.json").write_bytes(figures)
            page = self.output / "report.html"
            page.write_text(report.page(about, self._metrics, orjson.loads(figures)), encoding="utf-8")
            print(f"report in {page}", flush=True)
        except Exception as error:  # whatever it is: a model was trained, and that counts
            print(f"The report is left out, it cannot be made: {type(error).__name__}: {error}", file=sys.stderr)
