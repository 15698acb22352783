"""How long a container takes to serve, how much memory it holds, and how large the images are."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import engine
import load
from images import Images
from workload import Workload

PORT = 8080
MIB = 1024  # of the kibibytes that /proc counts in
SECONDS_OF_REQUESTS = 2


def require_root() -> None:
    """End with a sentence where the memory of a container's processes cannot be read."""
    if os.getuid() != 0:
        sys.exit("memory is read from /proc/*/smaps_rollup as root: use sudo, or leave 'memory' out of --parts")


def require_free_port() -> None:
    """End with a sentence where the container of a cold start could not listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", PORT))
        except OSError:
            sys.exit(f"port {PORT} is taken: free it, or leave 'cold-start' out of --parts")


def cold_starts(images: Mapping[str, str], workload: Workload, repeat: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of ``docker run`` until the first 200, and of ``docker run ... true``, for each image in turn."""
    seconds: dict[str, dict[str, list[float]]] = {name: {"serve": [], "true": []} for name in images}
    for number in range(1, repeat + 1):
        for name, image in images.items():
            empty, serving = seconds_of_true(image, workload), seconds_to_answer(image, workload)
            seconds[name]["true"].append(empty)
            seconds[name]["serve"].append(serving)
            engine.say(f"cold start, {number}/{repeat}, {name}: {serving:.2f} s, of which `true` {empty:.2f} s")
    return seconds


def seconds_of_true(image: str, workload: Workload) -> float:
    """What Docker itself takes to run a program."""
    command, name = run_command(image, workload)
    try:
        start = time.perf_counter()
        engine.output(*command, "true")
        return time.perf_counter() - start
    finally:
        remove(name)


def seconds_to_answer(image: str, workload: Workload) -> float:
    """From ``docker run`` to the first 200 of ``/ping``."""
    command, name = run_command(image, workload)
    try:
        start = time.perf_counter()
        process = subprocess.Popen([*command, "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not engine.answers_in_time(f"http://127.0.0.1:{PORT}/ping", interval=0.005):
            raise engine.NotServing(f"{image} does not answer when started with the host's network")
        seconds = time.perf_counter() - start
    finally:
        remove(name)
    process.wait()
    return seconds


def run_command(image: str, workload: Workload) -> tuple[list[str], str]:
    """The ``docker run`` of a cold start, and the container's name."""
    name = f"benchmark-cold-{uuid.uuid4().hex[:8]}"
    # The host's network, because a bridge's address is known only when the container already runs.
    options = ["--name", name, "--network=host", *engine.model_at(workload.directory)]
    return ["docker", "run", *options, image], name


def remove(name: str) -> None:
    """Remove a container, whether or not it came to be."""
    subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


def memory(
    images: Mapping[str, str], workload: Workload, workers: tuple[int, ...], repeat: int
) -> dict[str, dict[int, list[float]]]:
    """MiB that each image holds after requests, for each number of workers."""
    held: dict[str, dict[int, list[float]]] = {name: {count: [] for count in workers} for name in images}
    for number in range(1, repeat + 1):
        for count in workers:
            for name, image in images.items():
                held[name][count].append(megabytes(image, workload, count))
                engine.say(f"memory, {number}/{repeat}, {name}, {count} workers: {held[name][count][-1]:.0f} MiB")
    return held


def megabytes(image: str, workload: Workload, workers: int) -> float:
    """The proportional set size of a container's processes, in MiB.

    It has to be the only one up: pages of files that two containers share would be counted half.
    """
    options = (*engine.model_at(workload.directory), f"--env=MODEL_SERVER_WORKERS={workers}")
    with engine.serving("memory", image, options=options) as container:
        # Many connections, so that each worker gets requests, and those that load the model lazily have done so.
        load.drive(container, workload.bodies[1], 8 * workers, SECONDS_OF_REQUESTS)
        return sum(map(proportional_set_size, container.pids())) / MIB


def proportional_set_size(pid: int) -> int:
    """In KiB: its own pages, and its share of those it has in common with others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Pss")


def sizes(images: Images) -> dict[str, int]:
    """Bytes of each image."""
    names = {"base": images.base, "baseline": images.baseline, "product": images.product}
    if images.serving:
        names["serving"] = images.serving
    return {name: int(engine.docker("image", "inspect", "--format", "{{.Size}}", tag)) for name, tag in names.items()}
