"""Template: the platform's rules for containers, and a sentence for each that an image breaks.

A finding has the cause, the last lines of the log, and a command that shows the same without the simulator.
"""

import json
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from rehearsal.containers import docker

if TYPE_CHECKING:
    from rehearsal.simulator import Simulator

LINES = 10  # of a log
PING, CALL = "http://localhost:8080/ping", "http://localhost:8080/invocations"
ARM = re.compile(r"ml\.[a-z]+\d+g[dn]?\.")  # Graviton, which endpoints alone have


@dataclass(frozen=True)
class Rules:
    """How many seconds the platform gives a container."""

    startup: float = 60
    """Until `/ping` answers 200. The platform waits for 480, and for 180 if the endpoint is serverless (H-08)."""
    ping: float = 2
    invocation: float = 60
    stop: float = 30


@dataclass(frozen=True)
class Finding:
    """What the platform would not accept."""

    cause: str
    log: str
    command: str

    def __str__(self) -> str:
        """The finding as a person reads it."""
        log = "".join(f"    {line}\n" for line in self.log.splitlines()) or "    (the log is empty)\n"
        return f"{self.cause}\n  The end of the log:\n{log}  The same without the rehearsal:\n    {self.command}"


class Unfit(Exception):
    """The image breaks a rule; the finding has been added."""


def add(simulator: "Simulator", cause: str, log: str, command: str) -> Unfit:
    """Keep a finding, and return what to raise."""
    ending = "\n".join(log.rstrip().splitlines()[-LINES:])
    simulator.findings.append(Finding(cause, ending, command))
    return Unfit(cause)


def serve(simulator: "Simulator", model: Path, environment: dict[str, str], instance_type: str) -> tuple[str, str]:
    """Start a container that serves, and wait until it is healthy; its id and its address. Raises ``Unfit``.

    An image that is an address stands for a server that runs already: it has no id.
    """
    if str(simulator.image).startswith("http://"):
        return "", str(simulator.image)
    try:
        return _healthy(simulator, model, environment, instance_type)
    except Unfit as error:
        raise Unfit(f"The container did not pass the ping health check. {error}") from error


def _healthy(simulator: "Simulator", model: Path, environment: dict[str, str], instance_type: str) -> tuple[str, str]:
    image = str(simulator.image)
    variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    options = [*variables, "--volume", f"{model}:/opt/ml/model:ro", image, "serve"]
    require_architecture(simulator, "arm64" if ARM.match(instance_type) else "amd64", instance_type)
    container = docker("create", "--publish", "127.0.0.1::8080", *options)
    simulator.containers.append(container)
    started = subprocess.run(["docker", "start", container], capture_output=True, text=True, check=False)
    alone = shlex.join(["docker", "run", "--rm", "--publish", "8080:8080", *options])
    if started.returncode:
        raise add(simulator, _ended("serve", container, started.stderr), started.stderr, alone)
    ports = subprocess.run(["docker", "port", container, "8080"], capture_output=True, text=True, check=False)
    address = "http://" + ports.stdout.split("\n")[0]  # none, if it has ended already
    simulator.started[container] = options
    if unhealthy := wait_until_healthy(simulator, container, address):
        runs = state(container)["Running"]
        command = beside(options, f"curl --include --max-time 2 {PING}") if runs else alone
        raise add(simulator, unhealthy, logs(container), command)
    return container, address


def beside(options: list[str], then: str) -> str:
    """A command that starts the container, gives it ten seconds, does something with it, and removes it."""
    run = shlex.join(["docker", "run", "--detach", "--name", "unfit", "--publish", "8080:8080", *options])
    return f"{run}; sleep 10; {then}; docker logs unfit; docker rm --force unfit"


def require_architecture(simulator: "Simulator", wanted: str, where: str) -> None:
    """Raise ``Unfit`` if the image is for other processors (P-56)."""
    built = docker("image", "inspect", "--format", "{{.Architecture}}", str(simulator.image))
    if built != wanted:
        raise add(
            simulator,
            f"The image is built for linux/{built}, and {where} is linux/{wanted}: "
            f"build it with `docker build --platform linux/{wanted}`.",
            "",
            f"docker image inspect --format '{{{{.Architecture}}}}' {simulator.image}",
        )


