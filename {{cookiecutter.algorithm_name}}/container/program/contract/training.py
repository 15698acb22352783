"""Template: a training job from its ``/opt/ml`` tree to an exit status."""

import contextlib
import faulthandler
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, SupportsFloat, TypeVar

import orjson
from numpy.typing import ArrayLike

from contract import cluster, evaluation, failure, hyperparameters, interface, manifest, report
from contract.channels import Channel
from contract.checkpoints import Checkpoints
from contract.errors import UserError
from contract.hosts import Followers, Hosts, leading, words
from contract.paths import Paths
from contract.resources import memory
from contract.schema import Schema
from contract.settings import switch
from contract.stopping import Stop, Stopped

H = TypeVar("H")


@dataclass(frozen=True)
class TrainingJob(Generic[H]):
    """What ``train(job)`` gets: checked hyperparameters, the channels, a place for reports, metrics."""

    hyperparameters: H
    paths: Paths
    stop: Stop = field(default_factory=Stop)
    followers: Followers = field(default_factory=Followers)
    _channels: dict[str, Channel] = field(default_factory=dict)  # each knows how often it was read
    _metrics: dict[str, list[float]] = field(default_factory=dict)
    _evaluation: dict[str, dict[str, Any]] = field(default_factory=lambda: {"predictions": {}, "importances": {}})

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts of the job, of which this is one."""
        return Hosts.of(self.paths.config("resourceconfig"))

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
        about = self.paths.config("inputdataconfig").get(name)
        return about if isinstance(about, dict) else {}

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


def run(import_algorithm: Callable[[], ModuleType]) -> int:
    """Train, save and say how it went: the exit status of ``train`` (P-23).

    A failure is logged, written to the failure file and ends in 1. A job that is stopped ends in 0 (P-27).
    """
    faulthandler.enable()  # where native code fails, the log tells which line called it
    paths = Paths.from_environment()
    stop = Stop()
    stop.watch(lambda: failure.withdraw(paths.failure))
    try:
        _run(import_algorithm, paths, stop)
    except Stopped:
        print("stopped before train() returned a model: none is saved, checkpoints stay", flush=True)
    except BaseException as error:  # the outermost boundary: whatever it is, the job says why it failed
        failure.report(error, paths.failure)
        return 1
    failure.withdraw(paths.failure)
    return 0


def _run(import_algorithm: Callable[[], ModuleType], paths: Paths, stop: Stop) -> None:
    _check_places(paths)
    failure.foresee(paths.failure)
    check = switch("TRAINING_CHECK", default=True)
    algorithm = interface.obtain(import_algorithm)
    settings = hyperparameters.parse(algorithm.Hyperparameters, paths.config("hyperparameters"))
    print(f"hyperparameters: {settings}", flush=True)
    hosts = Hosts.of(paths.config("resourceconfig"))
    if not hosts.leads:  # T-48: two models of one name would end in one archive
        _follow(hosts, stop)
        return
    with leading(len(hosts.names) - 1) as followers:
        job = TrainingJob(settings, paths, stop, followers)
        _save(algorithm, fit(algorithm, job), job, check)
    print(f"model saved in {paths.model}", flush=True)


def _check_places(paths: Paths) -> None:
    """See that the job's work can be kept, before it is done. Raises ``UserError``."""
    if not paths.root.is_dir():
        raise UserError(f"There is no directory {paths.root}: mount it, or name another one in SAGEMAKER_BASE_DIR.")
    for directory in (paths.model, paths.output_data):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            raise UserError(f"Nothing can be written to {directory}: {error.strerror}. Mount it writable.") from error


def _follow(hosts: Hosts, stop: Stop) -> None:
    """Work for the leader where it asks for that, until it ends. A stop gives it as long as itself."""
    stop.patient = True
    with contextlib.ExitStack() as closing:
        for word, address in words(hosts):
            closing.enter_context(cluster.workers(word["cluster"], address))
    stop.over()


def fit(algorithm: interface.Algorithm, job: TrainingJob[Any]) -> Any:
    """Return the model that ``train`` returns. Raises ``UserError`` where it returns none."""
    if newest := job.checkpoints.newest:
        print(f"going on from the checkpoint {newest}", flush=True)
    print(f"memory: {memory() / 2**20:,.0f} MB", flush=True)  # T-45
    job.stop.patient = True
    model = algorithm.train(job)
    job.stop.over()
    if model is None:
        raise UserError("train() in algorithm.py returned None: return the model that save() is to write.")
    return model


def _save(algorithm: interface.Algorithm, model: Any, job: TrainingJob[Any], check: bool) -> None:
    """Save beside the model, prove it, then move: a stop in mid-save leaves no partial file (T-46)."""
    directory = job.paths.model
    for left in directory.glob(".saving-*"):  # by a job that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=directory) as staging:
        algorithm.save(model, Path(staging))
        if not any(Path(staging).iterdir()):
            raise UserError("save() in algorithm.py wrote nothing: write the model into the directory it is given.")
        if check:
            _check(algorithm, Path(staging))
        about = job.describe(Path(staging))
        for path in sorted(Path(staging).iterdir()):
            target = directory / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    job.report(about)


def _check(algorithm: interface.Algorithm, directory: Path) -> None:
    """See that ``serve`` could load the model and predict from it, as its first ``/ping`` asks (H-05)."""
    try:
        model = algorithm.load(directory)
        interface.predict_examples(algorithm, model, Schema(algorithm.features(model), algorithm.predict))
    except Exception as error:
        raise UserError(f"The saved model cannot be served: {failure.describe(error)}") from error
