"""Template: logs a finished training job to MLflow, by ``stack.tracking``, which has MLflow's client for itself."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from deploy.context import Context
from deploy.errors import DeployError
from deploy.waiting import print_progress

ROOT = Path(__file__).resolve().parent.parent
NOT_LOGGED = 3  # exit status: the job has its model, but MLflow does not have it


def prepare(context: Context, register: str) -> None:
    """Prepare MLflow's client if there is a server to log to. Raises ``DeployError`` for an invalid address."""
    uri = context.settings.mlflow
    if register and not uri:
        raise DeployError("--register names a model in MLflow: give --mlflow URI too.")
    if uri and not (ROOT / "stack/tracking").is_dir():
        raise DeployError("--mlflow needs stack/tracking/, which this project does not have: leave --mlflow out.")
    if uri and not context.dry_run and _run(context, "check") != 0:
        raise DeployError("Nothing was started, since --mlflow cannot be used: the lines above say why.")


def log(context: Context, job: str, register: str) -> None:
    """Log a job, if there is a server to log to. Exits with ``NOT_LOGGED`` if MLflow does not take it."""
    if not context.settings.mlflow:
        return
    arguments = ["log", f"job:{job}", *(["--register", register] if register else [])]
    if context.detach:
        later = shlex.join(["python", "-m", "stack.tracking", *arguments, "--mlflow", context.settings.mlflow])
        print_progress(f"Not logged to MLflow, since the job continues: `{later}` logs it when it has ended.")
    elif _run(context, *arguments) != 0:
        sys.exit(NOT_LOGGED)


def _run(context: Context, *arguments: str) -> int:
    command = [sys.executable, "-m", "stack.tracking", *arguments, "--mlflow", context.settings.mlflow]
    region = {"AWS_REGION": str(context.session.region_name)}
    return subprocess.run(command, cwd=ROOT, env=os.environ | region, check=False).returncode