def wait_until_healthy(simulator: "Simulator", container: str, address: str) -> str:
    """Ask for `/ping` until it answers 200 (H-04). A sentence if it does not in time."""
    rules, said = simulator.rules, ""
    end = time.monotonic() + rules.startup
    while time.monotonic() < end:
        if not state(container)["Running"]:
            return _ended("serve", container, logs(container))
        try:
            status = requests.get(f"{address}/ping", timeout=rules.ping).status_code
            if status == 200:
                return ""
            said = f"/ping answers {status}, and only 200 counts as healthy."
        except requests.Timeout:
            said = f"/ping takes longer than {rules.ping:g} s: answer it without waiting for a prediction."
        except requests.ConnectionError:  # Docker's proxy takes the connection even if nothing listens
            said = f"Nothing listens on port 8080{_elsewhere(container)}."
        time.sleep(0.2)
    return f"{said} The rehearsal waited for {rules.startup:g} s, SageMaker waits for 480."


def _ended(verb: str, container: str, log: str) -> str:
    """Why a container ended that should not have, as far as its log tells."""
    status = state(container)["ExitCode"]
    if status in (126, 127) and re.search(rf"{verb}\W+(executable file not found|no such file)", log, re.IGNORECASE):
        return f"The image has no program `{verb}` on its PATH: SageMaker runs `docker run IMAGE {verb}`."
    if re.search(r"/opt/ml/model.*read-only file system|read-only file system.*/opt/ml/model", log, re.IGNORECASE):
        return "The container writes to /opt/ml/model, which is read-only on an endpoint: write to /tmp."
    lines = log.strip().splitlines() or ["it printed nothing"]
    return f"`{verb}` ended with status {status} before /ping answered: {lines[-1]}"


def _elsewhere(container: str) -> str:
    """The ports that the container listens on, as its kernel tells."""
    seen = subprocess.run(
        ["docker", "exec", container, "cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True
    )
    ports = {int(port, 16) for port in re.findall(r"^ *\d+: \S+:(\w{4}) \S+ 0A ", seen.stdout, re.MULTILINE)}
    return f", but on {', '.join(map(str, sorted(ports)))}" if ports else ""


def no_answer(simulator: "Simulator", container: str, slow: bool) -> None:
    """Keep that a container did not answer a call, or not in time (H-11, H-48)."""
    if container in simulator.started:
        cause = f"did not answer within {simulator.rules.invocation:g} s" if slow else "broke off its answer"
        curl = f"curl --include --max-time 60 --data-binary @data/predict.csv --header 'Content-Type: text/csv' {CALL}"
        command = beside(simulator.started[container], curl)
        add(simulator, f"/invocations {cause}: the caller gets a ModelError.", logs(container), command)


def stop(simulator: "Simulator", container: str) -> None:
    """Stop a container as the platform does, which kills it if it goes on (P-22)."""
    limit = simulator.rules.stop
    docker("stop", "-t", f"{limit:g}", container)
    if state(container)["ExitCode"] == 137:
        cause = f"`serve` did not end within {limit:g} s after SIGTERM and was killed: requests in progress are lost."
        command = beside(simulator.started[container], "time docker stop -t 30 unfit")
        add(simulator, cause, logs(container), command)


def of_job(simulator: "Simulator", root: Path, status: int, log: str) -> None:
    """What a training job failed of. Its tree is kept for the command."""
    kept = simulator.directory / f"failed-job-{len(simulator.findings) + 1}"
    shutil.copytree(root, kept)
    failure = root / "output" / "failure"
    if status == 127 and re.search(r"train\W+(executable file not found|no such file)", log, re.IGNORECASE):
        cause = "The image has no program `train` on its PATH: SageMaker runs `docker run IMAGE train`."
    else:
        reason = failure.read_text(encoding="utf-8") if failure.exists() else log or "it printed nothing"
        cause = f"`train` ended with status {status}: {reason.strip().splitlines()[-1]}"
    command = ["docker", "run", "--rm", "--network", "none", "--volume", f"{kept}:/opt/ml", str(simulator.image)]
    add(simulator, cause, log, shlex.join([*command, "train"]))


def state(container: str) -> Any:
    """Docker's word on a container: ``Running``, ``ExitCode`` and others."""
    return json.loads(docker("inspect", "--format", "{{json .State}}", container))


def logs(container: str) -> str:
    """All that a container has printed."""
    command = ["docker", "logs", container]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
