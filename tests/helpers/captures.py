"""Captured requests as they are in files, and a server that can be killed as a whole."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from programs import Server, free_port

Event = dict[str, Any]


def lines(folder: Path) -> list[bytes]:
    """The lines of all captured files that are not empty, those that a killed process did not complete among them."""
    return [line for path in sorted(folder.rglob("*.jsonl")) for line in path.read_bytes().split(b"\n") if line]


def events(folder: Path) -> list[Event]:
    """What was captured."""
    return [json.loads(line) for line in lines(folder)]


def side(event: Event, name: str) -> tuple[str, str, str]:
    """Content type, encoding and data of a request (``Input``) or its answer (``Output``)."""
    part = event["captureData"][f"endpoint{name}"]
    assert part["mode"] == name.upper()
    return part["observedContentType"], part["encoding"], part["data"]


@contextmanager
def server_to_kill(project: Path, tree: Path, log: Path, **settings: str) -> Iterator[tuple[Server, int]]:
    """``serve`` without a container, and its process id for ``kill``; what is left at the end is killed."""
    port = free_port()
    variables = {"SAGEMAKER_BASE_DIR": str(tree), "SAGEMAKER_BIND_TO_PORT": str(port), **settings}
    command = [sys.executable, str(project / "container/program/serve")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | variables, cwd="/", stdout=output, stderr=subprocess.STDOUT
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", log)
        server.wait()
        yield server, process.pid
    finally:
        kill(process.pid)
        process.wait()


def kill(pid: int) -> None:
    """End a process and all that it has started, without notice."""
    with suppress(FileNotFoundError, ProcessLookupError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        os.kill(pid, signal.SIGKILL)
        for child in children:
            kill(int(child))
