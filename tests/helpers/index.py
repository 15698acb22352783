"""An index of packages, as a company has one: PEP 503 by HTTP, with a user and a password."""

import base64
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from programs import docker

USER, PASSWORD = "kim", "open-sesame-4711"


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """A package of one module, whose ``VERSION`` is its version."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            wheel.writestr(path, text)
    return folder


def gateway() -> str:
    """The address at which builds and containers find this machine."""
    [network] = json.loads(docker("network", "inspect", "bridge").stdout)
    [settings] = network["IPAM"]["Config"]
    return str(settings.get("Gateway") or ip_network(settings["Subnet"])[1])  # older engines leave it out


class _Guarded(SimpleHTTPRequestHandler):
    """Lists folders for whoever knows the password, and notes the paths that it gave out."""

    def __init__(self, *arguments: Any, given: list[str], **options: Any) -> None:
        self.given = given
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.given.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=3600" if self.path.endswith(".whl") else "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Index:
    """An index while it runs."""

    def __init__(self, address: str, given: list[str]) -> None:
        self.host = address.partition(":")[0]
        self.url, self.given = f"http://{address}/simple", given
        self.with_password = f"http://{USER}:{PASSWORD}@{address}/simple"

    def netrc(self, folder: Path) -> Path:
        """A ``.netrc`` with the password."""
        path = folder / "netrc"
        path.write_text(f"machine {self.host}\nlogin {USER}\npassword {PASSWORD}\n", encoding="utf-8")
        path.chmod(0o600)
        return path


@contextmanager
def an_index(folder: Path, host: str) -> Iterator[Index]:
    """Serve ``folder``, whose ``simple/NAME`` holds the wheels of a package."""
    given: list[str] = []
    with ThreadingHTTPServer((host, 0), partial(_Guarded, directory=str(folder), given=given)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Index(f"{host}:{server.server_port}", given)
        server.shutdown()
        thread.join()
