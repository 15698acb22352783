"""Template: what the contract asks of ``algorithm.py``, checked before anything else happens."""

import dataclasses
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from contract.errors import UserError
from contract.libraries import missing_library
from contract.predictions import Predictions, as_columns
from contract.schema import Feature, Schema

SIGNATURES = ("train(job)", "save(model, directory)", "load(directory)", "features(model)", "predict(model, rows)")


class Algorithm(Protocol):
    """The module ``algorithm.py``. ``Any`` stands for its own model type."""

    Hyperparameters: type[Any]

    def train(self, job: Any) -> Any:
        """Fit a model on the channels of ``job``."""

    def save(self, model: Any, directory: Path) -> None:
        """Write everything ``load`` needs into ``directory``."""

    def load(self, directory: Path) -> Any:
        """Read a model back. ``directory`` may hold other files too (L-06)."""

    def features(self, model: Any) -> Sequence[str | Feature]:
        """The columns ``predict`` expects, in order; a name alone stands for a number."""

    def predict(self, model: Any, rows: Any) -> Predictions:
        """Named columns with one value for each row.

        ``rows`` is an array of shape (rows, features), or a DataFrame where it is annotated as one. Where
        ``predict`` yields several, each is sent on as it comes (H-60).
        """


def import_algorithm(import_module: Callable[[], ModuleType]) -> Algorithm:
    """Import the user's module and check its interface.

    Raises ``UserError`` with one sentence for whatever the user has to mend.
    """
    try:
        module = import_module()
    except ModuleNotFoundError as error:
        raise UserError(
            f"algorithm.py imports '{error.name}', which is not installed: "
            "add it to container/requirements.txt and run `make lock`."
        ) from error
    except SyntaxError as error:
        file = Path(error.filename or "algorithm.py").name  # or a module that it imports
        raise UserError(f"{file} has a syntax error in line {error.lineno}: {error.msg}.") from error
    except Exception as error:
        if library := missing_library(error):
            name, addition = library
            raise UserError(f"algorithm.py needs the library {name}, which is not installed: add {addition}") from error
        raise
    for signature in SIGNATURES:
        name = signature.partition("(")[0]
        _check_function(name, getattr(module, name, None), signature)
    schema = getattr(module, "Hyperparameters", None)
    if not (inspect.isclass(schema) and dataclasses.is_dataclass(schema)):
        raise UserError("algorithm.py needs a dataclass named Hyperparameters; it may be empty.")
    return cast(Algorithm, module)


def _check_function(name: str, function: object, signature: str) -> None:
    if not callable(function):
        raise UserError(f"algorithm.py has no function {signature}: add it.")
    try:
        inspect.signature(function).bind(*signature.split(","))
    except TypeError:
        raise UserError(
            f"{name}() in algorithm.py takes other arguments than it is given: declare it as {signature}."
        ) from None


def predict_examples(algorithm: Algorithm, model: object, schema: Schema) -> None:
    """Predict the row of examples, and have the answer checked. Raises whatever goes wrong (H-05)."""
    result = algorithm.predict(model, schema.table([schema.sample()]))
    as_columns(next(result) if isinstance(result, Iterator) else result, 1)


def origin(error: BaseException) -> str:
    """Where an exception came from: the function that was called, and the line it came to in the user's file."""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if Path(frame.filename).name == "algorithm.py"]
    if not frames:
        return "The program"
    name = frames[0].name
    return f"{'' if name == '<module>' else f'{name}() in '}algorithm.py, line {frames[-1].lineno},"
