"""What /metrics costs: requests a second without it, with it, and while it is read as often as SageMaker can.

    .venv/bin/python benchmarks/metrics.py IMAGE [repeats [seconds]]

IMAGE is the project's; needs wrk. A ratio is one to the container without /metrics in the same repeat. On by default it
may cost 2 %: the last column says whether the ratio is at least 0.98.
"""

import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests/helpers"))

import engine
import load
import report

from programs import lay_out, train_here
from projects import bake_into, copy_template

ON = "--env=MODEL_SERVER_METRICS=true"
KINDS = {"without": (), "with": (ON,), "with, read every 10 s": (ON,)}
SECONDS_BETWEEN = 10  # MetricPublishFrequencyInSeconds is 10 at least, and 60 by default
TO_REACH = 0.98


def main() -> None:
    """Load the three containers in turn and print a table in Markdown."""
    image, repeats, seconds = sys.argv[1], *map(int, [*sys.argv[2:], "7", "30"][:2])
    load.require_wrk()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        project = bake_into(copy_template(folder / "template"), folder)
        tree = lay_out(folder / "ml", project, {})
        train_here(project, tree)
        body = folder / "row.csv"
        body.write_bytes((project / "data/predict.csv").read_bytes().splitlines(keepends=True)[1])
        engine.readable_by_all(folder)
        model = engine.model_at(tree / "model")
        containers = {
            kind: stack.enter_context(engine.serving("metrics", image, options=(*model, *options)))
            for kind, options in KINDS.items()
        }
        for connections in (1, 16):
            rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(repeats):
                for kind, container in containers.items():
                    rates[kind].append(measured(kind, container, body, connections, seconds))
            for kind, found in rates.items():
                ratios = load.ratios(found, rates["without"])
                reached = "yes" if load.spread(ratios)[0] >= TO_REACH else "no"
                spread = report.spread_of(found), f"{report.spread_of(ratios)}x"
                rows.append([f"{kind}, c={connections}", *spread, "" if kind == "without" else reached])
    print(report.table(["/metrics", "req/s", "to without", f"≥ {TO_REACH}x"], rows))


def measured(kind: str, container: engine.Container, body: Path, connections: int, seconds: int) -> float:
    """The requests a second of one run. Ends where one of them failed."""
    with reading(container.url) if "read" in kind else ExitStack():
        sample = load.drive(container, body, connections, seconds)
    engine.say(f"{kind}, c={connections}: {sample.rate:,.0f} requests/s")
    if sample.errors:
        sys.exit(f"{kind}: {sample.errors} requests failed; the log ends:\n{container.log()}")
    return sample.rate


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Read /metrics at the start of the block and every ten seconds."""
    ended = threading.Event()

    def read() -> None:
        urllib.request.urlopen(f"{url}/metrics", timeout=10).read()

    def read_on() -> None:
        while not ended.wait(SECONDS_BETWEEN):
            read()

    read()
    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
