"""Template: what ``algorithm.py`` imports."""

from contract.channels import Channel
from contract.errors import UserError
from contract.hyperparameters import Extras, Range
from contract.job import TrainingJob
from contract.predictions import Predictions
from contract.schema import Feature, Rows

__all__ = ["Channel", "Extras", "Feature", "Predictions", "Range", "Rows", "TrainingJob", "UserError"]
