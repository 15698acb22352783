"""Template: what the contract requires of ``algorithm.py``, checked before anything else happens."""

import dataclasses
import inspect
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from contract.errors import UserError
from contract.libraries import missing_library
from contract.payload import Payload
from contract.predictions import Columns, Predictions, as_columns, as_payloads, each_piece
from contract.schema import RawSchema, Schema

SERVING = ("load(directory)", "predict(model, rows)")
TRAINING = ("train(job)", "save(model, directory)")
"""An algorithm that only serves can leave out both."""
OPTIONAL = ("features(model)", "example(model)")


class Algorithm(Protocol):
    """The module ``algorithm.py``. ``Any`` stands for its own model type."""

    Hyperparameters: type[Any]

    def train(self, job: Any) -> Any:
        """Fit a model on the channels of ``job``."""

    def save(self, model: Any, directory: Path) -> None:
        """Write everything ``load`` needs into ``directory``."""

    def load(self, directory: Path) -> Any:
        """Read a model back. ``directory`` may hold other files too (L-06)."""

    def predict(self, model: Any, rows: Any) -> Predictions:
        """Named columns with one value for each row.

        ``rows`` is an array of shape (rows, features), or a DataFrame if it is annotated as one. If
        ``predict`` yields pieces, each holds values for the next rows and is sent at once (H-60).

        A function ``features(model)`` can list the columns that ``predict`` expects, in order: a name for a column of
        numbers, or a ``Feature``. Without it, they are those that ``job.channel(...).split(...)`` found in the data.
        """


def import_algorithm(import_module: Callable[[], ModuleType]) -> Algorithm:
    """Import the user's module and check its interface.

    Raises ``UserError`` with one sentence about what the user has to fix.
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
        raise UserError(f"{file} has a syntax error on line {error.lineno}: {error.msg}.") from error
    except Exception as error:  # importing algorithm.py runs it
        if library := missing_library(error):
            name, addition = library
            raise UserError(f"algorithm.py needs the library {name}, which is not installed: add {addition}") from error
        raise
    functions = {signature.partition("(")[0]: signature for signature in (*SERVING, *TRAINING, *OPTIONAL)}
    defined = {name for name in functions if hasattr(module, name)}
    trains = bool(defined & {"train", "save"}) or hasattr(module, "Hyperparameters")
    required = SERVING + (TRAINING if trains else ())
    for name, signature in functions.items():
        if name in defined or signature in required:
            _check_function(name, getattr(module, name, None), signature)
    schema = getattr(module, "Hyperparameters", None)
    if trains and not (inspect.isclass(schema) and dataclasses.is_dataclass(schema)):
        raise UserError("algorithm.py needs a dataclass named Hyperparameters; it may be empty.")
    return cast(Algorithm, module)


def require_training(algorithm: Algorithm) -> None:
    """Raise ``UserError`` if the algorithm only serves."""
    if not hasattr(algorithm, "train"):
        raise UserError(
            "algorithm.py has no function train(job): it serves a model that was trained elsewhere. Add train(job), "
            "save(model, directory) and a dataclass Hyperparameters to train one."
        )


def _check_function(name: str, function: object, signature: str) -> None:
    if not callable(function):
        raise UserError(f"algorithm.py has no function {signature}: add it.")
    try:
        inspect.signature(function).bind(*signature.split(","))
    except TypeError:
        raise UserError(f"{name}() in algorithm.py has the wrong parameters: declare it as {signature}.") from None


def predict(algorithm: Algorithm, model: object, rows: Any) -> Columns:
    """Return the checked answer to some rows or requests; empty if it is a ``Payload``. Raises any error.

    If the answer comes in pieces, return the first one. The values of all pieces are counted if they are for rows.
    """
    result = algorithm.predict(model, rows)
    if not isinstance(result, Iterator):
        return {} if as_payloads(result, len(rows)) else as_columns(result, len(rows))
    no_table = isinstance(rows, list)
    first, *_ = islice(each_piece(result, None), 1) if no_table else each_piece(result, len(rows))
    return {} if isinstance(first, Payload) else first


def predict_examples(algorithm: Algorithm, model: object, schema: Schema | RawSchema) -> Columns:
    """Return the answer to the example row (H-05). Raises any error, with a note if the row was made up."""
    if not schema.examples():
        return {}
    try:
        return predict(algorithm, model, schema.table(schema.examples()))
    except Exception as error:  # of the user's predict()
        made_up = [each.name for each in getattr(schema, "features", ()) if each.example is None]
        if made_up and not isinstance(error, UserError):
            error.add_note(
                f"The example row was made up from features() in algorithm.py: give Feature('{made_up[0]}') an "
                "example= that predict() can predict from."
            )
        raise


def origin(error: BaseException) -> str:
    """Where an exception came from: the function that was called, and the line in the user's file."""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if Path(frame.filename).name == "algorithm.py"]
    if not frames:
        return "The program"
    name = frames[0].name
    return f"{'' if name == '<module>' else f'{name}() in '}algorithm.py, line {frames[-1].lineno},"
