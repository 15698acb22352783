"""Run the generated `train` and `serve`, in the container or with this Python, and talk to the server."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

# As the strictest place an image may run in: serverless, isolated (S-03, P-57).
STRICT = ["--user=65534:65534", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=none"]


def lay_out(tree: Path, project: Path, hyperparameters: Mapping[str, object] | None = None) -> Path:
    """An ``/opt/ml`` as the platform mounts it, with the project's data and any user allowed to write."""
    for directory in ("model", "output/data", "input/config"):
        (tree / directory).mkdir(parents=True)
    for channel in ("training", "validation"):
        if (project / "data" / channel).exists():
            shutil.copytree(project / "data" / channel, tree / "input/data" / channel)
    if hyperparameters is not None:
        text = json.dumps(hyperparameters)
        (tree / "input/config/hyperparameters.json").write_text(text, encoding="utf-8")
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return tree


def saved(tree: Path) -> list[str]:
    """What a job has left in the model directory."""
    return sorted(path.name for path in (tree / "model").iterdir())


def algorithm_of(project: Path) -> str:
    """The option that puts a project's ``algorithm.py`` in the place of the image's."""
    return f"--volume={project}/container/program/algorithm.py:/opt/program/algorithm.py:ro"


def with_train(project: Path, folder: Path, *begin: str) -> Path:
    """A copy of ``project`` in which ``train()`` begins with some statements."""
    mine = Path(shutil.copytree(project, folder / "mine"))
    source = mine / "container/program/algorithm.py"
    first = "    settings = job.hyperparameters\n"
    text = source.read_text(encoding="utf-8")
    assert text.count(first) == 1
    more = "".join(f"    {statement}\n" for statement in begin)
    source.write_text(text.replace(first, first + more), encoding="utf-8")
    return mine


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


def train_here(project: Path, tree: Path) -> subprocess.CompletedProcess[str]:
    """``train`` without a container."""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tree)}
    command = [sys.executable, str(project / "container/program/train")]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


@contextmanager
def training(project: Path, tree: Path) -> Iterator[subprocess.Popen[str]]:
    """``train`` without a container, under way, its output to be read."""
    process = subprocess.Popen(
        [sys.executable, str(project / "container/program/train")],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message  # their names in any case, as servers write them differently
    body: bytes

    @property
    def message(self) -> str:
        """The sentence of an error, which is one JSON object of one shape (H-55)."""
        assert self.headers["Content-Type"] == "application/json"
        assert len(self.body) < 2048
        document = json.loads(self.body)
        assert set(document) == {"error"}
        assert set(document["error"]) == {"code", "message", "id"}
        return str(document["error"]["message"])


@dataclass(frozen=True)
class Server:
    url: str
    log: Path | None = field(default=None)
    container: str = ""

    def ask(self, path: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
        """Header names are written with ``_`` for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(answer.status, answer.headers, answer.read())

    def predict(self, body: bytes, content_type: str = "text/csv", **headers: str) -> Answer:
        return self.ask("/invocations", body, Content_Type=content_type, **headers)

    def wait(self) -> None:
        """Until ``/ping`` answers 200 (H-05, H-08)."""
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.ask("/ping").status == 200:
                    return
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < deadline, self.logged()
            time.sleep(0.1)

    def logged(self) -> str:
        if self.log:
            return self.log.read_text(encoding="utf-8")
        logs = docker("logs", self.container)
        return logs.stdout + logs.stderr


def free_port() -> int:
    """Below the range that clients are given theirs from, so that none takes it before the server does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


@contextmanager
def serving_here(project: Path, tree: Path, log: Path, *, under: str = "", **settings: str) -> Iterator[Server]:
    """``serve`` without a container, or the module ``under`` in its place, with ``settings`` in its environment.

    In ``under``, ``{port}`` stands for the port and ``{program}`` for the folder of the program.
    """
    port, program = free_port(), project / "container/program"
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tree), "SAGEMAKER_BIND_TO_PORT": str(port), **settings}
    module = [word.format(port=port, program=program) for word in under.split()]
    command = ["-m", *module] if module else [str(program / "serve")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, cwd="/", stdout=output, stderr=subprocess.STDOUT
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", log)
        server.wait()
        yield server
    finally:
        process.terminate()
        assert process.wait(30) == 0


@contextmanager
def started(image: str, *options: str, command: str = "serve") -> Iterator[str]:
    """The name of a container that runs in the background and is removed at the end."""
    name = f"cookiecutter-sagemaker-test-{uuid.uuid4().hex[:8]}"
    run = docker("run", "--detach", "--name", name, *options, image, command)
    assert run.returncode == 0, run.stderr
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@contextmanager
def serving(image: str, model: Path, *options: str, port: int = 8080) -> Iterator[Server]:
    """``serve`` in a container, with the model read-only as on an endpoint (P-41)."""
    with started(image, f"--volume={model}:/opt/ml/model:ro", *options) as name:
        address = inspect(name, "{{.NetworkSettings.IPAddress}}")
        server = Server(f"http://{address}:{port}", container=name)
        server.wait()
        yield server


def inspect(name: str, template: str) -> str:
    return docker("inspect", "--format", template, name).stdout.strip()
