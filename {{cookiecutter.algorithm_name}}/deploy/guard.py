"""Template: how traffic moves to another release of an endpoint, and the alarms that move it back (C-20 to C-22)."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from deploy import found
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.release import VARIANT

LONGEST_UPDATE = 8 * 3600  # seconds (C-21)
LATENCY_FACTOR = 3  # the latency alarm fires at so many times the present latency
ANY_ERROR = 0.5  # InvocationModelErrors counts 4xx too, which are mostly the callers' mistakes
ALARM = {"Namespace": "AWS/SageMaker", "Period": 60, "EvaluationPeriods": 1, "TreatMissingData": "notBreaching"}


def _seconds(context: click.Context, option: click.Parameter, given: str) -> int:
    match = re.fullmatch(r"(\d+)([smh])", given)
    if not match:
        raise click.BadParameter(f"'{given}': give a number and a unit, such as 90s, 10m or 1h.")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


OPTIONS = (
    click.option("--canary", type=click.IntRange(1, 50), help="% of the traffic to move first."),
    click.option("--linear", type=click.IntRange(10, 50), help="% of the traffic to move in each step."),
    click.option("--rolling", type=click.IntRange(5, 50), help="% of the instances to replace at a time."),
    click.option("--bake", default="10m", show_default=True, callback=_seconds, help="How long to watch each step."),
    click.option(
        "--max-errors",
        type=click.FloatRange(0, 100),
        default=1,
        show_default=True,
        help="% of 5xx responses that fires an alarm.",
    ),
    click.option(
        "--max-latency",
        type=click.FloatRange(0, min_open=True),
        help="Latency in ms that fires an alarm, by default 3 times today's.",
    ),
    click.option("--alarms/--no-alarms", default=True, show_default=True, help="Whether these alarms roll back."),
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that ``add`` takes."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def add(plan: Plan, endpoint: str, old: str, config: Mapping[str, Any], flags: Mapping[str, Any]) -> list[str]:
    """Add the alarms, and the update from the configuration ``old`` to ``config``; the names of the alarms."""
    if flags["rolling"] and "ServerlessConfig" in config["ProductionVariants"][0]:
        raise DeployError("A serverless endpoint has no instances to replace: use --canary or --linear.")
    new, alarms = config["EndpointConfigName"], []
    for alarm in _alarms(plan, endpoint, config, flags) if flags["alarms"] else ():
        alarms.append(plan.add("PutMetricAlarm", alarm, service="cloudwatch")["AlarmName"])
    request = {"EndpointName": endpoint, "EndpointConfigName": new, "DeploymentConfig": _deployment(flags, alarms)}
    if found.scaling(plan.context, endpoint):  # an update would set the number of instances back
        plan.notes.append("auto scaling runs: the present number of instances is kept")
        replaced = [{"VariantPropertyType": "DataCaptureConfig"}]
        request |= {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": replaced}
    plan.add("UpdateEndpoint", request, before={"EndpointName": endpoint, "EndpointConfigName": old})
    return alarms


def _deployment(flags: Mapping[str, Any], alarms: list[str]) -> dict[str, Any]:
    ways = [way for way in ("canary", "linear", "rolling") if flags[way]]
    if len(ways) > 1:
        raise DeployError("--canary, --linear and --rolling are three ways to move traffic: give one.")
    way, percent = (ways[0], flags[ways[0]]) if ways else ("all_at_once", 100)
    bake, size = flags["bake"], {"Type": "CAPACITY_PERCENT", "Value": percent}
    steps = 2 if way == "canary" else math.ceil(100 / percent)
    if steps * bake >= LONGEST_UPDATE:
        raise DeployError(f"{steps} steps of {bake} s take longer than the 8 hours of an update: shorten --bake.")
    limit = {"MaximumExecutionTimeoutInSeconds": min(3600 + steps * bake, LONGEST_UPDATE)}
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}}
    if way == "rolling":
        return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": bake} | limit} | rollback
    traffic = {"Type": way.upper(), "WaitIntervalInSeconds": bake if ways else 0}
    traffic |= {"canary": {"CanarySize": size}, "linear": {"LinearStepSize": size}}.get(way, {})
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": bake} | limit
    return {"BlueGreenUpdatePolicy": policy} | rollback


def _alarms(plan: Plan, endpoint: str, config: Mapping[str, Any], flags: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Alarms on the new instances alone, so that an endpoint that is failing now can be updated."""
    variant = {"EndpointName": endpoint, "VariantName": VARIANT}
    latency = found.metrics(plan.context, endpoint, config, 24, "ModelLatency p90")
    microseconds = (flags["max_latency"] or 0) * 1000 or latency.get("ModelLatency p90", 0) * LATENCY_FACTOR
    if not microseconds:
        plan.notes.append("no alarm of the latency: CloudWatch has none of the last day, so give --max-latency")
    for metric, statistic, threshold in (
        ("Invocation5XXErrors", {"Statistic": "Average"}, flags["max_errors"] / 100),
        ("InvocationModelErrors", {"Statistic": "Average"}, ANY_ERROR),
        *([("ModelLatency", {"ExtendedStatistic": "p90"}, microseconds)] if microseconds else []),
    ):
        alarm = {"AlarmName": f"{endpoint}-update-{metric}", "MetricName": metric, "Threshold": threshold}
        watched = _dimensions(variant | {"EndpointConfigName": config["EndpointConfigName"]})
        yield alarm | statistic | ALARM | {"ComparisonOperator": "GreaterThanThreshold", "Dimensions": watched}


def _dimensions(names: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in names.items()]
