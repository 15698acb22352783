"""Template: the hosts of a training job. One leads and trains; the others wait for what it says (T-06, T-48).

They end with it and not before: where the first container to end ends all, as in local mode, it would be stopped
(L-02).
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract import failure, resources
from contract.errors import UserError
from contract.training.sigterm import Stopped

PORT = 8785
LOOKUPS = 60  # half a second apart, until the leader's name is known
SECONDS_TO_LISTEN = 120  # until the leader does
SECONDS_TO_COME = 30  # and hear that a job has ended


@dataclass(frozen=True)
class Hosts:
    """Who trains: names as the platform gives them, whatever they look like (T-05)."""

    current: str
    names: tuple[str, ...]
    """All hosts, sorted."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Hosts":
        """As ``resourceconfig.json`` says; without it one host (T-02).

        Raises ``UserError`` where it would have nobody train, or everybody.
        """
        current = config.get("current_host") or "algo-1"
        hosts = config.get("hosts") or [current]
        if not isinstance(hosts, list) or current not in hosts:
            raise UserError(
                f"resourceconfig.json has {config.get('current_host')!r} as current_host and {hosts!r} as hosts: "
                "list the current host among the others, or leave the file out."
            )
        return cls(str(current), tuple(sorted(map(str, hosts))))

    @property
    def leader(self) -> str:
        """The host that saves the model (T-06, T-48)."""
        return self.names[0]

    @property
    def leads(self) -> bool:
        """Whether this is the leader."""
        return self.current == self.leader


class Followers:
    """The other hosts, as the leader has them."""

    def __init__(self, number: int) -> None:
        """``number`` is how many there should be."""
        self.number = number
        self.connections: list[socket.socket] = []
        """To those who have come."""
        self.cpus = 0
        """Of them together."""
        self.closing = contextlib.ExitStack()
        """What is to be closed once they are told."""
        self._told: list[bytes] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Let them come from now on, if there are any."""
        if self.number:
            door = self.closing.enter_context(socket.create_server(("", PORT), backlog=self.number))
            threading.Thread(target=self._welcome, args=[door], daemon=True).start()

    def tell(self, **word: str | None) -> None:
        """Say something to all, also to those who have yet to come."""
        line = json.dumps(word).encode() + b"\n"
        with self._lock:
            self._told.append(line)
            for connection in self.connections:
                with contextlib.suppress(OSError):  # a host that is lost stops nobody
                    connection.sendall(line)

    def gather(self, seconds: float) -> None:
        """Wait until all have come, but no longer."""
        deadline = time.monotonic() + seconds
        while len(self.connections) < self.number and time.monotonic() < deadline:
            time.sleep(0.1)

    def _welcome(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the door is closed
            while True:
                connection, _ = door.accept()
                with contextlib.suppress(OSError, ValueError):  # that was no host of the job
                    connection.settimeout(5)
                    cpus = int(connection.makefile().readline())
                    self._add(connection, cpus)

    def _add(self, connection: socket.socket, cpus: int) -> None:
        with self._lock:
            connection.sendall(b"".join(self._told))
            self.connections.append(connection)
            self.cpus += cpus


@contextlib.contextmanager
def leading(followers: Followers) -> Iterator[None]:
    """Let the other hosts come, and tell them how it ended."""
    with followers.closing:
        followers.listen()
        try:
            yield
        except Stopped:
            followers.tell(failure=None)
            raise
        except BaseException as error:
            followers.tell(failure=failure.describe(error))
            followers.gather(SECONDS_TO_COME)
            raise
        followers.tell(failure=None)
        followers.gather(SECONDS_TO_COME)


def words(hosts: Hosts) -> Iterator[tuple[dict[str, Any], str]]:
    """What the leader says, until it ends, each with the address of this host.

    Raises ``UserError`` with the leader's reason where it fails, and where it ends without a word.
    """
    connection = _reach(hosts.leader)
    if not connection:
        print(f"{hosts.current}: {hosts.leader} does not answer, nothing to do here", flush=True)
        return
    print(f"{hosts.current}: {hosts.leader} trains, waiting for it", flush=True)
    with connection, connection.makefile(encoding="utf-8") as lines:
        connection.sendall(b"%d\n" % resources.cpus())
        for word in map(json.loads, lines):
            if "failure" not in word:
                yield word, connection.getsockname()[0]
            elif word["failure"]:
                raise UserError(f"{hosts.leader} failed: {word['failure']}")
            else:
                return
    raise UserError(f"{hosts.leader} ended without a word, as when its memory runs out: see its log.")


def _reach(leader: str) -> socket.socket | None:
    begun, lookups = time.monotonic(), 0
    while lookups < LOOKUPS and time.monotonic() - begun < SECONDS_TO_LISTEN:
        try:
            connection = socket.create_connection((leader, PORT), timeout=5)
        except OSError as error:  # T-06: its name may not be known yet
            lookups += isinstance(error, socket.gaierror)
            time.sleep(0.5)
        else:
            connection.settimeout(None)
            return connection
    return None
