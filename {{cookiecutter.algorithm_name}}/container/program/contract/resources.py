"""Template: the CPUs and the memory that this container may use, which are not the host's (P-50, P-51)."""

import math
import os
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

BYTES_OF_A_WORKER = 128 * 2**20  # its own: the model is loaded before the fork and shared


def workers() -> int:
    """One for each CPU, as far as the memory goes, at least one."""
    return int(max(1, min(cpus(), memory() // BYTES_OF_A_WORKER)))


def memory() -> float:
    """Bytes that the container may use; without a limit all that the machine has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits("memory.max"), *_limits("memory/memory.limit_in_bytes")])


def cpus() -> int:
    """The least of affinity and of the quotas of cgroup v2 and v1, rounded up. Not every system can tell."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for limits in (_limits("cpu.max"), _limits("cpu/cpu.cfs_quota_us") + _limits("cpu/cpu.cfs_period_us")):
        if len(limits) == 2 and limits[0] < math.inf:
            cpus = min(cpus, math.ceil(limits[0] / limits[1]))
    return max(1, cpus)


def threads() -> int:
    """How many threads this process has, those of native libraries included."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def oom_kills() -> int:
    """How many processes of this container the kernel has killed for want of memory."""
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
