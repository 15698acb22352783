"""Template: a Dask cluster on the hosts of a training job, for an algorithm that asks for one."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from contract import resources
from contract.errors import UserError, counted
from contract.training.hosts import Followers

SECONDS_TO_JOIN = 120  # then the work starts with the hosts that have joined


def start(followers: Followers) -> Any:
    """Start a scheduler here, and workers on all hosts, one for each CPU. All end with the job.

    Raises ``UserError`` if Dask is not installed.
    """
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")
    try:
        distributed: Any = importlib.import_module("distributed")  # it has few type hints
    except ModuleNotFoundError:
        raise UserError(
            "job.cluster needs Dask: add 'distributed' to container/requirements-training.txt and run `make lock`."
        ) from None
    followers.wait_for_all(SECONDS_TO_JOIN)
    here = followers.connections[0].getsockname()[0] if followers.connections else "127.0.0.1"
    dask = distributed.LocalCluster(
        n_workers=resources.cpus(), threads_per_worker=1, host=here, dashboard_address=None, local_directory="/tmp"
    )
    client = followers.closing.enter_context(distributed.Client(followers.closing.enter_context(dask)))
    followers.send(cluster=dask.scheduler_address)
    with contextlib.suppress(TimeoutError):
        client.wait_for_workers(len(dask.workers) + followers.cpus, SECONDS_TO_JOIN)
    hosts = f"{len(followers.connections) + 1} of {counted(followers.number + 1, 'host')}"
    print(f"cluster: {hosts}, {counted(len(client.nthreads()), 'CPU')}", flush=True)
    return client


@contextlib.contextmanager
def workers(scheduler: str, host: str) -> Iterator[None]:
    """Run workers on this host for the leader's scheduler. Dask replaces a worker that dies."""
    command = [sys.executable, "-m", "dask", "worker", scheduler, "--host", host, "--no-dashboard"]
    options = ["--nworkers", str(resources.cpus()), "--nthreads", "1", "--local-directory", "/tmp"]
    environment = {"DASK_LOGGING__DISTRIBUTED": "warning", **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command + options, env=environment)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
