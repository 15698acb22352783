"""Docker engines beside the machine's own: each keeps all it has in a folder, and ends with the test."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import free_port
from projects import leave_out
from registry import WORKER, make_certificate

NEWER = Path("/usr/local/lib/docker/newer-engine")


def need_buildx() -> None:
    """Leave the test out where docker has no buildx."""
    if subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode:
        leave_out("docker has no buildx: `make docker` installs it on Debian")


@contextmanager
def an_engine(folder: Path, *command: str) -> Iterator[str]:
    """Run an engine in ``folder``, whose name is short, as a socket needs it; what is yielded is its address."""
    options = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    address = f"unix://{folder}/socket"
    ask, deadline = ["docker", "--host", address, "info"], time.monotonic() + 60
    with (folder / "log").open("w") as log:
        started = [*command, *options, "--host", address, "--iptables=false"]
        with subprocess.Popen(started, stdout=log, stderr=log) as dockerd:
            try:
                while subprocess.run(ask, capture_output=True, check=False).returncode:
                    assert time.monotonic() < deadline, (folder / "log").read_text()
                    time.sleep(0.05)
                yield address
            finally:
                dockerd.terminate()


class Engine:
    """An engine while it runs. By TLS it is reached at ``port``, with the certificate and the key in ``folder``."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self.folder, self.address, self.port = folder, address, port

    def __call__(self, *arguments: str) -> str:
        """Run docker's command and return what it prints."""
        command = ["docker", "--host", self.address, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def a_newer_engine() -> Iterator[Engine]:
    """Run an engine that is newer than Debian's."""
    if not (NEWER / "dockerd").exists():
        leave_out("there is no newer engine beside Docker's own: `make docker` installs one on Debian")
    folder, port, bridge = Path(tempfile.mkdtemp()), free_port(), f"newer{WORKER}"
    make_certificate(folder, ["localhost"])
    (folder / "daemon.json").write_text('{"features": {"containerd-snapshotter": true}}')
    command = ["env", f"PATH={NEWER}:{os.environ['PATH']}", str(NEWER / "dockerd"), "--bridge", bridge]
    command += ["--config-file", f"{folder}/daemon.json", "--ip6tables=false", "--host", f"tcp://localhost:{port}"]
    command += ["--tlsverify", f"--tlscacert={folder}/tls.crt", f"--tlscert={folder}/tls.crt"]
    # An engine without a bridge would remove that of the machine's own. A run that broke off may have left this one.
    subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        with an_engine(folder, *command, f"--tlskey={folder}/tls.key") as address:
            yield Engine(folder, address, port)
    finally:
        subprocess.run(["ip", "link", "delete", bridge], check=True)
        shutil.rmtree(folder, ignore_errors=True)
