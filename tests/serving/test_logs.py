"""The log of the serving container: each line one JSON object, none lost, and none waited for."""

import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from contract.serving.log_pipe import LogLines

from faults import ALGORITHM, Action, eventually, misbehaving, row, serving_with
from programs import Server, docker, free_port

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TALKING = ALGORITHM.replace(
    "def load(directory):\n",
    'def load(directory):\n    print("loading, says the \\"algorithm\\"")\n    print("tail without an end", end="")\n',
)


def events(log: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which must be an object with its time in UTC, its level, and what happened."""
    found = [json.loads(line) for line in log.splitlines()]
    for event in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z", event["time"]), event
        assert event["level"] in ("info", "warning", "error"), event
        assert "message" in event or {"id", "status", "bytes"} <= set(event), event
    return found


def talking(directory: Path) -> list[str]:
    options = misbehaving(directory)
    (directory / "algorithm.py").write_text(TALKING, encoding="utf-8")
    return options


@pytest.fixture(scope="module")
def server(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--env=MODEL_SERVER_METRICS=true", "--env=MODEL_SERVER_BODY_MB=1", "--env=MODEL_SERVER_WORKERS=2"]
    with serving_with(image, *talking(tmp_path_factory.mktemp("talking")), *options) as server:
        yield server


def test_each_line_of_the_serving_container_is_one_object(image: str, tmp_path: Path) -> None:
    """P-53: from the first to the last, whoever wrote it: nginx, gunicorn, the algorithm, serve."""
    with serving_with(image, *talking(tmp_path), "--env=MODEL_SERVER_WORKERS=2") as server:
        assert server.predict(row(Action.NOTHING, 1)).status == 200
        assert server.predict(row(Action.RAISE)).status == 500
        assert server.predict(b"x").status == 400
        assert server.ask("/nowhere").status == 404
        assert server.ask("/" + 10_000 * "x").status in (414, 400)
        eventually(
            lambda: '"status":400' in server.logged()
        )  # a worker that crashes takes the lines of its last moment along
        assert server.predict(row(Action.CRASH)).status in (500, 503)  # the second where but one worker was ready
        docker("stop", "-t", "30", server.container)
        found = events(server.logged())
    messages = [event.get("message", "") for event in found]
    assert 'loading, says the "algorithm"' in messages
    assert any("tail without an end" in message for message in messages)
    assert [event["status"] for event in found if event.get("status") in (200, 400)] == [200, 400]
    assert any(event["level"] == "error" and "ValueError: asked for" in json.dumps(event) for event in found)


def test_what_ends_the_server_is_an_object_too(image: str, tmp_path: Path) -> None:
    """H-09, P-24: and the last line says why it ends."""
    done = docker("run", "--rm", *misbehaving(tmp_path, useless=""), image, "serve")
    found = events(done.stdout + done.stderr)
    assert done.returncode == 1
    assert (found[-1]["level"], found[-1]["message"]) == ("error", "Reason: no worker could predict the example")


def refused(server: Server, traceparent: str) -> str:
    """The id of a request that nginx refuses by its announced length."""
    connection = http.client.HTTPConnection(str(urlsplit(server.url).hostname), 8080, timeout=30)
    connection.request("POST", "/invocations", headers={"Content-Length": str(2**20 + 1), "traceparent": traceparent})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["error"]["id"])


def test_what_nginx_answers_alone_is_logged_and_counted(server: Server) -> None:
    """H-57, M-50, P-53: by the id that the client gets, with the trace that it belongs to."""
    ids = [refused(server, trace) for trace in (TRACE, "x" * 55)]
    eventually(lambda: all(number in server.logged() for number in ids))
    first, second = (event for event in events(server.logged()) if event.get("id") in ids)
    assert (first["level"], first["status"], first["traceparent"]) == ("warning", 413, TRACE)
    assert second["bytes"] > 0
    assert "traceparent" not in second
    count = docker("exec", server.container, "sh", "-c", "cat /tmp/serve-*/front.json").stdout
    assert json.loads(count)["413"] == 2


def test_text_is_left_as_it_is_printed(image: str, tmp_path: Path) -> None:
    """For people who develop."""
    with serving_with(image, *talking(tmp_path), "--env=MODEL_SERVER_LOG=text") as server:
        assert server.predict(row(Action.RAISE)).status == 500
        eventually(lambda: "raise ValueError" in server.logged())
        lines = server.logged().splitlines()
    assert 'loading, says the "algorithm"' in lines
    assert "    raise ValueError(\"asked for\")" in lines  # fmt: skip


def test_a_log_of_no_known_form_is_refused(image: str) -> None:
    """P-35."""
    done = docker("run", "--rm", "--env=MODEL_SERVER_LOG=xml", image, "serve")
    assert done.returncode == 1
    [event] = events(done.stderr)
    assert event["message"] == "serve: MODEL_SERVER_LOG is 'xml': give json or text."


# --- a reader that is slow

LINES = """
    for number in range(int(rows[0, 1])):
        print("line", number, 9 * "0123456789")
"""
CHATTY = ALGORITHM.replace("def predict(model, rows):\n", f"def predict(model, rows):{LINES}")


@pytest.fixture
def unread(project: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Server]]:
    """``serve`` without a container, whose log nobody reads; ``predict`` prints as many lines as a row asks for."""
    program, port = shutil.copytree(project / "container/program", tmp_path / "program"), free_port()
    misbehaving(tmp_path)
    (program / "algorithm.py").write_text(CHATTY, encoding="utf-8")
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": str(port),
                   "MODEL_SERVER_WORKERS": "1"}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(program / "serve")], env=environment, cwd="/", stdout=subprocess.PIPE
    )
    try:
        server = Server(f"http://127.0.0.1:{port}")
        eventually(lambda: answers(server))
        yield process, server
    finally:
        process.kill()
        process.communicate()


def answers(server: Server) -> bool:
    try:
        return server.ask("/ping").status == 200
    except OSError:
        return False


def test_a_log_that_is_read_late_is_complete(unread: tuple[subprocess.Popen[bytes], Server]) -> None:
    """P-53: far more than a pipe holds waits, requests are answered meanwhile, and a stop loses no line."""
    process, server = unread
    assert server.predict(row(Action.NOTHING, 5000)).status == 200
    process.send_signal(signal.SIGTERM)
    written, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    messages = [event.get("message", "") for event in events(written.decode())]
    assert [message.split()[1] for message in messages if message.startswith("line ")] == [str(n) for n in range(5000)]


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(unread: tuple[subprocess.Popen[bytes], Server]) -> None:
    """P-22: more than serve keeps, so that the algorithm waits in the middle of a line."""
    process, server = unread
    with pytest.raises(OSError):
        ask_briefly(server, row(Action.NOTHING, 60_000))
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    eventually(lambda: process.poll() is not None, 29)
    assert select.select([process.stdout], [], [], 0)[0]
    assert process.returncode == 0


def ask_briefly(server: Server, body: bytes) -> None:
    """Ask, and go after two seconds."""
    urllib.request.urlopen(urllib.request.Request(server.url + "/invocations", body), timeout=2)


# --- lines that come in pieces


def test_lines_that_are_objects_pass_unchanged() -> None:
    lines = LogLines(as_json=True)
    one = b'{"time":"2026-11-28T18:00:00.000Z","level":"info","id":"a"}\n'
    assert lines.take(3 * one) == 3 * one
    assert lines.take(one + one[:20]) == one
    assert lines.take(one[20:]) == one


def test_what_stands_around_an_object_becomes_one_of_its_own() -> None:
    """As where a long write of one process surrounds that of another."""
    lines = LogLines(as_json=True)
    one = b'{"time":"2026-11-28T18:00:00.000Z","level":"info","id":"a"}\n'
    before, same, after = lines.take(b"before" + one + b"after\n").splitlines(keepends=True)
    assert json.loads(before)["message"] == "before"
    assert same == one
    assert json.loads(after)["message"] == "after"


def test_lines_of_nginx_keep_their_level() -> None:
    lines = LogLines(as_json=True)
    written = [b"[emerg] 7#7: bind() failed", b"[warn] 7#7: low on files", b"[notice] 7#7: hello"]
    found = lines.take(b"".join(b"2026/11/28 18:00:00 " + line + b"\n" for line in written)).splitlines()
    assert [(json.loads(line)["level"], json.loads(line)["message"]) for line in found] == [
        ("error", "bind() failed"), ("warning", "low on files"), ("info", "hello"),
    ]  # fmt: skip


def test_a_traceback_is_one_object_though_it_comes_line_by_line() -> None:
    lines = LogLines(as_json=True)
    parts = ["Traceback (most recent call last):\n", '  File "x.py", line 1, in f\n', "    g()\n", "ValueError: no\n"]
    assert [lines.take(part.encode()) for part in parts[:-1]] == [b"", b"", b""]
    event = json.loads(lines.take(parts[-1].encode()))
    assert (event["level"], event["message"]) == ("error", "".join(parts).rstrip())


def test_bytes_that_are_no_text_and_the_last_words_are_kept() -> None:
    lines = LogLines(as_json=True)
    assert json.loads(lines.take(b"\xff\x00\x1b[31m red\n"))["message"] == "\ufffd\x00\x1b[31m red"
    assert lines.take(b"killed in mid-") == b""
    assert json.loads(lines.end())["message"] == "killed in mid-"
