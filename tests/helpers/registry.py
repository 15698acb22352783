"""Amazon ECR as docker and the AWS clients meet it, on this machine; one for each worker of pytest-xdist.

Docker meets a real registry, with TLS and a password, under ECR's host names: /etc/hosts leads there and
/etc/docker/certs.d makes it trusted, so that what is tested runs unmodified. The AWS clients meet moto, through
AWS_ENDPOINT_URL. Needs root, for these two files, and Debian's docker-registry. Each worker has an account, and so host
names, and addresses of its own.
"""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple

from answering import Handler, in_background, served
from programs import free_port

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
ACCOUNT = str(123456789012 + WORKER)  # moto's for the first
PASSWORD = f"{ACCOUNT}-auth-token"  # moto's
REGIONS = ("us-west-2", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1")
SUFFIXES = {"cn-north-1": "amazonaws.com.cn", "eusc-de-east-1": "amazonaws.eu"}  # E-05
ADDRESS = f"192.0.2.{2 * WORKER + 2}"  # of a range that is nobody's
PRIVATE = f"{ACCOUNT}.registry.example.com:5443"  # the same registry, as one that is not Amazon's
FAULTY_REGION = "eu-west-1"  # where a test stands in the registry's way
FAULTY_ADDRESS = f"192.0.2.{2 * WORKER + 3}"
HOSTS_FILE = Path("/etc/hosts")
MARK = "# for the tests of a cookiecutter template"
CERTIFICATES = Path("/etc/docker/certs.d")
DOCKER_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def host(region: str) -> str:
    """The name under which ECR is reached in ``region``."""
    return f"{ACCOUNT}.dkr.ecr.{region}.{suffix(region)}"


def suffix(region: str) -> str:
    """How AWS's names end in ``region``."""
    return SUFFIXES.get(region, "amazonaws.com")


def unavailable() -> str | None:
    """Why there can be no registry here."""
    if os.geteuid() != 0:
        return "the registry's tests write to /etc/hosts and /etc/docker/certs.d: run them as root"
    for program in ("docker-registry", "openssl", "perl", "ip"):
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

    def fetch(
        self, path: str, method: str = "GET", body: bytes | None = None, media_type: str = ""
    ) -> tuple[bytes, str]:
        """The body and the media type of what the registry's HTTP API has at ``path``."""
        manifests = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        indexes = "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"
        password = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"https://{host('us-west-2')}/v2/{path}",
            body,
            {"Authorization": f"Basic {password}", "Accept": f"{manifests}, {indexes}", "Content-Type": media_type},
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

    def configuration(self, repository: str, reference: str) -> dict[str, Any]:
        """The image's configuration: labels, environment, platform, when it was created."""
        manifest, _ = self.fetch(f"{repository}/manifests/{reference}")
        configuration, _ = self.fetch(f"{repository}/blobs/{json.loads(manifest)['config']['digest']}")
        return dict(json.loads(configuration))

    def about(self, repository: str, reference: str) -> dict[str, Any]:
        """What the script tells of the image under ``reference`` with --json, but for its address and its tags."""
        body, media_type = self.fetch(f"{repository}/manifests/{reference}")
        manifest, image = json.loads(body), self.configuration(repository, reference)
        return {
            "media_type": media_type,
            "digest": f"sha256:{hashlib.sha256(body).hexdigest()}",
            "platform": f"{image['os']}/{image['architecture']}",
            "image": manifest["config"]["digest"],
            "size": sum(part["size"] for part in [manifest["config"], *manifest["layers"]]),
            "labels": image["config"]["Labels"],
        }

    def put_manifest(self, repository: str, reference: str, media_type: str, manifest: dict[str, Any]) -> None:
        """Put a manifest in the place of what is there."""
        self.fetch(f"{repository}/manifests/{reference}", "PUT", json.dumps(manifest).encode(), media_type)

    def tag_names(self, repository: str) -> list[str]:
        """The repository's tags; none where nothing was pushed."""
        try:
            body, _ = self.fetch(f"{repository}/tags/list")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return []
            raise
        return sorted(json.loads(body)["tags"])

    def tags(self, repository: str) -> dict[str, str]:
        """The repository's tags and their digests."""
        return {tag: self.manifest(repository, tag).digest for tag in self.tag_names(repository)}

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
    hosts = [*(host(region) for region in REGIONS), PRIVATE]
    faulty = host(FAULTY_REGION)
    certificate = directory / "tls.crt"
    make_certificate(directory, [without_port(name) for name in (*hosts, faulty)])
    lock_file = Path(tempfile.gettempdir(), f"registry-{ACCOUNT}.lock")
    with lock_file.open("w") as lock, (directory / "log").open("w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the same worker of another run waits
        port = free_port()
        registry = Registry(directory, f"http://127.0.0.1:{port}")
        (directory / "htpasswd").write_text(password_line(PASSWORD))
        set_addresses("replace")
        settings = [write_settings(directory, port) for port in ("443", PRIVATE.partition(":")[2])]
        servers = [subprocess.Popen(["docker-registry", "serve", str(s)], stdout=log, stderr=log) for s in settings]
        try:
            servers.append(start_moto(port, log))
            set_hosts({**dict.fromkeys(map(without_port, hosts), ADDRESS), faulty: FAULTY_ADDRESS})
            for name in (*hosts, faulty):
                (CERTIFICATES / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(certificate, CERTIFICATES / name / "ca.crt")
            wait_for_login(directory / "docker", hosts)
            yield registry
        finally:
            forget_images()
            for name in (*hosts, faulty):
                shutil.rmtree(CERTIFICATES / name, ignore_errors=True)
            set_hosts({})
            for server in servers:
                server.terminate()
                server.wait()
            set_addresses("delete")


def start_moto(port: int, log: IO[str]) -> "subprocess.Popen[bytes]":
    """Start moto in a process of its own: this one's account, and what other tests keep in this process, stay apart."""
    account = os.environ | {"MOTO_ACCOUNT_ID": ACCOUNT}
    moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], env=account, stdout=log, stderr=log)
    while moto.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return moto
        time.sleep(0.05)
    raise AssertionError(f"moto did not start; see {log.name}")


def without_port(name: str) -> str:
    """The host's name alone."""
    return name.partition(":")[0]


def set_addresses(verb: str) -> None:
    """Give this machine both addresses, or take them away. To 127.0.0.0/8 `docker manifest push` speaks without TLS."""
    for address in (ADDRESS, FAULTY_ADDRESS):
        subprocess.run(["ip", "address", verb, f"{address}/32", "dev", "lo"], check=True)


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


def write_settings(directory: Path, port: str) -> Path:
    """Write the registry's configuration for ``port``; JSON is YAML too."""
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {
            "addr": f"{ADDRESS}:{port}",
            "tls": {"certificate": str(directory / "tls.crt"), "key": str(directory / "tls.key")},
        },
        "auth": {"htpasswd": {"realm": "ecr", "path": str(directory / "htpasswd")}},
    }
    path = directory / f"registry-{port}.yml"
    path.write_text(json.dumps(settings))
    return path


