"""Write flats and their rents as CSV: ``python make_data.py 2000 > training.csv``. The same number, the same flats."""

import csv
import random
import sys
from collections.abc import Iterator
from typing import TextIO

CITIES = {"Lisbon": 17.0, "Lyon": 14.5, "Oslo": 21.0, "Porto, Ribeira": 15.5, "Zürich": 32.0}  # a month, for each m²
HEATING = {"gas": 0.0, "district": 25.0, "heat pump": 60.0}


def flats(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Flats as a letting agency lists them: the year of one in five is unknown, the heating of one in ten."""
    chance = random.Random(seed)
    for _ in range(count):
        city, heating = chance.choice(list(CITIES)), chance.choice(list(HEATING))
        area, year = chance.randint(18, 160), chance.randint(1890, 2024)
        rent = area * CITIES[city] + HEATING[heating] + max(0, year - 1990) * 4 + chance.gauss(0, 40)
        yield {
            "city": city,
            "area": area,
            "rooms": max(1, round(area / 28 + chance.gauss(0, 0.5))),
            "year": "" if chance.random() < 0.2 else year,
            "heating": "" if chance.random() < 0.1 else heating,
            "rent": round(rent, 2),
        }


def write(file: TextIO, count: int, seed: int) -> None:
    """One line a flat, with a header."""
    rows = list(flats(count, seed))
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    write(sys.stdout, int(sys.argv[1]), seed=int(sys.argv[1]))
