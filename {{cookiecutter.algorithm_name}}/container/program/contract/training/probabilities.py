"""Template: how good predicted probabilities are. The figures are scikit-learn's, computed with numpy alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import UserError

POINTS, BINS, SHOWN = 200, 10, 4  # of a curve; of a calibration; classes with curves
TOLERANCE = 1e-3  # with float32 and rounding, a sum may differ from 1

Floats = NDArray[np.floating[Any]]


def judge(names: list[str], truth: NDArray[np.intp], given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures for each of ``names``, then log loss, ROC AUC and curves. ``truth`` has the place of each row's name.

    ROC AUC is the mean of each class against the rest, or with two classes that of the second. A class without a column
    has the probability 0, since the others add up to 1. Raises ``UserError`` if ``given`` are not probabilities.
    """
    known, columns = _read(given, len(truth))
    places = np.array([known.index(name) if name in known else -1 for name in names])[truth]
    if (places < 0).all():
        raise UserError("log_predictions() got no probabilities of the actual classes: name columns after them.")
    least = float(np.finfo(columns.dtype).eps)
    chosen = np.where(places < 0, 0, columns[np.arange(len(truth)), places]).astype(np.float64).clip(least, 1 - least)
    found = {name: _ranked(columns[:, i], places == i) for i, name in enumerate(known) if 0 < (places == i).mean() < 1}
    areas = {name: found[name]["roc_auc"] for name in (known[1:] if len(known) == 2 else known) if name in found}
    worst, kinds = sorted(areas, key=areas.__getitem__)[:SHOWN], ("roc", "precision_recall", "calibration")
    figures = ("roc_auc", "average_precision")
    return {figure: [found[name][figure] if name in found else None for name in names] for figure in figures}, {
        "log_loss": -np.log(chosen).mean(),
        "roc_auc": np.mean(list(areas.values())) if areas else None,
        "curves": {kind: {name: found[name][kind] for name in worst} for kind in kinds},
    }


def _read(given: Any, rows: int) -> tuple[list[str], Floats]:
    """The classes, and an array of shape (rows, classes)."""
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise UserError(f"log_predictions() got probabilities as {kind}: give a dict, as dict(zip(classes, array.T)).")
    try:
        columns = np.column_stack([np.asarray(column) for column in given.values()])
        columns = columns if columns.dtype.kind == "f" else columns.astype(np.float64)
    except (TypeError, ValueError):  # strings, missing values, columns of different lengths, or no columns
        columns = np.empty(0)
    if columns.shape != (rows, len(given)):
        needed = "1 probability" if rows == 1 else f"{rows} probabilities"
        raise UserError(f"log_predictions() needs {needed} for each class: give a number for each row.")
    sums = columns.sum(axis=1, dtype=np.float64)
    fine = (np.abs(sums - 1) <= TOLERANCE) & (np.abs(columns - 0.5) <= 0.5 + TOLERANCE).all(axis=1)
    if not fine.all():
        row = fine.argmin()
        some = f"from {columns[row].min():.6g} to {columns[row].max():.6g}, sum {sums[row]:.6g}, in row {row + 1}"
        raise UserError(f"log_predictions() got probabilities {some}: give numbers from 0 to 1 that add up to 1.")
    return list(map(str, given)), columns


def _ranked(scores: Floats, hits: NDArray[np.bool_]) -> dict[str, Any]:
    """Figures and curves of one class against the rest."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-1))  # rows with the same probability are one step
    true = np.cumsum(hits[order])[last]
    recall, precision = np.append(0, true / hits.sum()), np.append(1, true / (last + 1))
    false_rate = np.append(0, (last + 1 - true) / (~hits).sum())
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)
    rows, *sums = (np.bincount(bins, weights, BINS) for weights in (None, scores, hits))
    return {
        "roc_auc": (np.diff(false_rate) * (recall[1:] + recall[:-1])).sum() / 2,
        "average_precision": (np.diff(recall) * precision[1:]).sum(),
        "roc": _thinned(false_rate, recall, false_rate + recall),
        "precision_recall": _thinned(recall, precision, recall),
        "calibration": np.column_stack(sums)[rows > 0] / rows[rows > 0, None],  # predicted and observed
    }


def _thinned(x: Floats, y: Floats, along: Floats) -> Floats:
    """At most ``POINTS`` points, at equal distances ``along`` a curve."""
    even = np.searchsorted(along, np.linspace(along[0], along[-1], POINTS))
    return np.column_stack([x, y])[np.unique(even) if len(along) > POINTS else slice(None)]
