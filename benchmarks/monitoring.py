"""How often `make monitor` alarms, with and without a shift: windows drawn by chance, judged by the project's own code.

    .venv/bin/python benchmarks/monitoring.py [--windows 1000]

Each window is compared with a baseline from training rows of the same source: 20 correlated columns of numbers, some of
which are skewed, whole or mostly 0, and 5 of choices. A shift is made in one column.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent / "{{cookiecutter.algorithm_name}}"
sys.path[:0] = [str(PROJECT), str(PROJECT / "container/program")]

from contract.training.baseline import count, learn

from stack.monitoring import drift

Random = np.random.Generator
Rows = dict[str, Any]
CHOICES = ("never", "seldom", "often", "always")
TRAINING = (500, 5_000, 50_000)
WINDOWS = (100, 1_000)


def rows(random: Random, number: int) -> Rows:
    """Rows as training and an unshifted window have them."""
    common = random.normal(size=(number, 1))
    numbers = 0.6 * common + 0.8 * random.normal(size=(number, 20))
    table: Rows = {f"n{place}": numbers[:, place] for place in range(20)}
    table["n1"], table["n2"] = np.exp(table["n1"]), np.round(3 * table["n2"])
    table["n3"] = np.where(table["n3"] > 0.8, table["n3"], 0)
    for place in range(5):
        table[f"c{place}"] = random.choice(CHOICES, number, p=[0.55, 0.3, 0.12, 0.03])
    return table


def moved(column: str, by: float) -> Callable[[Random, Rows], None]:
    """Move a column of numbers by so many standard deviations."""

    def shift(random: Random, table: Rows) -> None:
        table[column] = table[column] + by

    return shift


def widened(random: Random, table: Rows) -> None:
    """Let a column of numbers vary more."""
    table["n0"] = 1.5 * table["n0"]


def other_unit(random: Random, table: Rows) -> None:
    """Give a third of the rows in another unit."""
    table["n0"] = np.where(random.random(len(table["n0"])) < 0.33, 2.54 * table["n0"] + 3, table["n0"])


def gaps(random: Random, table: Rows) -> None:
    """Lose a tenth of the values."""
    table["n0"] = np.where(random.random(len(table["n0"])) < 0.1, np.nan, table["n0"])


def other_choices(random: Random, table: Rows) -> None:
    """Give other shares of the choices."""
    table["c0"] = random.choice(CHOICES, len(table["c0"]), p=[0.35, 0.3, 0.2, 0.15])


def repeated(random: Random, table: Rows) -> None:
    """Let each row come ten times, as where a customer asks again and again."""
    for name, values in table.items():
        table[name] = np.repeat(values[: len(values) // 10], 10)


SHIFTS: dict[str, Callable[[Random, Rows], None]] = {
    "none": lambda random, table: None,
    "none, but each row comes ten times": repeated,
    "a mean moves by 0.1 standard deviations": moved("n0", 0.1),
    "a mean moves by 0.25": moved("n0", 0.25),
    "a mean moves by 0.5": moved("n0", 0.5),
    "a mean moves by 1": moved("n0", 1),
    "a standard deviation grows by half": widened,
    "a third of the rows in another unit": other_unit,
    "a tenth of the values is missing": gaps,
    "shares of choices 55/30/12/3 become 35/30/20/15": other_choices,
}


def learned(name: str, values: Any) -> dict[str, Any]:
    """The baseline of a column."""
    return learn(name, values.astype(object), CHOICES) if name.startswith("c") else learn(name, values)


def alarms(training: int, window: int, shift: Callable[[Random, Rows], None], windows: int, psi: float) -> float:
    """The share of windows with an alarm. Every 40 have training rows of their own."""
    found = 0
    for number in range(windows):
        random = np.random.default_rng([training, window, number])
        if number % 40 == 0:
            baseline = [learned(name, values) for name, values in rows(random, training).items()]
        table = rows(random, window)
        shift(random, table)
        counts = {each["name"]: count(each, table[each["name"]]) for each in baseline}
        tests = drift.adjusted(drift.columns("feature", baseline, counts, psi))
        found += any(test.shifted for test in tests)
    return found / windows


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--psi", type=float, default=0.1)
    given = parser.parse_args()
    pairs = [(training, window) for training in TRAINING for window in WINDOWS]
    print("| shift | " + " | ".join(f"{training:,}/{window:,}" for training, window in pairs) + " |")
    print("| --- |" + " ---: |" * len(pairs))
    for name, shift in SHIFTS.items():
        shares = [alarms(*pair, shift, given.windows, given.psi) for pair in pairs]
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