def set_hosts(hosts: dict[str, str]) -> None:
    """Lead these of this account's names to addresses, and no others: a run that broke off may have left some.

    The file is written in place, since in a container it cannot be replaced, and is never empty, since others read it.
    """
    with HOSTS_FILE.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = [line for line in file.read().splitlines() if not (MARK in line and f" {ACCOUNT}." in line)]
        lines += [f"{address} {name} {MARK}" for name, address in hosts.items()]
        file.seek(0)
        file.write("\n".join(lines) + "\n")
        file.truncate()


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
    command = ["docker", "images", "--digests", "--format", names]
    for place in (f"{ACCOUNT}.dkr.ecr.*", PRIVATE):
        command += [f"--filter=reference={place}/*", f"--filter=reference={place}/*/*"]
    ours = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if known := [name for name in ours if "<none>" not in name]:
        subprocess.run(["docker", "image", "rm", "--no-prune", "--force", *known], capture_output=True, check=False)


@dataclass
class Gate:
    """Stands before moto: notes what is asked, in which regions, with which keys, and gives some answers itself."""

    address: str
    asked: list[str] = field(default_factory=list)
    regions: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)


class Hold:
    """Stops the world where ``what`` is asked for, until it is released."""

    def __init__(self, what: str) -> None:
        self.what, self.reached, self.released = what, Event(), Event()

    def at(self, what: str) -> None:
        """Wait, if this is it."""
        if what == self.what:
            self.reached.set()
            self.released.wait(30)


@contextmanager
def gate(
    aws: str, always: bool = False, hold: "Hold | None" = None, ending: str = "amazonaws.com", /, **errors: str
) -> Iterator[Gate]:
    """Stand before ``aws`` and answer the first call of each action in ``errors``, or each one, with that error.

    Moto gives every repository an address of most regions' form: ``ending`` is the one to give instead.
    """

    class Action(Handler):
        def do_POST(self) -> None:
            body = self.body()
            target = self.headers.get("X-Amz-Target")
            action = target.rpartition(".")[2] if target else urllib.parse.parse_qs(body.decode())["Action"][0]
            here.asked.append(action)
            here.bodies.append(json.loads(body) if target else {})
            here.keys.update(re.findall(r"Credential=([^/]+)/", self.headers["Authorization"]))
            here.regions.update(re.findall(r"Credential=[^/]+/\d+/([^/]+)/", self.headers["Authorization"]))
            if hold:
                hold.at(action)
            code = errors.get(action) if always else errors.pop(action, None)
            if code is None:
                status, answer = forward(aws + self.path, body, dict(self.headers))
                answer = answer.replace(b".amazonaws.com/", f".{ending}/".encode())
            elif target:
                status, answer = 400, json.dumps({"__type": code, "message": "the test says no"}).encode()
            else:
                error = f"<Error><Code>{code}</Code><Message>the test says no</Message></Error>"
                status, answer = 403, f"<ErrorResponse>{error}</ErrorResponse>".encode()
            self.answer(status, answer)

    with served(Action) as address:
        here = Gate(address)
        yield here


