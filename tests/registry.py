"""Amazon ECR as docker and the AWS clients meet it, on this machine.

Docker meets a real registry, with TLS and a password, under ECR's host names: /etc/hosts leads there and
/etc/docker/certs.d makes it trusted, so that what is tested runs unmodified. The AWS clients meet moto, through
AWS_ENDPOINT_URL. Needs root, for these two files, and Debian's docker-registry.
"""

import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from moto.server import ThreadedMotoServer

ACCOUNT = "123456789012"  # moto's
PASSWORD = f"{ACCOUNT}-auth-token"  # moto's
REGIONS = ("us-west-2", "eu-central-1")
ADDRESS = "127.0.0.2"  # in case port 443 is taken on 127.0.0.1
HOSTS_FILE = Path("/etc/hosts")
MARK = "# for the tests of a cookiecutter template"
CERTIFICATES = Path("/etc/docker/certs.d")


def host(region: str) -> str:
    """The name under which ECR is reached in ``region``."""
    return f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"


def unavailable() -> str | None:
    """Why there can be no registry here."""
    if os.geteuid() != 0:
        return "the registry's tests write to /etc/hosts and /etc/docker/certs.d: run them as root"
    for program in ("docker-registry", "openssl", "perl"):
        if not shutil.which(program):
            return f"there is no {program}: `make docker` installs it on Debian"
    return None


class Manifest(NamedTuple):
    """What the registry serves under a reference."""

    media_type: str
    digest: str
    architecture: str


@dataclass
class Registry:
    """The registry while it runs. ``aws`` is the address of moto."""

    directory: Path
    aws: str

    def fetch(self, path: str, method: str = "GET") -> tuple[bytes, str]:
        """The body and the media type of what the registry's HTTP API has at ``path``."""
        manifests = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        indexes = "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"
        password = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"https://{host('us-west-2')}/v2/{path}",
            headers={"Authorization": f"Basic {password}", "Accept": f"{manifests}, {indexes}"},
            method=method,
        )
        trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.directory / "tls.crt"))
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), trust).open(request) as answer:
            return answer.read(), answer.headers["Content-Type"]

    def manifest(self, repository: str, reference: str) -> Manifest:
        """What is served as ``reference``, a tag or a digest, after a look whether all its layers are there."""
        body, media_type = self.fetch(f"{repository}/manifests/{reference}")
        manifest = json.loads(body)
        for layer in manifest["layers"]:
            self.fetch(f"{repository}/blobs/{layer['digest']}", method="HEAD")
        config, _ = self.fetch(f"{repository}/blobs/{manifest['config']['digest']}")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return Manifest(media_type, digest, json.loads(config)["architecture"])

    def tags(self, repository: str) -> dict[str, str]:
        """The repository's tags and their digests; empty where nothing was pushed."""
        try:
            body, _ = self.fetch(f"{repository}/tags/list")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return {}
            raise
        return {tag: self.manifest(repository, tag).digest for tag in json.loads(body)["tags"]}

    @contextmanager
    def passwords_put_back(self) -> Iterator[Path]:
        """The file of passwords, which the registry reads again after a change. Afterwards it is as before."""
        passwords = self.directory / "htpasswd"
        right = passwords.read_text()
        try:
            yield passwords
        finally:
            passwords.write_text(right)


def password_line(password: str) -> str:
    """A line of htpasswd. Perl is on each Debian; htpasswd itself, and Python's bcrypt, are not."""
    salted = ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, "$2y$05$" + "abcdefghijklmnopqrstuu"]
    return "AWS:" + subprocess.run(salted, capture_output=True, text=True, check=True).stdout + "\n"


