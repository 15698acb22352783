"""Template: gunicorn's settings, each with the contract row that asks for it."""

import os
from pathlib import Path

import gunicorn.instrument.statsd  # type: ignore[import-untyped] # noqa: F401 # P-51: else each worker imports them
import uvloop  # noqa: F401

from contract.settings import Settings

_settings = Settings.from_environment()

preload_app = True  # P-51: the model is loaded once, before the workers are forked
workers = _settings.workers
worker_class = "asgi"  # H-07: /ping is answered while others predict
asgi_loop = "uvloop"
asgi_lifespan = "on"
timeout = _settings.timeout + 5  # H-12: first the application's own, then this one, then nginx's
graceful_timeout = 20  # P-22: serve kills after 25
keepalive = 90  # H-14: longer than nginx keeps a connection it does not use
backlog = 2048  # H-10
limit_request_line = 8190  # H-57: it is nginx that refuses what is too long
limit_request_fields = 1000
limit_request_field_size = 32768
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # S-05
control_socket_disable = True  # P-42: it would be written below HOME


def pre_fork(server, worker):  # type: ignore[no-untyped-def]  # gunicorn's own classes have no types
    """Give the worker the number of a socket that no other has, so that nginx can choose one that is not busy."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server, worker):  # type: ignore[no-untyped-def]
    """Listen on that socket alone; without nginx there is one for all. Where memory ends, be killed first (V-41)."""
    os.environ["WORKER_NUMBER"] = str(worker.number)
    worker.sockets = [worker.sockets[worker.number % len(worker.sockets)]]
    score = Path("/proc/self/oom_score_adj")
    if score.exists():  # else the kernel may take the master, and the container with it
        score.write_text("500", encoding="ascii")
