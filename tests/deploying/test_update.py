"""`python -m deploy update`, `releases`, `rollback` and the lock, against the simulator; no Docker is needed."""

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.sagemaker.models import sagemaker_backends
from werkzeug import Response

from deploying import (
    ACCOUNT,
    DEPLOY,
    IMAGE,
    MODEL,
    NAME,
    ROLE,
    Deploy,
    Start,
    interrupted,
    last_line,
    refused,
    sentence,
)
from rehearsal import registry
from rehearsal.calls import Call, Known, Refusal
from rehearsal.handlers import HANDLERS
from rehearsal.simulator import Simulator

NEW = "s3://bucket/newer/output/model.tar.gz"
QUICK = ("--bake", "1s")
UPDATE = ("update", "--endpoint", "churn", *QUICK)
ROLLBACK = ("rollback", "--endpoint", "churn", *QUICK)


@pytest.fixture
def first(platform: Simulator) -> str:
    """An endpoint in service as deploy makes it; the name of its release."""
    name = released(platform, "my-algorithm-20260101-000000-abcd", MODEL)
    platform.sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName=name)
    return name


@pytest.fixture
def second(platform: Simulator, first: str) -> str:
    """The endpoint has been updated since; the name of the release that is in service now."""
    name = released(platform, "my-algorithm-20260102-000000-abcd", NEW)
    sagemaker_backends[ACCOUNT]["us-west-2"].endpoints["churn"].endpoint_config_name = name
    return name


def released(platform: Simulator, name: str, model: str) -> str:
    tags = [{"Key": key, "Value": value} for key, value in {"project": "my-algorithm", "stage": "dev"}.items()]
    container = {"Image": IMAGE, "ModelDataUrl": model, "Environment": {"A": "1"}}
    variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 1}
    platform.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    platform.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=tags)
    return name


def described(platform: Simulator) -> dict[str, Any]:
    return dict(platform.sagemaker.describe_endpoint(EndpointName="churn"))


def tags(platform: Simulator) -> dict[str, str]:
    arn = described(platform)["EndpointArn"]
    return {tag["Key"]: tag["Value"] for tag in platform.sagemaker.list_tags(ResourceArn=arn)["Tags"]}


def locks(platform: Simulator) -> dict[str, str]:
    return {key: value for key, value in tags(platform).items() if key.startswith("deploy-lock")}


# Update.


def test_another_model_is_put_into_service_under_new_names(platform: Simulator, deploy: Deploy, first: str) -> None:
    """C-20: new model, new configuration, the same variant; the image and all else stay as they are."""
    assert last_line(deploy(*UPDATE, "--model", NEW)) == "churn"
    model, config = platform.request("CreateModel"), platform.request("CreateEndpointConfig")
    assert NAME.fullmatch(model["ModelName"])
    assert model["ModelName"] == config["EndpointConfigName"] != first
    assert model["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": NEW, "Environment": {"A": "1"}}
    assert model["ExecutionRoleArn"] == ROLE
    assert config["ProductionVariants"] == [
        {
            "VariantName": "all",
            "ModelName": model["ModelName"],
            "InstanceType": "ml.c5.xlarge",
            "InitialInstanceCount": 1,
        }
    ]
    assert platform.operations() == ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint"]
    assert described(platform)["EndpointConfigName"] == config["EndpointConfigName"]


def test_a_setting_that_is_given_changes_and_the_others_do_not(platform: Simulator, deploy: Deploy, first: str) -> None:
    image = IMAGE.replace("0" * 64, "1" * 64)
    registry.push(platform, image)
    ended = deploy(*UPDATE, "--image", image, "--instance-count", "2", "--environment", "B=2")
    assert last_line(ended) == "churn"
    assert platform.request("CreateModel")["PrimaryContainer"] == {
        "Image": image,
        "ModelDataUrl": MODEL,
        "Environment": {"B": "2"},
    }
    assert platform.request("CreateEndpointConfig")["ProductionVariants"][0]["InitialInstanceCount"] == 2
    plan = ended.stderr
    assert f"    PrimaryContainer.Image: {IMAGE} -> {image}\n" in plan
    assert "    PrimaryContainer.Environment.B: 2\n" in plan
    assert "    PrimaryContainer.Environment.A: 1 -> none\n" in plan
    assert "InitialInstanceCount: 1 -> 2\n" in plan
    assert f"    EndpointConfigName: {first} -> " in plan
    assert "InstanceType" not in plan
    assert "ModelDataUrl" not in plan


