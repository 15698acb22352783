"""What the tests of faults and limits share: an algorithm that misbehaves as a row says, and clients that count."""

import asyncio
import errno
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import HeaderParser
from enum import IntEnum
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from programs import Answer, Server, docker, started

SOAK = os.environ.get("SOAK") == "1"
"""Whether the long forms are asked for."""


class Action(IntEnum):
    """What the first column of a row makes the algorithm do; the second says how much."""

    NOTHING = 0
    SLEEP = 1  # seconds
    RAISE = 2
    CRASH = 3
    ALLOCATE = 4  # MiB
    BLOCK = 5
    HOLD = 6  # forever, and the interpreter's lock with it
    SICKEN = 7  # no prediction works any more, in any worker, until HEAL is called
    BURN = 8  # seconds of a CPU


ALGORITHM = '''
"""Predicts twice the second column, after it has done what the first one says."""

import ctypes
import threading
import time
from pathlib import Path

SICK = Path("/tmp/sick")


def load(directory):
    seconds = directory / "seconds"
    time.sleep(float(seconds.read_text()) if seconds.exists() else 0)
    return directory


def features(model):
    columns = model / "columns"
    return ["action", "amount", *map(str, range(int(columns.read_text()) - 2 if columns.exists() else 0))]


def predict(model, rows):
    if (model / "useless").exists():
        raise ValueError("useless")
    for action, amount in rows[rows[:, 0] > 0, :2]:
        act(int(action), amount)
    if SICK.exists():
        raise ValueError("sick")
    return {"double": 2 * rows[:, 1]}


def act(action, amount):
    if action == 1:
        time.sleep(amount)
    elif action == 2:
        raise ValueError("asked for")
    elif action == 3:
        ctypes.string_at(0)
    elif action == 4:
        bytearray(b"x") * int(amount * 2**20)
    elif action == 5:
        threading.Event().wait()
    elif action == 6:
        library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
        library.pthread_mutex_lock(mutex)
        library.pthread_mutex_lock(mutex)
    elif action == 7:
        SICK.touch()
    elif action == 8:
        end = time.thread_time() + amount
        while time.thread_time() < end:
            pass
'''
HEAL = ("rm", "/tmp/sick")


def row(action: Action, amount: float = 0.0) -> bytes:
    """A request that makes the algorithm act."""
    return b"%d,%r\n" % (action, float(amount))


def double(amount: float) -> bytes:
    """The answer to it."""
    return b"%r\n" % (2 * float(amount))


def misbehaving(directory: Path, **files: str) -> list[str]:
    """Docker's options for a container that serves ``ALGORITHM``, its model directory holding ``files``."""
    (directory / "model").mkdir(parents=True)
    for name, text in {"algorithm.py": ALGORITHM, **{f"model/{name}": text for name, text in files.items()}}.items():
        (directory / name).write_text(text, encoding="utf-8")
    mounts = {"algorithm.py": "/opt/program/algorithm.py", "model": "/opt/ml/model"}
    return [f"--volume={directory / source}:{target}:ro" for source, target in mounts.items()]


@contextmanager
def serving_with(image: str, *options: str, port: int = 8080, ready: bool = True) -> Iterator[Server]:
    """``serve`` in a container with these options alone; where not ``ready`` it may still be loading."""
    with started(image, *options) as name:
        server = Server(f"http://{address(name)}:{port}", container=name)
        try:
            if ready:
                server.wait()
            yield server
        except BaseException:  # the failure of a test is none of Exception's
            lines = [line for line in server.logged().splitlines() if not line.startswith("{")]
            print("the server's log:", *lines[-100:], sep="\n")
            raise


def address(container: str) -> str:
    return docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container).stdout.strip()


