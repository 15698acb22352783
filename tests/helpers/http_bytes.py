"""What the tests of HTTP share: algorithms that say what they predict and wait when told to, and raw connections."""

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from itertools import count
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from faults import Cut, eventually, serving_with
from programs import Answer, Server, serving_here

NOTHING, WAIT, LONG = 0, 1, 2
"""What the first column of a row asks for: just the answer, one that waits for a gate, one of so many bytes."""

BEGIN = '''
"""Yours: answers each row with twice its amount, after it has done what the first column says."""

import os
import time
from pathlib import Path


def load(directory):
    return directory


def say(text):
    with Path(os.environ["SAID"]).open("a") as said:
        said.write(text)


'''
ALGORITHM = f"""{BEGIN}def features(model):
    return ["action", "amount"]


def predict(model, rows):
    return {{"answer": [answer(model, int(action), int(amount)) for action, amount in rows]}}


def answer(model, action, amount):
    say(f"predicts {{amount}};")
    while action == {WAIT} and not (model / f"gate-{{amount}}").exists():
        time.sleep(0.002)
    return "x" * amount if action == {LONG} else str(2 * amount)
"""
PIECE_BYTES = 2**18
STREAMING = f'''{BEGIN}from contract.api import Payload

CONTENT_TYPES = ["text/csv"]


def predict(model, requests: list[Payload]):
    """As many pieces as the amount says, each large; a negative amount fails after its first."""
    [request] = requests
    amount = int(request.text.split(",")[1])
    try:
        for number in range(max(1, abs(amount))):
            if amount < 0 < number:
                raise ValueError("asked for")
            yield Payload(str(number % 10).encode() * {PIECE_BYTES} + b"\\n", "text/csv")
    finally:
        say(f"the stream {{amount}} ends;")
'''
amounts = count(1000)
"""Numbers of four digits that no two requests of a run share, so that it can be seen which have been predicted."""


@dataclass(frozen=True)
class Site:
    """A server whose model directory the test can write to, and what stands in front of it."""

    server: Server
    model: Path
    said: Path
    """The file that the algorithm writes to."""
    nginx: bool

    def wire(self, receive_buffer: int = 0) -> "Wire":
        return Wire(self.server, receive_buffer)

    def ask(self, data: bytes) -> Answer:
        """The answer to one request on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(data)

    def predicts(self) -> bool:
        """Whether a request is admitted and predicted, now."""
        amount = next(amounts)
        answer = self.ask(post(amount))
        assert answer.status in (200, 503)
        return answer.status == 200 and answer.body == double(amount)

    def begun(self, amount: int) -> bool:
        return f"predicts {amount};" in self.said.read_text()

    def wait_until_begun(self, *amounts: int) -> None:
        """Until one of them is."""
        eventually(lambda: any(map(self.begun, amounts)))

    def wait_until_logged(self, text: str) -> None:
        eventually(lambda: text in self.server.logged())

    def open_gate(self, amount: int) -> None:
        """Let the prediction of this amount end."""
        (self.model / f"gate-{amount}").touch()


@contextmanager
def site(folder: Path, algorithm: str, image: str, project: Path, **settings: str) -> Iterator[Site]:
    """Serve ``algorithm`` behind nginx, in a container; or without both where ``image`` is empty."""
    model, said = folder / "opt_ml/model", folder / "said"
    model.mkdir(parents=True)
    said.touch()
    (folder / "algorithm.py").write_text(algorithm.lstrip(), encoding="utf-8")
    if not image:
        mine = Path(shutil.copytree(project, folder / "mine"))
        (mine / "container/program/algorithm.py").write_text(algorithm.lstrip(), encoding="utf-8")
        with serving_here(mine, folder / "opt_ml", folder / "serve.log", SAID=str(said), **settings) as server:
            yield Site(server, model, said, nginx=False)
        return
    mounts = {folder / "algorithm.py": "/opt/program/algorithm.py", model: "/opt/ml/model"}
    options = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    options += [
        f"--volume={said}:/said",
        "--env=SAID=/said",
        *(f"--env={key}={text}" for key, text in settings.items()),
    ]
    with serving_with(image, *options) as server:
        yield Site(server, model, said, nginx=True)


# --- requests


def head(first: str, *headers: str) -> bytes:
    """A request's line and headers. A header ``Host`` comes first unless there is one."""
    host = [] if any(header.lower().startswith("host:") for header in headers) else ["Host: x"]
    return "\r\n".join([first, *host, *headers, "", ""]).encode("latin-1")


