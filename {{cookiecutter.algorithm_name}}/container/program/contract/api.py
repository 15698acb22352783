"""Template: what ``algorithm.py`` imports."""

from contract.channels import Channel
from contract.errors import UserError
from contract.hyperparameters import Extras, Range
from contract.predictions import Predictions
from contract.schema import Feature, Rows
from contract.training import TrainingJob

__all__ = ["Channel", "Extras", "Feature", "Predictions", "Range", "Rows", "TrainingJob", "UserError"]
