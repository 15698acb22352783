"""Template: ``python3 -m local train|runs|report|serve|...``: each command is a target of the Makefile."""

import argparse
import os
import sys
import time
import webbrowser
from pathlib import Path
from types import ModuleType

from local import building, client, container, served, tracking, tree, virtualenv
from local import runs as past
from local.archive import save
from local.project import FILE, IMAGE, MODEL, NAME, PROGRAM, ROOT, LocalError, choice, exit_status
from local.watching import saves

SECONDS_TO_START = 60  # less than every kind of endpoint allows (H-08)


@exit_status
def main() -> int:
    """Run one command. An error prints one sentence and returns exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "watch"):
        commands.add_parser(name).add_argument("hyperparameters", nargs="*", metavar="name=value")
    commands.add_parser("image").add_argument("arguments", nargs="*", metavar="NAME=VALUE")
    commands.add_parser("predict").add_argument("file", nargs="?", type=Path, default=FILE)
    commands.add_parser("archive").add_argument("file", nargs="?", type=Path, default=ROOT / f"{NAME}.tar")
    for name in ("serve", "stop", "logs", "shell", "runs", "report"):
        commands.add_parser(name)
    arguments = vars(parser.parse_args())
    command = globals()[arguments.pop("command")]
    command(**arguments)
    return 0


def train(hyperparameters: list[str]) -> None:
    """Train on ``data/`` in a new folder below ``opt_ml/runs``. A good model goes to ``opt_ml/model``.

    With the variable ``MLFLOW``, the run is then logged to MLflow. If that fails, the exit status is 3.
    """
    chosen = machine()
    tracking.prepare()
    chosen.prepare()
    run = tree.new_run(hyperparameters)
    with tracking.logged(run):
        train_on(chosen, run)
        print(f"This model is now in {MODEL}: `make serve` serves it, `make runs` compares it", file=sys.stderr)


def train_on(chosen: ModuleType, run: Path) -> None:
    """Train, once everything is prepared."""
    chosen.train(run)
    past.use(run)


def runs() -> None:
    """Print past runs with their metrics side by side."""
    print(past.table())


def report() -> None:
    """Open the report of the newest run in a browser, and print where it is."""
    page = past.newest_report()
    print(page)
    webbrowser.open(page.as_uri())


def serve() -> None:
    """Serve a model in the background, and return when it is ready."""
    base = served.base()
    chosen = machine()
    chosen.prepare()
    serve_on(chosen, base)
    print(f"serving on {client.url()}: `make predict` uses it, `make stop` stops it", file=sys.stderr)


def serve_on(chosen: ModuleType, base: Path) -> None:
    """Serve, once everything is prepared, in place of an earlier server."""
    stop()
    port = client.port()
    client.require_free_port(port, f"choose another, such as PORT={port + 1}")
    chosen.serve(port, base)
    deadline = time.monotonic() + SECONDS_TO_START
    while not client.ready():
        if not chosen.running() or time.monotonic() > deadline:
            chosen.logs()
            raise LocalError("The server did not become ready: the lines above say why.")
        time.sleep(0.1)


def watch(hyperparameters: list[str]) -> None:
    """Serve again whenever a file of the program is saved, until Ctrl-C. With ``TRAIN=yes`` train before that."""
    chosen, retrain = machine(), choice("TRAIN", "no", "yes") == "yes"
    if not retrain:
        served.base("make watch TRAIN=yes")
    try:
        for _ in saves():
            started = time.monotonic()
            try:
                chosen.prepare()
                if retrain:
                    train_on(chosen, tree.new_run(hyperparameters))
                serve_on(chosen, served.base())
                print(f"serving on {client.url()}, {time.monotonic() - started:.1f} s after the save", file=sys.stderr)
            except LocalError as error:
                print(error, file=sys.stderr)
            print(f"watching {PROGRAM}: save a file there, or stop with Ctrl-C", file=sys.stderr)
    except KeyboardInterrupt:
        stop()


def predict(file: Path) -> None:
    """Send a file to the server and print the predictions."""
    sys.stdout.buffer.write(client.predict(file))


def stop() -> None:
    """Stop the server, in the container or in .venv."""
    if container.problem() is None:
        container.stop()
    virtualenv.stop()


def logs() -> None:
    """Print what the server has logged."""
    machine().logs()


def shell() -> None:
    """Open a shell in the image."""
    with_docker().shell()


def image(arguments: list[str]) -> None:
    """Build the image, with build arguments that later builds use too."""
    with_docker()
    building.arguments()  # raises an error before anything is written
    building.remember(arguments)
    if not building.build():
        print(f"{IMAGE} is up to date", file=sys.stderr)


def archive(file: Path) -> None:
    """Build the image and save it to ``file``."""
    image([])
    save(IMAGE, file)
    print(f"{IMAGE} is in {file}: `apptainer build {NAME}.sif docker-archive:{file.name}` converts it", file=sys.stderr)


def machine() -> ModuleType:
    """The container if Docker answers, or else the virtual environment. The variable ``DOCKER`` can choose."""
    if os.name == "nt":
        raise LocalError("Windows runs `train` and `serve` only under WSL: open the project there.")
    wanted = choice("DOCKER", "auto", "yes", "no")
    if wanted == "yes":
        return with_docker()
    if wanted == "auto":
        problem = container.problem()
        if problem is None:
            return container
        print(f"{problem} Continuing without a container, in .venv.", file=sys.stderr)
    return virtualenv


def with_docker() -> ModuleType:
    """The container. Raises ``LocalError`` if Docker does not answer."""
    if problem := container.problem():
        raise LocalError(problem)
    return container


if __name__ == "__main__":
    sys.exit(main())
