"""Template: the results of `make train`: past runs below ``opt_ml/runs``, and the model in use in ``opt_ml/model``."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from local.project import MODEL, RUNS, TREE, LocalError


def use(run: Path) -> None:
    """Replace the model in use by that of ``run``. The old model is deleted only if its own run still has it.

    Raises ``LocalError`` if the run has no model.
    """
    if not any((run / "model").iterdir()):
        raise LocalError(f"Training ended without a model: {MODEL} is unchanged.")
    new, old = TREE / f".new-{run.name}", TREE / f".old-{run.name}"
    shutil.copytree(run / "model", new, copy_function=_link)
    if MODEL.exists():
        kept = any(_files(MODEL) == _files(past / "model") for past in _all())
        MODEL.rename(old)
        if not kept:
            place = RUNS / f"{run.name}-before" / "model"
            place.parent.mkdir()
            old.rename(place)
            print(f"The model that was in {MODEL} is now in {place}.", file=sys.stderr)
    new.rename(MODEL)
    shutil.rmtree(old, ignore_errors=True)


def table() -> str:
    """A line for each run, the newest last, with its metrics side by side. Raises ``LocalError`` if there is no run."""
    runs = _all()
    if not runs:
        raise LocalError(f"There are no runs in {RUNS}: run `make train` first.")
    logged = {run: _json(run / "output/data/metrics.json") for run in runs}
    metrics = {run: {name: values[-1] for name, values in found.items()} for run, found in logged.items()}
    names = list(dict.fromkeys(name for found in metrics.values() for name in found))
    rows = [["run", *names, "hyperparameters"]]
    for run in runs:
        given = " ".join(f"{name}={value}" for name, value in _json(run / "input/config/hyperparameters.json").items())
        found = [metrics[run].get(name) for name in names]  # None if it was not logged or is not a number
        figures = ["" if figure is None else f"{figure:.6g}" for figure in found]
        rows.append([run.name, *figures, f"{given} {_failure(run)}".strip()])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def newest_report() -> Path:
    """The report of the newest run that has one. Raises ``LocalError`` if none has."""
    reports = [report for run in _all() if (report := run / "output/data/report.html").exists()]
    if not reports:
        raise LocalError(f"There is no report in {RUNS}: run `make train` first.")
    return reports[-1]


def _all() -> list[Path]:
    return sorted(RUNS.iterdir()) if RUNS.is_dir() else []


def _failure(run: Path) -> str:
    """Why the run has no model; empty if it has one."""
    failure = run / "output/failure"
    if failure.exists():
        return f"(failed: {failure.read_text(encoding='utf-8').partition(chr(10))[0]})"
    return "" if any((run / "model").glob("*")) else "(no model)"


def _files(directory: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of each file, which are the same for links and copies."""
    stats = {path.relative_to(directory): path.stat() for path in directory.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # the run failed before it wrote the file
        return {}


def _link(source: str, target: str) -> None:
    """Link a file, which takes no space, or copy it if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