@pytest.mark.parametrize(
    "options",
    [
        ("--serverless", "--memory-mb", "4096", "--concurrency", "7"),
        ("--async", "--bucket", "s3://bucket/my", "--concurrency", "3", "--kms-key", "key"),
        (
            "--capture-percent",
            "10",
            "--bucket",
            "s3://bucket/my",
            "--startup-seconds",
            "90",
            "--download-seconds",
            "80",
        ),
        ("--network-isolation", "--security-groups", "sg-1", "--subnets", "subnet-1", "--subnets", "subnet-2"),
        ("--instance-type", "ml.p3.2xlarge", "--instance-count", "2", "--environment", "A=1"),
        ("--environment", "MODEL_SERVER_METRICS=true"),
    ],
    ids=["serverless", "async", "capture", "network", "gpu", "metrics"],
)
def test_every_setting_of_a_release_is_read_back(platform: Simulator, deploy: Deploy, options: tuple[str, ...]) -> None:
    """So that an update without flags makes the same again."""
    last_line(deploy(*DEPLOY, "--endpoint", "churn", *options))
    made = [{operation: platform.request(operation)} for operation in ("CreateModel", "CreateEndpointConfig")]
    again = json.loads(deploy(*UPDATE, "--force", "--dry-run").stdout)[:2]
    names = [each[0]["CreateModel"]["ModelName"] for each in (made, again)]
    assert json.dumps(again).replace(names[1], names[0]) == json.dumps(made)


def test_an_update_in_which_nothing_differs_is_left_out(platform: Simulator, deploy: Deploy, first: str) -> None:
    ended = deploy(*UPDATE, "--instance-type", "ml.c5.xlarge")
    assert last_line(ended) == "churn"
    assert "nothing differs from what is in service, so --force would be needed" in ended.stderr
    assert platform.operations() == []
    last_line(deploy(*UPDATE, "--force"))
    assert platform.operations() == ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint"]


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        (
            (),
            {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
                "TerminationWaitInSeconds": 60,
                "MaximumExecutionTimeoutInSeconds": 3660,
            },
        ),
        (
            ("--canary", "10"),
            {
                "TrafficRoutingConfiguration": {
                    "Type": "CANARY",
                    "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
                    "WaitIntervalInSeconds": 60,
                },
                "TerminationWaitInSeconds": 60,
                "MaximumExecutionTimeoutInSeconds": 3720,
            },
        ),
        (
            ("--linear", "30"),
            {
                "TrafficRoutingConfiguration": {
                    "Type": "LINEAR",
                    "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 30},
                    "WaitIntervalInSeconds": 60,
                },
                "TerminationWaitInSeconds": 60,
                "MaximumExecutionTimeoutInSeconds": 3840,
            },
        ),
        (
            ("--rolling", "25"),
            {
                "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 25},
                "WaitIntervalInSeconds": 60,
                "MaximumExecutionTimeoutInSeconds": 3840,
            },
        ),
    ],
    ids=["all at once", "canary", "linear", "rolling"],
)
def test_traffic_moves_as_the_flags_say(
    platform: Simulator, deploy: Deploy, first: str, flags: tuple[str, ...], policy: dict[str, Any]
) -> None:
    """C-21."""
    last_line(deploy(*UPDATE, "--model", NEW, "--bake", "1m", *flags))
    deployment = platform.request("UpdateEndpoint")["DeploymentConfig"]
    alarms = [f"churn-update-{metric}" for metric in ("Invocation5XXErrors", "InvocationModelErrors")]
    assert deployment.pop("AutoRollbackConfiguration") == {"Alarms": [{"AlarmName": name} for name in alarms]}
    kind = "RollingUpdatePolicy" if "--rolling" in flags else "BlueGreenUpdatePolicy"
    assert deployment == {kind: policy}


