"""A push with nothing changed, beside plain `docker push`, against the tests' registry and moto; as root, with Docker.

.venv/bin/python benchmarks/push.py [repeats]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE / "tests/helpers"))

import report

from projects import bake_into, copy_template
from registry import Registry, docker_login, host, running


def main() -> None:
    """Push the same image by each way in turn and print a table in Markdown."""
    repeats = int((sys.argv[1:] or ["7"])[0])
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as registry:
        rows = measure(Path(scratch), registry, repeats)
    engine = "docker {{.Client.Version}}, engine {{.Server.Version}}"
    print(subprocess.run(["docker", "version", "--format", engine], capture_output=True, text=True, check=True).stdout)
    print(report.table(["nothing changed", "s", "to docker push"], rows))


def measure(scratch: Path, registry: Registry, repeats: int) -> list[list[str]]:
    """Build and push once; then time each way in turn. A ratio is taken within one repeat."""
    project = bake_into(copy_template(scratch / "template"), scratch, algorithm_name="bench")
    commands = {f"`build_and_push.{kind}`": script(project, kind) for kind in ("sh", "py")}
    environment = {**os.environ, "AWS_ENDPOINT_URL": registry.aws, "AWS_REGION": "us-west-2"}
    environment |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for command in commands.values():
        subprocess.run(command, env=environment, check=True, capture_output=True)
    docker_login(scratch, host("us-west-2"))
    address = f"{host('us-west-2')}/bench:1"
    plain = ["docker", "--config", str(scratch), "push", address]
    build = ["docker", "build", "--platform", "linux/amd64", "--tag", address, str(project / "container")]
    commands = {"`docker push`": plain, "`docker build`": build, **commands}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environment, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    base = seconds["`docker push`"]
    return [
        [name, report.spread_of(each), report.spread_of([a / b for a, b in zip(each, base, strict=True)], "x")]
        for name, each in seconds.items()
    ]


def script(project: Path, kind: str) -> list[str]:
    """The command of one of the two scripts."""
    interpreter = {"sh": shutil.which("bash") or "bash", "py": sys.executable}[kind]
    return [interpreter, str(project / "container" / f"build_and_push.{kind}"), "--tag", "1"]


if __name__ == "__main__":
    main()
