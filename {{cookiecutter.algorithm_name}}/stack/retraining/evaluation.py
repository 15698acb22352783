"""Template: what models answer to the rows of the validation channel, and how good that is. It runs in ``.venv``.

Rows are read as the server reads them, and figures are those of ``job.log_predictions``. One JSON object in, one out.
"""

import importlib
import json
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract import algorithm_interface, failure
from contract.errors import RequestError, UserError
from contract.feature import number
from contract.predictions import Columns
from contract.schema import Schema, of_model
from contract.serving.formats import CSV, Body
from contract.training.channels import Channel
from contract.training.evaluation import Kind, evaluate
from contract.training.hyperparameters import Extras, fields_of
from contract.training.tables import Tables
from local.project import DATA

CHANNEL, ROWS = "validation", 10_000  # at a time
AS_WRITTEN = {"dtype": str, "na_values": []}
FIGURES = ("accuracy", "log_loss", "roc_auc", "mae", "rmse", "r2")
PROBABILITY = "probability_"  # begins the names of columns of probabilities


class Model(NamedTuple):
    """A model that reads tables."""

    folder: Path
    loaded: Any
    schema: Schema


def main(given: dict[str, Any]) -> int:
    """Print the figures of the models in ``given["folders"]``, and the hyperparameters of the last."""
    try:
        with redirect_stdout(sys.stderr):
            algorithm = algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))
            models = [_model(algorithm, Path(folder)) for folder in given["folders"]]
            found = _compared(algorithm, models, given["target"])
            found["hyperparameters"] = _hyperparameters(algorithm, models[-1].folder)
    except Exception as error:  # the algorithm and its models may fail in any way
        print(failure.describe(error).strip(), file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def _model(algorithm: Any, folder: Path) -> Model:
    try:
        loaded = algorithm.load(folder)
        found = of_model(algorithm, loaded, folder)
    except Exception as error:  # load() and features() are the user's
        raise UserError(f"This algorithm.py cannot load the model in {folder}: {failure.describe(error)}") from error
    if not isinstance(found, Schema):
        raise UserError("predict() in algorithm.py takes raw requests: only models of tables can be compared.")
    return Model(folder, loaded, found)


def _hyperparameters(algorithm: Any, folder: Path) -> dict[str, str]:
    """What a model was trained with, as far as the algorithm still has it, as a job sets it."""
    algorithm_interface.require_training(algorithm)
    file, found = folder / "manifest.json", dict[str, str]()
    kinds = {field.name: field.type for field in fields_of(algorithm.Hyperparameters)}
    for name, value in json.loads(file.read_bytes())["hyperparameters"].items() if file.exists() else ():
        if kinds.get(name) is Extras:
            found |= value
        elif name in kinds:
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


def _compared(algorithm: Any, models: list[Model], target: str) -> dict[str, Any]:
    """The figures of each on the rows that all answer, and how many rows each refuses."""
    tables = Tables(CHANNEL, Channel(CHANNEL, DATA / CHANNEL).files(".csv", ".csv.gz"), options=AS_WRITTEN).read({})
    table = importlib.import_module("pandas").concat(tables, ignore_index=True).fillna("")
    features = {name for each in models for name in each.schema.names}
    others = [name for name in table if name == target or not (target or name in features)]
    if len(others) != 1:
        raise UserError(f"'{CHANNEL}' has the columns {', '.join(table)}: name what is predicted with --target.")
    [target] = others
    table = table[table[target].str.strip() != ""].reset_index(drop=True)
    answers = [_answers(algorithm, each, table, target) for each in models]
    both = np.logical_and.reduce([read for _, read in answers])
    if not both.any():
        raise UserError(f"The channel '{CHANNEL}' has no row that the models answer.")
    kind = _kind(models, next(iter(answers[0][0].values())))
    about = [
        {"figures": _figures(table[target][both], columns, both, kind), "refused": int((~read).sum())}
        for columns, read in answers
    ]
    return {"rows": int(both.sum()), "models": about}


def _answers(algorithm: Any, model: Model, table: Any, target: str) -> tuple[Columns, NDArray[np.bool_]]:
    """The answers to all rows, and which of these the model does not refuse."""
    names = [name for name in model.schema.names if name in table]
    names += [target] if len(names) < 2 else []  # a line of one empty cell would be no row
    pieces, read = list[Columns](), np.ones(len(table), bool)
    for start in range(0, len(table), ROWS):
        bad, text = list[int](), table[names][start : start + ROWS].to_csv(index=False)
        try:
            records = CSV.decode(Body(text.encode(), {"header": "present"}, 2**40, bad), model.schema)
        except RequestError as error:
            raise UserError(f"The model in {model.folder} cannot read '{CHANNEL}': {error.message}.") from error
        pieces.append(algorithm_interface.predict(algorithm, model.loaded, model.schema.table(records)))
        read[[start + place for place in bad]] = False
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}, read


def _kind(models: list[Model], answer: NDArray[Any]) -> Kind:
    """As training has evaluated one of the models, or else as the first column of an answer looks."""
    for file in (each.folder / "baseline.json" for each in models):
        for each in json.loads(file.read_bytes())["evaluation"].values() if file.exists() else ():
            if each.get("kind") in ("classes", "numbers"):
                return "numbers" if each["kind"] == "numbers" else "classes"
    return "numbers" if answer.dtype.kind == "f" else "classes"


def _figures(actual: Any, columns: Columns, rows: NDArray[np.bool_], kind: Kind) -> dict[str, float]:
    """What the first column is worth, and the columns of probabilities if there are some."""
    guess = next(iter(columns.values()))[rows]
    if kind == "numbers":
        found = evaluate([number(text.strip()) for text in actual], guess, kind)
    else:
        pair = [_plain(text) for text in actual], [_plain(value) for value in guess.tolist()]
        found, parts = evaluate(*pair, kind), {name.partition(PROBABILITY): each for name, each in columns.items()}
        chances = {_plain(name): each[rows] for (before, mark, name), each in parts.items() if mark and not before}
        with suppress(UserError):  # they are no probabilities of the classes
            found = evaluate(*pair, kind, chances or None)
    figures = {name: found[name] for name in FIGURES if found.get(name) is not None} | found.get("mean", {})
    return {name: float(value) for name, value in figures.items()}


def _plain(value: Any) -> str:
    """One way to write a class: 1, 1.0 and '1' are the same, and so are true and True."""
    text = str(value).strip()
    if np.isfinite(number(text)):
        return f"{number(text):.15g}"
    return text.lower() if text.lower() in ("true", "false") else text


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
