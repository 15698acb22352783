"""Template: passes runs to ``stack.tracking``, which logs them to MLflow, and gets models from there.

MLflow's client is in that part's own environment: this only starts it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.project import ROOT, LocalError

NOT_LOGGED = 3  # exit status: there is a model, but MLflow does not have it


def prepare() -> None:
    """Prepare MLflow's client if the variable ``MLFLOW`` is set, so that errors are found before the training.

    Raises ``LocalError`` if it is not an address. Whether a server answers there is not checked yet.
    """
    if os.environ.get("MLFLOW"):
        if _run("check") is None:
            raise LocalError("Nothing was trained, since MLFLOW cannot be used: the lines above say why.")
    elif os.environ.get("REGISTER"):
        raise LocalError("REGISTER names a model in MLflow, so set its server too: MLFLOW=http://HOST:PORT.")


@contextmanager
def logged(run: Path) -> Iterator[None]:
    """Log ``run`` to MLflow after the block, if ``MLFLOW`` is set, also if the training failed.

    Ends the command with status ``NOT_LOGGED`` if MLflow does not accept the run of a training that succeeded.
    """
    try:
        yield
    except LocalError:
        log(run)
        raise
    if not log(run, os.environ.get("REGISTER", "")):
        sys.exit(NOT_LOGGED)


def log(run: Path, register: str = "", *tags: str) -> bool:
    """Log a run, if ``MLFLOW`` is set. Returns False if MLflow does not accept it, after printing why."""
    if not os.environ.get("MLFLOW"):
        return True
    options = ["--register", register] if register else []
    return _run("log", str(run), *options, *(word for tag in tags for word in ("--tag", tag))) is not None


def download(model: str) -> Path:
    """The folder of a model such as ``models:/churn/3``. Raises ``LocalError`` if MLflow does not have it."""
    folder = _run("download", model)
    if folder is None:
        raise LocalError(f"MODEL names {model}, which cannot be served: the lines above say why.")
    return Path(folder)


def _run(*arguments: str) -> str | None:
    """The output of the program; None if it failed, after printing why on stderr."""
    if not (ROOT / "stack/tracking").is_dir():
        raise LocalError("MLflow needs stack/tracking/, which this project does not have: leave MLFLOW out.")
    command = [sys.executable, "-m", "stack.tracking", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
