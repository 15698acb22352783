"""Template: what ``train(job)`` is given."""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, SupportsFloat, TypeVar

import orjson
from numpy.typing import ArrayLike

from contract.algorithm_interface import Algorithm
from contract.errors import UserError, counted
from contract.feature import Feature
from contract.paths import Paths
from contract.training import cluster, evaluation, manifest, report
from contract.training.channels import Channel
from contract.training.checkpoints import Checkpoints
from contract.training.digests import Digests
from contract.training.hosts import Followers, Hosts
from contract.training.hyperparameters import parse
from contract.training.signature import Signature
from contract.training.sigterm import Stop

H = TypeVar("H")


@dataclass(frozen=True)
class TrainingJob(Generic[H]):
    """What ``train(job)`` gets: checked hyperparameters, the channels, a place for reports, metrics."""

    hyperparameters: H
    paths: Paths
    stop: Stop = field(default_factory=Stop)
    digests: Digests | None = None
    signature: Signature = field(default_factory=Signature)
    _channels: dict[str, Channel] = field(default_factory=dict)  # each counts how often it was read
    metrics: dict[str, list[float]] = field(default_factory=dict)
    listeners: list[Callable[[str, float, int], object]] = field(default_factory=list)
    """Each is called with a metric's name, value and step when it is logged, such as ``mlflow.log_metric``."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _images: dict[str, str] = field(default_factory=dict)
    evaluated: dict[str, dict[str, Any]] = field(default_factory=lambda: {"predictions": {}, "importances": {}})

    @classmethod
    def of(cls, algorithm: Algorithm, given: Mapping[str, object], paths: Paths, **more: Any) -> "TrainingJob[Any]":
        """The job for an algorithm. Raises ``UserError`` for a hyperparameter that it does not take."""
        chosen = parse(algorithm.Hyperparameters, given)
        return cls(chosen, paths, signature=Signature(algorithm.predict), **more)

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts of the job, of which this is one."""
        return Hosts.of(self.paths.config("resourceconfig"))

    @cached_property
    def followers(self) -> Followers:
        """The other hosts, if this one leads."""
        return Followers(len(self.hosts.names) - 1)

    @cached_property
    def cluster(self) -> Any:
        """A ``distributed.Client`` with a worker for each CPU of each host. Raises ``UserError`` without Dask."""
        return cluster.start(self.followers)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The files that an interrupted job continues from, if the job has a checkpoint directory."""
        return Checkpoints(self.paths.checkpoints, self.hosts.names.index(self.hosts.current))

    @property
    def stopping(self) -> bool:
        """Whether the platform wants the job to stop. If so, return the model so far, which is then saved (P-27)."""
        return self.stop.asked

    def channel(self, name: str) -> Channel:
        """The input channel ``name``. Raises ``UserError`` if the job has none of that name (T-25)."""
        if not self.has_channel(name):
            known = sorted(path.name for path in self.paths.channels.glob("*/")) or ["none"]
            raise UserError(
                f"The job has no channel '{name}': {self.paths.channels} has {', '.join(known)}. "
                f"Start the job with a channel named '{name}'."
            )
        if name not in self._channels:
            channel = self._channels[name] = Channel(
                name, self.paths.channels / name, self._mode(name), _signature=self.signature
            )
            if self.digests and channel.mode == "File":  # others would be downloaded a second time (T-22)
                self.digests.begin(name, channel.directory)
            if len(self.hosts.names) > 1 and self._about(name).get("S3DistributionType") == "ShardedByS3Key":
                print(f"{name}: this host has only its share of the files, due to ShardedByS3Key", flush=True)  # (T-26)
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
    def features(self) -> list[Feature]:
        """The features that the first call of ``channel.split`` has found."""
        return self.signature.features

    @property
    def output(self) -> Path:
        """A directory for reports and plots, which the platform keeps as ``output.tar.gz`` (T-42)."""
        self.paths.output_data.mkdir(parents=True, exist_ok=True)
        return self.paths.output_data

    def log_metric(self, name: str, value: SupportsFloat) -> None:
        """Print ``name=value;`` on a line of its own, where SageMaker's metric scraper finds it (T-55)."""
        print(f"{name}={float(value)!r};", flush=True)
        values = self.metrics.setdefault(name, [])
        values.append(float(value))
        for listener in self.listeners.copy():
            try:
                listener(name, values[-1], len(values) - 1)
            except Exception as error:  # A listener must not fail the training.
                self.listeners.remove(listener)
                print(f"A metrics listener failed and is not called again: {error!r}", file=sys.stderr)

    def log_predictions(
        self,
        actual: ArrayLike,
        predicted: ArrayLike,
        data: str = "validation",
        kind: evaluation.Kind | None = None,
        probabilities: Mapping[Any, ArrayLike] | None = None,
    ) -> None:
        """Evaluate predictions for rows with known answers: as metrics, in ``report.html`` and ``evaluation.json``.

        Floats on either side are evaluated as numbers, everything else as classes; ``kind`` overrides that. The
        metrics are ``<data>_accuracy``, or ``<data>_mae``, ``_rmse`` and ``_r2``. Repeated calls for the same data
        give a learning curve of the metrics, and the report shows the last call.

        ``probabilities``, one column for each class, add ``<data>_log_loss``, ``_roc_auc``, curves and calibration.
        """
        found = self.evaluated["predictions"][data] = evaluation.evaluate(actual, predicted, kind, probabilities)
        for figure in ("accuracy", "log_loss", "roc_auc", "mae", "rmse", "r2"):
            if found.get(figure) is not None:
                self.log_metric(f"{data}_{figure}", found[figure])

    def log_importances(self, weights: Mapping[str, SupportsFloat] | Sequence[SupportsFloat]) -> None:
        """Show feature importances in the report: by name, or in the order of ``features``."""
        if not isinstance(weights, Mapping):
            if len(weights) != len(self.features):
                raise UserError(
                    f"log_importances() got {counted(len(weights), 'value')} for "
                    f"{counted(len(self.features), 'column')}: give one each, or a dict."
                )
            weights = dict(zip((feature.name for feature in self.features), weights, strict=True))
        found = {str(name): float(weight) for name, weight in weights.items()}
        for name, weight in found.items():
            if not math.isfinite(weight):
                raise UserError(f"log_importances() got {weight} for '{name}': give a number.")
        self.evaluated["importances"] = dict(sorted(found.items(), key=lambda item: -abs(item[1])))

    def log_figure(self, name: str, figure: Any) -> None:
        """Show a figure in the report: matplotlib's, or an image file, of 5 MB at most."""
        self._images[name] = report.data_uri(name, figure)

    def describe(self, wait_for_digests: bool = False) -> dict[str, Any]:
        """How the model was made (T-47). Digests take time, and stopping the job ends the wait for them."""
        found = self.digests.wait(lambda: self.stop.asked) if self.digests and wait_for_digests else {}
        channels = {name: channel.describe() | found.get(name, {}) for name, channel in self._channels.items()}
        return manifest.describe(self.hyperparameters, channels, self.metrics)

    def report(self, about: Mapping[str, Any], took: timedelta | None = None) -> None:
        """Write how good the model is to ``output/data``, for programs and for people (T-42)."""
        try:
            (self.output / "metrics.json").write_bytes(orjson.dumps(self.metrics) + b"\n")
            figures = orjson.dumps(self.evaluated, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
            (self.output / "evaluation.json").write_bytes(figures)
            page = self.output / "report.html"
            more = {"job": os.environ.get("TRAINING_JOB_NAME"), "started": self.started, "took": took}
            logged = orjson.loads(figures) | more | {"images": self._images}
            page.write_text(report.page(about, self.metrics, logged), encoding="utf-8")
            print(f"report in {page}", flush=True)
        except Exception as error:  # A problem with the report must not fail the job.
            print(f"There is no report, because of an error: {type(error).__name__}: {error}", file=sys.stderr)
