"""Template: asks the server on this machine, wherever it runs."""

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

from contract.serving.formats import FORMATS, content_type_of
from local.project import LocalError

HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between this machine and itself


def port() -> int:
    """The variable ``PORT``, by default 8080."""
    text = os.environ.get("PORT") or "8080"
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise LocalError(f"PORT is {text!r}: give a whole number from 1 to 65535.")
    return int(text)


def url() -> str:
    """The server's address."""
    return f"http://localhost:{port()}"


def require_free_port() -> None:
    """Raise ``LocalError`` if another program listens on the port."""
    number = port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            raise LocalError(f"Port {number} is in use: choose another, such as PORT={number + 1}.") from None


def ready() -> bool:
    """Whether the server answers 200 on ``/ping`` (H-04)."""
    try:
        return bool(HTTP.open(f"{url()}/ping", timeout=2).status == 200)
    except OSError:
        return False


def predict(file: Path) -> bytes:
    """The server's response to a file. Raises ``LocalError`` if there is none, or if it is a refusal."""
    if not file.is_file():
        raise LocalError(f"There is no file {file}.")
    request = urllib.request.Request(f"{url()}/invocations", headers={"Content-Type": content_type(file)})
    try:
        request.data = file.read_bytes()
    except OSError as error:
        raise LocalError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        with HTTP.open(request) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise LocalError(f"The server answered {error.code}: {error_message(error.read())}") from error
    except urllib.error.URLError as error:
        raise LocalError(f"Nothing answers on port {port()}: run `make serve` first.") from error
    except (OSError, http.client.HTTPException) as error:
        raise LocalError(f"The server on port {port()} broke off its response: `make logs` may say why.") from error


def content_type(file: Path) -> str:
    """The media type by the file's suffix."""
    known = content_type_of(file.name)
    if known is None:
        suffixes = ", ".join(known.suffix for known in FORMATS)
        raise LocalError(
            f"{file} cannot be sent: its name must end in one of {suffixes}, or as images and the like do."
        )
    return known


def error_message(body: bytes) -> str:
    """The message in the JSON of an error, or else the whole body."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip()
