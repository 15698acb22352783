"""Write flats and their rents beside this file, as CSV: ``python data/make_data.py``. They are the same each time."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
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


def write(name: str, rows: list[dict[str, object]]) -> None:
    """One line for each row, with a header."""
    (HERE / name).parent.mkdir(exist_ok=True)
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write("training/flats.csv", list(flats(2000, seed=2000)))
    write("validation/flats.csv", list(flats(500, seed=500)))
    write("predict.csv", [{name: flat[name] for name in flat if name != "rent"} for flat in flats(20, seed=20)])