def workers(server: Server) -> set[int]:
    """The process ids, as the container numbers them, of gunicorn's workers: those that the master has forked."""
    script = (
        "for p in /proc/[0-9]*; do "
        "if grep -qs 'gunicorn' $p/cmdline; then echo $(basename $p) $(cut -d' ' -f4 $p/stat); fi; done"
    )
    pairs = [line.split() for line in docker("exec", server.container, "sh", "-c", script).stdout.splitlines()]
    parents = dict(pair for pair in pairs if len(pair) == 2)
    return {int(pid) for pid, parent in parents.items() if parent in parents}


def eventually(claim: Callable[[], object], seconds: float = 30) -> float:
    """Wait until ``claim`` is true and return how long that took."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < seconds, claim
        time.sleep(0.02)
    return time.monotonic() - began


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def record(name: str, **figures: object) -> None:
    """Print what was counted, and append it to the file that FAULTS_REPORT names."""
    print(name, json.dumps(figures))
    if path := os.environ.get("FAULTS_REPORT"):
        with Path(path).open("a", encoding="utf-8") as report:
            report.write(json.dumps({"test": name, "soak": SOAK, **figures}) + "\n")


# --- clients


@dataclass
class Tally:
    """What became of the requests of a load."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Requests of which any byte was sent on an open connection that then closed without a complete answer."""
    wrong: list[str] = field(default_factory=list)
    """Answers 200 that are not the answer to the request."""
    shapeless: int = 0
    """Answers other than 200 that are not the JSON of all errors."""
    announced: int = 0
    """Connections that the server closed after it had said so."""
    unannounced: int = 0
    """Connections that the server closed while the client had nothing under way, without having said so."""
    refused: int = 0
    """Connections that were not made."""
    seconds: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return self.statuses.total()

    def figures(self) -> dict[str, object]:
        found = {"sent": self.sent, "answered": self.answered, "statuses": dict(self.statuses), "lost": len(self.lost)}
        found |= {"wrong": len(self.wrong), "closed as announced": self.announced, "refused": self.refused}
        return found | {"closed idle": self.unannounced, "why lost": dict(Counter(self.lost))}


NOTICE = 2.0
"""Seconds before its end in which the server tells clients that their connections end with the next answer."""
SILENT = "connection that was silent for longer than the notice"


class Cut(Exception):
    """The connection ended before the answer did."""


