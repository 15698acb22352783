"""Template: gunicorn's settings, each with the contract row that asks for it."""

from contract.settings import Settings

_settings = Settings.from_environment()

preload_app = True  # P-51: the model is loaded once, before the workers are forked
workers = _settings.workers
worker_class = "gthread"
threads = 8  # H-07: /ping is answered while others predict
timeout = _settings.timeout  # H-12
backlog = 2048  # H-10
control_socket_disable = True  # P-42: it would be written below HOME
