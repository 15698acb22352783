"""Requests a second with and without captured requests, each beside the same server before that could be captured.

    .venv/bin/python benchmarks/capture.py PROJECT BEFORE [rounds]

PROJECT is a generated project with a trained model (`make train`), BEFORE the folder `container/program` of one that
was generated before. The servers run in .venv, without nginx, and are loaded in turn.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import load
import report

PORT = 28_100
CONNECTIONS, SECONDS, ROWS = 16, 2, 1
ON = "MODEL_SERVER_CAPTURE"
SERVERS: dict[str, dict[str, str]] = {
    "before": {},
    "off": {},
    "on": {ON: "on"},
    "on, 10 requests of 100": {ON: "sampled", "MODEL_SERVER_CAPTURE_PERCENT": "10"},
    "on, two columns": {ON: "columns", "MODEL_SERVER_CAPTURE_COLUMNS": "mean_radius,mean_area"},
}


def main() -> None:
    """Measure all in turn and print a table in Markdown."""
    project, before, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int((sys.argv[3:] or ["7"])[0])
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    costs: dict[str, list[float]] = {name: [] for name in SERVERS}
    servers: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        body = Path(scratch) / "body"
        lines = (project / "data/predict.csv").read_text(encoding="utf-8").splitlines()
        body.write_text("\n".join(lines[1 : 1 + ROWS]), encoding="utf-8")
        for number, (name, settings) in enumerate(SERVERS.items()):
            program = before if name == "before" else project / "container/program"
            variables = {
                "SAGEMAKER_BASE_DIR": str(project / "opt_ml"),
                "SAGEMAKER_BIND_TO_PORT": str(PORT + number),
                **{key: f"{scratch}/{value}" if key == ON else value for key, value in settings.items()},
            }
            command = [sys.executable, str(program / "serve")]
            server = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL)
            servers[name] = server.pid
            stack.callback(server.wait)
            stack.callback(server.terminate)
            wait(f"http://127.0.0.1:{PORT + number}/ping", server)
        for _ in range(rounds):
            for number, name in enumerate(SERVERS):
                began = cpu_seconds(servers[name])
                requests, seconds = asked(f"http://127.0.0.1:{PORT + number}/invocations", body)
                rates[name].append(requests / seconds)
                costs[name].append(1e6 * (cpu_seconds(servers[name]) - began) / requests)
                print(f"{name}: {rates[name][-1]:.0f} requests/s, {costs[name][-1]:.0f} us", file=sys.stderr)
    rows = [
        [name, report.spread_of(rates[name]), ratio(rates, name), report.spread_of(costs[name]), ratio(costs, name)]
        for name in SERVERS
    ]
    print(report.table(["capture", "requests/s", "to before", "CPU µs a request", "to before"], rows))


def ratio(figures: dict[str, list[float]], name: str) -> str:
    """To the server before, in the same round."""
    return report.spread_of([a / b for a, b in zip(figures[name], figures["before"], strict=True)])


def cpu_seconds(pid: int) -> float:
    """That a process and its children have used: it hardly depends on what else runs on the machine."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, map(int, children)))


def wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    """Until the server is ready. What it logs is not shown: start it by hand to see why it ends."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(address):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{' '.join(map(str, server.args))} ended")


def asked(address: str, body: Path) -> tuple[int, float]:
    """How many requests were answered in how many seconds. All of them must have been answered with 200."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(load.SCRIPT), address, "--", str(body)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == seen["socket"] == 0, seen
    return int(seen["requests"]), float(seen["seconds"])


if __name__ == "__main__":
    main()
