"""Template: what the tests share: a model, and this machine with and without a container."""

import importlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract import algorithm_interface, schema
from contract.api import TrainingJob, UserError
from contract.paths import Paths
from contract.serving.formats import CSV, Body
from contract.training import main
from local import container
from local.project import DATA, NAME, ROOT


def import_algorithm() -> algorithm_interface.Algorithm:
    """``algorithm.py``, once its interface has been checked."""
    return algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))


def pytest_sessionstart() -> None:
    """End with one sentence if ``algorithm.py`` lacks what the contract needs, before a test imports it."""
    try:
        import_algorithm()
    except UserError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def algorithm() -> algorithm_interface.Algorithm:
    """``algorithm.py`` itself."""
    return import_algorithm()


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory, algorithm: algorithm_interface.Algorithm) -> TrainingJob[Any]:
    """A training job on ``data/`` with the default hyperparameters."""
    root = tmp_path_factory.mktemp("opt_ml")
    (root / "input").mkdir()
    (root / "input" / "data").symlink_to(DATA)
    return TrainingJob.of(algorithm, {}, Paths(root))


@pytest.fixture(scope="session")
def model(algorithm: algorithm_interface.Algorithm, job: TrainingJob[Any]) -> Any:
    """What ``train`` returns for that job."""
    try:
        return main.fit(algorithm, job)
    except UserError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def columns(
    algorithm: algorithm_interface.Algorithm,
    job: TrainingJob[Any],
    model: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> schema.Schema:
    """The columns that the model expects."""
    folder = tmp_path_factory.mktemp("signature")
    job.signature.write(folder)
    return schema.of_model(algorithm, model, folder)


@pytest.fixture(scope="session")
def rows(columns: schema.Schema) -> Any:
    """The rows of ``data/predict.csv`` as ``predict`` gets them."""
    text = (DATA / "predict.csv").read_bytes()
    return columns.table(CSV.decode(Body(text, {"header": "present"}, limit=2**40), columns))


@dataclass(frozen=True)
class Response:
    """The server's response."""

    status: int
    type: str
    text: str


@dataclass(frozen=True)
class Machine:
    """This machine, set to work in .venv or in the container."""

    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command of ``python -m local``, such as ``train`` (the Makefile's targets do the same)."""
        call = [sys.executable, "-m", "local", *command]
        return subprocess.run(call, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)

    def must(self, *command: str) -> str:
        """The output of a command. If it fails, the test fails with that output."""
        done = self.run(*command)
        if done.returncode != 0:
            pytest.fail(done.stdout + done.stderr, pytrace=False)
        return done.stdout

    @property
    def tree(self) -> Path:
        """The machine's ``/opt/ml``."""
        return Path(self.environment["OPT_ML"])

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send a request to the server; header names are written with ``_`` for ``-``."""
        url = f"http://localhost:{self.environment['PORT']}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            reply = urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=60)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            return Response(reply.status, reply.headers.get_content_type(), reply.read().decode())


def make_machine(tree: Path, docker: str) -> Machine:
    """A machine with a tree, a port and a container name of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"OPT_ML": str(tree), "PORT": port, "DOCKER": docker, "CONTAINER": f"{NAME}-test-{port}"}
    return Machine({**os.environ, **own})


@pytest.fixture(scope="session", params=["venv", "container"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that has trained on ``data/`` and serves the model: once in .venv, once in the container."""
    docker = "yes" if request.param == "container" else "no"
    if docker == "yes" and os.environ.get("DOCKER") == "no":
        pytest.skip("not tested in the container: DOCKER=no")
    if docker == "yes" and (problem := container.problem()):
        end = pytest.fail if os.environ.get("REQUIRE_DOCKER") == "1" else pytest.skip
        end(f"not tested in the container: {problem}")
    machine = make_machine(tmp_path_factory.mktemp(request.param), docker)
    machine.must("train")
    try:
        machine.must("serve")
        yield machine
    finally:
        machine.run("stop")
