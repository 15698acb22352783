"""Template: what ``algorithm.py`` imports."""

from contract.errors import BadInput, UserError
from contract.feature import Feature
from contract.payload import Payload
from contract.predictions import Predictions
from contract.schema import Rows
from contract.training.channels import Channel
from contract.training.hyperparameters import Extras, Range
from contract.training.job import TrainingJob

__all__ = ["BadInput", "Channel", "Extras", "Feature", "Payload", "Predictions", "Range", "Rows", "TrainingJob",
           "UserError"]  # fmt: skip
