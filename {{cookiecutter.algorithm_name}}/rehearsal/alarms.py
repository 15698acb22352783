"""Template: what CloudWatch does with the calls of an endpoint: metrics, and the alarms that watch them (C-22)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import mean

from moto.cloudwatch.models import cloudwatch_backends

from rehearsal.hosting import ACCOUNT, Fleet
from rehearsal.records import percentile
from rehearsal.simulator import Simulator

METRICS: dict[str, Callable[[int, float], float]] = {
    "Invocation5XXErrors": lambda status, latency: float(status >= 500),
    "InvocationModelErrors": lambda status, latency: float(status != 200),
    "ModelLatency": lambda status, latency: latency,
}


def publish(endpoint: str, fleet: Fleet, region: str, published: dict[str, int]) -> None:
    """Hand the latencies of the newest calls to moto, which answers GetMetricData."""
    newest = fleet.answered[published.get(fleet.config, 0) :]
    published[fleet.config] = published.get(fleet.config, 0) + len(newest)
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "all"}]
    data = [
        {
            "MetricName": "ModelLatency",
            "Dimensions": dimensions,
            "Timestamp": datetime.fromtimestamp(at, UTC).replace(tzinfo=None),
            "Value": latency,
            "Unit": "Microseconds",
        }
        for at, _, latency in newest
    ]
    if data:
        cloudwatch_backends[ACCOUNT][region].put_metric_data("AWS/SageMaker", data)


def fired(simulator: Simulator, region: str, fleets: list[Fleet], names: list[str]) -> list[str]:
    """Evaluate the alarms of these names; those that are in the state ALARM now."""
    known = cloudwatch_backends[ACCOUNT][region].alarms
    for name in names:
        alarm = known[name]
        wanted = {each.name: each.value for each in alarm.dimensions}.get("EndpointConfigName")
        begin = time.time() - int(alarm.period) * int(alarm.evaluation_periods) * simulator.scale
        calls = [call for fleet in fleets if wanted in (None, fleet.config) for call in fleet.answered]
        values = [METRICS[alarm.metric_name](status, latency) for at, status, latency in calls if at >= begin]
        if not values:
            continue  # TreatMissingData is notBreaching
        found = mean(values)
        if alarm.extended_statistic:
            found = percentile(values, float(alarm.extended_statistic.removeprefix("p")))
        state = "ALARM" if found > float(alarm.threshold) else "OK"
        reason = (
            f"Threshold Crossed: 1 datapoint [{found:g}] was greater than the threshold ({float(alarm.threshold):g})."
        )
        if state != alarm.state_value:
            alarm.update_state(reason if state == "ALARM" else "", "{}", state)
    return [name for name in names if known[name].state_value == "ALARM"]
