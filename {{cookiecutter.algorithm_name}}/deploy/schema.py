"""Template: checks hyperparameters with the dataclass in ``algorithm.py``, before a job costs anything (T-12)."""

import importlib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from contract import failure
from contract.algorithm_interface import import_algorithm, require_training
from contract.training.hyperparameters import Field, fields_of, parse
from deploy.errors import DeployError
from deploy.waiting import print_progress


def load() -> tuple[type[Any] | None, list[Field]]:
    """The dataclass ``Hyperparameters`` and its fields; nothing where ``algorithm.py`` cannot be imported.

    Its packages may be missing here, and this Python may be older than the image's.
    """
    try:
        with redirect_stdout(sys.stderr):  # stdout is for the result
            module = importlib.import_module("algorithm")
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        print_progress(f"Hyperparameters are not checked here, since algorithm.py cannot be imported ({reason}).")
        return None, []
    try:
        require_training(algorithm := import_algorithm(lambda: module))
        return algorithm.Hyperparameters, list(fields_of(algorithm.Hyperparameters))
    except Exception as error:  # of algorithm.py, whatever it declares
        raise DeployError(failure.describe(error).partition("\n")[0]) from error


def check(schema: type[Any] | None, given: Mapping[str, str]) -> None:
    """Raise ``DeployError`` with the sentence that a job would fail with."""
    try:
        if schema:
            parse(schema, given)
    except Exception as error:  # the dataclass may have code of its own
        raise DeployError(failure.describe(error).partition("\n")[0]) from error
