"""Template: a training job from its ``/opt/ml`` tree to an exit status."""

import contextlib
import faulthandler
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

from contract import algorithm_interface, failure
from contract.errors import UserError
from contract.paths import Paths
from contract.resources import memory
from contract.settings import number, switch
from contract.training import cluster, hyperparameters, saving
from contract.training.digests import Digests
from contract.training.hosts import Hosts, find_leader, leading, messages
from contract.training.job import TrainingJob
from contract.training.sigterm import Phase, Stop, Stopped


def run(import_algorithm: Callable[[], ModuleType]) -> int:
    """Train, save, and return the exit status of ``train`` (P-23).

    A failure is logged, written to the failure file and gives 1. A job that is stopped gives 0 (P-27).
    """
    faulthandler.enable()  # If native code crashes, the log names the line that called it.
    paths, stop = Paths.from_environment(), Stop()
    stop.watch(lambda: failure.withdraw(paths.failure), lambda: saving.remove_unfinished(paths.model))
    try:
        _run(import_algorithm, paths, stop)
    except Stopped:
        print("stopped before train() returned a model: no model is saved, checkpoints are kept", flush=True)
    except BaseException as error:  # After any error, the job must say why it failed.
        failure.report(error, paths.failure)
        return 1
    failure.withdraw(paths.failure)
    return 0


def _run(import_algorithm: Callable[[], ModuleType], paths: Paths, stop: Stop) -> None:
    _require_writable(paths)
    failure.foresee(paths.failure)
    stop.seconds = number("TRAINING_STOP_SECONDS", stop.seconds, 3600)
    try_to_serve = switch("TRAINING_CHECK", default=True)
    algorithm = algorithm_interface.import_algorithm(import_algorithm)
    algorithm_interface.require_training(algorithm)
    given = paths.config("hyperparameters")
    hyperparameters.warn_about_scripts(given)
    job = TrainingJob.of(algorithm, given, paths, stop=stop, digests=Digests())
    print(f"hyperparameters: {job.hyperparameters}", flush=True)
    if job.hosts.leads:
        with leading(job.followers, stop):
            saving.save(algorithm, fit(algorithm, job), job, try_to_serve)
    else:  # Two hosts that save models of the same name would break the archive (T-48).
        _follow(job.hosts, stop)


def _require_writable(paths: Paths) -> None:
    """Raise ``UserError`` if the job's results could not be kept, before any work is done."""
    if not paths.root.is_dir():
        raise UserError(f"There is no directory {paths.root}: mount it, or name another one in SAGEMAKER_BASE_DIR.")
    for directory in (paths.model, paths.output_data):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            raise UserError(f"Nothing can be written to {directory}: {error.strerror}. Mount it writable.") from error


def _follow(hosts: Hosts, stop: Stop) -> None:
    """Work for the leader until it ends, if it asks for that."""
    if connection := find_leader(hosts):
        stop.phase = Phase.FOLLOWING
        with connection, contextlib.ExitStack() as closing:
            for message in messages(connection, hosts.leader, stop):
                closing.enter_context(cluster.workers(message["cluster"], connection.getsockname()[0]))


def fit(algorithm: algorithm_interface.Algorithm, job: TrainingJob[Any]) -> Any:
    """Return the model that ``train`` returns. Raises ``UserError`` if it returns none."""
    if newest := job.checkpoints.newest:
        print(f"continuing from the checkpoint {newest}", flush=True)
    print(f"memory: {memory() / 2**20:,.0f} MB", flush=True)  # An out-of-memory kill leaves no other trace (T-45).
    job.stop.phase = Phase.TRAINING
    try:
        model = algorithm.train(job)
    finally:
        job.stop.phase = Phase.SAVING
    if model is None:
        raise UserError("train() in algorithm.py returned None: return the model for save() to write.")
    return model
