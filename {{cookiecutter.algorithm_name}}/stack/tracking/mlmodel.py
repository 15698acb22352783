"""Template: the file that tells MLflow what a model is: where it came from, and its signature.

There is no flavor ``python_function``: the model needs its image, with the packages and the algorithm that it was
trained with, which are in no folder that MLflow could load. `make serve MODEL=models:/NAME/VERSION` serves it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import yaml

from local.project import NAME as PROJECT

NAME = "MLmodel"
TYPES = {"number": "double", "text": "string", "boolean": "boolean"}


def describe(folder: Path, model: str, run: str, manifest: Mapping[str, Any]) -> str:
    """The content of the file MLmodel, for the model in a folder."""
    kept = folder / "signature.json"
    about: dict[str, Any] = {
        "artifact_path": f"models:/{model}",
        "flavors": {"sagemaker_container": {"project": PROJECT, "image": manifest.get("image")}},
        "mlflow_version": mlflow.__version__,
        "model_id": model,
        "model_uuid": model,
        "run_id": run,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    if kept.exists():
        about["signature"] = signature(json.loads(kept.read_text(encoding="utf-8")))
    return str(yaml.safe_dump(about))


def signature(kept: Mapping[str, Any]) -> dict[str, str | None]:
    """MLflow's form of what training learned: a type for each column, of the answer where that is known."""
    inputs = [
        {"type": TYPES[each["kind"]], "name": each["name"], "required": not each.get("missing", False)}
        for each in kept["features"]
    ]
    outputs = [_output(name, each) for name, each in kept.get("answer", {}).items()]
    known = bool(outputs) and None not in outputs
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs) if known else None, "params": None}


def _output(name: str, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """A column of the answer; None where MLflow has no type for it, as for a list of any length."""
    kind: Any = TYPES.get(about["kind"])
    if kind is None:
        return None
    for _ in about["shape"]:
        kind = {"type": "array", "items": kind if isinstance(kind, dict) else {"type": kind}}
    more = kind if isinstance(kind, dict) else {"type": kind}
    return {**more, "name": name, "required": True}
