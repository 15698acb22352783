"""Template: trains again when requests have shifted, and registers a model that is better: docs/retraining.md."""

import sys

from local.project import PROGRAM

sys.path.append(str(PROGRAM))  # what a cell means and what a model is worth is the container's
