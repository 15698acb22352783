"""Template: a training job from its ``/opt/ml`` tree to an exit status."""

import contextlib
import faulthandler
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from contract import algorithm_interface, failure
from contract.errors import UserError
from contract.paths import Paths
from contract.resources import memory
from contract.schema import Schema
from contract.settings import switch
from contract.training import cluster, hyperparameters
from contract.training.hosts import Hosts, leading, words
from contract.training.job import TrainingJob
from contract.training.sigterm import Stop, Stopped


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
    algorithm = algorithm_interface.import_algorithm(import_algorithm)
    settings = hyperparameters.parse(algorithm.Hyperparameters, paths.config("hyperparameters"))
    print(f"hyperparameters: {settings}", flush=True)
    job = TrainingJob(settings, paths, stop)
    if not job.hosts.leads:  # T-48: two models of one name would end in one archive
        _follow(job.hosts, stop)
        return
    with leading(job.followers):
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


def fit(algorithm: algorithm_interface.Algorithm, job: TrainingJob[Any]) -> Any:
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


def _save(algorithm: algorithm_interface.Algorithm, model: Any, job: TrainingJob[Any], check: bool) -> None:
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


def _check(algorithm: algorithm_interface.Algorithm, directory: Path) -> None:
    """See that ``serve`` could load the model and predict from it, as its first ``/ping`` asks (H-05)."""
    try:
        model = algorithm.load(directory)
        algorithm_interface.predict_examples(algorithm, model, Schema(algorithm.features(model), algorithm.predict))
    except Exception as error:
        raise UserError(f"The saved model cannot be served: {failure.describe(error)}") from error
