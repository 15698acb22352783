"""Template: trains and serves with the same programs in ``.venv``, without a container."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from local.project import PROGRAM, ROOT, TREE, VENV, LocalError, wants_gpu
from local.tree import environment

with suppress(ImportError):  # not on Windows, where a notebook imports this too
    import fcntl

LOG, PID = TREE / "serve.log", TREE / "serve.pid"
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


def prepare() -> None:
    """Install the image's packages if they are missing. With ``GPU=yes`` there must be a GPU."""
    if wants_gpu() and (shutil.which("nvidia-smi") is None or not _succeeds("nvidia-smi", "--list-gpus")):
        raise LocalError("GPU=yes needs a GPU, but `nvidia-smi` shows none: leave out GPU=yes, or check the driver.")
    if subprocess.run(["make", "--silent", "setup"], cwd=ROOT, check=False).returncode != 0:
        raise LocalError("`make setup` failed: the lines above say why.")


def train(run: Path) -> None:
    """Run the job in the folder ``run``. Raises ``LocalError`` if it fails."""
    variables = os.environ | UNBUFFERED | environment(run)
    if subprocess.run([VENV / "bin" / "python", PROGRAM / "train"], env=variables, check=False).returncode != 0:
        raise LocalError("Training failed: the lines above say why.")


def serve(port: int, base: Path) -> None:
    """Start the server in the background, for the model in the folder ``base``."""
    TREE.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # the server inherits the lock, which ends with its last process
        server = subprocess.Popen(
            [VENV / "bin" / "python", PROGRAM / "serve"],
            env=os.environ | UNBUFFERED | {"SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    PID.write_text(str(server.pid), encoding="utf-8")


def running() -> bool:
    """Whether the server is running."""
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


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
