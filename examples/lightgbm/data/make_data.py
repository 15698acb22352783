"""Write customers of a phone company beside this file, as CSV: ``python data/make_data.py``. Always the same ones."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLANS = {"prepaid": 0.25, "basic": 0.1, "family": -0.1, "business": -0.15}  # what each adds to the chance of leaving
SOURCES = {"shop": 0.0, "web": 0.05, "friend, family": -0.1, "door": 0.2}


def customers(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Customers, and whether they left: the age of one in five is unknown, and where one in ten came from."""
    chance = random.Random(seed)
    for _ in range(count):
        plan, source, abroad = chance.choice(list(PLANS)), chance.choice(list(SOURCES)), chance.random() < 0.3
        months, calls, age = chance.randint(1, 96), chance.randint(0, 6), chance.randint(18, 90)
        leaves = 0.2 + PLANS[plan] + SOURCES[source] + 0.12 * (calls - 1) - 0.004 * months + 0.1 * (age < 30)
        yield {
            "plan": plan,
            "source": "" if chance.random() < 0.1 else source,
            "age": "" if chance.random() < 0.2 else age,
            "months": months,
            "calls_to_support": calls,
            "calls_abroad": "true" if abroad else "false",
            "churned": "yes" if leaves + chance.gauss(0, 0.08) > 0.35 else "no",
        }


def write(name: str, rows: list[dict[str, object]]) -> None:
    """One line for each row, with a header."""
    (HERE / name).parent.mkdir(exist_ok=True)
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write("training/customers.csv", list(customers(1200, seed=1)))
    write("validation/customers.csv", list(customers(300, seed=2)))
    write("predict.csv", [{name: each[name] for name in each if name != "churned"} for each in customers(20, seed=3)])
