"""`python -m deploy autoscale`: what follows the load of each kind of endpoint, and how it is changed and removed."""

from typing import Any

import pytest

from deploying import Deploy, last_line, sentence
from rehearsal.simulator import Simulator
from stand_in import StandIn, in_service

SCALE = ("autoscale", "--endpoint", "churn")
ASYNC = {"OutputConfig": {"S3OutputPath": "s3://bucket/out", "S3FailurePath": "s3://bucket/failure"}}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/churn/variant/all",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
CRON = "cron(0/30 8 ? * MON-FRI *)"


def targets(platform: Simulator) -> list[tuple[int, int]]:
    found = platform.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return [(each["MinCapacity"], each["MaxCapacity"]) for each in found["ScalableTargets"]]


def policies(platform: Simulator) -> dict[str, dict[str, Any]]:
    client = platform.client("application-autoscaling")
    found = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    return {each["PolicyName"]: each for each in found}


def actions(platform: Simulator) -> list[dict[str, Any]]:
    client = platform.client("application-autoscaling")
    return list(client.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"])


@pytest.mark.parametrize(
    ("more", "metric"),
    [
        ((), "SageMakerVariantInvocationsPerInstance"),
        (("--metric", "concurrency"), "SageMakerVariantConcurrentRequestsPerModelHighResolution"),
    ],
)
def test_the_instances_follow_the_load(platform: Simulator, deploy: Deploy, more: tuple[str, ...], metric: str) -> None:
    """C-24 and C-25."""
    in_service(platform, StandIn())
    ended = deploy(*SCALE, "--max", "4", "--target", "100", *more)
    assert last_line(ended) == "churn"
    assert "cost: 4 x ml.m5.large: $0.46 an hour" in ended.stderr
    assert targets(platform) == [(1, 4)]
    (policy,) = policies(platform).values()
    assert {key: policy[key] for key in TARGET} == TARGET
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 100
    assert tracking["PredefinedMetricSpecification"] == {"PredefinedMetricType": metric}


def test_the_plan_shows_the_difference_to_what_there_is(platform: Simulator, deploy: Deploy) -> None:
    in_service(platform, StandIn())
    last_line(deploy(*SCALE, "--max", "4", "--target", "100"))
    ended = deploy(*SCALE, "--max", "8", "--target", "100", "--metric", "concurrency")
    assert last_line(ended) == "churn"
    assert [line.strip() for line in ended.stderr.splitlines() if "->" in line or "~" in line] == [
        "~ scalable target endpoint/churn/variant/all",
        "MaxCapacity: 4 -> 8",
        "~ scaling policy follow-load",
        "TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.PredefinedMetricType: "
        "SageMakerVariantInvocationsPerInstance -> SageMakerVariantConcurrentRequestsPerModelHighResolution",
    ]
    assert targets(platform) == [(1, 8)]
    assert len(policies(platform)) == 1


def test_a_dry_run_changes_nothing(platform: Simulator, deploy: Deploy) -> None:
    in_service(platform, StandIn())
    assert '"RegisterScalableTarget"' in deploy(*SCALE, "--max", "4", "--target", "100", "--dry-run").stdout
    assert targets(platform) == []


def test_an_async_endpoint_goes_to_zero_by_its_backlog_and_wakes(platform: Simulator, deploy: Deploy) -> None:
    """A-09: from zero instances only the alarm adds one, by the policy that it names."""
    in_service(platform, StandIn(), AsyncInferenceConfig=ASYNC)
    ended = deploy(*SCALE, "--min", "0", "--max", "2", "--target", "5")
    assert last_line(ended) == "churn"
    assert "Starting from zero takes about 5 to 10 minutes" in ended.stderr
    assert targets(platform) == [(0, 2)]
    found = policies(platform)
    metric = found["follow-load"]["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    dimensions = [{"Name": "EndpointName", "Value": "churn"}]
    assert (metric["MetricName"], metric["Dimensions"]) == ("ApproximateBacklogSizePerInstance", dimensions)
    assert found["wake"]["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
    ]
    (alarm,) = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarm["AlarmActions"] == [found["wake"]["PolicyARN"]]
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("HasBacklogWithoutCapacity", dimensions)


def test_a_schedule_sets_the_limits_at_its_times(platform: Simulator, deploy: Deploy) -> None:
    in_service(platform, StandIn())
    last_line(deploy(*SCALE, "--max", "4", "--target", "100"))
    times = ("--schedule", CRON, "--timezone", "Europe/Berlin")
    assert last_line(deploy(*SCALE, *times, "--min", "2", "--max", "9")) == "churn"
    assert "MaxCapacity: 9 -> 8" in deploy(*SCALE, *times, "--min", "2", "--max", "8").stderr
    (action,) = actions(platform)
    assert action["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 8}
    assert (action["Schedule"], action["Timezone"]) == (CRON, "Europe/Berlin")
    assert targets(platform) == [(1, 4)]


def test_all_of_it_is_removed(platform: Simulator, deploy: Deploy) -> None:
    """C-26."""
    in_service(platform, StandIn(), AsyncInferenceConfig=ASYNC)
    last_line(deploy(*SCALE, "--min", "0", "--max", "2", "--target", "5"))
    last_line(deploy(*SCALE, "--schedule", CRON, "--max", "3"))
    ended = deploy(*SCALE, "--off")
    assert [line.strip() for line in ended.stderr.splitlines() if line.startswith("  - ")] == [
        "- scheduled action cron(0-30 8 ? * MON-FRI *)",
        "- scaling policy follow-load",
        "- scaling policy wake",
        "- scalable target endpoint/churn/variant/all",
        "- alarms churn-wake",
    ]
    assert (targets(platform), policies(platform), actions(platform)) == ([], {}, [])
    assert platform.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert last_line(deploy(*SCALE, "--off")) == "churn"


def test_a_serverless_endpoint_scales_its_provisioned_concurrency(platform: Simulator, deploy: Deploy) -> None:
    """C-25."""
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5, "ProvisionedConcurrency": 1}
    in_service(platform, StandIn(), serverless=serverless)
    assert last_line(deploy(*SCALE, "--max", "4", "--target", "0.7")) == "churn"
    (policy,) = policies(platform).values()
    assert policy["ScalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    metric = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert metric == {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}


MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "no maximum": ({}, ("--target", "5"), "Give --max, which is at least --min."),
    "a maximum below": ({}, ("--min", "3", "--max", "2"), "Give --max, which is at least --min."),
    "no target": ({}, ("--max", "2"), "Give --target, such as 100 invocations of an instance a minute."),
    "a real-time endpoint to zero": (
        {},
        ("--min", "0", "--max", "2", "--target", "5"),
        "Only an async endpoint can have no instances: give --min 1, or deploy it as async.",
    ),
    "a serverless endpoint": (
        {"serverless": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}},
        ("--max", "2", "--target", "5"),
        "A serverless endpoint scales by itself: only provisioned concurrency can be scaled.",
    ),
    "a schedule of what does not scale": (
        {},
        ("--schedule", CRON, "--max", "2"),
        "'churn' does not scale yet: run autoscale with --target first.",
    ),
}


@pytest.mark.parametrize(("config", "arguments", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_cannot_be_scaled_is_one_sentence(
    platform: Simulator, deploy: Deploy, config: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    in_service(platform, StandIn(), **config)
    assert sentence(deploy(*SCALE, *arguments)) == said
    assert targets(platform) == []
