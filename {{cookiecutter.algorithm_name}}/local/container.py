"""Template: trains and serves in the real container.

In it, files have the same paths as on this machine, so that messages name files that you can open, and links work.
They are also below ``/opt/ml``, as on the platform.
"""

import errno
import functools
import os
import shutil
import subprocess
from pathlib import Path

from local import building
from local.project import CHECKPOINTS, CONTAINER, IMAGE, TREE, LocalError, wants_gpu
from local.tree import channels, environment, places

# Variables with these prefixes are passed to the container.
SETTINGS = (
    "TRAINING_CHECK",
    "TRAINING_STOP_SECONDS",
    "MLFLOW_",  # for an algorithm.py that logs while it trains
    "MODEL_SERVER_",
    "SAGEMAKER_INFERENCE_OUTPUT",
    "SAGEMAKER_MODEL_SERVER_",
    "SAGEMAKER_TRAINING_CHECK",
)


@functools.cache
def problem() -> str | None:
    """Why Docker cannot be used, as a sentence, or None if it answers."""
    if shutil.which("docker") is None:
        return "Docker is not installed."
    if not _succeeds("info"):
        return "Docker does not answer: start it, and check that you may use it (`docker info` says more)."
    return None


def prepare() -> None:
    """Build the image. Docker builds again only what has changed.

    Raises ``LocalError`` if ``GPU=yes`` is set and Docker has no GPU.
    """
    building.build()
    if wants_gpu():
        trial = ["docker", "run", "--rm", "--gpus=all", IMAGE, "true"]
        done = subprocess.run(trial, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = done.stderr.strip().partition("\n")[0].rpartition("daemon: ")[2].rstrip(".")
            raise LocalError(
                f"GPU=yes needs a GPU, which Docker cannot give a container here ({reason}): "
                "install NVIDIA's Container Toolkit, or leave out GPU=yes."
            )


def train(run: Path) -> None:
    """Run the job in the folder ``run``. Raises ``LocalError`` if it fails."""
    docker("run", "--rm", *_gpus(), *job(run), IMAGE, "train", failure="Training failed")


def job(run: Path) -> list[str]:
    """The options for the job in the folder ``run``, for `docker run` and `docker compose run`."""
    caller = f"--user={os.getuid()}:{os.getgid()}"  # so that you own what the container writes
    mounts = [f"--volume={run}:{run}", f"--volume={run}:/opt/ml"]
    mounts += [f"--volume={path}:{seen}:ro" for seen, path in places(channels().values()).items()]
    if CHECKPOINTS.is_dir():
        mounts += [f"--volume={CHECKPOINTS}:{CHECKPOINTS}", f"--volume={CHECKPOINTS}:/opt/ml/checkpoints"]
    return [caller, *_settings(), *(f"--env={name}={value}" for name, value in environment(run).items()), *mounts]


def serve(port: int, base: Path) -> None:
    """Start the server in the background, with the model in ``base`` read-only as on an endpoint (P-41)."""
    model = (base / "model").resolve()
    options = [f"--volume={model}:{base}/model:ro", f"--volume={model}:/opt/ml/model:ro"]
    options += [f"--env=SAGEMAKER_BASE_DIR={base}"]
    options += [*_gpus(), *_settings(), *_captured(), f"--publish=127.0.0.1:{port}:8080"]
    docker("run", "--detach", "--name", CONTAINER, *options, IMAGE, "serve", quiet=True)


def running() -> bool:
    """Whether the server is running."""
    found = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", f"name=^{CONTAINER}$"], capture_output=True, check=False
    )
    return bool(found.stdout.strip())


def stop() -> None:
    """Let the server finish its requests and end, in the 30 seconds that an endpoint gives it (P-22)."""
    if _succeeds("kill", "--signal=TERM", CONTAINER):
        docker("stop", "-t", "30", CONTAINER, quiet=True)  # after a second signal it does not wait for idle connections
    if _succeeds("container", "inspect", CONTAINER):
        docker("rm", CONTAINER, quiet=True)


def logs() -> None:
    """Print what the server has logged."""
    subprocess.run(["docker", "logs", CONTAINER], check=False)


def shell() -> None:
    """Open a shell in the image, with ``opt_ml`` as its ``/opt/ml``."""
    prepare()
    docker("run", "--rm", "--interactive", "--tty", *_gpus(), *_settings(), f"--volume={TREE}:/opt/ml", IMAGE, "bash")


def _gpus() -> list[str]:
    return ["--gpus=all"] if wants_gpu() else []


def _settings() -> list[str]:
    """The options for the variables that `train` and `serve` read in .venv too."""
    return [f"--env={name}" for name in os.environ if name.startswith(SETTINGS)]


def _captured() -> list[str]:
    """The options for the folder of captured requests, so that it is on this machine and you own its files."""
    if not os.environ.get("MODEL_SERVER_CAPTURE"):
        return []
    folder = Path(os.environ["MODEL_SERVER_CAPTURE"]).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    caller = f"--user={os.getuid()}:{os.getgid()}"
    return [caller, f"--volume={folder}:{folder}", f"--env=MODEL_SERVER_CAPTURE={folder}"]


def docker(*arguments: str, quiet: bool = False, failure: str = "") -> None:
    """Run a docker command. Raises ``LocalError``, which starts with ``failure``, if it fails."""
    output = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(["docker", *arguments], stdout=output, check=False)
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise LocalError(f"`docker {arguments[0]}` cannot be started: {error.strerror}.") from error
        raise LocalError(
            "The channels have too many linked files for `docker run`: link the channel's folder instead of its files, "
            "or set DOCKER=no."
        ) from error
    if done.returncode != 0:
        raise LocalError(f"{failure or f'`docker {arguments[0]}` failed'}: the lines above say why.")


def _succeeds(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0
