"""Template: ``python3 -m stack.tracking log|download|check``, in its own environment with MLflow's client."""

import argparse
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from local import environments
from local.project import RUNS, LocalError, exit_status

ADDRESS = re.compile(r"https?://[^/\s@]+(/\S*)?|arn:aws[\w-]*:sagemaker:[\w-]+:\d+:mlflow-(app|tracking-server)/\S+")


@exit_status
def main(given: list[str]) -> int:
    """Run one command. An error prints one sentence and returns exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.tracking", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, argument in (("log", "run"), ("download", "model"), ("check", "")):
        command = commands.add_parser(name)
        command.add_argument("--mlflow", default="", metavar="URI", help="By default MLFLOW or MLFLOW_TRACKING_URI.")
        if argument:
            command.add_argument(argument)
        if name == "log":
            command.add_argument("--register", default="", metavar="NAME", help="Make it a version of this model.")
            command.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="A tag for the run.")
    arguments = parser.parse_args(given)
    environments.enter("stack.tracking")
    uri = address(arguments.mlflow or os.environ.get("MLFLOW") or os.environ.get("MLFLOW_TRACKING_URI", ""))
    if arguments.command == "log":
        log(uri, arguments)
    elif arguments.command == "download":
        from stack.tracking import server

        print(server.connected(uri).download(arguments.model))
    return 0


def address(uri: str) -> str:
    """The address of an MLflow server or the ARN of a SageMaker MLflow App. Raises ``LocalError`` for anything else."""
    if not uri:
        raise LocalError("There is no MLflow server: give --mlflow URI, or set MLFLOW_TRACKING_URI.")
    if "@" in uri:
        raise LocalError(
            "The address of MLflow has a user or a password in it: "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead."
        )
    if not ADDRESS.fullmatch(uri):
        raise LocalError(
            f"The address of MLflow is '{uri}': give http://HOST:PORT, or the ARN of a SageMaker MLflow App."
        )
    return uri.rstrip("/")


def log(uri: str, arguments: argparse.Namespace) -> None:
    """Log a run. Raises ``LocalError`` if MLflow does not take it, with the command that logs it later."""
    from stack.tracking import jobs, runs, server

    tags = dict(pair.split("=", 1) for pair in arguments.tag)
    kind, _, job = arguments.run.partition(":")
    with tempfile.TemporaryDirectory() as scratch:
        run = jobs.download(job, Path(scratch)) if kind == "job" else runs.of_folder(folder(arguments.run))
        try:
            for line in runs.log(server.connected(uri), run, tags, arguments.register):
                print(line, file=sys.stderr)
        except server.Refused as refused:
            words = ["python3", "-m", "stack.tracking", "log", arguments.run, "--mlflow", uri]
            words += ["--register", arguments.register] if arguments.register else []
            region = os.environ.get("AWS_REGION") if kind == "job" else ""
            later = f"AWS_REGION={region} {shlex.join(words)}" if region else shlex.join(words)
            raise LocalError(f"{refused} The result of the training is kept. To log it later: `{later}`.") from refused


def folder(name: str) -> Path:
    """The folder of a run of `make train`, by its path or its name."""
    for path in (Path(name), RUNS / name):
        if (path / "input/config").is_dir():
            return path.resolve()
    raise LocalError(f"There is no run '{name}': give a folder in {os.path.relpath(RUNS)}, or job:NAME.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
