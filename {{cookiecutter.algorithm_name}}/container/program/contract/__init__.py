"""Template: SageMaker's contract with a container, implemented once.

What ``algorithm.py`` imports is named here; the rest is between ``train``, ``serve``,
``predictor.py`` and the platform.
"""

import os

from contract.channels import Channel
from contract.errors import UserError
from contract.hyperparameters import Range
from contract.predictions import Predictions
from contract.rows import Rows
from contract.training import TrainingJob

# P-57: no library may call home. ONNX Runtime does from 1.29 on, and the thread it does it with survives no fork.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Channel", "Predictions", "Range", "Rows", "TrainingJob", "UserError"]
