"""Template: one training of a study, with what it prints in a file."""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from local import tree
from local.project import LocalError

LOG = "output/train.log"  # in the run's folder
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Trained:
    """A run that has ended: the last value of each metric, or why it has no model."""

    run: Path
    metrics: dict[str, float]
    failure: str = ""


def train(chosen: ModuleType, hyperparameters: Mapping[str, Any]) -> Trained:
    """Train as `make train` does, but for the model in use, which stays."""
    run = tree.new_run([f"{name}={value}" for name, value in hyperparameters.items()])
    try:
        with _output_in(run / LOG):
            chosen.train(run)
    except LocalError as error:
        return Trained(run, {}, _failure(run) or str(error))
    if not any((run / "model").iterdir()):
        return Trained(run, {}, "it ended without a model")
    file = run / "output/data/metrics.json"
    logged = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    last = {name: values[-1] for name, values in logged.items() if values}
    return Trained(run, {name: value for name, value in last.items() if value is not None and math.isfinite(value)})


def drop_model(run: Path) -> None:
    """Remove the files of a run's model, but not what tells how it came to be."""
    for path in (run / "model").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MANIFEST:
            path.unlink()


def _failure(run: Path) -> str:
    file = run / "output/failure"
    return file.read_text(encoding="utf-8").partition("\n")[0] if file.exists() else ""


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Let the file have what programs print that are started meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    with file.open("wb") as log:
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(log.fileno(), number)
            yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
