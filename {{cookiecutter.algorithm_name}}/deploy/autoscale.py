"""Template: ``python -m deploy autoscale`` lets the number of an endpoint's instances follow its load (C-24, C-25)."""

import re
from dataclasses import replace
from typing import Any

import click
from botocore import xform_name

from deploy import context
from deploy.context import Context
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.prices import Cost

Found = list[tuple[str, dict[str, Any]]]
"""Kinds, each with what Describe says of one."""

SERVICE = "application-autoscaling"
TARGET = ("ResourceId", "ServiceNamespace", "ScalableDimension")
KINDS = {  # each with its plural and the member that names it, in the order in which they are deleted
    "ScheduledAction": ("ScheduledActions", "ScheduledActionName"),
    "ScalingPolicy": ("ScalingPolicies", "PolicyName"),
    "ScalableTarget": ("ScalableTargets", "ResourceId"),
}
METRICS = {
    "invocations": "SageMakerVariantInvocationsPerInstance",
    "concurrency": "SageMakerVariantConcurrentRequestsPerModelHighResolution",
}
WAKING = "Starting from zero takes about 5 to 10 minutes, 2 for the alarm and the rest for an instance: requests wait."


@context.verb(endpoint=True)
@click.option(
    "--min", "minimum", type=click.IntRange(0), default=1, show_default=True, help="0 on async endpoints only."
)
@click.option("--max", "maximum", type=click.IntRange(1), help="Most instances.")
@click.option("--target", type=click.FloatRange(0, min_open=True), help="Value of the metric for each instance.")
@click.option("--metric", type=click.Choice(list(METRICS)), default="invocations", help="A minute, or at a time.")
@click.option("--schedule", help="Set --min and --max at these times, such as 'cron(0 8 ? * MON-FRI *)'.")
@click.option("--timezone", default="UTC", show_default=True, help="Time zone of --schedule.")
@click.option("--off", is_flag=True, help="Remove the scaling; the current instances stay.")
def autoscale(context: Context, endpoint: str, minimum: int, maximum: int | None, off: bool, **given: Any) -> None:
    """Let the number of an endpoint's instances follow its load, or a schedule.

    An async endpoint follows its backlog, and may go to zero. A real-time one keeps an instance: going to zero needs
    inference components, which these commands do not make. A serverless one scales its provisioned concurrency alone.
    """
    plan = Plan(context)
    if off:
        add_removal(plan, endpoint)
    elif not maximum or maximum < minimum:
        raise DeployError("Give --max, which is at least --min.")
    else:
        _add(plan, endpoint, {"MinCapacity": minimum, "MaxCapacity": maximum}, given)
    if plan.run():
        click.echo(endpoint)


def _add(plan: Plan, endpoint: str, capacity: dict[str, int], given: dict[str, Any]) -> None:
    """Add a target with its policies, or one schedule."""
    sagemaker = plan.context.client()
    config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    known = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    variant = known["ProductionVariants"][0]
    metric = {"CustomizedMetricSpecification": _metric("ApproximateBacklogSizePerInstance", endpoint)}
    if "AsyncInferenceConfig" not in known:
        metric = _predefined(variant, given["metric"], capacity["MinCapacity"])
    what = "ProvisionedConcurrency" if "ServerlessConfig" in variant else "InstanceCount"
    resource = f"endpoint/{endpoint}/variant/{variant['VariantName']}"
    target = dict(zip(TARGET, (resource, "sagemaker", f"sagemaker:variant:Desired{what}"), strict=True))
    there = found(plan.context, endpoint)
    if given["schedule"]:
        if "ScalableTarget" not in dict(there):
            raise DeployError(f"'{endpoint}' does not scale yet: run autoscale with --target first.")
        schedule = {"Schedule": given["schedule"], "Timezone": given["timezone"], "ScalableTargetAction": capacity}
        _put(plan, there, "ScheduledAction", re.sub("[:/|]", "-", given["schedule"]), target | schedule)
        return
    if not given["target"]:
        raise DeployError("Give --target, such as 100 invocations of an instance a minute.")
    _put(plan, there, "ScalableTarget", resource, target | capacity)
    tracking = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": given["target"]} | metric}
    _put(plan, there, "ScalingPolicy", "follow-load", target | {"PolicyType": "TargetTrackingScaling"} | tracking)
    if capacity["MinCapacity"] == 0:
        _add_waking(plan, endpoint, target, there)
    if what == "InstanceCount":
        plan.costs.append(Cost("hosting", variant["InstanceType"], capacity["MaxCapacity"]))


