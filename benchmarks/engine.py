"""What the benchmark asks of Docker, and of the processes in a container."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTED = Path(__file__).resolve().parent / "mounted"
SECONDS_TO_START = 60


def say(step: str) -> None:
    """Tell on stderr what is done; stdout is for the report."""
    print("==>", step, file=sys.stderr, flush=True)


def output(*command: str) -> str:
    """What ``command`` prints; the benchmark ends with its complaint where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def docker(*arguments: str) -> str:
    """What this docker command prints."""
    return output("docker", *arguments)


def run(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a container prints that lives for this one command."""
    return docker("run", "--rm", *options, image, *command)


def model_at(directory: Path) -> tuple[str, ...]:
    """The option that mounts a model as an endpoint does, read-only."""
    return (f"--volume={directory}:/opt/ml/model:ro",)


@dataclass(frozen=True)
class Container:
    """One that runs in the background."""

    name: str
    address: str

    @property
    def url(self) -> str:
        """Where it listens: the bridge's address, so that no proxy of Docker's is measured."""
        return f"http://{self.address}:8080"

    def pids(self) -> list[int]:
        """Its processes, as this machine numbers them."""
        return [int(line) for line in docker("top", self.name, "-eo", "pid").splitlines()[1:]]

    def post(self, body: bytes) -> str:
        """The answer to one request, which must succeed."""
        request = urllib.request.Request(f"{self.url}/invocations", body, {"Content-Type": "text/csv"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode())
        except OSError as error:
            sys.exit(f"{self.name} does not answer a request ({error}); its log ends:\n{self.log()}")

    def log(self) -> str:
        """The end of what it wrote."""
        logs = subprocess.run(["docker", "logs", "--tail=20", self.name], capture_output=True, text=True, check=False)
        return logs.stdout + logs.stderr

    def settle(self) -> None:
        """Wait until it computes no more: what clients gave up on would slow down the server that is measured next."""
        before = self._ticks()
        for _ in range(SECONDS_TO_START * 5):
            time.sleep(0.2)
            now = self._ticks()
            if now - before <= 1:  # of 10 ms each
                return
            before = now
        sys.exit(f"{self.name} computes on, long after its last client has gone")

    def _ticks(self) -> int:
        """The processor time that its processes have taken."""
        total = 0
        for pid in self.pids():
            with suppress(OSError):  # it has ended
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total


@contextmanager
def started(role: str, image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
    """A container that is removed at the end, whatever happens meanwhile."""
    name = f"benchmark-{role}-{uuid.uuid4().hex[:8]}"
    try:
        docker("run", "--detach", "--name", name, *options, image, *command)
        address = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        yield Container(name, address)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@contextmanager
def serving(
    role: str, image: str, *command: str, options: tuple[str, ...] = (), ping: str = "/ping"
) -> Iterator[Container]:
    """A container that answers. Raises ``NotServing`` where it does not."""
    with started(role, image, *(command or ("serve",)), options=options) as container:
        if not answers_in_time(container.url + ping):
            raise NotServing(f"{role} does not answer; its log ends:\n{container.log()}")
        yield container


class NotServing(SystemExit):
    """Ends the benchmark with its sentence, unless a table can say it."""


def answers_in_time(url: str, interval: float = 0.05) -> bool:
    """Whether ``url`` comes to answer 200, asked again and again."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if answer.status == 200:
                    return True
        except OSError:  # refused, reset, or an HTTP error, which is one too
            pass
        time.sleep(interval)
    return False


def readable_by_all(directory: Path) -> None:
    """Let any user of a container read what is below ``directory``."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def this_user() -> tuple[str, ...]:
    """The option that makes what a container writes this user's, who has to remove it."""
    return (f"--user={os.getuid()}:{os.getgid()}",)
