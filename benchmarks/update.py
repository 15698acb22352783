"""What an update costs the callers of an endpoint: requests lost, and their latency before, while and after it moves.

    .venv/bin/python benchmarks/update.py IMAGE [requests]

IMAGE is the project's. The platform is the rehearsal's: two containers of the image on this machine, which they share
with the callers, so the latency tells of this machine and the share of lost requests of the software.
"""

import logging
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "tests/helpers"), str(HERE.parent / "{{cookiecutter.algorithm_name}}")]

import report

from deploying import DEPLOY, at, started
from programs import lay_out, train_here
from projects import bake_into, copy_template
from rehearsal.containers import pack
from traffic import Called, flowing

WAYS: dict[str, tuple[str, ...]] = {
    "all at once": (),
    "canary 10 %": ("--canary", "10"),
    "linear 25 %": ("--linear", "25"),
    "rolling 25 %": ("--rolling", "25"),
}
UPDATE = ("update", "--endpoint", "churn", "--force", "--bake", "10m", "--max-latency", "60000")


def main() -> None:
    """Update once in each way while requests flow, and print a table in Markdown."""
    image, count = sys.argv[1], int((sys.argv[2:] or ["10000"])[0])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        project = bake_into(copy_template(folder / "template"), folder)
        tree = lay_out(folder / "ml", project, {})
        train_here(project, tree)
        row = (project / "data/predict.csv").read_bytes().splitlines(keepends=True)[1]
        with started(folder, image) as cloud:
            cloud.s3.put_object(Bucket="bucket", Key="job/output/model.tar.gz", Body=pack(tree / "model"))
            deploy = at(cloud, project, folder)
            deploy(*DEPLOY, "--endpoint", "churn").check_returncode()
            for way, flags in WAYS.items():
                with flowing(cloud.url, "churn", row) as traffic:
                    traffic.wait(count // 5)
                    began = time.time()
                    deploy(*UPDATE, *flags).check_returncode()
                    ended = time.time()
                    traffic.wait(max(count - len(traffic.calls), count // 5))
                calls = traffic.calls
                parts = (
                    [call for call in calls if call.at < began],
                    [call for call in calls if began <= call.at < ended],
                    [call for call in calls if call.at >= ended],
                )
                rows.append([way, str(len(calls)), str(len(traffic.lost())), *map(latency, parts)])
    print(report.table(["update", "requests", "lost", "before", "meanwhile", "after"], rows))


def latency(calls: list[Called]) -> str:
    """The median and the 99th percentile, in milliseconds."""
    seconds = sorted(call.seconds for call in calls)
    return f"{seconds[len(seconds) // 2] * 1000:.0f} / {seconds[int(len(seconds) * 0.99)] * 1000:.0f} ms"


if __name__ == "__main__":
    main()
