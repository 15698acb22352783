"""Template: the ``/opt/ml`` tree of a training job, as the platform would lay it out (P-40)."""

import json
import shutil
from pathlib import Path

from local.project import DATA, TREE, LocalError


def channels() -> dict[str, Path]:
    """The folders below ``data/``, by name. Raises ``LocalError`` if there is none."""
    found = {path.name: path for path in sorted(DATA.iterdir()) if path.is_dir()} if DATA.is_dir() else {}
    if not found:
        raise LocalError(f"{DATA} holds no folder: make one for each channel, such as {DATA / 'training'}.")
    return found


def prepare(hyperparameters: list[str]) -> None:
    """Write the files of a job that has not run yet. Each hyperparameter is ``name=value``."""
    for pair in hyperparameters:
        if "=" not in pair:
            raise LocalError(f"The hyperparameter {pair!r} has no value: write name=value.")
    values = dict(pair.split("=", 1) for pair in hyperparameters)
    for directory in ("input", "model", "output"):
        shutil.rmtree(TREE / directory, ignore_errors=True)
        (TREE / directory).mkdir(parents=True)
    config = TREE / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(values), encoding="utf-8")
    names = channels()
    described = {name: {"TrainingInputMode": "File", "ContentType": "text/csv"} for name in names}
    (config / "inputdataconfig.json").write_text(json.dumps(described), encoding="utf-8")
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(json.dumps(host), encoding="utf-8")
    for name in names:
        (TREE / "input" / "data" / name).mkdir(parents=True)
