"""Images that SageMaker would refuse: each ends in a sentence, the lines of the log, and a command that shows the same.

Each is the project's image with one thing broken.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploying import IMAGE, MODEL, ROLE, TRAIN, Deploy, at, last_line, started
from projects import IMAGES
from rehearsal.containers import pack, split
from rehearsal.findings import Rules
from rehearsal.simulator import Simulator

DEPLOY = ("deploy", "--image", IMAGE, "--role", ROLE, "--model", MODEL, "--endpoint", "churn")
SERVER = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, seconds):
        time.sleep(seconds)
        self.send_response(200)
        self.end_headers()
    def do_GET(self): self.answer({ping})
    def do_POST(self): self.answer({call})
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def entry(*words: str) -> str:
    return f"ENTRYPOINT {json.dumps(words)}"


def server(ping: int = 0, call: int = 0) -> str:
    return entry("python", "-c", SERVER.format(ping=ping, call=call))


@dataclass(frozen=True)
class Broken:
    """The second line of a Dockerfile, and what comes of it."""

    line: str
    cause: str
    log: str = ""
    command: str = "serve"


STARTING = {
    "no serve": Broken(
        "RUN rm /opt/program/serve",
        "The image has no program `serve` on its PATH: SageMaker runs `docker run IMAGE serve`.",
        "No such file or directory",
    ),
    "no entry point and no serve": Broken(
        'RUN rm /opt/program/serve\nENTRYPOINT ["serve"]',
        "The image has no program `serve` on its PATH: SageMaker runs `docker run IMAGE serve`.",
        "executable file not found",
    ),
    "a traceback at the start": Broken(
        entry("python", "-c", "import absent"),
        "`serve` ended with status 1 before /ping answered: ModuleNotFoundError: No module named 'absent'",
        "Traceback (most recent call last):",
    ),
    "writes to the model": Broken(
        entry("sh", "-c", "echo 1 >/opt/ml/model/cache && exec serve"),
        "The container writes to /opt/ml/model, which is read-only on an endpoint: write to /tmp.",
        "cannot create /opt/ml/model/cache: Read-only file system",
    ),
    "another port": Broken(
        entry("sh", "-c", "python -m http.server 9090"),
        "Nothing listens on port 8080, but on 9090. The rehearsal waited for 6 s, SageMaker waits for 480.",
    ),
    "no /ping": Broken(
        entry("sh", "-c", "python -m http.server 8080"),
        "/ping answers 404, and only 200 counts as healthy. The rehearsal waited for 6 s, SageMaker waits for 480.",
        '"GET /ping HTTP/1.1" 404',
    ),
    "a slow /ping": Broken(
        server(ping=5),
        "/ping takes longer than 2 s: answer it without waiting for a prediction. "
        "The rehearsal waited for 6 s, SageMaker waits for 480.",
    ),
}


Run = Callable[..., AbstractContextManager[tuple[Simulator, Deploy]]]


@pytest.fixture
def run(tmp_path: Path, project: Path) -> Run:
    """``python -m deploy`` where each image is a broken one, by its Dockerfile."""

    @contextmanager
    def running(dockerfile: str, *options: str) -> Iterator[tuple[Simulator, Deploy]]:
        tag = f"{IMAGES}:broken"
        build = ["docker", "build", "--quiet", *options, "--tag", tag, "-"]
        subprocess.run(build, input=dockerfile, text=True, check=True, capture_output=True)
        with started(tmp_path, tag) as platform:
            platform.rules = Rules(startup=6, invocation=2, stop=1)
            bucket, key = split(MODEL)
            (tmp_path / "model").mkdir()
            (tmp_path / "model/weights").touch()
            platform.s3.put_object(Bucket=bucket, Key=key, Body=pack(tmp_path / "model"))
            yield platform, at(platform, project, tmp_path)

    return running


def the_finding(platform: Simulator, broken: Broken) -> str:
    """The command of the only finding, after a look at the rest of it."""
    [found] = platform.findings
    assert found.cause == broken.cause
    assert broken.log in found.log
    assert str(found).startswith(f"{broken.cause}\n  The end of the log:\n")
    assert str(found).endswith(found.command)
    return found.command


def shows_the_same(command: str, log: str) -> None:
    """Run a command as it was printed, but for its port, which another program may have."""
    ended = subprocess.run(
        command.replace("--publish 8080:8080", "--publish 8080"), shell=True, capture_output=True, text=True
    )
    assert log in ended.stdout + ended.stderr


@pytest.mark.parametrize("name", STARTING)
def test_an_endpoint_whose_container_does_not_start_says_why(image: str, run: Run, name: str) -> None:
    """H-04, H-49, H-50, P-24, P-41: no `serve`, an end at the start, a write to the model, and no 200 in time."""
    broken = STARTING[name]
    with run(f"FROM {image}\n{broken.line}\n") as (platform, deploy):
        ended = deploy(*DEPLOY)
        assert ended.returncode != 0
        assert ended.stderr.splitlines()[-1] == (
            f"The endpoint churn ended as Failed: The container did not pass the ping health check. {broken.cause}"
        )
        command = the_finding(platform, broken)
        if "sleep" not in command:
            shows_the_same(command, broken.log)


def test_a_batch_job_whose_container_does_not_start_says_why(image: str, run: Run) -> None:
    """H-04, H-50, B-13: the same rules as for an endpoint, and the job ends with its container."""
    broken = STARTING["a traceback at the start"]
    with run(f"FROM {image}\n{broken.line}\n") as (platform, deploy):
        ended = deploy("batch", *DEPLOY[1:-2], "--bucket", "s3://bucket/my", "--input", "data/predict.csv")
        assert ended.returncode != 0
        assert (
            f"ended as Failed. ClientError: The container did not pass the ping health check. {broken.cause}"
            in (ended.stderr.splitlines()[-1])
        )
        the_finding(platform, broken)


def test_a_call_that_takes_longer_than_a_minute_ends_in_a_sentence(image: str, run: Run) -> None:
    """H-11, H-48: the container has 60 seconds; here two, so that the test does not take as long."""
    with run(f"FROM {image}\n{server(call=90)}\n") as (platform, deploy):
        last_line(deploy(*DEPLOY))
        ended = deploy("invoke", "--endpoint", "churn", "--input", "data/predict.csv")
        assert ended.stderr == (
            "The container answered 0: Your invocation timed out while waiting for a response from container primary.\n"
        )
        cause = "/invocations did not answer within 2 s: the caller gets a ModelError."
        assert "--data-binary @data/predict.csv" in the_finding(platform, Broken("", cause))


def test_a_container_that_ignores_sigterm_is_killed_and_named(image: str, run: Run) -> None:
    """P-22: it has 30 seconds; here one. A process that is PID 1 ignores the signal unless it has a handler."""
    with run(f"FROM {image}\n{server()}\n") as (platform, deploy):
        last_line(deploy(*DEPLOY))
        assert deploy("delete", "--endpoint", "churn", "--yes").returncode == 0
        end = time.monotonic() + 60
        while not platform.findings and time.monotonic() < end:
            time.sleep(0.1)
        cause = "`serve` did not end within 1 s after SIGTERM and was killed: requests in progress are lost."
        assert "time docker stop -t 30" in the_finding(platform, Broken("", cause))


def test_a_job_whose_image_has_no_train_says_so(image: str, run: Run) -> None:
    cause = "The image has no program `train` on its PATH: SageMaker runs `docker run IMAGE train`."
    with run(f"FROM {image}\nRUN rm /opt/program/train\n") as (platform, deploy):
        assert deploy(*TRAIN).returncode != 0
        shows_the_same(the_finding(platform, Broken("", cause)), "No such file or directory")


def test_an_image_for_other_processors_says_so(image: str, run: Run) -> None:
    """P-56: endpoints on Graviton are the only place for it."""
    with run("FROM scratch\nLABEL broken=yes\n", "--platform", "linux/arm64") as (platform, deploy):
        cause = "The image is built for linux/arm64, and ml.m5.large is linux/amd64: "
        cause += "build it with `docker build --platform linux/amd64`."
        assert cause in deploy(*DEPLOY).stderr
        shows_the_same(the_finding(platform, Broken("", cause)), "arm64")
        assert "and a training job is linux/amd64" in deploy(*TRAIN).stderr
