"""The size of an example's image, and the time from a saved edit of `algorithm.py` to an answer of the edited program.

    .venv/bin/python benchmarks/examples.py [edits] [NAME ...]

Each example becomes a project, by the commands that its `EXAMPLE.md` gives. The edits are made while `make watch` runs,
without Docker and with it. They give `predict` another first column, so the first answer that has it ends the time.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import engine
import report

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests/helpers"))

from projects import bake_into, copy_template, made

NAMES = ["lightgbm", "text", "image", "pickle", "forecast"]
EDIT = """

def _after(predict, edit="{edit}"):
    import functools

    @functools.wraps(predict)
    def edited(model, rows):
        return {{"edit": [edit] * len(rows)}} | predict(model, rows)

    return edited


predict = _after(predict)
"""
TYPES = {".csv": "text/csv; header=present", ".json": "application/json", ".png": "image/png"}


def main() -> None:
    """Measure each and print a table in Markdown."""
    given = sys.argv[1:] or ["3"]
    edits, names = int(given[0]), given[1:] or NAMES
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        template = copy_template(Path(scratch, "template"))
        for name in names:
            plain = bake_into(template, Path(scratch, "plain"), algorithm_name=name)
            rows.append(measured(name, made(plain, name, Path(scratch)), edits))
            print(rows[-1], file=sys.stderr)
    heads = ["example", "image, MB", "`make watch DOCKER=no`, s", "`make watch DOCKER=yes`, s"]
    print(report.table(heads, rows))


def measured(name: str, project: Path, edits: int) -> list[str]:
    """A row of the table, for a project with the example over it."""
    subprocess.run([sys.executable, "-m", "local.lock"], cwd=project, env=environment(), check=True)
    os.utime(project / "requirements-dev.lock", (0, 0))  # older than .venv: nothing is installed into it
    if (project / "data/training").exists():
        make(project, "train", "DOCKER=no")
    image = f"IMAGE=measured-{name}:benchmark"
    make(project, "image", image)
    size = engine.docker("image", "inspect", "--format={{.Size}}", image.removeprefix("IMAGE="))
    here, there = (seconds(project, edits, f"DOCKER={docker}", image) for docker in ("no", "yes"))
    engine.docker("image", "rm", image.removeprefix("IMAGE="))
    return [name, f"{int(size) / 1e6:.0f}", report.spread_of(here), report.spread_of(there)]


def environment() -> dict[str, str]:
    """That of the commands, which use this repository's .venv."""
    return {**os.environ, "VENV": str(HERE / ".venv"), "PYTHON": str(HERE / ".venv/bin/python")}


def make(project: Path, *arguments: str) -> None:
    """A command of the project. Raises ``CalledProcessError`` if it fails."""
    subprocess.run(["make", "--silent", *arguments], cwd=project, env=environment(), check=True, stdout=sys.stderr)


def seconds(project: Path, edits: int, *variables: str) -> list[float]:
    """From each save to the first answer that has the edit."""
    source, found = project / "container/program/algorithm.py", []
    original = source.read_text(encoding="utf-8")
    with watching(project, *variables) as port:
        for number in range(-1, edits):  # the first shows that it is up, and is not counted
            edit = f"edit-{number}"
            began = time.perf_counter()
            source.write_text(original + EDIT.format(edit=edit), encoding="utf-8")
            while edit not in answer(project, port):
                time.sleep(0.01)
            found.append(time.perf_counter() - began)
            time.sleep(2)  # `make watch` looks at the files again
    source.write_text(original, encoding="utf-8")
    return found[1:]


@contextmanager
def watching(project: Path, *variables: str) -> Iterator[int]:
    """The port that `make watch` serves on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["make", "--silent", "watch", *variables, f"PORT={port}", f"CONTAINER=measured-{project.name}"]
    process = subprocess.Popen(command, cwd=project, env=environment(), stdout=sys.stderr, start_new_session=True)
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def answer(project: Path, port: int) -> str:
    """The server's answer to the example's file; empty where there is none."""
    [file] = project.glob("data/predict.*")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", file.read_bytes(), {"Content-Type": TYPES[file.suffix]}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""


if __name__ == "__main__":
    main()
