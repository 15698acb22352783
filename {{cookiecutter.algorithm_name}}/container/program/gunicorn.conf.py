"""Template: gunicorn's settings, each with its reason."""

import os

import gunicorn.instrument.statsd  # noqa: F401 # else each worker imports it by itself (P-51)

from contract.serving import worker
from contract.serving.master import child_exit, on_starting, post_fork, pre_fork  # noqa: F401 # gunicorn calls them
from contract.settings import Settings

_settings = Settings.from_environment()

bind = [] if _settings.behind_nginx else [f"0.0.0.0:{_settings.port}"]  # behind nginx each worker has its own socket
workers = _settings.workers
worker_class = worker.HttpWorker
preload_app = _settings.preload  # the model is loaded once, before the workers are forked (P-51)
timeout = _settings.timeout + 5  # first the application's own, then this one, then nginx's (H-12)
graceful_timeout = 20  # serve kills after 25 seconds (P-22)
backlog = 2048  # H-10
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # S-05
control_socket_disable = True  # it would be created below HOME (P-42)
logconfig_dict = {
    "root": {"level": "INFO", "handlers": ["lines"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["lines"], "propagate": False}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}},
    "formatters": {"lines": {"()": "contract.serving.log.Formatter"}},
}
