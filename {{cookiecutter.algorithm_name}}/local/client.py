"""Template: sends requests to the server on this machine, in the container or in .venv."""

import contextlib
import errno
import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

from contract.serving.formats import FORMATS, content_type_of
from local.project import LocalError

SECONDS_TO_ANSWER = 10  # on /ping, which the server always answers at once
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between this machine and itself


def port() -> int:
    """The variable ``PORT``, by default 8080."""
    return as_port("PORT", os.environ.get("PORT") or "8080")


def as_port(name: str, text: str) -> int:
    """The number of a port. Raises ``LocalError`` if ``text``, the value of ``name``, is not one."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise LocalError(f"{name} is {text!r}: give a whole number from 1 to 65535.")
    return int(text)


def url() -> str:
    """The server's address."""
    return f"http://localhost:{port()}"


def require_free_port(number: int, remedy: str) -> None:
    """Raise ``LocalError`` if another program listens on the port, on any address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
            taken = False
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
    for address in ("127.0.0.1", "::1"):  # `localhost` may be either
        with contextlib.suppress(OSError), socket.create_connection((address, number), SECONDS_TO_ANSWER):
            taken = True
    if taken:
        raise LocalError(f"Port {number} is in use: {remedy}.")


def ready() -> bool:
    """Whether the server answers 200 on ``/ping`` (H-04)."""
    try:
        return bool(HTTP.open(f"{url()}/ping", timeout=2).status == 200)
    except (OSError, http.client.HTTPException):
        return False


def predict(file: Path) -> bytes:
    """The server's response to a file. Raises ``LocalError`` if there is none, or if it is an error."""
    if not file.is_file():
        raise LocalError(f"There is no file {file}.")
    request = urllib.request.Request(f"{url()}/invocations", headers={"Content-Type": content_type(file)})
    try:
        request.data = file.read_bytes()
    except OSError as error:
        raise LocalError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        with contextlib.suppress(urllib.error.HTTPError):  # it may be unhealthy
            HTTP.open(f"{url()}/ping", timeout=SECONDS_TO_ANSWER).close()
        with HTTP.open(request) as response:
            if "x-request-id" not in response.headers:
                raise another_program()
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise refusal(error.code, error.read()) from error
    except urllib.error.URLError as error:
        raise LocalError(f"Nothing answers on port {port()}: run `make serve` first.") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError) or type(error) is http.client.BadStatusLine:
            raise another_program() from error
        raise LocalError(f"The server on port {port()} cut its response short: `make logs` may say why.") from error


def content_type(file: Path) -> str:
    """The content type, by the file's suffix."""
    known = content_type_of(file.name)
    if known is None:
        suffixes = ", ".join(known.suffix for known in FORMATS)
        raise LocalError(
            f"{file} cannot be sent: its name must end in one of {suffixes}, or in a known suffix such as .png."
        )
    return known


def refusal(status: int, body: bytes) -> LocalError:
    """The message of the server's error, which is always JSON of the same form."""
    try:
        return LocalError(f"The server answered {status}: {json.loads(body)['error']['message']}")
    except (ValueError, LookupError, TypeError):
        return another_program()


def another_program() -> LocalError:
    """The error if another program is on the port."""
    number = port()
    return LocalError(
        f"Another program is on port {number}: choose another port for `make serve` and `make predict`, "
        f"such as PORT={number + 1}."
    )
