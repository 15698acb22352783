"""Template: what gunicorn's master does besides its own work, as hooks of gunicorn.conf.py."""

import gc
import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.errors import HaltServer

from contract.errors import counted
from contract.serving import crash_record, log, worker_states  # noqa: F401 # shared memory is made before the fork

CANNOT_BOOT = 3

# The collector would touch, and so copy, what workers share, and leave holes that they would fill (P-51).
gc.disable()


def on_starting(server: Any) -> None:
    """Prepare what the workers will share (P-51). If the model has threads, each worker loads it: a fork loses them."""
    server.halting = False
    if not server.cfg.preload_app:
        return
    service = server.app.wsgi().extensions["service"]
    if service.threads_started and "MODEL_SERVER_PRELOAD" not in os.environ:
        lost = f"load() in algorithm.py started {counted(service.threads_started, 'thread')}, which a fork would lose"
        remedy = "Set MODEL_SERVER_PRELOAD=false to do so from the start, or true never to do so."
        log.write("warning", f"{lost}: each worker loads the model itself, which takes more memory. {remedy}")
        os.environ["MODEL_SERVER_PRELOAD"] = "false"
        os.execv(sys.executable, sys.orig_argv)
    service.inference.rehearse()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the lowest number that is free: nginx knows its socket by it."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """If memory runs out, the kernel is to kill a worker, not the master and with it the container (P-51)."""
    gc.enable()
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        score.write_text("500", encoding="ascii")


def child_exit(server: Any, worker: Any) -> None:
    """End the server if no worker was ever ready (H-09). Otherwise gunicorn starts another one."""
    states = worker_states.SHARED
    states.ended(worker.number)
    if states.hopeless and not server.halting:
        server.halting = True  # while gunicorn halts, its other workers end
        raise HaltServer("no worker could predict the example", CANNOT_BOOT)