def test_an_update_that_takes_longer_than_aws_gives_it_is_refused(
    platform: Simulator, deploy: Deploy, first: str
) -> None:
    """C-21: it may take 8 hours. One that needs them nearly has them all."""
    said = sentence(deploy(*UPDATE, "--model", NEW, "--linear", "10", "--bake", "1h"))
    assert said == "10 steps of 3600 s take longer than the 8 hours of an update: shorten --bake."
    assert platform.operations() == []
    [*_, update] = json.loads(deploy(*UPDATE, "--model", NEW, "--linear", "10", "--bake", "47m", "--dry-run").stdout)
    policy = update["UpdateEndpoint"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["MaximumExecutionTimeoutInSeconds"] == 28_800


def test_an_endpoint_with_instances_does_not_become_serverless(platform: Simulator, deploy: Deploy, first: str) -> None:
    """S-09: AWS refuses it, and so does the simulator."""
    assert sentence(deploy(*UPDATE, "--serverless")) == (
        "The endpoint 'churn' has instances, and cannot become serverless by an update: make another with "
        "`deploy --serverless --endpoint NAME`, then delete this one."
    )
    assert platform.operations() == []
    last_line(deploy(*DEPLOY, "--endpoint", "other", "--serverless"))
    other = platform.request("CreateEndpointConfig")["EndpointConfigName"]
    sagemaker = boto3.Session("user", "secret").client("sagemaker", "us-west-2", endpoint_url=platform.url)
    with pytest.raises(ClientError, match="cannot be updated to a serverless one"):
        sagemaker.update_endpoint(EndpointName="churn", EndpointConfigName=other)


def test_the_alarms_watch_the_new_instances_alone(platform: Simulator, deploy: Deploy, first: str) -> None:
    """C-22: ModelLatency is in microseconds, and no data is no alarm."""
    last_line(deploy(*UPDATE, "--model", NEW, "--max-errors", "5", "--max-latency", "200"))
    new = platform.request("CreateModel")["ModelName"]
    alarms = {alarm["MetricName"]: alarm for alarm in platform.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    assert {name: alarm["Threshold"] for name, alarm in alarms.items()} == {
        "Invocation5XXErrors": 0.05,
        "InvocationModelErrors": 0.5,
        "ModelLatency": 200_000,
    }
    for alarm in alarms.values():
        known = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert known == {"EndpointName": "churn", "VariantName": "all", "EndpointConfigName": new}
        assert (alarm["TreatMissingData"], alarm["Period"]) == ("notBreaching", 60)
        tagged = platform.client("cloudwatch").list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        assert {"Key": "stage", "Value": "dev"} in tagged


def test_the_latency_may_be_three_times_what_it_is_today(platform: Simulator, deploy: Deploy, first: str) -> None:
    without = deploy(*UPDATE, "--model", NEW)
    assert "no alarm of the latency: CloudWatch has none of the last day, so give --max-latency" in without.stderr
    platform.client("cloudwatch").put_metric_data(
        Namespace="AWS/SageMaker",
        MetricData=[
            {
                "MetricName": "ModelLatency",
                "Dimensions": [{"Name": "EndpointName", "Value": "churn"}, {"Name": "VariantName", "Value": "all"}],
                "Timestamp": datetime.now(UTC) - timedelta(hours=1),
                "Value": value * 1000,
            }
            for value in range(1, 101)
        ],
    )
    last_line(deploy(*UPDATE, "--force"))
    (alarm,) = platform.client("cloudwatch").describe_alarms(AlarmNames=["churn-update-ModelLatency"])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["ExtendedStatistic"]) == (270_000, "p90")


def test_without_alarms_nothing_rolls_back(platform: Simulator, deploy: Deploy, first: str) -> None:
    last_line(deploy(*UPDATE, "--model", NEW, "--no-alarms"))
    assert "AutoRollbackConfiguration" not in platform.request("UpdateEndpoint")["DeploymentConfig"]


def test_the_number_of_instances_stays_where_auto_scaling_runs(platform: Simulator, deploy: Deploy, first: str) -> None:
    """C-20, X-34; a new setting of the capture still comes through."""
    last_line(deploy(*UPDATE, "--model", NEW))
    assert "RetainAllVariantProperties" not in platform.request("UpdateEndpoint")
    platform.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/churn/variant/all",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=4,
    )
    ended = deploy(*UPDATE, "--force")
    assert last_line(ended) == "churn"
    assert "auto scaling runs: the present number of instances is kept" in ended.stderr
    request = platform.request("UpdateEndpoint")
    assert request["RetainAllVariantProperties"] is True
    assert request["ExcludeRetainedVariantProperties"] == [{"VariantPropertyType": "DataCaptureConfig"}]


