"""Template: the ``/opt/ml`` tree of a training job, as the platform would lay it out (P-40)."""

import json
import shutil
from pathlib import Path

from local.project import DATA, TREE, Mistake


def channels() -> dict[str, Path]:
    """The folders below ``data/``, by name. Raises ``Mistake`` where there is none."""
    found = {path.name: path for path in sorted(DATA.iterdir()) if path.is_dir()} if DATA.is_dir() else {}
    if not found:
        raise Mistake(f"{DATA} holds no folder: make one for each channel, such as {DATA / 'training'}.")
    return found


def prepare(settings: list[str]) -> None:
    """Lay out an empty job with the hyperparameters ``settings``, each ``name=value``."""
    for setting in settings:
        if "=" not in setting:
            raise Mistake(f"The hyperparameter {setting!r} has no value: write name=value.")
    hyperparameters = dict(setting.split("=", 1) for setting in settings)
    for directory in ("input", "model", "output"):
        shutil.rmtree(TREE / directory, ignore_errors=True)
        (TREE / directory).mkdir(parents=True)
    config = TREE / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters), encoding="utf-8")
    names = channels()
    described = {name: {"TrainingInputMode": "File", "ContentType": "text/csv"} for name in names}
    (config / "inputdataconfig.json").write_text(json.dumps(described), encoding="utf-8")
    host = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    (config / "resourceconfig.json").write_text(json.dumps(host), encoding="utf-8")
    for name in names:
        (TREE / "input" / "data" / name).mkdir(parents=True)
