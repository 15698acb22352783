"""Calls to an endpoint of the simulator, or to a server, that go on while something happens to it."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

SIGNED = "AWS4-HMAC-SHA256 Credential=caller/20260101/us-west-2/sagemaker/aws4_request, Signature=none"


@dataclass(frozen=True)
class Called:
    """A call: when it was sent, what came back, and after how many seconds. The status 0 is none at all."""

    at: float
    status: int
    seconds: float


@dataclass
class Traffic:
    """What was called so far."""

    calls: list[Called] = field(default_factory=list)

    def wait(self, count: int) -> None:
        """Until so many calls were answered from now on."""
        goal = len(self.calls) + count
        while len(self.calls) < goal:
            time.sleep(0.01)

    def lost(self) -> list[Called]:
        """The calls that were not answered with 200."""
        return [call for call in self.calls if call.status != 200]


@contextmanager
def flowing(url: str, endpoint: str, body: bytes, callers: int = 4) -> Iterator[Traffic]:
    """Call the endpoint over and over from several threads until the block ends."""
    address = url.removeprefix("http://")
    headers = {"Authorization": SIGNED, "Content-Type": "text/csv"}

    def call() -> int:
        connection = http.client.HTTPConnection(address, timeout=70)
        try:
            connection.request("POST", f"/endpoints/{endpoint}/invocations", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    with repeating(*[call] * callers) as traffic:
        yield traffic


@contextmanager
def repeating(*senders: Callable[[], int]) -> Iterator[Traffic]:
    """Run each of ``senders``, which send a request and return its status, over and over in a thread of its own."""
    traffic, stop = Traffic(), threading.Event()

    def repeat(send: Callable[[], int]) -> None:
        while not stop.is_set():
            began, status = time.time(), 0
            with suppress(OSError, http.client.HTTPException):
                status = send()
            traffic.calls.append(Called(began, status, time.time() - began))

    threads = [threading.Thread(target=repeat, args=[send]) for send in senders]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join()
