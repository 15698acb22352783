"""Template: the steps of a retraining, each a program that this project has already."""

import argparse
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local import tracking, tree
from local.__main__ import machine
from local.project import DATA, ROOT, VENV, LocalError


def in_service(arguments: argparse.Namespace, scratch: Path) -> tuple[Path, str]:
    """The folder of the model in service, and the version that waits for approval, if one does."""
    place = arguments.model
    if not arguments.endpoint and not place.startswith("s3://"):
        place = str(Path(place).expanduser().absolute())
        if not Path(place).is_file() and not any(Path(place).glob("*")):
            raise LocalError(f"There is no model in {place} to compare with: name it with --model, or its --endpoint.")
    return _fetched(f"endpoint:{arguments.endpoint}" if arguments.endpoint else place, scratch / "old")


def evaluated(arguments: argparse.Namespace, folders: Sequence[Path]) -> dict[str, Any]:
    """What ``stack.retraining.evaluation`` finds out about the models in the folders."""
    given = {"folders": list(map(str, folders)), "target": arguments.target}
    found = json.loads(_run("stack.retraining.evaluation", json.dumps(given), failure="Models cannot be compared"))
    return dict(found)


def trained(arguments: argparse.Namespace, defaults: dict[str, str], scratch: Path) -> tuple[Path, str]:
    """The folder of a new model, and how ``deploy register`` finds it. ``opt_ml/model`` stays as it is."""
    own = {pair.partition("=")[0] for pair in arguments.hyperparameters}
    pairs = [f"{name}={value}" for name, value in defaults.items() if name not in own] + arguments.hyperparameters
    if arguments.sagemaker:
        options = [word for pair in pairs for word in ("--hyperparameter", pair)]
        failure = "The training failed, and nothing was registered"
        said = _run("deploy", "train", "--data", str(DATA), *options, failure=failure, fine=(0, tracking.NOT_LOGGED))
        return _fetched(said.split()[-1], scratch / "new")[0], f"job:{said.split('/')[-3]}"
    chosen = machine()
    tracking.prepare()
    chosen.prepare()
    run = tree.new_run(pairs)
    chosen.train(run)
    tracking.log(run)
    if not any((run / "model").iterdir()):
        raise LocalError("The training ended without a model, and nothing was registered.")
    return run / "model", os.path.relpath(run / "model", ROOT)


def registered(words: str, source: str) -> str:
    """Register a model, to be approved, and return NAME/VERSION. ``words`` are for the person who approves it."""
    command = ["deploy", "register", "--model", source]
    failure = f"The new model could not be registered, which `{shlex.join(['python', '-m', *command])}` does later"
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"CreateModelPackage": {"ModelPackageDescription": words[:1024]}}, file)
        file.flush()
        return _run(*command, "--with", file.name, failure=failure).split()[-1]


def _fetched(place: str, folder: Path) -> tuple[Path, str]:
    found = json.loads(_run("stack.retraining.service", place, str(folder), failure="The model cannot be fetched"))
    return Path(found["folder"]), found["waiting"]


def _run(module: str, *arguments: str, failure: str, fine: Sequence[int] = (0,)) -> str:
    """What a module prints in the project's own Python. Raises ``LocalError`` if it fails."""
    command = [str(VENV / "bin/python"), "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in fine:
        raise LocalError(f"{failure}: the lines above say why.")
    return done.stdout.strip()
