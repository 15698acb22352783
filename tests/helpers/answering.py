"""HTTP servers of the tests' own: each has a handler that says what it answers, and prints nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Handler(BaseHTTPRequestHandler):
    """Reads a request's body, and answers."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, content: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        """Answer a client, which may be gone."""
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def in_background(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let ``server`` answer meanwhile."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address at which ``handler`` answers meanwhile."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, in_background(server):
        yield f"http://127.0.0.1:{server.server_port}"