def test_a_dry_run_prints_the_requests_and_sends_none(platform: Simulator, deploy: Deploy, first: str) -> None:
    ended = deploy(*UPDATE, "--model", NEW, "--dry-run")
    assert ended.returncode == 0
    assert [next(iter(each)) for each in json.loads(ended.stdout)] == [
        *("CreateModel", "CreateEndpointConfig", "PutMetricAlarm", "PutMetricAlarm", "UpdateEndpoint"),
    ]
    assert platform.operations() == []
    assert "AddTags" not in platform.operations()


def test_a_detached_update_goes_on(platform: Simulator, deploy: Deploy, first: str) -> None:
    assert last_line(deploy(*UPDATE, "--model", NEW, "--detach")) == "churn"
    assert locks(platform) == {}, "the status Updating keeps others away"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--canary", "51"), "Invalid value for '--canary': 51 is not in the range 1<=x<=50."),
        (("--linear", "9"), "Invalid value for '--linear': 9 is not in the range 10<=x<=50."),
        (("--rolling", "4"), "Invalid value for '--rolling': 4 is not in the range 5<=x<=50."),
        (("--canary", "5", "--linear", "20"), "--canary, --linear and --rolling are three ways to move traffic: give"),
        (("--bake", "10"), "Invalid value for '--bake': '10': give a number and a unit, such as 90s, 10m or 1h."),
    ],
)  # C-21
def test_a_bad_flag_is_one_sentence(
    platform: Simulator, deploy: Deploy, first: str, flags: tuple[str, ...], said: str
) -> None:
    assert sentence(deploy(*UPDATE, "--force", *flags)).startswith(said)
    assert platform.operations() == []


def test_a_bake_beyond_an_hour_is_refused(platform: Simulator, deploy: Deploy, first: str) -> None:
    said = sentence(deploy(*UPDATE, "--model", NEW, "--bake", "2h"))
    assert said.endswith("TerminationWaitInSeconds has a size of 7200: at most 3600 is allowed.")
    assert platform.operations() == []


