"""How an endpoint is made: its kind, what it captures, what Security Hub says, and what helps when it fails."""

import json
import time
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from deploying import DEPLOY, IMAGE, MODEL, ROLE, Deploy, at, last_line, refused, sentence
from projects import Bake
from rehearsal.calls import Refusal
from rehearsal.simulator import Simulator

BUCKET = ("--bucket", "s3://bucket/my")
VPC = ("--subnets", "subnet-1", "--subnets", "subnet-2", "--security-groups", "sg-1")


def variant(platform: Simulator) -> Any:
    return platform.request("CreateEndpointConfig")["ProductionVariants"][0]


def test_a_serverless_endpoint_has_memory_and_no_instances(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--serverless", "--memory-mb", "4096", "--concurrency", "20"))
    made = variant(platform)
    assert made["ServerlessConfig"] == {"MemorySizeInMB": 4096, "MaxConcurrency": 20}  # S-01
    assert not made.keys() & {"InstanceType", "InitialInstanceCount"}
    assert platform.request("CreateModel")["PrimaryContainer"]["Environment"] == {"MODEL_SERVER_WORKERS": "1"}  # S-06


def test_an_asynchronous_endpoint_says_where_results_and_errors_go(platform: Simulator, deploy: Deploy) -> None:
    """A-05, A-06."""
    last_line(deploy(*DEPLOY, *BUCKET, "--async", "--concurrency", "3"))
    made = platform.request("CreateEndpointConfig")["AsyncInferenceConfig"]
    assert made["OutputConfig"] == {
        "S3OutputPath": "s3://bucket/my/async/output",
        "S3FailurePath": "s3://bucket/my/async/failure",
    }
    assert made["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 3}


def test_a_flag_overrides_the_kind_in_deploy_toml(platform: Simulator, bake: Bake, tmp_path: Path) -> None:
    mine = bake()
    (mine / "deploy.toml").write_text("[dev]\ninference = 'serverless'\n", encoding="utf-8")
    last_line(at(platform, mine, tmp_path)(*DEPLOY, "--real-time"))
    assert variant(platform)["InstanceType"] == "ml.m5.large"
    last_line(at(platform, mine, tmp_path)(*DEPLOY, "--endpoint", "other"))
    assert "ServerlessConfig" in variant(platform)


def test_a_kind_that_does_not_exist_is_refused(platform: Simulator, bake: Bake, tmp_path: Path) -> None:
    mine = bake()
    (mine / "deploy.toml").write_text("[dev]\ninference = 'realtime'\n", encoding="utf-8")
    said = sentence(at(platform, mine, tmp_path)(*DEPLOY))
    assert said == "inference is 'realtime': give real-time, serverless or async."


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--memory-mb", "1000"), "memory_mb is 1000: give 1024, 2048, 3072, 4096, 5120 or 6144."),
        (("--concurrency", "201"), "ProductionVariants[0].ServerlessConfig.MaxConcurrency has a size of 201: at most"),
        ((*VPC,), "A serverless endpoint cannot have subnets: leave it out of this stage."),
        (("--network-isolation",), "A serverless endpoint cannot have network_isolation"),
        ((*BUCKET, "--capture-percent", "5"), "A serverless endpoint cannot have capture_percent"),
        (("--startup-seconds", "90"), "A serverless endpoint cannot have startup_seconds"),  # S-02
    ],
)
def test_what_a_serverless_endpoint_cannot_have_is_refused(
    platform: Simulator, deploy: Deploy, flags: tuple[str, ...], said: str
) -> None:
    assert sentence(deploy(*DEPLOY, "--serverless", *flags)).startswith(said)  # S-01, S-07
    assert platform.calls == []


def test_calls_are_captured_as_text(platform: Simulator, deploy: Deploy) -> None:
    """M-41, M-43: as it was sent, not in base64; and the types have no parameters."""
    last_line(deploy(*DEPLOY, *BUCKET, "--capture-percent", "20"))
    made = platform.request("CreateEndpointConfig")["DataCaptureConfig"]
    assert made["InitialSamplingPercentage"] == 20
    assert made["DestinationS3Uri"] == "s3://bucket/my/capture"
    assert made["CaptureOptions"] == [{"CaptureMode": "InputAndOutput"}]
    assert made["CaptureContentTypeHeader"] == {
        "CsvContentTypes": ["text/csv"],
        "JsonContentTypes": ["application/json", "application/jsonlines"],
    }


