"""Template: the ``/opt/ml`` of each run of `make train`, laid out as the platform would (P-40)."""

import json
import time
from pathlib import Path

from local.project import DATA, RUNS, LocalError


def channels() -> dict[str, Path]:
    """The folders below ``data/``, by name. Raises ``LocalError`` if there is none."""
    found = {path.name: path for path in sorted(DATA.iterdir()) if path.is_dir()} if DATA.is_dir() else {}
    if not found:
        raise LocalError(f"{DATA} holds no folder: make one for each channel, such as {DATA / 'training'}.")
    return found


def new_run(hyperparameters: list[str]) -> Path:
    """Write the files of a job that has not run yet, and return its folder. Each hyperparameter is ``name=value``."""
    for pair in hyperparameters:
        if "=" not in pair:
            raise LocalError(f"The hyperparameter {pair!r} has no value: write name=value.")
    names = channels()
    run = _new_folder()
    for directory in ("model", "output", "input/config"):
        (run / directory).mkdir(parents=True)
    for name in names:
        (run / "input" / "data" / name).mkdir(parents=True)
    configs: dict[str, object] = {
        "hyperparameters": dict(pair.split("=", 1) for pair in hyperparameters),
        "inputdataconfig": {name: {"TrainingInputMode": "File", "ContentType": "text/csv"} for name in names},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    for name, config in configs.items():
        (run / "input" / "config" / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    return run


def _new_folder() -> Path:
    """Make a folder named for the time. The folders' order is that of the runs."""
    while True:
        run = RUNS / time.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            run.mkdir(parents=True)
            return run
        except FileExistsError:  # another run began in this second
            time.sleep(0.1)
