"""`make bench`: the product's container beside a plain one, in the pattern that most people copy.

Both serve models that were fitted alike, on this machine and in the same run, one of them loaded at a time; what counts
are the ratios. Progress goes to stderr, the report in Markdown to stdout. The exit status is 1 where a request failed.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import engine
import footprint
import load
import report
import rivals
from images import Images, build_all
from load import Cell, Measured
from workload import ROWS, Workload, prepare

KINDS = ("tree", "forest")
PARTS = ("load", "cold-start", "memory", "sizes", "servers")
CONNECTIONS = (1, 16, 64)
CONNECTIONS_OF_SERVERS = (1, 16)
WORKERS = (1, 8)
LEAST_COLD_STARTS = 5
MOST_MEMORY_SAMPLES = 3  # they hardly differ


def main() -> int:
    """Build, measure, report."""
    given = arguments()
    check_machine(given.parts)
    images = build_all()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        workloads = [prepare(kind, images, Path(scratch)) for kind in given.kinds]
        text, errors = measure(given, images, workloads)
    print(report.machine(images), text, sep="\n")
    return 1 if errors else 0


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--repeat", type=int, metavar="N", help="times that each figure is measured (default: 5)")
    parser.add_argument(
        "--seconds", type=int, metavar="S", help="of each load, twice that for 10,000 rows (default: 2)"
    )
    parser.add_argument("--quick", action="store_true", help="1 and 10,000 rows only, 3 repeats of 1 second")
    parser.add_argument("--only", choices=KINDS, help="one model instead of both")
    parser.add_argument("--servers", action="store_true", help="also other servers, with the product's application")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1], help="(default: all but servers)")
    given = parser.parse_args()
    given.repeat = given.repeat or (3 if given.quick else 5)
    given.seconds = given.seconds or (1 if given.quick else 2)
    given.rows = [ROWS[0], ROWS[-1]] if given.quick else list(ROWS)
    given.kinds = [given.only] if given.only else list(KINDS)
    given.parts = {*given.parts, *(["servers"] if given.servers else [])}
    return given


def check_machine(parts: set[str]) -> None:
    """End with a sentence where something is missing, before anything is built."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        sys.exit("no Docker answers: `make docker` starts one on Debian")
    if parts & {"load", "memory", "servers"}:
        load.require_wrk()
    if "cold-start" in parts:
        footprint.require_free_port()
    if "memory" in parts:
        footprint.require_root()


def measure(given: argparse.Namespace, images: Images, workloads: list[Workload]) -> tuple[str, int]:
    """The report's tables, and the number of requests that failed or servers that did not start."""
    pair = {"baseline": images.baseline, "product": images.product}
    heaviest = workloads[-1]  # the forest, which a new project has too
    tables, errors = [], 0
    if "load" in given.parts:
        measured = under_load(given, images, workloads)
        tables.append(report.load_table(measured))
        errors += report.failures(measured)
    if "cold-start" in given.parts:
        seconds = footprint.cold_starts(pair, heaviest, max(given.repeat, LEAST_COLD_STARTS))
        tables.append(report.cold_start_table(seconds))
    if "memory" in given.parts:
        held = footprint.memory(pair, heaviest, WORKERS, min(given.repeat, MOST_MEMORY_SAMPLES))
        tables.append(report.memory_table(held))
    if "sizes" in given.parts:
        tables.append(report.size_table(footprint.sizes(images)))
    if "servers" in given.parts:
        measured, silent = other_servers(given, images, workloads)
        tables.append(report.server_table(measured, silent))
        errors += report.failures(measured) + len(silent)
    return "\n".join(tables), errors


def under_load(given: argparse.Namespace, images: Images, workloads: list[Workload]) -> Measured:
    """Both containers under each kind of load; with the first model's single rows, also what limits them."""
    measured: Measured = {}
    for work in workloads:
        with ExitStack() as stack, both(images, work) as pair:
            first = work is workloads[0]
            limits = rivals.start(stack, rivals.LIMITS, images.product) if first else {}
            for rows in given.rows:
                containers = {**pair, **limits} if rows == 1 else pair
                seconds = given.seconds * (2 if rows == ROWS[-1] else 1)
                for connections in CONNECTIONS:
                    cell = Cell(work.kind, rows, connections)
                    measured[cell] = load.compare(containers, work.bodies[rows], cell, given.repeat, seconds)
    return measured


def other_servers(given: argparse.Namespace, images: Images, workloads: list[Workload]) -> tuple[Measured, list[str]]:
    """The product's model in other servers, for single rows; and the names of those that did not start."""
    image, servers = rivals.image_of_others(images), rivals.others()
    measured: Measured = {}
    silent: dict[str, None] = {}
    for work in workloads:
        with ExitStack() as stack, both(images, work) as pair:
            started = rivals.start(stack, servers, image, engine.model_at(work.directory))
            silent |= dict.fromkeys(server.name for server in servers if server.name not in started)
            for name, container in started.items():
                work.check(pair["baseline"], container, name)
            for connections in CONNECTIONS_OF_SERVERS:
                cell = Cell(work.kind, 1, connections)
                containers = {**pair, **started}
                measured[cell] = load.compare(containers, work.bodies[1], cell, given.repeat, given.seconds)
    return measured, list(silent)


@contextmanager
def both(images: Images, work: Workload) -> Iterator[dict[str, engine.Container]]:
    """The plain container and the product, each with the model loaded and found to answer alike."""
    options = engine.model_at(work.directory)
    with (
        engine.serving("baseline", images.baseline, options=options) as baseline,
        engine.serving("product", images.product, options=options) as product,
    ):
        work.check(baseline, product, "product")
        for container in (baseline, product):
            load.drive(container, work.bodies[1], connections=16, seconds=1)  # until each worker has its model
        yield {"baseline": baseline, "product": product}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # The containers go in this case too.
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
