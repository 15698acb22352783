"""`python -m deploy status`, `list`, `cost` and `delete`: what there is by tag, what it costs, and away with it."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from moto.sagemaker.models import sagemaker_backends

from deploying import ACCOUNT, DELETE, DEPLOY, IMAGE, MODEL, ROLE, Deploy, environment, last_line, sentence
from rehearsal.calls import Refusal
from rehearsal.simulator import Simulator

ENDPOINT = "my-algorithm-dev"
VARIANT = f"endpoint/{ENDPOINT}/variant/all"
DIMENSIONS = [{"Name": "EndpointName", "Value": ENDPOINT}, {"Name": "VariantName", "Value": "all"}]


def tags(stage: str = "dev") -> list[dict[str, str]]:
    if not stage:
        return []
    return [{"Key": "project", "Value": "my-algorithm"}, {"Key": "stage", "Value": stage}]


def release(
    platform: Simulator, name: str, endpoint: str = "", stage: str = "dev", model: str = "", **more: Any
) -> None:
    """A model and a configuration of the same name, and an endpoint that serves them; no tags without a stage."""
    variant = {
        "VariantName": "all",
        "ModelName": model or name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 2,
    }
    container = {"Image": IMAGE, "ModelDataUrl": MODEL}
    if not model:
        platform.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container, Tags=tags(stage)
        )
    platform.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant | more], Tags=tags(stage)
    )
    if endpoint:
        platform.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=name, Tags=tags(stage))


def scaled(platform: Simulator) -> None:
    """The endpoint has a scaling target and a policy."""
    scaling = platform.client("application-autoscaling")
    which = {"ServiceNamespace": "sagemaker", "ResourceId": VARIANT}
    which["ScalableDimension"] = "sagemaker:variant:DesiredInstanceCount"
    scaling.register_scalable_target(MinCapacity=1, MaxCapacity=4, **which)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    policy = {"TargetValue": 100.0, "PredefinedMetricSpecification": metric}
    scaling.put_scaling_policy(
        PolicyName="calls", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=policy, **which
    )


def alarm(platform: Simulator, name: str, *, rings: bool = False) -> None:
    cloudwatch = platform.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Dimensions=DIMENSIONS, Period=60,
        Statistic="Sum", EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", Tags=tags(),
    )  # fmt: skip
    if rings:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")


def measured(platform: Simulator, name: str, *values: float) -> None:
    when = datetime.now(UTC) - timedelta(minutes=10)
    data = [{"MetricName": name, "Dimensions": DIMENSIONS, "Timestamp": when, "Value": value} for value in values]
    platform.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def runs(platform: Simulator, name: str, status: str = "InProgress") -> None:
    """A training job of two instances."""
    platform.sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://bucket/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    sagemaker_backends[ACCOUNT]["us-west-2"].training_jobs[name].training_job_status = status


def left(platform: Simulator) -> list[str]:
    """The names of all that the account has."""
    sagemaker = platform.sagemaker
    return [
        *(f"endpoint {each['EndpointName']}" for each in sagemaker.list_endpoints()["Endpoints"]),
        *(
            f"configuration {each['EndpointConfigName']}"
            for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]
        ),
        *(f"model {each['ModelName']}" for each in sagemaker.list_models()["Models"]),
    ]


# Showing.


def test_the_status_tells_how_an_endpoint_is(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    scaled(platform)
    alarm(platform, "errors", rings=True)
    alarm(platform, "calm")
    measured(platform, "Invocations", 1, 1, 1)
    measured(platform, "ModelLatency", 1000, 2000, 9000)
    lines = deploy("status").stdout.splitlines()
    assert re.fullmatch(r"status     InService since \d{4}-\d\d-\d\d \d\d:\d\d", lines[1])
    assert [lines[0], *lines[2:]] == [
        f"endpoint   {ENDPOINT}",
        "release    churn-1",
        f"image      {IMAGE}",
        f"model      {MODEL}",
        "variant    all: 2 of 2 x ml.m5.large, 100% of the traffic",
        f"scaling    {VARIANT}: 1 to 4 instances",
        "alarm      errors: in ALARM",
        "last hour  calls: 3",
        "last hour  latency p50 in ms: 2",
        "last hour  latency p99 in ms: 9",
    ]


def test_the_status_is_json_for_programs_and_names_the_last_failure(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", "churn")
    platform.script["DescribeEndpoint"] = repeat({"EndpointStatus": "Failed", "FailureReason": "No ping."})
    facts = json.loads(deploy("status", "--endpoint", "churn", "--json").stdout)
    assert (facts["release"], facts["failure"], facts["last hour"]) == ("churn-1", "No ping.", "no calls")
    assert facts["status"].startswith("Failed since ")  # C-27


def test_the_status_of_no_endpoint_is_a_sentence(deploy: Deploy) -> None:
    said = sentence(deploy("status"))
    assert said == f"There is no endpoint '{ENDPOINT}' in us-west-2: `deploy` creates one."


def test_the_list_has_all_stages_and_nothing_of_others(platform: Simulator, deploy: Deploy) -> None:
    """Tags find everything (C-07)."""
    release(platform, "churn-1", ENDPOINT)
    release(platform, "churn-2", "my-algorithm-prod", "prod")
    scaled(platform)
    alarm(platform, "errors")
    platform.sagemaker.create_model(ModelName="another", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
    assert sorted(deploy("list").stdout.splitlines()) == [
        "alarm errors (dev)",
        "configuration churn-1 (dev)",
        "configuration churn-2 (prod)",
        f"endpoint {ENDPOINT} (dev) InService",
        "endpoint my-algorithm-prod (prod) InService",
        "model churn-1 (dev)",
        "model churn-2 (prod)",
        f"scaling {VARIANT} 1 to 4 instances",
    ]


def test_what_was_just_created_is_listed_before_its_tags_are_known(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT, stage="")  # as if GetResources did not have them yet
    assert deploy("list").stdout.splitlines() == [
        f"endpoint {ENDPOINT} (dev) InService",
        "configuration churn-1 (dev)",
        "model churn-1 (dev)",
    ]


# Costs.


def test_the_cost_is_that_of_what_runs(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    measured(platform, "Invocations", 1)
    said = deploy("cost").stdout.splitlines()
    assert said == [
        f"endpoint {ENDPOINT}: 2 x ml.m5.large: $0.23 an hour, $168 a month",
        "total: $0.23 an hour, $168 a month (prices of us-east-1, 2025-06)",
    ]


def test_an_endpoint_that_nobody_calls_is_noted_and_an_unknown_price_is_open(
    platform: Simulator, deploy: Deploy
) -> None:
    release(platform, "churn-1", ENDPOINT, InstanceType="ml.m4.16xlarge")
    platform.script["DescribeEndpoint"] = repeat({"CreationTime": 1_700_000_000})
    assert deploy("cost").stdout.splitlines() == [
        f"endpoint {ENDPOINT}: 2 x ml.m4.16xlarge: ? an hour, ? a month",
        f"endpoint {ENDPOINT}: idle: no call in the last 24 hours",
        "total: at least $0.00 an hour (prices of us-east-1, 2025-06)",
    ]


def test_running_jobs_cost_by_the_hour_and_serverless_endpoints_by_the_second(
    platform: Simulator, deploy: Deploy
) -> None:
    release(platform, "churn-1", ENDPOINT, ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 5})
    runs(platform, "my-algorithm-1")
    runs(platform, "my-algorithm-2", "Completed")
    runs(platform, "another-my-algorithm-3")
    assert deploy("cost").stdout.splitlines() == [
        f"endpoint {ENDPOINT}: serverless: $0.000040 for each second of a call",
        "training job my-algorithm-1: 2 x ml.m5.large: $0.23 an hour",
        "total: $0.23 an hour (prices of us-east-1, 2025-06)",
    ]
    assert "training job my-algorithm-1 InProgress" in deploy("list").stdout.splitlines()


# Deleting.


def test_a_stage_is_deleted_in_the_order_that_aws_needs(platform: Simulator, deploy: Deploy) -> None:
    """C-26: scaling, the endpoint, configurations, models, alarms; old releases too; other stages stay."""
    release(platform, "churn-1")
    release(platform, "churn-2", ENDPOINT)
    release(platform, "churn-3", "my-algorithm-prod", "prod")
    scaled(platform)
    alarm(platform, "errors")
    ended = deploy("delete", "--yes")
    assert ended.returncode == 0, ended.stderr
    plan = [line.strip() for line in ended.stderr.splitlines() if line.startswith("  ")]
    assert plan == [
        "- scaling policy calls",
        f"- scalable target {VARIANT}",
        f"- endpoint {ENDPOINT}",
        *("- endpoint config churn-1", "- endpoint config churn-2", "- model churn-1", "- model churn-2"),
        "- alarms errors",
        *(f"{IMAGE} stays", f"{MODEL} stays"),
    ]
    assert left(platform) == ["endpoint my-algorithm-prod", "configuration churn-3", "model churn-3"]
    assert platform.operations() == ["DeleteEndpoint", *["DeleteEndpointConfig"] * 2, *["DeleteModel"] * 2]
    assert platform.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    scaling = platform.client("application-autoscaling")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert "does not exist" in deploy("delete").stderr  # and nothing is asked
    assert deploy("delete", "--all", "--yes").returncode == 0
    assert left(platform) == []


def test_what_others_use_stays_and_is_named(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    release(platform, "mine", model="churn-1", stage="")
    platform.sagemaker.create_endpoint(EndpointName="mine", EndpointConfigName="churn-1")
    ended = deploy("delete", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert "configuration churn-1 stays: endpoint mine uses it" in ended.stderr
    assert "model churn-1 stays: configuration churn-1 uses it" in ended.stderr
    assert left(platform) == ["endpoint mine", "configuration churn-1", "configuration mine", "model churn-1"]


def test_what_cannot_be_deleted_is_named_and_what_it_uses_stays(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    release(platform, "churn-2")
    words = "User: me is not authorized to perform: sagemaker:DeleteEndpoint on resource: endpoint/x"
    platform.script["DeleteEndpoint"] = repeat(Refusal("AccessDeniedException", words))
    ended = deploy("delete", "--yes")
    assert ended.returncode != 0
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(f"Not deleted: endpoint {ENDPOINT}: AWS refused DeleteEndpoint: {words}")
    assert f"configuration churn-1: endpoint {ENDPOINT} uses it" in said
    assert "model churn-1: configuration churn-1 uses it" in said
    assert left(platform) == [f"endpoint {ENDPOINT}", "configuration churn-1", "model churn-1"]
    platform.script.clear()
    assert deploy("delete", "--yes").returncode == 0
    assert left(platform) == []


def test_without_a_terminal_nothing_is_deleted_unasked(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", "churn")
    ended = deploy("delete", "--endpoint", "churn")
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1] == "There is no terminal to ask at: add --yes."
    ended = deploy("delete", "--endpoint", "churn", "--dry-run")
    assert json.loads(ended.stdout) == [
        {"DeleteEndpoint": {"EndpointName": "churn"}},
        {"DeleteEndpointConfig": {"EndpointConfigName": "churn-1"}},
        {"DeleteModel": {"ModelName": "churn-1"}},
    ]
    assert platform.operations() == []


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", True), ("n\n", False)])
def test_at_a_terminal_it_is_asked_once(
    platform: Simulator, project: Path, tmp_path: Path, answer: str, deleted: bool
) -> None:
    release(platform, "churn-1", "churn")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-B", "-m", "deploy", *DELETE[:-1]]
    variables = environment(tmp_path, AWS_ENDPOINT_URL=platform.url)
    os.write(ours, answer.encode())
    ended = subprocess.run(command, cwd=project, env=variables, stdin=theirs, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("Delete these?")) == (0, 1)
    assert (left(platform) == []) == deleted
    os.close(ours)
    os.close(theirs)


def test_an_endpoint_that_is_being_created_is_deleted_when_it_is(platform: Simulator, deploy: Deploy) -> None:
    """AWS refuses to delete it before."""
    release(platform, "churn-1", "churn")
    platform.script["DescribeEndpoint"] = iter([{"EndpointStatus": "Creating"}] * 3)
    ended = deploy(*DELETE)
    assert ended.returncode == 0
    assert "endpoint churn: Creating\nendpoint churn: InService" in ended.stderr
    assert left(platform) == []


def test_a_delete_that_ended_halfway_is_taken_up_by_tag(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    platform.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    assert deploy("delete", "--yes").returncode == 0
    assert left(platform) == []


def test_one_endpoint_or_all(deploy: Deploy) -> None:
    assert sentence(deploy("delete", "--all", "--endpoint", "churn")) == "Give --endpoint or --all, not both."


# Throttling.

BUSY = Refusal("ThrottlingException", "Rate exceeded")


def once() -> Iterator[Refusal]:
    return iter([BUSY])


def test_each_call_of_a_deploy_that_is_throttled_is_sent_again(platform: Simulator, deploy: Deploy) -> None:
    operations = ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "DescribeEndpoint"]
    platform.script |= {operation: once() for operation in operations}
    last_line(deploy(*DEPLOY))
    assert platform.operations() == [each for each in operations[:3] for _ in range(2)]
    assert platform.operations(but=("Create",)) == ["DescribeEndpoint"] * 3  # absent, throttled, in service


def test_each_call_of_a_delete_that_is_throttled_is_sent_again(platform: Simulator, deploy: Deploy) -> None:
    release(platform, "churn-1", ENDPOINT)
    scaled(platform)
    operations = ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel", "ListEndpoints", "ListEndpointConfigs"]
    operations += ["DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"]
    platform.script |= {operation: once() for operation in operations}
    platform.outages |= {service: iter([503]) for service in ("tagging", "monitoring", "application-autoscaling")}
    ended = deploy("delete", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert left(platform) == []
    asked = platform.operations(but=())
    assert [each for each in operations if asked.count(each) < 2] == []


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_throttling_without_end_is_a_sentence_and_leaves_nothing(
    platform: Simulator, deploy: Deploy, operation: str
) -> None:
    platform.script[operation] = repeat(BUSY)
    ended = deploy(*DEPLOY, AWS_MAX_ATTEMPTS="2")
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(f"AWS refused {operation}: Rate exceeded (ThrottlingException). The account sends more")
    assert left(platform) == []


@pytest.mark.parametrize("operation", ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"])
def test_a_delete_that_is_throttled_without_end_names_what_is_left(
    platform: Simulator, deploy: Deploy, operation: str
) -> None:
    release(platform, "churn-1", ENDPOINT)
    platform.script[operation] = chain(repeat(BUSY, 2), iter(()))
    ended = deploy("delete", "--yes", AWS_MAX_ATTEMPTS="2")
    assert ended.returncode != 0
    for thing in left(platform):
        assert f"{thing}: " in ended.stderr.splitlines()[-1]
    assert deploy("delete", "--yes").returncode == 0
    assert left(platform) == []
