"""Template: what ``algorithm.py`` imports."""

from contract.errors import UserError
from contract.feature import Feature
from contract.predictions import Predictions
from contract.schema import Rows
from contract.training.channels import Channel
from contract.training.hyperparameters import Extras, Range
from contract.training.job import TrainingJob

__all__ = ["Channel", "Extras", "Feature", "Predictions", "Range", "Rows", "TrainingJob", "UserError"]
