"""Template: compares what an endpoint was asked and answered with what its model has learned from.

Only counts are compared, with the ``baseline.json`` that training has left in the model: docs/monitoring.md.
"""

import sys
from pathlib import Path

# What a cell means and what a column looks like is the container's.
sys.path.append(str(Path(__file__).resolve().parents[2] / "container/program"))