def _predefined(variant: dict[str, Any], metric: str, minimum: int) -> dict[str, Any]:
    """The metric of a real-time or serverless endpoint."""
    if minimum == 0:
        raise DeployError("Only an async endpoint can have no instances: give --min 1, or deploy it as async.")
    if "ProvisionedConcurrency" not in variant.get("ServerlessConfig", {"ProvisionedConcurrency": 0}):
        raise DeployError("A serverless endpoint scales by itself: only provisioned concurrency can be scaled.")
    kind = "SageMakerVariantProvisionedConcurrencyUtilization" if "ServerlessConfig" in variant else METRICS[metric]
    return {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}}


def _metric(name: str, endpoint: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    return {"MetricName": name, "Namespace": "AWS/SageMaker", "Dimensions": dimensions, "Statistic": "Average"}


def _add_waking(plan: Plan, endpoint: str, target: dict[str, str], there: Found) -> None:
    """Without instances there is no backlog of each, so an alarm adds the first one (A-09)."""
    context, steps = plan.context, [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
    step = {"StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps}}
    _put(plan, there, "ScalingPolicy", "wake", target | {"PolicyType": "StepScaling"} | step)
    alarm = {"AlarmName": f"{endpoint}-wake", **_metric("HasBacklogWithoutCapacity", endpoint)}
    alarm |= {"Period": 60, "EvaluationPeriods": 2, "Threshold": 1, "AlarmActions": ["the ARN of the policy wake"]}
    alarm |= {"ComparisonOperator": "GreaterThanOrEqualToThreshold"}
    before = context.client("cloudwatch").describe_alarms(AlarmNames=[alarm["AlarmName"]])["MetricAlarms"]
    request = plan.add("PutMetricAlarm", alarm, "cloudwatch", next(iter(before), None))

    def put() -> None:
        """The policy has its ARN only now."""
        actions = [each["PolicyARN"] for _, each in found(context, endpoint) if each.get("PolicyName") == "wake"]
        context.call("PutMetricAlarm", request | {"AlarmActions": actions}, "cloudwatch")

    plan.steps[-1] = replace(plan.steps[-1], action=put)
    plan.notes.append(WAKING)


def _put(plan: Plan, there: Found, kind: str, name: str, content: dict[str, Any]) -> None:
    """Add a request, as a difference to what it replaces."""
    request = {KINDS[kind][1]: name} | content
    same = {key: request[key] for key in (KINDS[kind][1], *TARGET)}
    before = [each for known, each in there if known == kind and each.items() >= same.items()]
    operation = f"{'Register' if kind == 'ScalableTarget' else 'Put'}{kind}"
    plan.add(operation, request, SERVICE, before[0] if before else None)


def removal(kind: str, each: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The operation that removes one of ``found``, and its request."""
    operation = "DeregisterScalableTarget" if kind == "ScalableTarget" else f"Delete{kind}"
    return operation, {key: each[key] for key in (KINDS[kind][1], *TARGET)}


def add_removal(plan: Plan, endpoint: str) -> None:
    """Add what removes all that scales an endpoint (C-26)."""
    for kind, each in found(plan.context, endpoint):
        plan.add(*removal(kind, each), SERVICE)
    for alarm in plan.context.client("cloudwatch").describe_alarms(AlarmNames=[f"{endpoint}-wake"])["MetricAlarms"]:
        plan.add("DeleteAlarms", {"AlarmNames": [alarm["AlarmName"]]}, "cloudwatch")


def found(context: Context, endpoint: str) -> Found:
    """All that scales an endpoint, each with its kind, in the order in which it is deleted."""
    return [
        (kind, each)
        for kind, (plural, _) in KINDS.items()
        for each in context.items(f"describe_{xform_name(plural)}", SERVICE, ServiceNamespace="sagemaker")
        if each["ResourceId"].startswith(f"endpoint/{endpoint}/variant/")
    ]