def forward(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body that ``url`` answers."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class Refusal(NamedTuple):
    """What a registry answers instead; the form is that of the distribution specification."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = {}


CUT = Refusal(0, "", "the connection ends without an answer")
Fault = Callable[[str, str], Refusal | None]


@contextmanager
def in_the_way(registry: Registry, fault: Fault = lambda method, path: None) -> Iterator[list[tuple[str, str]]]:
    """Stand before ``registry`` under the faulty region's host: answer what ``fault`` says, forward all else.

    The list is of methods and paths as they come.
    """
    asked: list[tuple[str, str]] = []

    class Relay(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.body()
            asked.append((self.command, self.path))
            if (refusal := fault(self.command, self.path)) is CUT:
                self.close_connection = True
            elif refusal:
                errors = json.dumps({"errors": [{"code": refusal.code, "message": refusal.message}]}).encode()
                self.answer(refusal.status, errors, {"Content-Type": "application/json", **refusal.headers})
            else:
                self.pass_on(body)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return super().body()
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def pass_on(self, body: bytes) -> None:
            trust = ssl.create_default_context(cafile=registry.directory / "tls.crt")
            upstream = http.client.HTTPSConnection(host(REGIONS[0]), context=trust)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # docker sends several of the name Accept
                if name not in ("Transfer-Encoding", "Content-Length"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            self.answer(answer.status, content, dict(answer.getheaders()))
            upstream.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(registry.directory / "tls.crt", registry.directory / "tls.key")
    with Front((FAULTY_ADDRESS, 443), Relay) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with in_background(server):
            yield asked


class Front(ThreadingHTTPServer):
    """A server that does not mind clients who go away."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


# What ECR refuses


def refusing(refusal: Refusal, *, method: str = "PUT", part: str = "/manifests/", times: int = 1000) -> Fault:
    """Refuse the first requests of a kind."""
    left = [refusal] * times
    return lambda asked, path: left.pop() if left and asked == method and part in path else None


def immutable(registry: Registry, name: str) -> Fault:
    """Refuse as ECR does where tags may not be overwritten: the same image, too."""

    def fault(method: str, path: str) -> Refusal | None:
        tag = path.rpartition("/")[2]
        if method != "PUT" or "/manifests/" not in path or tag not in registry.tags(name):
            return None
        message = f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten"
        return Refusal(400, "TAG_INVALID", f"{message} because the tag is immutable.")

    return fault


BUSY = Refusal(429, "TOOMANYREQUESTS", "Rate exceeded")
NOT_ALLOWED = Refusal(403, "DENIED", "User: arn:aws:sts::1:user/moto is not authorized to perform: ecr:PutImage")
RIGHTS = {  # what ECR checks where docker's client asks its HTTP API
    ("HEAD", "blobs"): "BatchCheckLayerAvailability",
    ("POST", "uploads"): "InitiateLayerUpload",
    ("PATCH", "uploads"): "UploadLayerPart",
    ("PUT", "uploads"): "CompleteLayerUpload",
    ("PUT", "manifests"): "PutImage",
    ("HEAD", "manifests"): "BatchGetImage",
    ("GET", "manifests"): "BatchGetImage",
    ("GET", "blobs"): "GetDownloadUrlForLayer",
}


# What a registry keeps


def listed(registry: Registry, name: str, tag: str) -> tuple[str, dict[str, str]]:
    """The digest of the list that is served, and platform → digest of the images that it names."""
    content, media_type = registry.fetch(f"{name}/manifests/{tag}")
    assert media_type == LIST
    images = {}
    for entry in json.loads(content)["manifests"]:
        platform = "/".join(
            entry["platform"][key] for key in ("os", "architecture", "variant") if key in entry["platform"]
        )
        served = registry.manifest(name, entry["digest"])
        assert (served.media_type, served.architecture) == (DOCKER_SCHEMA_2, entry["platform"]["architecture"])
        images[platform] = served.digest
    return f"sha256:{hashlib.sha256(content).hexdigest()}", images


def as_oci(manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    media_type = "application/vnd.oci.image.manifest.v1+json"
    layers = [{**layer, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"} for layer in manifest["layers"]]
    config = {**manifest["config"], "mediaType": "application/vnd.oci.image.config.v1+json"}
    return media_type, {**manifest, "mediaType": media_type, "config": config, "layers": layers}