def test_a_serverless_endpoint_is_not_rolled(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn", "--serverless"))
    said = sentence(deploy(*UPDATE, "--model", NEW, "--rolling", "25"))
    assert said == "A serverless endpoint has no instances to replace: use --canary or --linear."


def test_an_endpoint_of_several_variants_is_left_alone(platform: Simulator, deploy: Deploy, first: str) -> None:
    variant = {"ModelName": first, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    platform.sagemaker.create_endpoint_config(
        EndpointConfigName="two", ProductionVariants=[variant | {"VariantName": name} for name in ("a", "b")]
    )
    platform.script["DescribeEndpoint"] = repeat({"EndpointConfigName": "two"})
    assert sentence(deploy(*UPDATE, "--model", NEW)) == (
        "The configuration 'two' has the variants a, b: this command updates what deploy makes, one variant 'all' "
        "with a model."
    )


def test_an_endpoint_that_does_not_exist_is_not_updated(deploy: Deploy) -> None:
    assert sentence(deploy(*UPDATE, "--model", NEW)) == (
        "There is no endpoint 'churn': `python -m deploy deploy` makes one."
    )


@pytest.mark.parametrize("status", ["Creating", "RollingBack", "Failed"])
def test_an_endpoint_that_is_changing_is_not_updated(
    platform: Simulator, deploy: Deploy, first: str, status: str
) -> None:
    """C-20, C-27."""
    platform.script["DescribeEndpoint"] = repeat({"EndpointStatus": status})
    assert sentence(deploy(*UPDATE, "--model", NEW)) == (
        f"The endpoint 'churn' is {status}: it can be updated once it is InService."
    )
    assert platform.operations() == []


def test_what_was_made_before_a_refused_update_is_deleted_again(
    platform: Simulator, deploy: Deploy, first: str
) -> None:
    limit = "The account-level service limit 'ml.c5.xlarge for endpoint usage' is 1 Instances."
    platform.script["UpdateEndpoint"] = repeat(Refusal("ResourceLimitExceeded", limit))
    assert refused(deploy(*UPDATE, "--model", NEW)).startswith(f"AWS refused UpdateEndpoint: {limit}")
    assert platform.operations()[-2:] == ["DeleteEndpointConfig", "DeleteModel"]
    assert locks(platform) == {}


def test_an_endpoint_whose_model_is_deleted_is_left_alone(platform: Simulator, deploy: Deploy, first: str) -> None:
    platform.sagemaker.delete_model(ModelName=first)
    assert sentence(deploy(*UPDATE, "--model", NEW)) == (
        f"The model '{first}' in service is deleted, so it cannot be updated: roll back to another release."
    )


# Rolled back.


@pytest.fixture
def alarmed(platform: Simulator) -> Iterator[None]:
    """The first alarm fires as soon as the endpoint is Updating."""

    def fire() -> None:
        cloudwatch = platform.client("cloudwatch")
        while not stop.is_set():
            endpoint = platform.endpoints.get("churn")
            if endpoint and endpoint.status == "Updating":
                reason = "1 datapoint [1.0] was greater than the threshold (0.01)."
                cloudwatch.set_alarm_state(
                    AlarmName="churn-update-Invocation5XXErrors", StateValue="ALARM", StateReason=reason
                )
                return
            time.sleep(0.01)

    stop, thread = threading.Event(), threading.Thread(target=fire)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_an_update_that_was_rolled_back_is_a_failure(
    platform: Simulator, deploy: Deploy, first: str, alarmed: None
) -> None:
    """C-23, X-33: the endpoint is InService, with the old configuration."""
    ended = deploy(*UPDATE, "--model", NEW, "--bake", "1m")
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "endpoint churn: RollingBack\nendpoint churn: InService\n" in ended.stderr
    new = platform.request("CreateModel")["ModelName"]
    assert ended.stderr.splitlines()[-1] == (
        "The update of churn was rolled back: The update was rolled back because of the alarms "
        "churn-update-Invocation5XXErrors; the alarm churn-update-Invocation5XXErrors fired: "
        "1 datapoint [1.0] was greater than the threshold (0.01). "
        f"{first} is in service as before; {new} is deleted."
    )
    assert platform.operations()[-2:] == ["DeleteEndpointConfig", "DeleteModel"]
    assert [each["ModelName"] for each in platform.sagemaker.list_models()["Models"]] == [first]
    assert platform.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert locks(platform) == {}
    assert platform.endpoints["churn"].status == "InService"


def test_a_rollback_that_aws_does_not_explain_is_a_failure_too(platform: Simulator, deploy: Deploy, first: str) -> None:
    """C-23: the status alone says nothing."""
    silent = {"EndpointStatus": "InService", "EndpointConfigName": first}
    platform.script["DescribeEndpoint"] = chain([{}, {}, {"EndpointStatus": "Updating"}], repeat(silent))
    ended = deploy(*UPDATE, "--model", NEW, "--no-alarms")
    assert ended.returncode != 0
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(f"The update of churn was rolled back: AWS gives no reason. {first} is in service as before")


def test_what_cannot_be_deleted_after_a_rollback_is_named(platform: Simulator, deploy: Deploy, first: str) -> None:
    silent = {"EndpointStatus": "InService", "EndpointConfigName": first}
    platform.script["DescribeEndpoint"] = chain([{}, {}, {"EndpointStatus": "Updating"}], repeat(silent))
    platform.script["DeleteEndpointConfig"] = repeat(Refusal("AccessDeniedException", "not authorized"))
    ended = deploy(*UPDATE, "--model", NEW)
    new = platform.request("CreateModel")["ModelName"]
    assert ended.returncode != 0
    assert ended.stderr.endswith(f"no reason. {first} is in service as before; {new} is kept.\n")


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "Failed"])
def test_an_update_that_ends_in_another_status_keeps_what_may_be_in_use(
    platform: Simulator, deploy: Deploy, first: str, status: str
) -> None:
    end = {"EndpointStatus": status, "FailureReason": "No capacity."}
    platform.script["DescribeEndpoint"] = chain([{}, {}, {"EndpointStatus": "Updating"}], repeat(end))
    ended = deploy(*UPDATE, "--model", NEW)
    new = platform.request("CreateModel")["ModelName"]
    assert ended.returncode != 0  # C-27
    assert ended.stderr.splitlines()[-1] == f"The endpoint churn ended as {status}: No capacity. {new} is kept."
    assert "DeleteModel" not in platform.operations()