@contextmanager
def running(directory: Path) -> Iterator[Registry]:
    """Run the registry and moto; afterwards this machine is as before."""
    hosts = [host(region) for region in REGIONS]
    certificate = directory / "tls.crt"
    make_certificate(directory, hosts)
    with HOSTS_FILE.open() as lock, (directory / "log").open("w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests waits
        moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        moto.start()
        registry = Registry(directory, "http://{}:{}".format(*moto.get_host_and_port()))
        (directory / "htpasswd").write_text(password_line(PASSWORD))
        server = subprocess.Popen(["docker-registry", "serve", str(write_settings(directory))], stdout=log, stderr=log)
        try:
            set_hosts(hosts)
            for name in hosts:
                (CERTIFICATES / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(certificate, CERTIFICATES / name / "ca.crt")
            wait_for_login(directory / "docker", hosts)
            yield registry
        finally:
            forget_images()
            for name in hosts:
                shutil.rmtree(CERTIFICATES / name, ignore_errors=True)
            set_hosts([])
            server.terminate()
            server.wait()
            moto.stop()


def make_certificate(directory: Path, hosts: list[str]) -> None:
    """Make a certificate for ``hosts`` that is its own authority."""
    extensions = [
        f"subjectAltName={','.join(f'DNS:{name}' for name in hosts)}",
        "keyUsage=digitalSignature,keyCertSign",
    ]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-subj", "/CN=test registry", "-days", "2", "-keyout", "tls.key", "-out", "tls.crt"]
    command += [argument for extension in extensions for argument in ("-addext", extension)]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


def write_settings(directory: Path) -> Path:
    """Write the registry's configuration; JSON is YAML too."""
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {
            "addr": f"{ADDRESS}:443",
            "tls": {"certificate": str(directory / "tls.crt"), "key": str(directory / "tls.key")},
        },
        "auth": {"htpasswd": {"realm": "ecr", "path": str(directory / "htpasswd")}},
    }
    path = directory / "registry.yml"
    path.write_text(json.dumps(settings))
    return path


def set_hosts(hosts: list[str]) -> None:
    """Lead ``hosts`` to the registry. The file is written in place: in a container it cannot be replaced."""
    lines = [line for line in HOSTS_FILE.read_text().splitlines() if MARK not in line]
    lines += [f"{ADDRESS} {name} {MARK}" for name in hosts]
    HOSTS_FILE.write_text("\n".join(lines) + "\n")


def docker_login(config: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Log in at the host ``name``, with the configuration in the folder ``config``."""
    command = ["docker", "--config", str(config), "login", "--username", "AWS", "--password-stdin", name]
    return subprocess.run(command, input=PASSWORD, capture_output=True, text=True, check=False)


def wait_for_login(config: Path, hosts: list[str]) -> None:
    """Return when docker can log in. Its engine may remember an older /etc/hosts for some seconds."""
    for name in hosts:
        deadline = time.monotonic() + 20
        while (login := docker_login(config, name)).returncode != 0:
            assert time.monotonic() < deadline, f"docker cannot log in to the test's registry: {login.stderr}"
            time.sleep(0.2)


def forget_images() -> None:
    """Remove what docker remembers of this registry."""
    names = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    command = ["docker", "images", "--digests", "--format", names, f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/*"]
    ours = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if known := [name for name in ours if "<none>" not in name]:
        subprocess.run(["docker", "image", "rm", "--force", *known], capture_output=True, check=False)


@dataclass
class Gate:
    """Stands before moto: notes what is asked, in which regions, and gives some answers itself."""

    address: str
    asked: list[str] = field(default_factory=list)
    regions: set[str] = field(default_factory=set)


@contextmanager
def gate(aws: str, **errors: str) -> Iterator[Gate]:
    """Stand before ``aws`` and answer the first call of each action in ``errors`` with that error's code."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target")
            action = target.rpartition(".")[2] if target else urllib.parse.parse_qs(body.decode())["Action"][0]
            here.asked.append(action)
            here.regions.update(re.findall(r"Credential=[^/]+/\d+/([^/]+)/", self.headers["Authorization"]))
            if action not in errors:
                status, answer = forward(aws + self.path, body, dict(self.headers))
            elif target:
                status, answer = 400, json.dumps({"__type": errors.pop(action), "message": "the test says no"}).encode()
            else:
                error = f"<Error><Code>{errors.pop(action)}</Code><Message>the test says no</Message></Error>"
                status, answer = 403, f"<ErrorResponse>{error}</ErrorResponse>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Gate(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


def forward(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body that ``url`` answers."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
