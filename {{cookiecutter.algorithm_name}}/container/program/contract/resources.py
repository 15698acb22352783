"""Template: the CPUs and the memory that this container may use, which are not the host's (P-50, P-51)."""

import math
import os
import shutil
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

MIB = 2**20
BYTES_OF_A_WORKER = 128 * MIB  # without the model, which is loaded before the fork and shared
BYTES_OF_AN_IDLE_WORKER = 64 * MIB
MEMORY_FOR_EACH_BYTE = 32  # of a body, from its file in /tmp to its answer; 5 to 31 were measured
TMP_FOR_EACH_BYTE = 2  # the answer may wait there too


def workers() -> int:
    """One for each CPU, fewer if memory is short, at least one."""
    return int(max(1, min(cpus(), memory() // BYTES_OF_A_WORKER)))


def memory() -> float:
    """Bytes of memory that the container may use: its limit, or all that the machine has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits("memory.max"), *_limits("memory/memory.limit_in_bytes")])


def largest_body(workers: int) -> tuple[int, str]:
    """The MiB of a request's body that memory and /tmp have room for, and what would make more room."""
    by_memory = int((memory() - workers * BYTES_OF_AN_IDLE_WORKER) // MEMORY_FOR_EACH_BYTE // MIB)
    size = shutil.disk_usage("/tmp").total
    by_tmp = size // TMP_FOR_EACH_BYTE // MIB
    if by_tmp < by_memory:
        return by_tmp, f"give the container more than {size // MIB} MiB for /tmp"
    return max(0, by_memory), f"give the container more than {int(memory()) // MIB} MiB of memory"


def kind_of_tmp() -> str:
    """What files in /tmp use: memory or disk."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "disk"
    kinds = {mount[1]: mount[2] for mount in mounts}
    return "memory" if kinds.get("/tmp", kinds.get("/")) in ("tmpfs", "ramfs") else "disk"


def cpus() -> int:
    """The least of the CPU affinity and the quotas of cgroup v2 and v1, rounded up. Not every system has them."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for limits in (_limits("cpu.max"), _limits("cpu/cpu.cfs_quota_us") + _limits("cpu/cpu.cfs_period_us")):
        if len(limits) == 2 and limits[0] < math.inf:
            cpus = min(cpus, math.ceil(limits[0] / limits[1]))
    return max(1, cpus)


def threads() -> int:
    """How many threads this process has, including those of native libraries."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def oom_kills() -> int:
    """How many processes of this container the kernel has killed because memory ran out."""
    for file in ("memory.events", "memory/memory.oom_control"):
        with suppress(OSError):
            words = Path("/sys/fs/cgroup", file).read_text(encoding="ascii").split()
            return int(dict(pairwise(words)).get("oom_kill", 0))
    return 0


def _limits(file: str) -> list[float]:
    """The numbers in a file of the container's cgroup; ``max`` and ``-1`` stand for none."""
    try:
        words = Path("/sys/fs/cgroup", file).read_text(encoding="ascii").split()
    except OSError:
        return []
    return [math.inf if word in ("max", "-1") else float(word) for word in words]