def test_an_endpoint_whose_rollback_failed_can_be_updated(platform: Simulator, deploy: Deploy, first: str) -> None:
    """C-20."""
    platform.script["DescribeEndpoint"] = iter([{"EndpointStatus": "UpdateRollbackFailed"}] * 2)
    assert last_line(deploy(*UPDATE, "--model", NEW)) == "churn"


def test_an_interrupted_update_goes_on_and_says_how_to_come_back(platform: Simulator, start: Start, first: str) -> None:
    platform.script["DescribeEndpoint"] = chain([{}, {}], repeat({"EndpointStatus": "Updating"}))
    said = interrupted(start(*UPDATE, "--model", NEW), "churn: Updating")
    new = platform.request("CreateModel")["ModelName"]
    assert said == (
        f"Interrupted: the update to {new} continues. `python -m deploy releases` shows when it is in service."
    )
    assert locks(platform) == {}


# Releases.


def test_releases_are_listed_newest_first(platform: Simulator, deploy: Deploy, first: str) -> None:
    last_line(deploy(*UPDATE, "--model", NEW))
    newer, older = deploy("releases", "--endpoint", "churn").stdout.splitlines()
    new, digest, time_ = (
        platform.request("CreateModel")["ModelName"],
        "sha256:" + "0" * 12,
        r"\d{4}-\d\d-\d\d \d\d:\d\d",
    )
    assert re.fullmatch(rf"2 {time_} {new} {digest} {NEW} ([0-9a-f]{{12}}|-) \S+ InService", newer)
    assert re.fullmatch(rf"1 {time_} {first} {digest} {MODEL} - -", older)
    assert deploy("releases", "--endpoint", "churn", "--stage", "prod").stdout == ""


def test_a_release_of_another_project_is_not_listed(platform: Simulator, deploy: Deploy, first: str) -> None:
    """Its name may begin like ours; the tags tell."""
    variant = {"VariantName": "all", "ModelName": first, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    platform.sagemaker.create_endpoint_config(
        EndpointConfigName="my-algorithm-2-20260101-000000-abcd", ProductionVariants=[variant]
    )
    assert len(deploy("releases").stdout.splitlines()) == 1


def test_the_release_before_comes_back(platform: Simulator, deploy: Deploy, first: str, second: str) -> None:
    ended = deploy(*ROLLBACK, "--canary", "20")
    assert last_line(ended) == "churn"
    assert re.search(rf"^  to release 1 \S+ \S+ {first} sha256:0{{12}} {MODEL} - -$", ended.stderr, re.MULTILINE)
    request = platform.request("UpdateEndpoint")
    assert request["EndpointConfigName"] == first
    assert request["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert len(request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 2
    assert described(platform)["EndpointConfigName"] == first
    last_line(deploy(*ROLLBACK, "2"))
    assert described(platform)["EndpointConfigName"] == second


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ((), "There is no release before the one in service: `python -m deploy releases` lists them."),
        (("1",), "There is no other release 1: `python -m deploy releases` lists them."),
        (("2",), "There is no other release 2: `python -m deploy releases` lists them."),
    ],
)
def test_a_release_that_does_not_exist_is_named(
    platform: Simulator, deploy: Deploy, first: str, number: tuple[str, ...], said: str
) -> None:
    assert sentence(deploy(*ROLLBACK, *number)) == said
    assert platform.operations() == []


def test_a_release_without_its_model_does_not_come_back(
    platform: Simulator, deploy: Deploy, first: str, second: str
) -> None:
    platform.sagemaker.delete_model(ModelName=first)
    assert sentence(deploy(*ROLLBACK)) == "The model of release 1 is deleted: choose another release."
    assert "its model is deleted" in deploy("releases").stdout


def test_a_rollback_that_aws_rolls_back_deletes_nothing(
    platform: Simulator, deploy: Deploy, first: str, second: str
) -> None:
    silent = {"EndpointStatus": "InService", "EndpointConfigName": second, "FailureReason": "No capacity."}
    platform.script["DescribeEndpoint"] = chain([{}, {}], repeat(silent))
    ended = deploy(*ROLLBACK)
    assert ended.returncode != 0
    assert ended.stderr.endswith(f"rolled back: No capacity. {second} is in service as before; {first} is kept.\n")
    assert "DeleteModel" not in platform.operations()


# The lock.

