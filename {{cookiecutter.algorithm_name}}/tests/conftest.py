"""Template: what the tests share.

``algorithm`` is `algorithm.py`; ``job`` is a training job on ``data/`` with the default hyperparameters; ``model`` is
what ``train`` returns for it; ``columns`` is the model's ``Schema``; ``rows`` are those of ``data/predict.csv`` as
``predict`` gets them; ``machine`` is this computer, after training and while serving, with and without a container.
"""

import csv
import http.client
import importlib
import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract import algorithm_interface, schema
from contract.api import Payload, TrainingJob, UserError
from contract.paths import Paths
from contract.serving import negotiation
from contract.serving.formats import Body, content_type_of
from contract.training import main

ROOT = Path(__file__).resolve().parent.parent
NAME = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]


def path_of(variable: str, default: Path | str) -> Path:
    """The path in a variable, as in local/, which you may have deleted."""
    return ROOT / Path(os.environ.get(variable) or default).expanduser()


DATA = path_of("DATA", "data")  # each folder in it is a channel
FILE = path_of("FILE", next(iter(sorted(DATA.glob("predict.*"))), DATA / "predict.csv"))  # the rows to predict


def content_type(file: Path) -> str:
    """The content type, by the file's suffix."""
    known = content_type_of(file.name)
    if known is None:
        pytest.fail(f"{file} cannot be sent: its suffix is of no known format", pytrace=False)
    return known


def import_algorithm() -> algorithm_interface.Algorithm:
    """``algorithm.py``, once its interface has been checked."""
    return algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))


def pytest_sessionstart() -> None:
    """End with one sentence if ``algorithm.py`` does not fit the contract, before a test imports it."""
    try:
        import_algorithm()
    except UserError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are marked for another kind of algorithm."""
    algorithm = import_algorithm()
    others = {"tables"} if schema.wants_raw(algorithm.predict) else {"raw"}
    others |= set() if hasattr(algorithm, "train") else {"training"}
    left_out = [item for item in items if others & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


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
def model(algorithm: algorithm_interface.Algorithm, request: pytest.FixtureRequest) -> Any:
    """What ``train`` returns for that job; without ``train``, what ``load`` reads from ``data/model``."""
    if not hasattr(algorithm, "train"):
        return algorithm.load(DATA / "model")
    try:
        return main.fit(algorithm, request.getfixturevalue("job"))
    except UserError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def columns(algorithm: algorithm_interface.Algorithm, model: Any, request: pytest.FixtureRequest) -> Any:
    """The ``Schema`` of the model, or its ``RawSchema``."""
    folder = DATA / "model"
    if hasattr(algorithm, "train"):
        folder = request.getfixturevalue("tmp_path_factory").mktemp("signature")
        request.getfixturevalue("job").signature.write(folder)
    return schema.of_model(algorithm, model, folder)


@pytest.fixture(scope="session")
def rows(columns: Any) -> Any:
    """The rows in ``data/predict.csv``, or a file with another suffix, as ``predict`` gets them."""
    body, sent_as = FILE.read_bytes(), content_type(FILE)
    if isinstance(columns, schema.RawSchema):
        return [Payload(body, sent_as)]
    format_, parameters = negotiation.content_type(sent_as, body)
    return columns.table(format_.decode(Body(body, parameters, limit=2**40), columns))


@pytest.fixture(scope="session")
def table(columns: schema.Schema, rows: Any, request: pytest.FixtureRequest) -> Any:
    """A DataFrame of the rows that ``train`` read, or of ``rows`` if ``train`` did not read them from a table."""
    import pandas as pd

    if hasattr(request.getfixturevalue("algorithm"), "train") and list((DATA / "training").rglob("*.csv*")):
        found = request.getfixturevalue("job").channel("training").table()
        if set(columns.names) <= set(found):
            rows = columns.typed(found)
    return pd.DataFrame(rows, columns=columns.names)


def written(table: Any, media_type: str) -> bytes:
    """A table as the body of a request."""
    rows = [[None if cell != cell else cell for cell in row] for row in table.astype(object).to_numpy().tolist()]
    if media_type == "application/json":
        return json.dumps({"instances": rows}).encode()
    if media_type == "application/jsonlines":
        return b"".join(json.dumps(dict(zip(table, row, strict=True))).encode() + b"\n" for row in rows)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([list(table)] * ("header" in media_type) + rows)
    return file.getvalue().encode()


@dataclass(frozen=True)
class Response:
    """The server's response."""

    status: int
    type: str
    body: bytes

    @property
    def error(self) -> str:
        """The message of an error."""
        return str(json.loads(self.body)["error"]["message"])


@dataclass(frozen=True)
class Machine:
    """This machine, working in .venv or in the container."""

    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``python -m local``, such as ``train`` (the Makefile's targets do the same)."""
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
            try:
                return Response(reply.status, reply.headers.get_content_type(), reply.read())
            except (http.client.IncompleteRead, ConnectionError):
                pytest.fail(f"the server did not finish its response; its log:\n{self.must('logs')}", pytrace=False)


def make_machine(tree: Path, docker: str) -> Machine:
    """A machine with its own tree, port and container name."""
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
    if importlib.util.find_spec("local") is None:
        pytest.skip("train and serve are not tested: local/, which runs them, was deleted")
    if docker == "yes" and (problem := importlib.import_module("local.container").problem()):
        end = pytest.fail if os.environ.get("REQUIRE_DOCKER") == "1" else pytest.skip
        end(f"not tested in the container: {problem}")
    machine = make_machine(tmp_path_factory.mktemp(request.param), docker)
    if hasattr(import_algorithm(), "train"):
        machine.must("train")
    try:
        machine.must("serve")
        yield machine
    finally:
        machine.run("stop")
