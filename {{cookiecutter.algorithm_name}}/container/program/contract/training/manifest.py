"""Template: how a model was made, in a file beside it. It holds no times, so the same job writes the same bytes."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import orjson

NAME = "manifest.json"


def describe(hyperparameters: object, channels: object, metrics: Mapping[str, list[float]]) -> dict[str, Any]:
    """What the manifest says."""
    packages = sorted((distribution.name, distribution.version) for distribution in distributions())
    about = {
        "hyperparameters": hyperparameters,
        "channels": channels,
        "metrics": {name: values[-1] for name, values in metrics.items()},
        "image": os.environ.get("TRAINING_IMAGE"),  # only the caller of the job knows it
        "revision": os.environ.get("IMAGE_REVISION") or None,  # of the files that the image was built from
        "versions": {"python": platform.python_version(), **dict(packages)},
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(about, str))
    return plain


def write(about: Mapping[str, Any], directory: Path) -> None:
    """Write the manifest in one step, in place of an earlier one."""
    unfinished = directory / f".saving-{NAME}"
    unfinished.write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    unfinished.replace(directory / NAME)
