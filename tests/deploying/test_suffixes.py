"""`make predict` and `deploy invoke` take the content type of a file from its suffix."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from answering import Handler, in_background

CONTENT_TYPES = {
    "rows.csv": "text/csv; header=present",
    "ROWS.CSV": "text/csv; header=present",
    "rows.json": "application/json",
    "rows.jsonl": "application/jsonlines",
    "rows.npy": "application/x-npy",
    "rows.parquet": "application/x-parquet",
    "leaf.png": "image/png",
    "leaf.JPG": "image/jpeg",
    "note.txt": "text/plain",
}
KNOWN = ".csv, .json, .jsonl, .npy, .parquet"


class Endpoint(ThreadingHTTPServer):
    """A server that keeps the content types of what it is sent, and gives the response it is told to."""

    status: int = 200
    response: bytes | None = b"benign\n"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Invocations)
        self.content_types: list[str | None] = []


class Invocations(Handler):
    server: Endpoint

    def do_POST(self) -> None:
        self.body()
        if self.path.endswith("invocations"):  # `deploy` looks at the endpoint first
            self.server.content_types.append(self.headers["Content-Type"])
        if self.server.response is not None:
            told = {"x-request-id": "1"}  # by which `make predict` knows its server
            self.answer(self.server.status, self.server.response, told)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server, in_background(server):
        yield server


def run(project: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-B", "-m", *command],
        cwd=project,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def predict(project: Path, endpoint: Endpoint, file: Path) -> "subprocess.CompletedProcess[str]":
    return run(project, "local", "predict", str(file), PORT=str(endpoint.server_port))


def invoke(project: Path, endpoint: Endpoint, file: Path) -> "subprocess.CompletedProcess[str]":
    return run(
        project,
        *("deploy", "invoke", "--endpoint", "churn", "--input", str(file)),
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{endpoint.server_port}",
        AWS_ACCESS_KEY_ID="user",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_REGION="us-west-2",
    )


Send = Callable[[Path, Endpoint, Path], "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("send", [predict, invoke])
def test_each_suffix_gives_its_content_type(project: Path, endpoint: Endpoint, tmp_path: Path, send: Send) -> None:
    for name in CONTENT_TYPES:
        (tmp_path / name).write_bytes(b"1,2\n")
        done = send(project, endpoint, tmp_path / name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "benign\n", "")
    assert endpoint.content_types == list(CONTENT_TYPES.values())


@pytest.mark.parametrize("send", [predict, invoke])
@pytest.mark.parametrize("name", ["rows.unheard-of", "rows", ".csv.gz"])
def test_an_unknown_suffix_is_one_sentence_that_names_the_known_ones(
    project: Path, endpoint: Endpoint, tmp_path: Path, send: Send, name: str
) -> None:
    (tmp_path / name).touch()
    done = send(project, endpoint, tmp_path / name)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{tmp_path / name}" in done.stderr
    assert KNOWN in done.stderr
    assert endpoint.content_types == []


def test_local_commands_need_nothing_but_pythons_own_library(project: Path, tmp_path: Path) -> None:
    done = run(project, "local", "predict", str(tmp_path / "rows.txt"), PYTHONNOUSERSITE="1")
    assert done.stderr == f"There is no file {tmp_path}/rows.txt.\n"
    code = "import local.__main__, sys; print(sorted({'numpy', 'pandas', 'flask', 'boto3'} & sys.modules.keys()))"
    alone = subprocess.run(
        [sys.executable, "-BIc", f"import sys; sys.path.append('.'); {code}"],
        cwd=project,
        text=True,
        capture_output=True,
        check=False,
    )
    assert alone.stdout == "[]\n", alone.stderr


@pytest.mark.parametrize(
    ("status", "response", "sentence"),
    [
        (400, b'{"error": {"message": "the body holds no rows"}}', "The server answered 400: the body holds no rows\n"),
        (404, b"<h1>Not found</h1>", "Another program is on port {port}: choose another port for "),
        (200, None, "The server on port {port} cut its response short: `make logs` may say why.\n"),
    ],
)
def test_whatever_the_server_answers_an_error_is_one_sentence(
    project: Path, endpoint: Endpoint, status: int, response: bytes | None, sentence: str
) -> None:
    endpoint.status, endpoint.response = status, response
    done = predict(project, endpoint, project / "data/predict.csv")
    assert done.returncode == 1
    assert done.stderr.startswith(sentence.format(port=endpoint.server_port))
    assert done.stderr.count("\n") == 1
