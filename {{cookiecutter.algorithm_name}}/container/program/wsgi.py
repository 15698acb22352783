"""Template: the application for gunicorn or any other WSGI server: loads the model."""

import importlib
import sys
import threading

from contract import algorithm_interface, failure, resources, schema
from contract.paths import Paths
from contract.serving import log
from contract.serving.service import Service
from contract.settings import Settings
from predictor import create_app

directory = Paths.from_environment().model
try:
    settings = Settings.from_environment()
    algorithm = algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))
    before = resources.threads()
    model = algorithm.load(directory)
    service = Service(algorithm, model, schema.of_model(algorithm, model, directory), settings)
    service.threads_started = max(resources.threads() - before, threading.active_count() - 1)
except Exception as error:  # a model that cannot be loaded ends the server, with the cause in the log (H-09)
    log.write("error", f"The model cannot be loaded: {failure.packing_mistake(directory) or failure.describe(error)}")
    sys.exit(3)

app = create_app(service)
