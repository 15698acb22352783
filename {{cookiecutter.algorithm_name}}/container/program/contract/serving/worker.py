"""Template: the gunicorn worker: an event loop that reads and writes, besides the threads that predict (H-07).

It listens once it has predicted the example (H-05). Behind nginx, each worker has its own socket, which refuses
connections before that and after the worker's end, so that nginx tries another worker at once.
"""

import asyncio
import io
import os
import signal
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any
from wsgiref.handlers import SimpleHandler

import uvloop
from gunicorn.workers.base import Worker

from contract.serving import log, worker_states
from contract.serving.connection import Connection
from contract.serving.incoming import Incoming
from contract.serving.service import Service, settle

BACKLOG = 2048  # H-10


class HttpWorker(Worker):  # type: ignore[misc] # gunicorn has no types
    """Forked by gunicorn's master."""

    alive: bool
    service: Service
    now: float
    date: bytes
    number: int

    def init_process(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.connections: set[Connection] = set()
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application, unless the master has, and predict the example row. If that fails, this worker ends."""
        states = worker_states.SHARED
        self._pause(states.pause_seconds)
        try:
            super().load_wsgi()
        except SystemExit:  # the master decides whether that ends gunicorn too
            sys.exit(1)
        self.service = self.wsgi.extensions["service"]
        self.service.log.later = lambda *call: self.loop.call_soon_threadsafe(self.loop.call_later, *call)
        self.service.start(lambda settled: self.loop.call_soon_threadsafe(settle, settled))
        while self.alive and not self.service.health_state.known.wait(0.1):  # signals are handled in between
            pass
        if not self.alive:
            states.stop()
            sys.exit(0)
        if self.service.health_state.problem:
            sys.exit(1)
        states.ready(self.number)

    def handle_abort(self, *signal_: Any) -> None:
        if not self.booted:
            log.write("error", "the example took longer to predict than MODEL_SERVER_TIMEOUT allows")
        super().handle_abort(*signal_)

    def run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.service.stop()
        os._exit(0)  # a prediction that timed out must not delay the end

    async def _serve(self) -> None:
        stopping = asyncio.Event()
        self.loop.add_signal_handler(signal.SIGTERM, stopping.set)
        self._tick()
        servers = await self._listen()
        while self.alive and not stopping.is_set() and self.ppid == os.getppid():
            self._tick()
            for connection in list(self.connections):
                connection.check(self.now)
            await asyncio.wait([asyncio.ensure_future(stopping.wait())], timeout=1)
        self.alive = False
        for server in servers:
            server.close()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while time.monotonic() < deadline and sum(connection.stop() for connection in list(self.connections)):
            self._tick()
            await asyncio.sleep(0.02)

    async def _listen(self) -> list[asyncio.AbstractServer]:
        def connect() -> Connection:
            return Connection(self)

        directory = os.environ.get("WORKER_SOCKETS")
        if not directory:
            return [await self.loop.create_server(connect, sock=own.sock, backlog=BACKLOG) for own in self.sockets]
        path = f"{directory}/worker-{self.number}.sock"
        server = await self.loop.create_unix_server(connect, f"{path}.new", backlog=BACKLOG)
        Path(f"{path}.new").chmod(0o777)  # nginx's workers are another user
        Path(f"{path}.new").rename(path)
        return [server]

    def _tick(self) -> None:
        self.notify()
        self.now = time.monotonic()
        self.date = f"date: {formatdate(usegmt=True)}\r\n".encode()

    def _pause(self, seconds: float) -> None:
        """Wait, so that a worker that keeps failing does not take CPU time from those that serve."""
        self.notify()
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            time.sleep(0.1)
            self.notify()

    def call_application(self, incoming: Incoming, connection: Connection) -> None:
        """Run the WSGI application in a thread."""
        answering = asyncio.ensure_future(self.loop.run_in_executor(None, self._answer, incoming), loop=self.loop)
        answering.add_done_callback(lambda answered: connection.write_raw(answered.result()))

    def _answer(self, incoming: Incoming) -> bytes:
        written = io.BytesIO()
        body = b"".join(incoming.body)
        handler = SimpleHandler(io.BytesIO(body), written, sys.stderr, environ(incoming, len(body)))
        handler.http_version = "1.1"
        handler.run(self.wsgi)
        return written.getvalue()


def environ(incoming: Incoming, length: int) -> dict[str, str]:
    """The variables that PEP 3333 requires."""
    variables = {
        "REQUEST_METHOD": incoming.method, "SCRIPT_NAME": "", "PATH_INFO": incoming.path.decode("latin-1"),
        "QUERY_STRING": incoming.target.partition(b"?")[2].decode("latin-1"), "SERVER_NAME": "localhost",
        "SERVER_PROTOCOL": f"HTTP/{incoming.version}", "SERVER_PORT": os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"),
        "CONTENT_TYPE": incoming.headers.get(b"content-type", b"").decode("latin-1"), "CONTENT_LENGTH": str(length),
    }  # fmt: skip
    for name, value in incoming.headers.items():
        if b"_" not in name and name != b"transfer-encoding":  # 'X_Y' would look like 'X-Y'; the body is read already
            variables[f"HTTP_{name.decode().upper().replace('-', '_')}"] = value.decode("latin-1")
    return variables
