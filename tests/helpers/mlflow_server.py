"""MLflow's own server, and what its API says."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import python_with
from programs import free_port
from projects import TEMPLATE


def server_python() -> Path:
    """A Python with what the stack's MLflow has."""
    lock = TEMPLATE / "{{cookiecutter.algorithm_name}}/stack/mlflow/requirements.lock"
    return python_with(lock, TEMPLATE / ".venv-mlflow")


@dataclass(frozen=True)
class Mlflow:
    """A server that runs."""

    uri: str

    def ask(self, path: str, body: object = None, **query: str) -> Any:
        """The JSON that the server answers."""
        address = f"{self.uri}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def runs(self, experiment: str = "my-algorithm") -> list[Any]:
        """The runs of an experiment, the oldest first; none if there is no experiment of that name."""
        try:
            found = self.ask("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        except urllib.error.HTTPError:
            return []
        wanted = {"experiment_ids": [found], "order_by": ["attributes.start_time ASC"]}
        return list(self.ask("runs/search", wanted).get("runs", []))

    def artifacts(self, run: str) -> set[str]:
        """The files of a run, at the top."""
        return {each["path"] for each in self.ask("artifacts/list", run_id=run).get("files", [])}

    def versions(self, name: str) -> list[str]:
        """The versions of a registered model."""
        found = self.ask("model-versions/search", filter=f"name='{name}'").get("model_versions", [])
        return sorted(each["version"] for each in found)


def values(pairs: list[Any]) -> dict[str, Any]:
    """A list of keys and values, as MLflow answers, as a dict."""
    return {each["key"]: each["value"] for each in pairs}


@contextmanager
def serving_mlflow(folder: Path) -> Iterator[Mlflow]:
    """A server of its own, with its database and its files in ``folder``."""
    port, log = free_port(), folder / "mlflow.log"
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    command = [str(server_python().with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--workers", "1", *store],
            cwd=folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.2)
        yield Mlflow(f"http://127.0.0.1:{port}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nothing is to be kept, and its own end takes half a minute
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