OTHER = "2026-01-01T12:00:00.000000Z arn:aws:iam::1:user/ada"
LOCKED = (
    "The endpoint 'churn' is locked: arn:aws:iam::1:user/ada has been changing it since 2026-01-01T12:00:00Z. "
    "Wait for the end; if that command was killed, run `python -m deploy unlock`."
)


def lock(platform: Simulator, value: str = OTHER) -> None:
    arn = described(platform)["EndpointArn"]
    platform.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "deploy-lock-1", "Value": value}])


@pytest.mark.parametrize("verb", [(*UPDATE, "--model", NEW), ROLLBACK])
def test_who_comes_second_learns_who_was_first(
    platform: Simulator, deploy: Deploy, first: str, verb: tuple[str, ...]
) -> None:
    lock(platform)
    assert sentence(deploy(*verb)) == LOCKED
    assert locks(platform) == {"deploy-lock-1": OTHER}
    assert platform.operations() == []


def test_what_somebody_changes_is_not_deleted(platform: Simulator, deploy: Deploy, first: str) -> None:
    lock(platform)
    ended = deploy("delete", "--endpoint", "churn", "--yes")
    assert ended.returncode == 1
    assert f"Not deleted: endpoint churn: {LOCKED}" in ended.stderr
    assert platform.operations() == []


def test_a_lock_that_was_left_can_be_removed(platform: Simulator, deploy: Deploy, first: str) -> None:
    lock(platform)
    ended = deploy("unlock", "--endpoint", "churn")
    assert (ended.returncode, ended.stderr) == (0, f"endpoint churn: removed the lock of {OTHER}\n")
    assert deploy("unlock", "--endpoint", "churn").stderr == "endpoint churn: is not locked\n"
    assert deploy("delete", "--endpoint", "churn", "--yes").returncode == 0


def test_the_lock_names_who_and_since_when_while_a_command_runs(
    platform: Simulator, deploy: Deploy, first: str
) -> None:
    last_line(deploy(*UPDATE, "--model", NEW))
    (tag,) = platform.request("AddTags")["Tags"]
    assert tag["Key"].startswith("deploy-lock-")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z arn:aws:\S+", tag["Value"])
    order = platform.operations(but=())
    assert order.index("AddTags") < order.index("UpdateEndpoint") < order.index("DeleteTags")
    assert locks(platform) == {}


@pytest.mark.parametrize(("since", "wins"), [("2999", True), ("2000", False)])
def test_of_two_that_come_at_once_the_earlier_goes_on(
    platform: Simulator, deploy: Deploy, first: str, monkeypatch: pytest.MonkeyPatch, since: str, wins: bool
) -> None:
    """Another's tag appears between our first look and our own tag, and goes if that one sees that ours is earlier."""
    looks: list[Call] = []

    def look(simulator: Simulator, call: Call, known: Known) -> Response:
        looks.append(call)
        if len(looks) == 3 and wins:
            platform.sagemaker.delete_tags(ResourceArn=call.request["ResourceArn"], TagKeys=["deploy-lock-1"])
        answer = known()
        if len(looks) == 1:
            lock(platform, OTHER.replace("2026", since))
        return answer

    monkeypatch.setitem(HANDLERS, "ListTags", look)
    ended = deploy(*UPDATE, "--model", NEW)
    assert (ended.returncode == 0) == wins, ended.stderr
    assert ("is locked" in ended.stderr) == (not wins)
    assert locks(platform).keys() == (set() if wins else {"deploy-lock-1"})


def test_neither_goes_on_if_the_other_does_not_withdraw(platform: Simulator, deploy: Deploy, first: str) -> None:
    """A clock that is behind is no way past a lock."""
    lock(platform, OTHER.replace("2026", "2999"))
    assert "is locked" in sentence(deploy(*UPDATE, "--model", NEW))


def test_an_interruption_before_the_update_removes_the_lock_and_the_model(
    platform: Simulator, start: Start, first: str
) -> None:
    late = Refusal("ValidationException", 'Could not find model "arn:aws:sagemaker:us-west-2:1:model/x".')
    platform.script["CreateEndpointConfig"] = repeat(late)
    interrupted(start(*UPDATE, "--model", NEW), "~ endpoint churn")
    assert locks(platform) == {}
    assert "UpdateEndpoint" not in platform.operations()
    assert [each["ModelName"] for each in platform.sagemaker.list_models()["Models"]] == [first]