def test_sagemaker_reads_the_metrics_of_a_server_that_is_told_to_have_them(platform: Simulator, deploy: Deploy) -> None:
    """M-50; of a serverless endpoint it reads none (S-07)."""
    last_line(deploy(*DEPLOY, "--environment", "MODEL_SERVER_METRICS=true"))
    assert platform.request("CreateEndpointConfig")["MetricsConfig"] == {"EnableDetailedObservability": True}
    for more in (
        ("--environment", "MODEL_SERVER_METRICS=off"),
        ("--environment", "MODEL_SERVER_METRICS=1", "--serverless"),
    ):
        last_line(deploy(*DEPLOY, *more, "--endpoint", f"other-{len(more)}"))
        assert "MetricsConfig" not in platform.request("CreateEndpointConfig")


def test_start_up_and_download_have_time_outs(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--startup-seconds", "600", "--download-seconds", "3600"))
    assert variant(platform)["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    assert variant(platform)["ModelDataDownloadTimeoutInSeconds"] == 3600


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--startup-seconds", "59"), "ContainerStartupHealthCheckTimeoutInSeconds has a size of 59: at least 60"),
        (("--download-seconds", "3601"), "ModelDataDownloadTimeoutInSeconds has a size of 3601: at most 3600"),
        ((*BUCKET, "--capture-percent", "101"), "InitialSamplingPercentage has a size of 101: at most 100"),
        (("--capture-percent", "1"), "There is no bucket"),
        (("--async",), "There is no bucket"),
        (("--subnets", "subnet-1", "--security-groups", "sg-1"), "An endpoint needs subnets in two zones"),  # C-08
        (("--subnets", "subnet-1"), "subnets and security_groups go together"),
    ],
)
def test_what_is_out_of_range_or_missing_is_one_sentence(deploy: Deploy, flags: tuple[str, ...], said: str) -> None:
    assert said in sentence(deploy(*DEPLOY, *flags))


def test_instances_with_disks_of_their_own_take_no_key(platform: Simulator, deploy: Deploy) -> None:
    """AWS refuses a key for them: their hardware encrypts the disk."""
    last_line(deploy(*DEPLOY, "--kms-key", "alias/mine", "--instance-type", "ml.g5.xlarge"))
    assert "KmsKeyId" not in platform.request("CreateEndpointConfig")
    last_line(deploy(*DEPLOY, "--kms-key", "alias/mine", "--endpoint", "other"))
    assert platform.request("CreateEndpointConfig")["KmsKeyId"] == "alias/mine"


# Security Hub.


def controls(stderr: str) -> dict[str, str]:
    lines = [line.strip() for line in stderr.splitlines() if "Security Hub" in line or "AWS Config" in line]
    return {line.split(":")[0]: line.split(": ")[1] for line in lines}


def test_a_deployment_to_prod_says_which_controls_it_meets(deploy: Deploy) -> None:
    flags = (*VPC, "--kms-key", "alias/mine", "--network-isolation", "--instance-count", "2")
    said = controls(deploy(*DEPLOY, "--stage", "prod", *flags).stderr)
    assert said == {
        "Security Hub SageMaker.4, at least two instances": "met",
        "Security Hub SageMaker.5, network isolation": "met",
        "Security Hub SageMaker.16, image from a registry in the VPC": "not met",
        "AWS Config sagemaker-model-in-vpc": "met",
        "AWS Config sagemaker-endpoint-configuration-kms-key-configured": "met",
    }


def test_a_plain_deployment_to_prod_says_what_it_does_not_meet(deploy: Deploy) -> None:
    assert set(controls(deploy(*DEPLOY, "--stage", "prod").stderr).values()) == {"not met"}


def test_controls_of_instances_do_not_apply_to_a_serverless_endpoint(deploy: Deploy) -> None:
    said = controls(deploy(*DEPLOY, "--stage", "prod", "--serverless").stderr)
    assert said["Security Hub SageMaker.4, at least two instances"] == "does not apply, as the endpoint is serverless"
    assert said["Security Hub SageMaker.5, network isolation"] == "not met"


def test_what_with_adds_counts_for_the_controls(deploy: Deploy, tmp_path: Path) -> None:
    image = {"PrimaryContainer": {"ImageConfig": {"RepositoryAccessMode": "Vpc"}}}
    (tmp_path / "more.json").write_text(json.dumps({"CreateModel": image}))
    said = controls(deploy(*DEPLOY, "--stage", "prod", "--with", str(tmp_path / "more.json")).stderr)
    assert said["Security Hub SageMaker.16, image from a registry in the VPC"] == "met"


