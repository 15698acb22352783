"""Template: ``python3 -m local train|runs|report|serve|...``: each command is a target of the Makefile."""

import argparse
import http.client
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from types import ModuleType

from contract.serving.formats import FORMATS, by_suffix
from local import container, tree, virtualenv
from local import runs as past
from local.archive import save
from local.project import DATA, IMAGE, MODEL, NAME, ROOT, LocalError

SECONDS_TO_START = 60  # within what every kind of endpoint allows (H-08)
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between this machine and itself


def main() -> int:
    """Run one command. An error prints one sentence and returns exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("train").add_argument("hyperparameters", nargs="*", metavar="name=value")
    commands.add_parser("predict").add_argument("file", nargs="?", type=Path, default=DATA / "predict.csv")
    commands.add_parser("archive").add_argument("file", nargs="?", type=Path, default=ROOT / f"{NAME}.tar")
    for name in ("serve", "stop", "logs", "shell", "image", "runs", "report"):
        commands.add_parser(name)
    arguments = vars(parser.parse_args())
    command = globals()[arguments.pop("command")]
    try:
        command(**arguments)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def train(hyperparameters: list[str]) -> None:
    """Train on ``data/`` in a new folder below ``opt_ml/runs``. A good model goes to ``opt_ml/model``."""
    chosen = machine()
    chosen.build_again()
    run = tree.new_run(hyperparameters)
    chosen.train(run)
    past.use(run)
    print(
        f"in use now: {MODEL}; `make serve` serves it, `make runs` compares it, `make report` shows it", file=sys.stderr
    )


def runs() -> None:
    """Print past runs with their metrics side by side."""
    print(past.table())


def report() -> None:
    """Open the report of the newest run in a browser, and print where it is."""
    page = past.newest_report()
    print(page)
    webbrowser.open(page.as_uri())


def serve() -> None:
    """Serve ``opt_ml/model`` in the background, and return when it is ready."""
    if not any(MODEL.glob("*")):
        raise LocalError(f"There is no model in {MODEL}: run `make train` first.")
    chosen = machine()
    chosen.build_again()
    stop()
    require_free_port(port())
    chosen.serve(port())
    deadline = time.monotonic() + SECONDS_TO_START
    while not ready():
        if not chosen.running() or time.monotonic() > deadline:
            chosen.logs()
            raise LocalError("The server did not become ready: the lines above say why.")
        time.sleep(0.2)
    print(f"serving on http://localhost:{port()}: `make predict` asks it, `make stop` ends it", file=sys.stderr)


def predict(file: Path) -> None:
    """Send a file to the server and print the predictions."""
    if not file.is_file():
        raise LocalError(f"There is no file {file}.")
    url = f"http://localhost:{port()}/invocations"
    request = urllib.request.Request(url, headers={"Content-Type": content_type(file)})
    try:
        request.data = file.read_bytes()
    except OSError as error:
        raise LocalError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        with HTTP.open(request) as response:
            sys.stdout.buffer.write(response.read())
    except urllib.error.HTTPError as error:
        raise LocalError(f"The server answered {error.code}: {error_message(error.read())}") from error
    except urllib.error.URLError as error:
        raise LocalError(f"Nothing answers on port {port()}: run `make serve` first.") from error
    except (OSError, http.client.HTTPException) as error:
        raise LocalError(f"The server on port {port()} broke off its response: `make logs` may say why.") from error


def content_type(file: Path) -> str:
    """The media type by the file's suffix. A CSV file begins with a header row, which a request has to say."""
    known = by_suffix(file.name)
    if known is None:
        suffixes = ", ".join(known.suffix for known in FORMATS)
        raise LocalError(f"{file} cannot be sent: its name must end in one of {suffixes}.")
    return f"{known.media_type}; header=present" if known.suffix == ".csv" else known.media_type


def error_message(body: bytes) -> str:
    """The message in the JSON of an error, or else the whole body."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip()


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
    """The container if Docker answers, or else the virtual environment. The variable ``DOCKER`` can choose."""
    choice = os.environ.get("DOCKER") or "auto"
    if choice not in ("yes", "no", "auto"):
        raise LocalError(f"DOCKER is {choice!r}: write yes, no or auto.")
    if choice == "yes":
        return with_docker()
    if choice == "auto":
        problem = container.problem()
        if problem is None:
            return container
        print(f"{problem} Going on without a container, in .venv.", file=sys.stderr)
    return virtualenv


def with_docker() -> ModuleType:
    """The container. Raises ``LocalError`` if Docker does not answer."""
    if problem := container.problem():
        raise LocalError(problem)
    return container


def port() -> int:
    """The variable ``PORT``, by default 8080."""
    text = os.environ.get("PORT") or "8080"
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise LocalError(f"PORT is {text!r}: give a whole number from 1 to 65535.")
    return int(text)


def require_free_port(number: int) -> None:
    """Raise ``LocalError`` if another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            raise LocalError(f"Port {number} is in use: choose another, such as PORT={number + 1}.") from None


def ready() -> bool:
    """Whether the server answers 200 on ``/ping`` (H-04)."""
    try:
        return bool(HTTP.open(f"http://localhost:{port()}/ping", timeout=2).status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
