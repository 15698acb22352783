"""Template: the metrics that ``algorithm.py`` logs, found in its code, and how SageMaker reads them from the log."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

PARAMETERS = ["actual", "predicted", "data", "kind", "probabilities"]  # of log_predictions
FIGURES = ["accuracy", "mae", "rmse", "r2"]  # of classes, of numbers
PROBABILITY_FIGURES = ["log_loss", "roc_auc"]
ALGORITHM = Path(__file__).resolve().parent.parent / "container/program/algorithm.py"


def metric_definitions(given: Sequence[str] = ()) -> list[dict[str, str]]:
    """A name and an expression for each metric, as ``log_metric`` prints them (T-55)."""
    return [{"Name": name, "Regex": rf"\b{re.escape(name)}=([0-9.eE+-]+);"} for name in given or metrics()]


def metrics() -> list[str]:
    """The metrics that ``algorithm.py`` logs with ``log_metric`` and ``log_predictions``."""
    source = ALGORITHM.read_text(encoding="utf-8")
    names = re.findall(r"""\.log_metric\(\s*["']([^"']+)["']""", source)
    return list(dict.fromkeys([*names, *_metrics_of_predictions(source)]))


def _metrics_of_predictions(source: str) -> list[str]:
    """The metrics of each call of ``log_predictions(actual, predicted, data="validation", ...)``."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # to this Python, which may be older than the image's
        data_names = re.findall(r"""\bdata=["']([^"']+)["']""", source)
        return [f"{name}_{figure}" for name in ["validation", *data_names] for figure in FIGURES + PROBABILITY_FIGURES]
    names = []
    for call in nodes:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "log_predictions":
            given = dict(zip(PARAMETERS, call.args, strict=False)) | {each.arg: each.value for each in call.keywords}
            data = given.get("data", ast.Constant("validation"))
            figures = FIGURES + (PROBABILITY_FIGURES if given.keys() & {"probabilities", None} else [])
            if isinstance(data, ast.Constant) and isinstance(data.value, str):
                names += [f"{data.value}_{figure}" for figure in figures]
    return names