def test_other_stages_are_not_held_to_the_controls(deploy: Deploy) -> None:
    assert controls(deploy(*DEPLOY).stderr) == {}


# Failures.


def test_an_endpoint_that_fails_says_what_its_log_says_and_how_to_see_it_here(
    platform: Simulator, deploy: Deploy
) -> None:
    group, stream = "/aws/sagemaker/Endpoints/churn", "all/i-1"
    logs = platform.client("logs")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + number, "message": f"line {number}"} for number in range(40)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=lines)
    reason = "The primary container for production variant all did not pass the ping health check."
    end = {"EndpointStatus": "Failed", "FailureReason": reason}
    platform.script["DescribeEndpoint"] = chain([{"EndpointStatus": "Creating"}], repeat(end))
    ended = deploy(*DEPLOY, "--endpoint", "churn", "--environment", "MODEL_SERVER_WORKERS=2", "--serverless")
    assert ended.returncode != 0
    assert ended.stdout == ""
    said = ended.stderr.splitlines()
    shown = [line.strip() for line in said if line.strip().startswith("line ")]
    assert shown == [f"line {number}" for number in range(20, 40)]
    assert f"aws s3 cp {MODEL} model.tar.gz" in ended.stderr
    assert "docker run --rm" in ended.stderr
    assert f"--env=MODEL_SERVER_WORKERS=2 --memory=2048m --read-only --tmpfs=/tmp --user=65534 {IMAGE} serve" in (
        ended.stderr
    )
    assert f"make serve MODEL={MODEL.rpartition('/')[2]}" in ended.stderr
    assert "python -m deploy delete --endpoint churn" in ended.stderr
    assert said[-1] == f"The endpoint churn ended as Failed: {reason}"  # C-27


def test_an_endpoint_that_fails_before_it_logs_says_so(platform: Simulator, deploy: Deploy) -> None:
    end = {"EndpointStatus": "Failed", "FailureReason": "No capacity."}
    platform.script["DescribeEndpoint"] = chain([{"EndpointStatus": "Creating"}], repeat(end))
    ended = deploy(*DEPLOY, "--endpoint", "churn")
    assert "/aws/sagemaker/Endpoints/churn holds no line" in ended.stderr


def test_a_container_that_does_not_start_shows_its_own_words(
    cloud: Simulator, deploy_really: Deploy, tmp_path: Path
) -> None:
    """The real image, with a variable that it refuses: its sentence reaches whoever deploys."""
    (tmp_path / "model").mkdir()
    for name in ("model.onnx", "manifest.json"):
        (tmp_path / "model" / name).write_text("{}", encoding="utf-8")
    ended = deploy_really(
        *("deploy", "--image", IMAGE, "--role", ROLE, *BUCKET, "--model", str(tmp_path / "model")),
        *("--environment", "MODEL_SERVER_WORKERS=many"),
    )
    assert ended.returncode != 0
    assert "MODEL_SERVER_WORKERS is 'many'" in ended.stderr
    assert "did not pass the ping health check" in ended.stderr.splitlines()[-1]
    assert cloud.operations() == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (
            "ValidationException",
            f"Could not assume role {ROLE}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role.",
            '"Principal": {"Service": "sagemaker.amazonaws.com"}',
        ),
        (
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances.",
            "aws service-quotas request-service-quota-increase",
        ),
        ("ValidationException", "Cannot create already existing endpoint", "take another name"),
        (
            "InternalFailure",
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.",
            "another --instance-type",
        ),
    ],
)
def test_a_refusal_comes_with_its_remedy(
    platform: Simulator, deploy: Deploy, code: str, message: str, remedy: str
) -> None:
    platform.script["CreateEndpoint"] = repeat(Refusal(code, message))
    said = refused(deploy(*DEPLOY))
    assert said.startswith(f"AWS refused CreateEndpoint: {message} ({code})")
    assert remedy in said


def test_a_failure_for_want_of_capacity_comes_with_its_remedy(platform: Simulator, deploy: Deploy) -> None:
    reason = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    end = {"EndpointStatus": "Failed", "FailureReason": reason}
    platform.script["DescribeEndpoint"] = chain([{"EndpointStatus": "Creating"}], repeat(end))
    assert "another --instance-type" in deploy(*DEPLOY).stderr.splitlines()[-1]
