"""Template: the metrics that ``algorithm.py`` logs, found in its code, and how SageMaker reads them from the log."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.waiting import print_progress

PARAMETERS = ["actual", "predicted", "data", "kind", "probabilities"]  # of log_predictions
FIGURES = ["accuracy", "mae", "rmse", "r2"]  # of classes, of numbers
PROBABILITY_FIGURES = ["log_loss", "roc_auc"]
ALGORITHM = Path(__file__).resolve().parent.parent / "container/program/algorithm.py"


def metric_definitions(given: Sequence[str] = ()) -> list[dict[str, str]]:
    """A name and an expression for each metric, as ``log_metric`` prints them (T-55)."""
    return [{"Name": name, "Regex": rf"\b{re.escape(name)}=([0-9.eE+-]+);"} for name in given or metrics()]


def metrics() -> list[str]:
    """The metrics that ``algorithm.py`` logs with ``log_metric`` and ``log_predictions``."""
    try:
        tree = ast.parse(ALGORITHM.read_text(encoding="utf-8"))
    except SyntaxError as error:  # to this Python, which may be older than the image's
        said = f"line {error.lineno}: {error.msg}"
        print_progress(f"The metrics of algorithm.py cannot be read here ({said}): name them with --metric.")
        return []
    names = [_text(given.get("name")) for given in _calls(tree, "log_metric", ["name", "value"])]
    for given in _calls(tree, "log_predictions", PARAMETERS):
        data = _text(given.get("data", ast.Constant("validation")))
        figures = FIGURES + (PROBABILITY_FIGURES if given.keys() & {"probabilities", None} else [])
        names += [f"{data}_{figure}" for figure in figures if data]
    return [name for name in dict.fromkeys(names) if name]


def _calls(tree: ast.Module, method: str, parameters: list[str]) -> Iterator[dict[str | None, ast.expr]]:
    """The arguments of each call of a method of that name, by parameter, in the order of the code."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == method:
            yield {**dict(zip(parameters, call.args, strict=False)), **{each.arg: each.value for each in call.keywords}}


def _text(node: ast.expr | None) -> str:
    """A text that the code has as it is, or nothing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
