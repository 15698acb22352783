"""Load from wrk: one request over and over, on containers in turn, so that outside load meets all of them."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import engine

SCRIPT = Path(__file__).resolve().parent / "load.lua"


@dataclass(frozen=True)
class Sample:
    """What wrk saw in one run."""

    rate: float
    """Answers a second."""
    p50: float
    p99: float
    """Latencies in milliseconds."""
    errors: int
    """Answers that are no success, and connections that failed or timed out."""


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    model: str
    rows: int
    connections: int

    def __str__(self) -> str:
        """As tables and the progress name it."""
        return f"{self.model}, {self.rows:,} row{'s' if self.rows > 1 else ''}, c={self.connections}"


Samples = Mapping[str, list[Sample]]  # of each container
Measured = dict[Cell, dict[str, list[Sample]]]


def require_wrk() -> None:
    """End with a sentence where wrk is missing."""
    if not shutil.which("wrk"):
        sys.exit("wrk, which makes the load, is not installed: `apt-get install wrk`")


def drive(container: engine.Container, body: Path, connections: int, seconds: int) -> Sample:
    """Load one container with keep-alive connections, and wait until it is idle again."""
    # A request that takes longer than wrk's default of 2 s is slow, and no error.
    options = ["--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=60s"]
    url = f"{container.url}/invocations"
    printed = engine.output("wrk", *options, f"--script={SCRIPT}", url, "--", str(body))
    seen = json.loads(printed.splitlines()[-1])
    container.settle()
    errors = int(seen["status"] + seen["socket"]) or int(seen["requests"] == 0)
    return Sample(seen["requests"] / seen["seconds"], seen["p50"], seen["p99"], errors)


def compare(
    containers: Mapping[str, engine.Container], body: Path, cell: Cell, repeat: int, seconds: int
) -> dict[str, list[Sample]]:
    """Drive each container in turn, ``repeat`` times; the others are up, and idle."""
    samples: dict[str, list[Sample]] = {name: [] for name in containers}
    for number in range(1, repeat + 1):
        for name, container in containers.items():
            sample = drive(container, body, cell.connections, seconds)
            samples[name].append(sample)
            engine.say(
                f"{cell}, {number}/{repeat}, {name}: {sample.rate:,.0f} requests/s, p50 {sample.p50:.2f} ms"
                + (f", {sample.errors} ERRORS" if sample.errors else "")
            )
    return samples


def ratios(over: list[float], under: list[float]) -> list[float]:
    """The ratio within each repeat."""
    return [a / b for a, b in zip(over, under, strict=True) if b]


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    return (median(values), min(values), max(values)) if values else (0.0, 0.0, 0.0)
