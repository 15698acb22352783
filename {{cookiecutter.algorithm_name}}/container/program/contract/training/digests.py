"""Template: digests of the channels, computed in another process while ``train`` runs, so that the job need not wait.

A process, because a thread would compete with ``train`` for Python's lock, and could leave locks held in its forks.
"""

import hashlib
import json
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

SECONDS_TO_WAIT = 30  # for the digests, once the model is in place
ENDED = "not all bytes were read before the job ended"


class Digests:
    """The digests of the channels that the job reads."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._reader: Popen[bytes] | None = None

    def begin(self, channel: str, directory: Path) -> None:
        """Start reading the files of a channel."""
        self._found[channel] = {}
        try:
            if self._reader is None:  # in its own session, so that Ctrl-C ends only ``train``
                command = [sys.executable, "-IS", __file__]
                self._reader = Popen(command, bufsize=0, stdin=PIPE, stdout=PIPE, start_new_session=True)
            assert self._reader.stdin
            self._reader.stdin.write(json.dumps([channel, str(directory)]).encode() + b"\n")
        except OSError as error:  # no memory for another process: the model matters more than its manifest
            self._found[channel] = _missing(error.strerror)

    def wait(self, stopped: Callable[[], bool]) -> dict[str, dict[str, Any]]:
        """What was read of each channel within ``SECONDS_TO_WAIT``, or until ``stopped()``; then end the reading."""
        deadline = time.monotonic() + SECONDS_TO_WAIT
        while self._reader and any("sha256" not in about for about in self._found.values()):
            assert self._reader.stdout
            late = stopped() or time.monotonic() > deadline
            ready, _, _ = select.select([self._reader.stdout], [], [], 0 if late else 0.1)
            line = self._reader.stdout.readline() if ready else b""
            if line:
                channel, about = json.loads(line)
                self._found[channel] |= about
            elif ready or late:
                break
        if self._reader:
            self._reader.kill()
            self._reader.wait()
        return {name: about if "sha256" in about else about | _missing(ENDED) for name, about in self._found.items()}


def files_below(directory: Path) -> list[Path]:
    """All files of any kind, sorted."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def size(files: list[Path]) -> dict[str, Any]:
    """How many files and bytes there are."""
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _missing(reason: str | None) -> dict[str, Any]:
    return {"sha256": None, "sha256_missing": reason}


def _read_all(lines: "queue.SimpleQueue[str]") -> None:
    """For each channel print its size, then its digest, which covers the names and the contents of its files."""
    while True:
        channel, directory = json.loads(lines.get())
        try:
            files = files_below(Path(directory))
            print(json.dumps([channel, size(files)]), flush=True)
            about = {"sha256": _digest(Path(directory), files)}
        except OSError as error:
            about = _missing(f"{error.filename or directory}: {error.strerror}")
        print(json.dumps([channel, about]), flush=True)


def _digest(directory: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(f"{path.relative_to(directory)}\0".encode(errors="surrogateescape") + content)
    return digest.hexdigest()


if __name__ == "__main__":
    os.nice(19)  # ``train`` has priority
    given: "queue.SimpleQueue[str]" = queue.SimpleQueue()
    threading.Thread(target=_read_all, args=[given], daemon=True).start()
    for line in sys.stdin:
        given.put(line)
    os._exit(0)  # The job's process has ended, so nobody needs the digests.
