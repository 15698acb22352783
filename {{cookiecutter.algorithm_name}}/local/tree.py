"""Template: the ``/opt/ml`` of each run of `make train`, laid out as the platform would (P-40)."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from local.project import CHECKPOINTS, DATA, NAME, RUNS, LocalError


def channels() -> dict[str, Path]:
    """The folders below ``data/``, by name. Raises ``LocalError`` if there is none."""
    found = {path.name: path.resolve() for path in sorted(DATA.iterdir()) if path.is_dir()} if DATA.is_dir() else {}
    if not found:
        raise LocalError(f"There is no folder in {DATA}: make one for each channel, such as {DATA / 'training'}.")
    return found


def new_run(hyperparameters: list[str]) -> Path:
    """Write the files of a new job, and return its folder. Each hyperparameter is ``name=value``."""
    for pair in hyperparameters:
        if "=" not in pair:
            raise LocalError(f"The hyperparameter {pair!r} has no value: write name=value.")
    found = channels()
    run = _new_folder()
    for directory in ("model", "output", "input/config", "input/data"):
        (run / directory).mkdir(parents=True)
    for name, path in found.items():
        (run / "input" / "data" / name).symlink_to(path)
    configs: dict[str, object] = {
        "hyperparameters": dict(pair.split("=", 1) for pair in hyperparameters),
        "inputdataconfig": {name: {"TrainingInputMode": "File", "ContentType": "text/csv"} for name in found},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    for name, config in configs.items():
        (run / "input" / "config" / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    return run


def environment(run: Path) -> dict[str, str]:
    """The variables for where a job's files are, and for its name, which includes the project's, as on the platform."""
    own = {"SAGEMAKER_BASE_DIR": str(run), "TRAINING_JOB_NAME": f"{NAME}-{run.name}"}
    return own | ({"SAGEMAKER_CHECKPOINT_DIR": str(CHECKPOINTS)} if CHECKPOINTS.is_dir() else {})


def places(folders: Iterable[Path]) -> dict[Path, Path]:
    """Where a program sees the folders, and the targets of links below them, and where each of these is."""
    found: dict[Path, Path] = {}
    waiting = [(folder, folder) for folder in folders]
    while waiting:
        seen, path = waiting.pop()
        if not path.exists() or found.keys() & {seen, *seen.parents}:
            continue
        found[seen] = path
        for link in (below for below in path.rglob("*") if below.is_symlink()):
            target = seen / link.relative_to(path).parent / link.readlink()
            waiting.append((Path(os.path.normpath(target)), Path(os.path.realpath(link))))
    return found


def _new_folder() -> Path:
    """Create a folder named after the time, so that folders sort in the order of runs."""
    while True:
        run = RUNS / time.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            run.mkdir(parents=True)
            return run
        except FileExistsError:  # another run started in this second
            time.sleep(0.1)
