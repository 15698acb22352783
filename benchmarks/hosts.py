"""What several hosts cost and gain: examples/cluster on one host and on three, side by side.

    .venv/bin/python benchmarks/hosts.py IMAGE [repeats]

IMAGE is the project's, built with the example's requirements. Each host is a container on one Docker network, with half
a CPU, so that three fit on two CPUs. The models are compared.
"""

import json
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

import report
from engine import docker

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent / "{{cookiecutter.algorithm_name}}"
ALGORITHM = HERE.parent / "examples/cluster/container/program/algorithm.py"
CPUS = "0.5"
CANDIDATES = (4, 24)
ALONE = (
    "    scores = job.cluster.gather(job.cluster.map(score, candidates, estimator=forest, rows=rows, labels=labels))\n"
)
LOOP = "    scores = [score(candidate, forest, rows, labels) for candidate in candidates]\n"


def main() -> None:
    """Measure all in turn and print a table in Markdown."""
    image, repeats = sys.argv[1], int((sys.argv[2:] or ["3"])[0])
    with tempfile.TemporaryDirectory() as scratch:
        loop = Path(scratch) / "algorithm.py"
        source = ALGORITHM.read_text(encoding="utf-8")
        assert ALONE in source
        loop.write_text(source.replace(ALONE, LOOP), encoding="utf-8")
        ways = {"one host, no cluster": (1, loop), "one host": (1, ALGORITHM), "three hosts": (3, ALGORITHM)}
        rows = []
        for candidates in CANDIDATES:
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for repeat in range(repeats):
                for name, (hosts, algorithm) in ways.items():
                    folder = Path(scratch) / f"{candidates}-{repeat}-{name}"
                    seconds[name].append(trained(image, hosts, algorithm, candidates, folder))
            base = median(seconds["one host, no cluster"])
            for name, each in seconds.items():
                rows.append([f"{candidates} candidates, {name}", report.spread_of(each), f"{median(each) / base:.2f}x"])
    print(report.table([f"job, {CPUS} CPU a host", "s", "to one without"], rows))


def trained(image: str, hosts: int, algorithm: Path, candidates: int, folder: Path) -> float:
    """Seconds from starting the hosts to the end of the leader, whose model must score as all others do."""
    names = [f"algo-{number}" for number in range(1, hosts + 1)]
    network = f"hosts-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", network)
    began = time.perf_counter()
    try:
        for name in names:
            docker("run", "--detach", f"--name={network}-{name}", f"--network={network}", f"--network-alias={name}",
                   f"--cpus={CPUS}", f"--volume={laid_out(folder / name, name, names, candidates)}:/opt/ml",
                   f"--volume={algorithm}:/opt/program/algorithm.py:ro", image, "train")  # fmt: skip
        assert docker("wait", f"{network}-algo-1") == "0", docker("logs", f"{network}-algo-1")
        took = time.perf_counter() - began
        assert all(docker("wait", f"{network}-{name}") == "0" for name in names)
    finally:
        docker("rm", "--force", *(f"{network}-{name}" for name in names))
        docker("network", "rm", network)
    metrics = json.loads((folder / "algo-1/output/data/metrics.json").read_text(encoding="utf-8"))
    assert found.setdefault(candidates, metrics) == metrics
    return took


found: dict[int, object] = {}  # candidates → the metrics of the first job with as many


def laid_out(tree: Path, name: str, names: list[str], candidates: int) -> Path:
    """An ``/opt/ml`` with the project's data."""
    (tree / "input/config").mkdir(parents=True)
    shutil.copytree(PROJECT / "data", tree / "input/data")
    config = {"resourceconfig": {"current_host": name, "hosts": names}, "hyperparameters": {"candidates": candidates}}
    for file, content in config.items():
        (tree / f"input/config/{file}.json").write_text(json.dumps(content), encoding="utf-8")
    return tree


if __name__ == "__main__":
    main()
