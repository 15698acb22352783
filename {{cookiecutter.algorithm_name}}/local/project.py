"""Template: the project's paths and names, and the one exception of the local commands."""

import functools
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]


def path_of(name: str, default: Path | str) -> Path:
    """The variable ``name``. Not every shell expands a ``~`` in it."""
    path = Path(os.environ.get(name) or default)
    return path.expanduser() if path.parts[0] == "~" else path


DATA = ROOT / path_of("DATA", "data")  # each folder in it is a channel
FILE = path_of("FILE", next(iter(sorted(DATA.glob("predict.*"))), DATA / "predict.csv"))  # what to predict
TREE = ROOT / path_of("OPT_ML", "opt_ml")
CHECKPOINTS = ROOT / path_of("SAGEMAKER_CHECKPOINT_DIR", TREE / "checkpoints")  # the runs share them
RUNS = TREE / "runs"  # each folder in it becomes /opt/ml of a job
MODEL = TREE / "model"  # the newest good one
CONTAINER = os.environ.get("CONTAINER") or NAME
IMAGE = os.environ.get("IMAGE") or f"{NAME}:local"
PROGRAM = ROOT / "container" / "program"
VENV = ROOT / (os.environ.get("VENV") or ".venv")


class LocalError(Exception):
    """An error that the user can fix: the message says what is wrong and how to fix it."""


def exit_status(main: Callable[..., int]) -> Callable[..., int]:
    """A program's ``main`` that returns 1 and prints one sentence for ``LocalError``, and returns 130 after Ctrl-C."""

    @functools.wraps(main)
    def run(*arguments: list[str]) -> int:
        try:
            return main(*arguments)
        except LocalError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130

    return run


def choice(name: str, *allowed: str) -> str:
    """The variable ``name``, by default the first allowed value. Raises ``LocalError`` for any other value."""
    value = os.environ.get(name) or allowed[0]
    if value not in allowed:
        raise LocalError(f"{name} is {value!r}: write {', '.join(allowed[1:])} or {allowed[0]}.")
    return value


def wants_gpu() -> bool:
    """Whether the variable ``GPU`` is ``yes``."""
    return choice("GPU", "no", "yes") == "yes"
