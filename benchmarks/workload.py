"""The models, fitted alike for both containers, and the bodies to send."""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import engine
from images import Images

ROWS = (1, 100, 10_000)


@dataclass(frozen=True)
class Workload:
    """One model: its files, and a request for each number of rows."""

    kind: str
    directory: Path
    """Mounted as /opt/ml/model: ``model.pkl`` for the plain container, ``model.onnx`` for the product."""
    bodies: dict[int, Path]

    def check(self, baseline: engine.Container, other: engine.Container, name: str) -> None:
        """See that both containers give every row the same label, in each of the requests to be measured."""
        requests = [path.read_bytes() for path in (self.directory / "rows.csv", *self.bodies.values())]
        requests += requests[0].splitlines(keepends=True)[:10]  # each by itself too
        for body in requests:
            sent = len(body.splitlines())
            wanted, given = labels(baseline.post(body)), labels(other.post(body))
            if len(wanted) != sent or len(given) != sent:
                sys.exit(f"{name}, {self.kind}: {sent} rows were answered with {len(wanted)} and {len(given)} labels")
            differ = [number for number, pair in enumerate(zip(wanted, given, strict=True), 1) if pair[0] != pair[1]]
            if differ:
                sys.exit(
                    f"{name}, {self.kind}: the containers' labels differ in {len(differ)} of {sent} rows: {differ[:10]}"
                )
        rows = len(requests[0].splitlines())
        engine.say(f"{self.kind}: {name} and the plain container give the same labels to {rows} rows")


def prepare(kind: str, images: Images, scratch: Path) -> Workload:
    """Fit a model in each image and write what there is to send."""
    engine.say(f"fitting the {kind}")
    directory, bodies = scratch / kind, {}
    directory.mkdir(parents=True)
    mounts = (f"--volume={engine.MOUNTED}:/benchmark:ro", f"--volume={directory}:/fitted")
    for image in (images.baseline, images.product):
        engine.run(image, "python", "/benchmark/fit.py", kind, "/fitted", options=(*mounts, *engine.this_user()))
    rows = (directory / "rows.csv").read_bytes().splitlines(keepends=True)
    for count in ROWS:
        bodies[count] = scratch / f"{kind}-{count}.csv"
        bodies[count].write_bytes(b"".join(itertools.islice(itertools.cycle(rows), count)))
    engine.readable_by_all(scratch)
    return Workload(kind, directory, bodies)


def labels(answer: str) -> list[str]:
    """The first value of each line."""
    return [line.partition(",")[0] for line in answer.splitlines()]
