"""Template: trains, serves and predicts on this machine: in the container or, without Docker, in .venv or a notebook.

It needs only Python's own library, so that a fresh machine with Docker can start at once.
"""

import sys
from pathlib import Path

# The table of formats is in the container's program: ``contract.serving.formats``.
sys.path.append(str(Path(__file__).resolve().parent.parent / "container/program"))

from local.notebook import job, model, predict

__all__ = ["job", "model", "predict"]
