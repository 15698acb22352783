"""Template: the seam between any WSGI server and the algorithm: load the model, make the application."""

import importlib
import sys

from contract import algorithm_interface, failure
from contract.paths import Paths
from contract.serving.service import Service
from contract.settings import Settings
from predictor import create_app

try:
    algorithm = algorithm_interface.import_algorithm(lambda: importlib.import_module("algorithm"))
    service = Service(algorithm, algorithm.load(Paths.from_environment().model), Settings.from_environment())
except Exception as error:  # H-09: a model that cannot be loaded ends the server, with the cause in the log
    sys.exit(f"The model cannot be loaded: {failure.describe(error)}")

app = create_app(service)
