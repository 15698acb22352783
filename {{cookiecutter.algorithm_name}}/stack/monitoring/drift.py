"""Template: whether the rows of a window can come from where the baseline's came from."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov, ndtr

if TYPE_CHECKING:
    from argparse import Namespace

    from stack.monitoring.window import Window

CHANCE = 0.01  # of a false alarm in a window
LEAST_EXPECTED = 5  # of the rows of a choice, for its chi-square to be one


class Test(NamedTuple):
    """What was compared, how large the difference is, and how probable by chance alone."""

    group: str
    name: str
    what: str
    size: float
    """PSI of a column, by which part a model's error has grown, or which part of the requests was refused."""
    p: float
    large: bool
    """Whether the difference matters, if it is not by chance."""
    text: str = ""

    @property
    def shifted(self) -> bool:
        """Whether it matters and is not by chance."""
        return self.large and self.p < CHANCE


def compared(baseline: Mapping[str, Any], window: "Window", limits: "Namespace") -> list[Test]:
    """All tests of a window, with their correction for being many."""
    tests: list[Test] = []
    if window.rows >= limits.least:
        tests += columns("feature", baseline["features"], window.features, limits.psi)
        # On rows that it was fitted on a model is surer of itself than on others.
        tests += columns("answer", baseline["answers"], window.answers, math.inf if baseline["fitted"] else limits.psi)
    evaluations = baseline["evaluation"]
    before: Mapping[str, Any] = evaluations.get("validation") or next(reversed(evaluations.values()), {})
    if after := window.evaluated(before.get("kind")):
        tests += quality(before, after, limits.growth)
    for what, part, rest in (
        ("requests", window.refused, window.requests - window.refused),
        ("rows", window.refused_rows, window.rows),
    ):
        share = part / max(1, part + rest)
        if part or what == "requests":
            text = f"{100 * share:.1f} % of {part + rest:,}"
            tests.append(Test("refused", what, "share", share, 0.0, share >= limits.refused, text))
    return adjusted(tests)


def columns(
    group: str, baseline: Sequence[Mapping[str, Any]], window: Mapping[str, Mapping[str, Any]], psi: float
) -> list[Test]:
    """Two tests for each column that has enough rows: of its values, and of how many are missing."""
    tests = []
    for about in baseline:
        name, found = str(about["name"]), window.get(str(about["name"]))
        if not found or len(about["rows"]) < 2:
            continue
        before, after = (np.array(counts["rows"], np.float64) for counts in (about, found))
        if before.sum() and after.sum():
            p = _ks(before, after) if "edges" in about else _chi_square(before, after)
            size = psi_of(before, after)
            tests.append(Test(group, name, "values", size, p, size >= psi))
        if about["gaps"] or found["gaps"]:
            before, after = np.array([before.sum(), about["gaps"]]), np.array([after.sum(), found["gaps"]])
            size = psi_of(before, after)
            tests.append(Test(group, name, "gaps", size, _chi_square(before, after), size >= psi))
    return tests


def psi_of(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """The population stability index, less what it is on average between two samples of the same rows."""
    used = before + after > 0
    before, after = before[used] + 0.5, after[used] + 0.5
    shares, found = before / before.sum(), after / after.sum()
    by_chance = (len(before) - 1) * (1 / before.sum() + 1 / after.sum())
    return float(max(0, ((found - shares) * np.log(found / shares)).sum() - by_chance))


def _ks(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Kolmogorov and Smirnov's test at the edges of the bins. It errs on the side of no difference."""
    distance = np.abs(np.cumsum(before) / before.sum() - np.cumsum(after) / after.sum()).max()
    root = math.sqrt(before.sum() * after.sum() / (before.sum() + after.sum()))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def _chi_square(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Pearson's test of two rows of counts. Rare choices are taken together."""
    total = before.sum() + after.sum()
    rare = (before + after) * min(before.sum(), after.sum()) / total < LEAST_EXPECTED
    table = np.array([[*counts[~rare], counts[rare].sum()] for counts in (before, after)])
    table = table[:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum())) if table.shape[1] > 1 else 1.0


def quality(before: Mapping[str, Any], after: Mapping[str, Any], growth: float) -> list[Test]:
    """Whether the model errs more than when it was evaluated, one-sided. Both are results of ``evaluate``."""
    name = "accuracy" if after["kind"] == "classes" else "mae"
    if before.get("kind") != after["kind"]:
        return [Test("metric", name, "error", 0.0, 1.0, False, f"{after[name]:.4g}, not evaluated in training")]
    (error, variance), (found, spread) = _error(before), _error(after)
    deviation = math.sqrt(variance / before["rows"] + spread / after["rows"])
    p = float(ndtr((error - found) / deviation)) if deviation else float(found <= error)
    grown = found / error - 1 if error else math.inf if found else 0.0
    text = f"{after[name]:.4g}, {before[name]:.4g} after training"
    return [Test("metric", name, "error", grown, p, grown >= growth, text)]


def _error(about: Mapping[str, Any]) -> tuple[float, float]:
    """The mean and the variance of a row's error. One more row that is right and one that is wrong keep it above 0."""
    if about["kind"] == "numbers":
        return about["mae"], about["rmse"] ** 2 - about["mae"] ** 2
    wrong = ((1 - about["accuracy"]) * about["rows"] + 1) / (about["rows"] + 2)
    return wrong, wrong * (1 - wrong)


def adjusted(tests: Sequence[Test]) -> list[Test]:
    """The tests with Holm's correction of ``p``: of many unshifted windows one in a hundred has any below 1 %."""
    found, highest = list(tests), 0.0
    for rank, place in enumerate(sorted(range(len(found)), key=lambda place: found[place].p)):
        highest = max(highest, min(1.0, found[place].p * (len(found) - rank)))
        found[place] = found[place]._replace(p=highest)
    return found
