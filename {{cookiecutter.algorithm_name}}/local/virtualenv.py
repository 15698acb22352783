"""Template: train and serve with the same programs in ``.venv``, without a container."""

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from local.project import CHECKPOINTS, PROGRAM, ROOT, TREE, VENV, LocalError
from local.tree import channels

LOG, PID = TREE / "serve.log", TREE / "serve.pid"


def build_again() -> None:
    """Install what the image would install, unless that has been done."""
    if subprocess.run(["make", "--silent", "setup"], cwd=ROOT, check=False).returncode != 0:
        raise LocalError("`make setup` failed: the lines above say why.")


def train(run: Path) -> None:
    """Run the job in the folder ``run``. Raises ``LocalError`` if it fails."""
    for name, path in channels().items():
        channel = run / "input" / "data" / name
        channel.rmdir()
        channel.symlink_to(path.resolve())
    environment = _environment(run)
    if CHECKPOINTS.is_dir():
        environment.setdefault("SAGEMAKER_CHECKPOINT_DIR", str(CHECKPOINTS))
    if subprocess.run([VENV / "bin" / "python", PROGRAM / "train"], env=environment, check=False).returncode != 0:
        raise LocalError("Training failed: the lines above say why.")


def serve(port: int) -> None:
    """Start the server in the background."""
    with LOG.open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # the server inherits the lock, which ends with its last process
        server = subprocess.Popen(
            [VENV / "bin" / "python", PROGRAM / "serve"],
            env=_environment(TREE) | {"SAGEMAKER_BIND_TO_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    PID.write_text(str(server.pid), encoding="utf-8")


def running() -> bool:
    """Whether the server is up."""
    if not LOG.exists():
        return False
    with LOG.open("rb") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop() -> None:
    """Let the server finish its requests and end."""
    if running():
        os.kill(int(PID.read_text(encoding="utf-8")), signal.SIGTERM)
    while running():
        time.sleep(0.1)


def logs() -> None:
    """Print what the server has logged."""
    if LOG.exists():
        print(LOG.read_text(encoding="utf-8"), end="")


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "SAGEMAKER_BASE_DIR": str(root), "PYTHONUNBUFFERED": "1"}
