"""Calls to an endpoint of the simulator that go on while something happens to it."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    traffic, stop = Traffic(), threading.Event()
    address = url.removeprefix("http://")
    headers = {"Authorization": SIGNED, "Content-Type": "text/csv"}

    def call() -> None:
        while not stop.is_set():
            began, status = time.time(), 0
            connection = http.client.HTTPConnection(address, timeout=70)
            try:
                connection.request("POST", f"/endpoints/{endpoint}/invocations", body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except OSError:
                pass
            finally:
                connection.close()
            traffic.calls.append(Called(began, status, time.time() - began))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join()
