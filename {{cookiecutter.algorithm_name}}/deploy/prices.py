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
    """``hosting``, ``training`` or ``transform``. The prices are the same."""
    instance_type: str
    count: int

    @property
    def hourly(self) -> float | None:
        """US dollars an hour for all of them; None if the table does not know the instance type."""
        each = table()["prices"].get(self.instance_type)
        return None if each is None else each * self.count

    @property
    def spent(self) -> str:
        """What and for how much, with ``?`` where that is unknown. Jobs do not run for a month."""
        month = self.hourly if self.kind == "hosting" else 0
        return f"{self.count} x {self.instance_type}: {spent(self.hourly, month)}"

    def __str__(self) -> str:
        """The price in a sentence, with where it is from."""
        return f"cost: {self.spent} ({source()})"


def spent(hour: float | None, hourly_all_month: float | None) -> str:
    """Dollars an hour, and a month for what goes on."""
    said = "? an hour" if hour is None else f"${hour:,.2f} an hour"
    if hourly_all_month is None:
        return f"{said}, ? a month"
    return said + (f", ${hourly_all_month * HOURS_A_MONTH:,.0f} a month" if hourly_all_month else "")


def serverless(memory_mb: int) -> str:
    """What a second of a call costs on a serverless endpoint."""
    return f"serverless: ${table()['serverless_gb_second'] * memory_mb / 1024:.6f} for each second of a call"


def source() -> str:
    """Where and when the prices hold."""
    return f"prices of {table()['region']}, {table()['date']}"


@functools.cache
def table() -> Any:
    """The table: ``region``, ``date``, ``prices`` by instance type, and that of a serverless second."""
    return json.loads(TABLE.read_text(encoding="utf-8"))