class Connection:
    """One HTTP/1.1 connection, and nothing between the test and its bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.last = False
        """Whether the server has said that it closes."""

    @classmethod
    async def open(cls, server: Server, seconds: float = 5) -> "Connection":
        where = urlsplit(server.url)
        opening = asyncio.open_connection(where.hostname, where.port)
        return cls(*await asyncio.wait_for(opening, seconds))

    @property
    def closed(self) -> bool:
        return self.reader.at_eof() or self.reader.exception() is not None

    async def ask(self, request: bytes, pause: float = 0.0) -> Answer:
        """Send a request and read the answer; with a ``pause`` it is sent in two halves."""
        try:
            half = len(request) // 2 if pause else 0
            self.writer.write(request[:half])
            await asyncio.sleep(pause)
            self.writer.write(request[half:])
            await self.writer.drain()
            return await self.answer()
        except asyncio.IncompleteReadError as error:
            raise Cut(f"closed after {len(error.partial)} bytes") from None
        except OSError as error:
            raise Cut(type(error).__name__) from None

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, _, lines = head.partition("\r\n")
        headers = HeaderParser().parsestr(lines)
        self.last = headers["Connection"] == "close"
        if headers["Transfer-Encoding"] == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(status.split()[1]), headers, body)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def request(body: bytes, content_type: str = "text/csv", *headers: str) -> bytes:
    lines = ["POST /invocations HTTP/1.1", "Host: x", f"Content-Type: {content_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@dataclass
class Client:
    """Sends requests one after the other until ``stop`` is set or no connection can be made any more."""

    body: Callable[[int], tuple[bytes, bytes]]
    """The body of request number n, and the answer that is right; empty for any."""
    think: float = 0.0
    """Seconds between an answer and the next request on the same connection."""
    new: bool = False
    """Whether each request has a new connection, which the server is asked to close."""
    pause: float = 0.0
    """Seconds in the middle of sending."""

    @property
    def habit(self) -> str:
        if self.think > NOTICE:
            return SILENT
        return "new connection" if self.new else "kept connection"

    async def run(self, server: Server, tally: Tally, stop: Event) -> None:
        number = 0
        while not stop.is_set():
            try:
                connection = await Connection.open(server)
            except (OSError, TimeoutError) as error:
                if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                    raise  # this machine has no port left, which says nothing about the server
                tally.refused += 1
                return
            try:
                while not stop.is_set():
                    await self._one(connection, tally, number)
                    number += 1
                    if self.new:
                        break
                    await asyncio.sleep(self.think)
                    if connection.last:
                        tally.announced += 1
                        break
                    if connection.closed:
                        tally.unannounced += 1
                        break
            except Cut as cut:
                tally.lost.append(f"{cut}, {self.habit}")
            finally:
                await connection.close()

    async def _one(self, connection: Connection, tally: Tally, number: int) -> None:
        body, right = self.body(number)
        tally.sent += 1
        began = time.monotonic()
        headers = ["Connection: close"] if self.new else []
        answer = await connection.ask(request(body, "text/csv", *headers), self.pause)
        tally.seconds.append(time.monotonic() - began)
        tally.statuses[answer.status] += 1
        if answer.status != 200:
            tally.shapeless += not is_an_error(answer)
        elif right and answer.body != right:
            tally.wrong.append(f"{body[:50]!r}: {answer.body[:50]!r}")


def is_an_error(answer: Answer) -> bool:
    """Whether it has the one form of all errors (H-55)."""
    try:
        return bool(answer.message)
    except (AssertionError, KeyError, ValueError):
        return False


@contextmanager
def load(server: Server, clients: list[Client]) -> Iterator[Tally]:
    """Clients that run beside the test until the block ends."""
    tally, stop = Tally(), Event()

    async def run() -> None:
        await asyncio.gather(*(client.run(server, tally, stop) for client in clients))

    with beside(run()):
        try:
            yield tally
        finally:
            stop.set()


@contextmanager
def beside(work: Coroutine[object, object, None]) -> Iterator[Thread]:
    """Run a coroutine in a thread and an event loop of its own; what it raises is raised at the end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:  # the failure of a test is none of Exception's
            raised.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if raised:
        raise raised[0]


PROBE = """
import http.client, json, sys, time
host, port, path, pause = sys.argv[1:]
asked = []
while True:
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.connect()
        connected = time.monotonic() - began
        connection.request("GET", path)
        status = connection.getresponse().status
    except OSError:
        connected, status = time.monotonic() - began, 0
    connection.close()
    print(json.dumps([status, connected, time.monotonic() - began]), flush=True)
    time.sleep(float(pause))
"""


@dataclass
class Probe:
    """What a prober in a process of its own has seen of ``/ping``."""

    statuses: list[int] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        milliseconds = {f"p{int(100 * q)} ms": round(1000 * quantile(self.seconds, q), 1) for q in (0.5, 0.99, 1)}
        return {"pings": len(self.statuses), "ping statuses": dict(Counter(self.statuses)), **milliseconds}


@contextmanager
def probing(server: Server, pause: float = 0.02) -> Iterator[Probe]:
    """Ask ``/ping`` again and again, each time on a new connection; the figures are there after the block."""
    where = urlsplit(server.url)
    probe = Probe()
    command = [sys.executable, "-c", PROBE, str(where.hostname), str(where.port), "/ping", str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield probe
    finally:
        process.terminate()
        written, _ = process.communicate()
        for line in written.splitlines():
            if re.fullmatch(r"\[.*\]", line):
                status, connected, took = json.loads(line)
                probe.statuses.append(int(status))
                probe.connects.append(connected)
                probe.seconds.append(took)
