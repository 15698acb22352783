"""Template: how a model came to be, in a file beside it. It tells no times: the same job writes the same bytes."""

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import orjson

from contract.training.channels import Channel


def write(
    to: Path, hyperparameters: object, channels: Iterable[Channel], metrics: Mapping[str, list[float]]
) -> dict[str, Any]:
    """Write ``manifest.json``, unless ``save`` has written a file of that name itself; return what it says."""
    packages = sorted((distribution.name, distribution.version) for distribution in distributions())
    about = {
        "hyperparameters": hyperparameters,
        "channels": {channel.name: fingerprint(channel) for channel in channels},
        "metrics": {name: values[-1] for name, values in metrics.items()},
        "image": os.environ.get("TRAINING_IMAGE"),  # which nobody but who starts the job can know
        "revision": os.environ.get("IMAGE_REVISION") or None,  # of the files that the image was built from
        "versions": {"python": platform.python_version(), **dict(packages)},
    }
    text = orjson.dumps(about, str, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    path = to / "manifest.json"
    if not path.exists():
        path.write_bytes(text)
    said: dict[str, Any] = orjson.loads(text)
    return said


def fingerprint(channel: Channel) -> dict[str, Any]:
    """How much there was; for downloaded files (T-21) also a digest of names and contents."""
    if channel.mode == "Pipe":
        return {"mode": channel.mode}
    files = channel.everything()
    found = {"mode": channel.mode, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    if channel.mode != "File":
        return found  # to read it all again would mean to download it again (T-22)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(f"{path.relative_to(channel.directory)}\0".encode(errors="surrogateescape") + content)
    return found | {"sha256": digest.hexdigest()}
