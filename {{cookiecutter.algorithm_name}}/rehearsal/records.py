"""Template: moto's records, and what they lack: names and limits of SageMaker's, percentiles, and more to scale."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from moto.applicationautoscaling import models, responses
from moto.cloudwatch.models import Statistics, cloudwatch_backends
from moto.core.base_backend import BackendDict
from moto.core.resource_tagging import TaggedResource
from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sagemaker.models import FakeEndpointConfig, SageMakerModelBackend, sagemaker_backends

BACKENDS: list[Mapping[str, Any]] = [
    *(sagemaker_backends, s3_backends, logs_backends, cloudwatch_backends),
    *(models.applicationautoscaling_backends, ecr_backends, iam_backends),
]
DIMENSIONS = {each.name: each.value for each in models.ScalableDimensionValueSet} | {
    "SAGEMAKER_VARIANT_PROVISIONED_CONCURRENCY": "sagemaker:variant:DesiredProvisionedConcurrency"  # (C-25)
}
TAGGED, STATISTIC = SageMakerModelBackend.iter_tagged_resources, Statistics.get_statistics_for_type


def with_addresses(self: SageMakerModelBackend) -> Iterator[TaggedResource]:
    """What SageMaker has that is tagged. moto holds the ARN of a configuration as a tuple of one."""
    for each in TAGGED(self):
        yield dataclasses.replace(each, arn=each.arn[0]) if isinstance(each.arn, tuple) else each


def with_percentiles(self: Statistics, name: str) -> Any:
    """A statistic of CloudWatch's: moto's, or a percentile by the nearest rank."""
    if not re.fullmatch(r"p\d+", name):
        return STATISTIC(self, name)
    return percentile(self.metric_single_values_list, int(name[1:]))


def percentile(values: list[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def any_instance_type(self: FakeEndpointConfig, instance_type: str) -> None:
    """Refuse none: moto knows those of some years ago, and the service model has been asked already."""


def complete() -> None:
    """Give moto what it lacks."""
    dimensions = Enum("ScalableDimensionValueSet", DIMENSIONS)  # type: ignore[misc] # mypy wants to read the members
    for owner, name, value in [
        (SageMakerModelBackend, "iter_tagged_resources", with_addresses),
        (Statistics, "get_statistics_for_type", with_percentiles),
        (FakeEndpointConfig, "validate_instance_type", any_instance_type),
        (models, "ScalableDimensionValueSet", dimensions),
        (responses, "ScalableDimensionValueSet", dimensions),
    ]:
        setattr(owner, name, value)


def reset() -> None:
    """Forget all records."""
    for backends in BACKENDS:
        assert isinstance(backends, BackendDict)
        backends.reset()
