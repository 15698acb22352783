"""Template: train and serve in the real container, started as the platform starts it."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from local import building
from local.project import CHECKPOINTS, CONTAINER, IMAGE, MODEL, TREE, LocalError
from local.tree import channels


@functools.cache
def problem() -> str | None:
    """Why Docker cannot be used, in a sentence, or None if it answers."""
    if shutil.which("docker") is None:
        return "Docker is not installed."
    if not _succeeds("info"):
        return "Docker does not answer: start its daemon, and see that you may use it (`docker info` says more)."
    return None


def build_again() -> None:
    """Build the image. Docker builds again only what has changed."""
    building.build()


def train(run: Path) -> None:
    """Run the job in the folder ``run``. Raises ``LocalError`` if it fails."""
    caller = f"--user={os.getuid()}:{os.getgid()}"  # so that you own what the container writes
    mounts = [f"--volume={run}:/opt/ml"]
    mounts += [f"--volume={path.resolve()}:/opt/ml/input/data/{name}:ro" for name, path in channels().items()]
    if CHECKPOINTS.is_dir():
        mounts.append(f"--volume={CHECKPOINTS}:/opt/ml/checkpoints")
    _docker("run", "--rm", caller, *mounts, IMAGE, "train", failure="Training failed")


def serve(port: int) -> None:
    """Start the server in the background, with the model read-only as on an endpoint (P-41)."""
    mount = f"--volume={MODEL}:/opt/ml/model:ro"
    publish = f"--publish=127.0.0.1:{port}:8080"
    _docker("run", "--detach", "--name", CONTAINER, publish, mount, IMAGE, "serve", quiet=True)


def running() -> bool:
    """Whether the server is up."""
    found = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", f"name=^{CONTAINER}$"], capture_output=True, check=False
    )
    return bool(found.stdout.strip())


def stop() -> None:
    """Let the server finish its requests and end, in the 30 seconds that an endpoint gives it (P-22)."""
    if _succeeds("kill", "--signal=TERM", CONTAINER):
        _docker("stop", "-t", "30", CONTAINER, quiet=True)  # told twice, it does not wait for idle connections
    if _succeeds("container", "inspect", CONTAINER):
        _docker("rm", CONTAINER, quiet=True)


def logs() -> None:
    """Print what the server has logged."""
    subprocess.run(["docker", "logs", CONTAINER], check=False)


def shell() -> None:
    """Open a shell in the image, with ``opt_ml`` as its ``/opt/ml``."""
    build_again()
    _docker("run", "--rm", "--interactive", "--tty", f"--volume={TREE}:/opt/ml", IMAGE, "bash")


def _docker(*arguments: str, quiet: bool = False, failure: str = "") -> None:
    output = subprocess.DEVNULL if quiet else None
    if subprocess.run(["docker", *arguments], stdout=output, check=False).returncode != 0:
        raise LocalError(f"{failure or f'`docker {arguments[0]}` failed'}: the lines above say why.")


def _succeeds(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0
