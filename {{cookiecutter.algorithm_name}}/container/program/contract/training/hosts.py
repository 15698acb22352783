"""Template: the hosts of a training job. The leader trains; the others wait for its messages (T-06, T-48).

They end when it ends: in the SDKs' local mode, the first container that ends stops all others (L-02).
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
from contract.training.sigterm import Stop, Stopped

PORT = 8785
SECONDS_TO_FIND_THE_LEADER = 15 * 60  # as long as AWS's training toolkit looks names up while a cluster starts
SECONDS_TO_HEAR_THE_END = 30  # for a host that has not reached the leader when the job ends


@dataclass(frozen=True)
class Hosts:
    """The hosts of the job, with the names that the platform gives them, which have no fixed form (T-05)."""

    current: str
    names: tuple[str, ...]
    """All hosts, sorted."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Hosts":
        """As ``resourceconfig.json`` says, or one host without it (T-02).

        Raises ``UserError`` if the current host is not in the list, since no host or every host would train.
        """
        current = config.get("current_host") or "algo-1"
        hosts = config.get("hosts") or [current]
        if not isinstance(hosts, list) or current not in hosts:
            raise UserError(
                f"resourceconfig.json has {config.get('current_host')!r} as current_host and {hosts!r} as hosts: "
                "add the current host to the hosts, or remove the file."
            )
        return cls(str(current), tuple(sorted(map(str, hosts))))

    @property
    def leader(self) -> str:
        """The host that saves the model (T-06, T-48)."""
        return self.names[0]

    @property
    def leads(self) -> bool:
        """Whether the current host is the leader."""
        return self.current == self.leader


class Followers:
    """The leader's connections to the other hosts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.connections: list[socket.socket] = []
        self.cpus = 0
        """Of all connected hosts together."""
        self.closing = contextlib.ExitStack()
        """What to close after the last message."""
        self._sent: list[bytes] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Accept connections from now on, if there are other hosts."""
        if self.number:
            server = self.closing.enter_context(socket.create_server(("", PORT), backlog=self.number))
            threading.Thread(target=self._accept_all, args=[server], daemon=True).start()

    def send(self, **message: str | None) -> None:
        """Send a message to all hosts, also to those that connect later."""
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._sent.append(line)
            for connection in self.connections:
                with contextlib.suppress(OSError):  # the job continues without a host that is lost
                    connection.sendall(line)

    def wait_for_all(self, seconds: float) -> None:
        """Wait until all hosts have connected, at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while len(self.connections) < self.number and time.monotonic() < deadline:
            time.sleep(0.1)

    def _accept_all(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the server is closed
            while True:
                connection, _ = server.accept()
                with contextlib.suppress(OSError, ValueError):  # it was not a host of the job
                    connection.settimeout(5)
                    cpus = int(connection.makefile().readline())
                    with self._lock:
                        connection.sendall(b"".join(self._sent))
                        self.connections.append(connection)
                        self.cpus += cpus


@contextlib.contextmanager
def leading(followers: Followers, stop: Stop) -> Iterator[None]:
    """Accept the other hosts, and tell them how the job ended."""
    reason = None
    with followers.closing:
        followers.listen()
        try:
            yield
        except BaseException as error:  # the other hosts are told of any end
            reason = None if isinstance(error, Stopped) else failure.describe(error)
            raise
        finally:
            followers.send(failure=reason)
            if not stop.asked:  # else the others are stopped too
                followers.wait_for_all(SECONDS_TO_HEAR_THE_END)


def find_leader(hosts: Hosts) -> socket.socket | None:
    """A connection to the leader. None if it cannot be found; only the leader decides whether the job fails."""
    print(f"{hosts.current}: looking for {hosts.leader}, for up to 15 minutes", flush=True)
    deadline = time.monotonic() + SECONDS_TO_FIND_THE_LEADER
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection((hosts.leader, PORT), timeout=5)
        except OSError:  # Its name may not be known yet, and it may not have started (T-06).
            time.sleep(0.5)
        else:
            connection.settimeout(None)
            print(f"{hosts.current}: {hosts.leader} trains, waiting for it", flush=True)
            return connection
    remedy = "If the job runs in a VPC, its security group must let the hosts reach each other."
    print(f"{hosts.current}: {hosts.leader} does not answer, so this host does nothing. {remedy}", flush=True)
    return None


def messages(connection: socket.socket, leader: str, stop: Stop) -> Iterator[dict[str, Any]]:
    """What the leader asks for, until the job ends.

    Raises ``UserError`` with the leader's reason if it fails, or if it ends without a message and was not stopped.
    """
    with connection.makefile(encoding="utf-8") as lines, contextlib.suppress(ConnectionError):
        connection.sendall(b"%d\n" % resources.cpus())
        for message in map(json.loads, lines):
            if "failure" not in message:
                yield message
            elif message["failure"]:
                raise UserError(f"{leader} failed: {message['failure']}")
            else:
                return
    if not stop.asked:
        raise UserError(f"{leader} ended without a message, perhaps because its memory ran out: see its log.")
