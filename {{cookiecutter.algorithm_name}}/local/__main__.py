"""Template: ``python3 -m local train|serve|predict|stop|logs|shell|image|archive``, each a target of the Makefile."""

import argparse
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType

from local import container, tree, virtualenv
from local.archive import save
from local.project import DATA, IMAGE, NAME, ROOT, TREE, Mistake

TYPES = {".csv": "text/csv; header=present", ".json": "application/json"}
SECONDS_TO_START = 60  # H-08
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no part in talking to this machine


def main() -> int:
    """Run one command; a mistake is one sentence and exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("train").add_argument("settings", nargs="*", metavar="name=value")
    commands.add_parser("predict").add_argument("file", nargs="?", type=Path, default=DATA / "predict.csv")
    commands.add_parser("archive").add_argument("file", nargs="?", type=Path, default=ROOT / f"{NAME}.tar")
    for name in ("serve", "stop", "logs", "shell", "image"):
        commands.add_parser(name)
    arguments = vars(parser.parse_args())
    command = globals()[arguments.pop("command")]
    try:
        command(**arguments)
    except Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def train(settings: list[str]) -> None:
    """Train on ``data/`` with the hyperparameters ``settings``; the model goes to ``opt_ml/model``."""
    tree.prepare(settings)
    machine().train()


def serve() -> None:
    """Serve ``opt_ml/model`` in the background, and return when it is ready."""
    if not any(TREE.glob("model/*")):
        raise Mistake(f"There is no model in {TREE / 'model'}: run `make train` first.")
    stop()
    check_free(port())
    chosen = machine()
    chosen.serve(port())
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if not chosen.running() or time.monotonic() > deadline:
            chosen.logs()
            raise Mistake("The server did not become ready: the lines above say why.")
        time.sleep(0.2)
    print(f"serving on http://localhost:{port()}: `make predict` asks it, `make stop` ends it", file=sys.stderr)


def predict(file: Path) -> None:
    """Send a file to the server and print the predictions."""
    if not file.is_file():
        raise Mistake(f"There is no file {file}.")
    if file.suffix not in TYPES:
        raise Mistake(f"{file} cannot be sent: name a file that ends in {' or '.join(TYPES)}.")
    url = f"http://localhost:{port()}/invocations"
    try:
        answer = HTTP.open(urllib.request.Request(url, file.read_bytes(), {"Content-Type": TYPES[file.suffix]}))
    except urllib.error.HTTPError as error:
        raise Mistake(f"The server answered {error.code}: {json.load(error)['error']['message']}") from error
    except urllib.error.URLError as error:
        raise Mistake(f"Nothing answers on port {port()}: run `make serve` first.") from error
    sys.stdout.write(answer.read().decode())


def stop() -> None:
    """Stop what ``serve`` started, wherever it runs."""
    if container.problem() is None:
        container.stop()
    virtualenv.stop()


def logs() -> None:
    """Print what the server has logged."""
    machine().logs()


def shell() -> None:
    """Open a shell in the image."""
    with_docker().shell()


def image() -> None:
    """Build the image."""
    with_docker().build()


def archive(file: Path) -> None:
    """Build the image and save it to ``file``."""
    image()
    save(IMAGE, file)
    print(f"{IMAGE} is in {file}: `apptainer build {NAME}.sif docker-archive:{file.name}` reads it", file=sys.stderr)


def machine() -> ModuleType:
    """The container where Docker answers, else the virtual environment; the variable ``DOCKER`` can insist."""
    wish = os.environ.get("DOCKER") or "auto"
    if wish not in ("yes", "no", "auto"):
        raise Mistake(f"DOCKER is {wish!r}: write yes, no or auto.")
    if wish == "yes":
        return with_docker()
    if wish == "auto":
        problem = container.problem()
        if problem is None:
            return container
        print(f"{problem} Going on without a container, in .venv.", file=sys.stderr)
    return virtualenv


def with_docker() -> ModuleType:
    """The container. Raises ``Mistake`` where Docker does not answer."""
    if problem := container.problem():
        raise Mistake(problem)
    return container


def port() -> int:
    """The variable ``PORT``, by default 8080."""
    text = os.environ.get("PORT") or "8080"
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise Mistake(f"PORT is {text!r}: give a whole number from 1 to 65535.")
    return int(text)


def check_free(number: int) -> None:
    """Raise ``Mistake`` where another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            raise Mistake(f"Port {number} is in use: choose another, such as PORT={number + 1}.") from None


def ready() -> bool:
    """Whether the server answers 200 on ``/ping`` (H-04)."""
    try:
        return bool(HTTP.open(f"http://localhost:{port()}/ping", timeout=2).status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
