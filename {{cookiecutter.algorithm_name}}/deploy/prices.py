"""Template: what instances cost, from a table with a date: prices change, and differ between regions."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("prices.json")
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Cost:
    """Instances that run while a job or an endpoint does."""

    kind: str
    """``hosting``, ``training`` or ``transform``."""
    instance_type: str
    count: int

    @property
    def hourly(self) -> float | None:
        """US dollars an hour for all of them; None if the table does not know the instance type."""
        each = table()["prices"].get(self.kind, {}).get(self.instance_type)
        return None if each is None else each * self.count

    def __str__(self) -> str:
        """The price in a sentence, with ``?`` where it is unknown."""
        known = table()
        hour = "?" if self.hourly is None else f"${self.hourly:,.2f}"
        month = "?" if self.hourly is None else f"${self.hourly * HOURS_A_MONTH:,.0f}"
        spent = f"{hour} an hour" + (f", {month} a month" if self.kind == "hosting" else "")
        return f"cost: {self.count} x {self.instance_type}: {spent} (prices of {known['region']}, {known['date']})"


@functools.cache
def table() -> Any:
    """The table: ``region``, ``date`` and ``prices`` by kind and instance type."""
    return json.loads(TABLE.read_text(encoding="utf-8"))
