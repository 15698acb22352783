"""Template: how traffic moves to another release of an endpoint, and the alarms that move it back (C-20 to C-22)."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from deploy.context import Context
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.release import VARIANT

LATENCY_FACTOR = 3  # the latency alarm fires at so many times the present latency
ANY_ERROR = 0.5  # InvocationModelErrors counts 4xx too, which are mostly the callers' mistakes


class _Duration(click.ParamType):  # type: ignore[type-arg]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+)([smh])", str(value))
        if not match:
            self.fail(f"'{value}': give a number and a unit, such as 90s, 10m or 1h.", param, ctx)
        return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def options(function: Callable[..., None]) -> Callable[..., None]:
    """The flags of a command that moves traffic; it makes a ``Guard`` of them."""
    for option in (
        click.option("--alarms/--no-alarms", default=True, help="Whether alarms of errors and latency roll it back."),
        click.option(
            "--max-latency", type=click.FloatRange(0, min_open=True), help="In ms, by default 3 times today's."
        ),
        click.option("--max-errors", type=click.FloatRange(0, 100), default=1, show_default=True, help="5xx, in %."),
        click.option("--bake", type=_Duration(), default="10m", show_default=True, help="Watch each step so long."),
        click.option("--rolling", type=click.IntRange(5, 50), help="Replace so many % of the instances at a time."),
        click.option("--linear", type=click.IntRange(10, 50), help="Move the traffic in steps of so many %."),
        click.option("--canary", type=click.IntRange(1, 50), help="Move so many % first, and later the rest."),
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class Guard:
    """What the flags say. ``bake`` is in seconds, ``max_errors`` in percent, ``max_latency`` in milliseconds."""

    canary: int | None
    linear: int | None
    rolling: int | None
    bake: int
    max_errors: float
    max_latency: float | None
    alarms: bool

    def __post_init__(self) -> None:
        """Refuse two ways at once."""
        if len([share for share in (self.canary, self.linear, self.rolling) if share]) > 1:
            raise DeployError("--canary, --linear and --rolling are three ways to move traffic: give one.")

    def add(self, plan: Plan, endpoint: str, old: str, config: dict[str, Any]) -> list[str]:
        """Add the alarms, and the update to the configuration ``config``; the names of the alarms."""
        if self.rolling and "ServerlessConfig" in config["ProductionVariants"][0]:
            raise DeployError("A serverless endpoint has no instances to replace: use --canary or --linear.")
        new, context = config["EndpointConfigName"], plan.context
        alarms = list(self._alarms(plan, endpoint, new)) if self.alarms else []
        for alarm in alarms:
            plan.add("PutMetricAlarm", alarm, service="cloudwatch")
        names = [alarm["AlarmName"] for alarm in alarms]
        request = {"EndpointName": endpoint, "EndpointConfigName": new, "DeploymentConfig": self._deployment(names)}
        if scaled(context, endpoint):
            plan.notes.append("auto scaling runs: the present number of instances is kept")
            request |= {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DataCaptureConfig"}],
            }
        plan.add("UpdateEndpoint", request, before={"EndpointName": endpoint, "EndpointConfigName": old})
        return names

    def _deployment(self, alarms: list[str]) -> dict[str, Any]:
        step, wait = self.canary or self.linear or self.rolling, {"WaitIntervalInSeconds": self.bake}
        size = {"Type": "CAPACITY_PERCENT", "Value": step}
        steps = 2 if self.canary else math.ceil(100 / (step or 100))
        limit = {"MaximumExecutionTimeoutInSeconds": 3600 + steps * self.bake}  # an hour for all but the waiting
        rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}
        more = rollback if alarms else {}
        if self.rolling:
            return {"RollingUpdatePolicy": {"MaximumBatchSize": size, **wait, **limit}} | more
        traffic: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
        if self.canary:
            traffic = {"Type": "CANARY", "CanarySize": size, **wait}
        elif self.linear:
            traffic = {"Type": "LINEAR", "LinearStepSize": size, **wait}
        policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": self.bake, **limit}
        return {"BlueGreenUpdatePolicy": policy} | more

    def _alarms(self, plan: Plan, endpoint: str, config: str) -> Iterator[dict[str, Any]]:
        """Alarms on the new instances alone, so that an endpoint that is failing now can be updated."""
        known = {"EndpointName": endpoint, "VariantName": VARIANT}
        limits = [
            ("Invocation5XXErrors", {"Statistic": "Average"}, self.max_errors / 100),
            ("InvocationModelErrors", {"Statistic": "Average"}, ANY_ERROR),
        ]
        if self.max_latency:
            limits.append(("ModelLatency", {"ExtendedStatistic": "p90"}, self.max_latency * 1000))
        elif present := latency(plan.context, known):
            limits.append(("ModelLatency", {"ExtendedStatistic": "p90"}, present * LATENCY_FACTOR))
        else:
            plan.notes.append("no alarm of the latency: CloudWatch has none of the last day, so give --max-latency")
        for metric, statistic, threshold in limits:
            yield {
                "AlarmName": f"{endpoint}-update-{metric}",
                "Namespace": "AWS/SageMaker",
                "MetricName": metric,
                "Dimensions": _dimensions(known | {"EndpointConfigName": config}),
                **statistic,
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": threshold,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
            }


def latency(context: Context, dimensions: dict[str, str]) -> float | None:
    """The 90th percentile of the last day's ModelLatency, in microseconds; None if CloudWatch has none."""
    now = datetime.now(UTC)
    found = context.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=_dimensions(dimensions),
        StartTime=now - timedelta(days=1),
        EndTime=now,
        Period=86400,
        ExtendedStatistics=["p90"],
    )["Datapoints"]
    return max((each["ExtendedStatistics"]["p90"] for each in found), default=None)


def scaled(context: Context, endpoint: str) -> bool:
    """Whether auto scaling runs for the endpoint: an update would set its number of instances back (X-34)."""
    targets = context.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{endpoint}/variant/{VARIANT}"]
    )
    return bool(targets["ScalableTargets"])


def _dimensions(names: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in names.items()]
