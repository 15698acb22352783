"""Template: what moto lacks of Application Auto Scaling: the provisioned concurrency of serverless endpoints (C-25)."""

from enum import Enum

from moto.applicationautoscaling import models, responses

_MORE = {"SAGEMAKER_VARIANT_PROVISIONED_CONCURRENCY": "sagemaker:variant:DesiredProvisionedConcurrency"}


def complete_moto() -> None:
    """Let moto take the dimensions that it does not know."""
    known = {each.name: each.value for each in models.ScalableDimensionValueSet}
    dimensions = Enum("ScalableDimensionValueSet", known | _MORE)  # type: ignore[misc]
    for module in (models, responses):
        module.ScalableDimensionValueSet = dimensions  # type: ignore[attr-defined]
