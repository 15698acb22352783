"""Template: how good predictions are, in figures. It needs numpy alone, so it works with every training library."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.errors import UserError
from contract.training import probabilities

Kind = Literal["classes", "numbers"]
POINTS, BINS = 1000, 20  # of a chart

Column = NDArray[Any]


def evaluate(actual: ArrayLike, predicted: ArrayLike, kind: Kind | None, chances: Any = None) -> dict[str, Any]:
    """Accuracy, confusion matrix and figures of each class; or errors, if either column holds floats.

    ``chances`` are a column of probabilities for each class. Raises ``UserError`` unless all have a value for each row.
    """
    truth, guess = _column("actual", actual), _column("predicted", predicted)
    if len(truth) != len(guess) or not len(truth):
        raise UserError(f"log_predictions() got {len(truth)} actual and {len(guess)} predicted values: give pairs.")
    has_floats = chances is None and "f" in truth.dtype.kind + guess.dtype.kind
    if (kind or ("numbers" if has_floats else "classes")) == "classes":
        return _classes(truth, guess, chances)
    if chances is not None:
        raise UserError("log_predictions() got probabilities and kind='numbers': leave out one of them.")
    return _numbers(_finite("actual", truth), _finite("predicted", guess))


def span(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis for values from ``low`` to ``high``, which may be equal except for rounding."""
    size = max(abs(low), abs(high)) or 1.0
    return (low, high) if high - low > 1e-9 * size else (low - size / 2, high + size / 2)


def _column(name: str, values: ArrayLike) -> Column:
    # As objects, since a missing value would become the text "nan".
    column = np.asarray(values, object if isinstance(values, list | tuple) else None)
    if column.shape[1:] == (1,):  # as some libraries predict
        column = column[:, 0]
    if column.ndim != 1:
        raise UserError(f"log_predictions() got {name} values of shape {column.shape}: give one value for each row.")
    if column.dtype.kind != "O":
        return column
    for row, value in enumerate(column, 1):
        if value is None or type(value).__name__ == "NAType" or value != value:
            raise UserError(f"log_predictions() got no {name} value in row {row}: leave out rows without one.")
    return np.asarray(column.tolist())


def _finite(name: str, column: Column) -> Column:
    try:
        numbers = column.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"log_predictions() got {name} values that are not numbers: give kind='classes'.") from None
    if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
        raise UserError(f"log_predictions() got {numbers[bad[0]]} as {name} value in row {bad[0] + 1}: give a number.")
    return numbers


def _classes(actual: Column, predicted: Column, chances: Any) -> dict[str, Any]:
    both = np.concatenate([actual, predicted])
    found, codes = np.unique(both.astype(str) if both.dtype.kind == "O" else both, return_inverse=True)
    names = [str(name) for name in found.tolist()]
    truth, guess = np.split(codes, 2)
    rows, chosen = (np.bincount(each, minlength=len(names)) for each in (truth, guess))
    hits = np.bincount(truth[truth == guess], minlength=len(names))
    figures = {  # 0 instead of a division by 0, as in scikit-learn
        "precision": hits / np.maximum(chosen, 1),
        "recall": hits / np.maximum(rows, 1),
        "f1": 2 * hits / (rows + chosen),
    }
    confusion: dict[str, dict[str, int]] = {}
    pairs, counts = np.unique(truth * len(names) + guess, return_counts=True)
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        confusion.setdefault(names[pair // len(names)], {})[names[pair % len(names)]] = count
    ranked, more = ({}, {}) if chances is None else probabilities.judge(names, truth, chances)
    each = figures | ranked | {"rows": rows}
    return {
        "kind": "classes", "rows": len(truth), "accuracy": hits.sum() / len(truth),
        "commonest": {"class": names[rows.argmax()], "accuracy": rows.max() / len(truth)},
        "mean": {name: values.mean() for name, values in figures.items()},
        "classes": {name: {figure: values[i] for figure, values in each.items()} for i, name in enumerate(names)},
        "confusion": confusion, **more,
    }  # fmt: skip


def _numbers(actual: Column, predicted: Column) -> dict[str, Any]:
    errors = predicted - actual
    spread = np.square(actual - actual.mean()).sum()
    counts, edges = np.histogram(errors, BINS, span(errors.min(), errors.max()))
    drawn = slice(None, None, math.ceil(len(errors) / POINTS))
    constants = {"mean": actual.mean(), "median": np.median(actual)}
    return {
        "kind": "numbers", "rows": len(errors), **_sizes(errors),
        "r2": 1 - np.square(errors).sum() / spread if spread else np.nan, "mean_error": errors.mean(),
        # The errors of predicting one value for every row:
        "constants": {name: {"value": value, **_sizes(value - actual)} for name, value in constants.items()},
        "points": {"actual": actual[drawn].tolist(), "predicted": predicted[drawn].tolist()},
        "errors": {"edges": edges, "rows": counts},
    }  # fmt: skip


def _sizes(errors: Column) -> dict[str, Any]:
    return {"mae": np.abs(errors).mean(), "rmse": np.sqrt(np.square(errors).mean())}