def get(path: str = "/ping", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return head(f"{method} {path} HTTP/{version}", *headers)


def row(amount: int, action: int = NOTHING) -> bytes:
    return b"%d,%d\n" % (action, amount)


def double(amount: int) -> bytes:
    """The answer to it."""
    return b"%d\n" % (2 * amount)


def post(amount: int, *headers: str, action: int = NOTHING, version: str = "1.1", path: str = "/invocations") -> bytes:
    """A request to predict one row."""
    return with_body(row(amount, action), *headers, version=version, path=path)


def with_body(body: bytes, *headers: str, version: str = "1.1", path: str = "/invocations") -> bytes:
    lines = ["Content-Type: text/csv", *headers, f"Content-Length: {len(body)}"]
    return head(f"POST {path} HTTP/{version}", *lines) + body


def chunked(*chunks: bytes, trailers: bytes = b"", extension: bytes = b"") -> bytes:
    """The body in this coding."""
    pieces = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return pieces + b"0" + extension + b"\r\n" + trailers + b"\r\n"


def post_chunked(body: bytes, *headers: str, path: str = "/invocations") -> bytes:
    """A request with a body that is coded already."""
    return head(f"POST {path} HTTP/1.1", "Content-Type: text/csv", *headers, "Transfer-Encoding: chunked") + body


# --- the client

SECONDS = 20  # after which the server is said to hang
ONCE = ("Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding", "X-Request-Id")


class Wire:
    """One connection, and nothing between the test and its bytes."""

    def __init__(self, server: Server, receive_buffer: int = 0) -> None:
        where = urlsplit(server.url)
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((where.hostname, where.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.interim: list[int] = []
        """The statuses 1xx that came before the last answer."""
        self._read = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes, *, to_head: bool = False) -> Answer:
        self.send(data)
        return self.answer(to_head=to_head)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer. Its form is checked: what is more than once, and what an error looks like (H-55)."""
        self.interim = []
        while True:
            status, headers = self.begin()
            if status >= 200:
                break
            self.interim.append(status)
        empty = to_head or status in (204, 304)
        answer = Answer(status, headers, b"" if empty else self._body(headers))
        if status >= 400 and not empty:
            assert answer.message
        return answer

    def begin(self) -> tuple[int, Message]:
        """The status and the headers of the next answer."""
        first, _, lines = self.until(b"\r\n\r\n").decode("latin-1").partition("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] ([1-5]\d\d) .*", first)
        assert match, first
        headers = HeaderParser().parsestr(lines)
        assert [name for name in ONCE if len(headers.get_all(name, [])) > 1] == []
        assert not (headers["Content-Length"] and headers["Transfer-Encoding"])
        return int(match[1]), headers

    def _body(self, headers: Message) -> bytes:
        if headers["Transfer-Encoding"]:
            assert headers["Transfer-Encoding"] == "chunked"
            return b"".join(self.chunks())
        if headers["Content-Length"]:
            return self.exactly(int(headers["Content-Length"]))
        return self.rest()

    def chunks(self) -> Iterator[bytes]:
        """The pieces of a chunked body. Raises ``Cut`` where it is not complete."""
        while size := int(self.until(b"\r\n"), 16):
            yield self.exactly(size + 2)[:-2]
        assert self.exactly(2) == b"\r\n"

    def until(self, mark: bytes) -> bytes:
        searched = 0
        while (end := self._read.find(mark, searched)) < 0:
            searched = max(0, len(self._read) - len(mark))
            self._more()
        return self.exactly(end + len(mark))

    def exactly(self, size: int) -> bytes:
        pieces, missing = [self._read[:size]], size - len(self._read)
        self._read = self._read[size:]
        while missing > 0:
            self._more()
            pieces.append(self._read[:missing])
            self._read, missing = self._read[missing:], missing - len(self._read)
        return b"".join(pieces)

    def rest(self) -> bytes:
        """All that comes before the server closes."""
        while True:
            try:
                self._more()
            except Cut:
                read, self._read = self._read, b""
                return read

    def ended(self) -> bool:
        """Whether the server closes; or sends more. Raises ``TimeoutError`` where it does neither."""
        try:
            if not self._read:
                self._more()
        except Cut:
            return True
        return False

    def _more(self) -> None:
        try:
            received = self.socket.recv(2**16)
        except ConnectionError as error:
            raise Cut(type(error).__name__) from None
        if not received:
            raise Cut(f"closed after {self._read[:100]!r}")
        self._read += received


def until_closed(where: Site, data: bytes) -> list[Answer]:
    """All answers to these bytes. The server must close, be it after an error or since a request asked for it."""
    answers = []
    with where.wire() as wire:
        with suppress(ConnectionError):  # it may have closed already
            wire.send(data)
        while not wire.ended():
            answers.append(wire.answer())
    return answers


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]
