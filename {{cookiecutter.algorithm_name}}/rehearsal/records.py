"""Template: what moto's records lack for ``status``, ``list`` and ``delete``: SageMaker's names, and percentiles."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

from moto.cloudwatch.models import Statistics
from moto.core.resource_tagging import TaggedResource
from moto.sagemaker.models import SageMakerModelBackend

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


def complete() -> None:
    """Give moto's classes what they lack."""
    SageMakerModelBackend.iter_tagged_resources = with_addresses  # type: ignore[method-assign]
    Statistics.get_statistics_for_type = with_percentiles  # type: ignore
