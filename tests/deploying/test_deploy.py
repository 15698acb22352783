"""`python -m deploy` against SageMaker's double: the whole path with the real image, and every mistake."""

import re
import subprocess
import sys
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from deploy import context, names, waiting
from deploying import (
    ACCOUNT,
    DELETE,
    DEPLOY,
    IMAGE,
    INVOKE,
    NAME,
    ROLE,
    TRAIN,
    Deploy,
    Start,
    at,
    interrupted,
    last_line,
    predictions_of,
    refused,
    sentence,
)
from projects import Bake
from rehearsal.calls import Refusal
from rehearsal.service_model import violations
from rehearsal.simulator import Simulator

# The whole path.


def test_a_model_is_trained_deployed_called_and_deleted(
    cloud: Simulator, deploy_really: Deploy, project: Path, tmp_path: Path
) -> None:
    model = last_line(deploy_really(*TRAIN, "--hyperparameter", "n_estimators=20"))
    assert re.fullmatch(rf"s3://bucket/my/models/{NAME.pattern}/output/model\.tar\.gz", model)
    # T-55: the shipped expressions find them in the log
    assert cloud.metrics.keys() == {"validation_accuracy", "validation_log_loss", "validation_roc_auc"}
    assert min(cloud.metrics["validation_accuracy"], cloud.metrics["validation_roc_auc"]) > 0.9

    endpoint = last_line(deploy_really("deploy", "--image", IMAGE, "--role", ROLE, "--model", model))
    assert endpoint == "my-algorithm-dev"

    ended = deploy_really("invoke", "--endpoint", endpoint, "--input", "data/predict.csv")
    lines = ended.stdout.splitlines()
    assert len(lines) == len((project / "data" / "predict.csv").read_text().splitlines()) - 1  # H-58, its header
    assert {line.split(",")[0] for line in lines} == {"benign", "malignant"}
    assert lines == predictions_of(cloud, project / "data" / "predict.csv")

    (tmp_path / "ragged.csv").write_text("1,2,3\n")
    ragged = ("--input", str(tmp_path / "ragged.csv"), "--content-type", "text/csv")
    refused = sentence(deploy_really("invoke", "--endpoint", endpoint, *ragged))
    assert refused == "The container answered 400: row 1 has 3 columns, the model expects 30"  # H-42, H-55

    assert deploy_really("delete", "--endpoint", endpoint, "--yes").returncode == 0
    again = deploy_really("delete", "--endpoint", endpoint)
    assert (again.returncode, again.stderr) == (0, f"endpoint {endpoint}: does not exist\n")
    assert cloud.operations() == [
        *("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"),
        *("InvokeEndpoint", "InvokeEndpoint"),
        *("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"),  # C-26
    ]


def test_a_job_that_fails_prints_the_sentence_of_its_failure_file(deploy_really: Deploy) -> None:
    ended = deploy_really(*TRAIN, "--hyperparameter", "target=banana")
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "ended as Failed: AlgorithmError: The channel 'training' has no column 'banana'" in ended.stderr
    assert "Traceback" not in ended.stderr


# Training.


def test_the_folders_below_data_become_the_channels(platform: Simulator, deploy: Deploy, project: Path) -> None:
    last_line(deploy(*TRAIN))
    job = platform.request("CreateTrainingJob")
    channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in job["InputDataConfig"]}
    start = f"my/models/{job['TrainingJobName']}/input"
    assert channels == {name: f"s3://bucket/{start}/{name}/" for name in ("training", "validation")}
    stored = {found["Key"] for found in platform.s3.list_objects_v2(Bucket="bucket")["Contents"]}
    assert stored == {f"{start}/{name}/breast_cancer.csv" for name in ("training", "validation")}


def test_a_channel_that_is_on_s3_is_not_uploaded(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*TRAIN, "--channel", "training=s3://other/data", "--data", "nowhere"))
    (channel,) = platform.request("CreateTrainingJob")["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == "s3://other/data"
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_job_is_named_after_the_project_and_not_after_the_image(platform: Simulator, deploy: Deploy) -> None:
    """C-04, E-02: the name of an image may have characters that the name of a job may not have."""
    last_line(deploy(*TRAIN))
    assert NAME.fullmatch(platform.request("CreateTrainingJob")["TrainingJobName"])


def test_the_expressions_that_scrape_metrics_are_those_of_the_contract(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*TRAIN, "--metric", "loss", "--metric", "f1"))
    definitions = platform.request("CreateTrainingJob")["AlgorithmSpecification"]["MetricDefinitions"]
    assert definitions == [
        {"Name": "loss", "Regex": r"\bloss=([0-9.eE+-]+);"},  # T-55
        {"Name": "f1", "Regex": r"\bf1=([0-9.eE+-]+);"},
    ]
    log = "validation_loss=1.0;\nloss=2.5e-05;\nf1=-0.5;\n"
    assert [re.findall(each["Regex"], log) for each in definitions] == [["2.5e-05"], ["-0.5"]]


def test_the_metrics_are_those_that_the_algorithm_logs(platform: Simulator, bake: Bake, tmp_path: Path) -> None:
    """T-55: there is no second list of them to keep."""
    mine = bake()
    with (mine / "container/program/algorithm.py").open("a", encoding="utf-8") as file:
        file.write("""

def more(job: Any) -> None:
    job.log_metric("f1", 1)
    job.log_metric(
        'loss', 2
    )
    job.log_metric("f1", 3)
""")
    last_line(at(platform, mine, tmp_path)(*TRAIN))
    definitions = platform.request("CreateTrainingJob")["AlgorithmSpecification"]["MetricDefinitions"]
    assert [each["Name"] for each in definitions] == [
        "f1", "loss", "validation_accuracy", "validation_mae", "validation_rmse", "validation_r2",
        "validation_log_loss", "validation_roc_auc",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("calls", "names"),
    [
        ("job.log_predictions(a, b)", "validation"),
        ("job.log_predictions(a, b); job.log_predictions(a, b, data='test')", "validation test"),
        ("job.log_predictions(a, b, 'test', 'classes')", "test"),
        ("job.log_predictions(a, f(b, data='no'), data=\n'test',)  # job.log_predictions(a, b)", "test"),
        ("job.log_predictions(a, b, data=f'fold_{i}')", ""),
        ("job.log_predictions(a, b, 'test', None, p)", "test+"),
        ("job.log_predictions(a, b, **more)", "validation+"),
        ("job.log_predictions(a, b, data='test')\nsyntax of another Python", ""),
        ("# job.log_metric('old', 1)\njob.log_predictions(a, b, 'test')", "test"),
    ],
)
def test_the_metrics_of_predictions_are_those_of_each_call(
    platform: Simulator, bake: Bake, tmp_path: Path, calls: str, names: str
) -> None:
    mine = bake()
    (mine / "container/program/algorithm.py").write_text(calls, encoding="utf-8")
    last_line(at(platform, mine, tmp_path)(*TRAIN))
    definitions = platform.request("CreateTrainingJob")["AlgorithmSpecification"].get("MetricDefinitions", [])
    figures = {False: ["accuracy", "mae", "rmse", "r2"], True: ["accuracy", "mae", "rmse", "r2", "log_loss", "roc_auc"]}
    expected = [f"{name.rstrip('+')}_{figure}" for name in names.split() for figure in figures["+" in name]]
    assert [each["Name"] for each in definitions] == expected


def test_a_job_may_have_several_instances(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*TRAIN, "--instance-count", "3"))
    assert platform.request("CreateTrainingJob")["ResourceConfig"]["InstanceCount"] == 3


def test_hyperparameters_reach_the_job_as_they_were_typed(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*TRAIN, "--hyperparameter", "target=a=b", "--hyperparameter", "max-depth="))
    request = platform.request("CreateTrainingJob")
    assert request["HyperParameters"] == {"target": "a=b", "max-depth": ""}
    assert request["Environment"] == {"TRAINING_IMAGE": request["AlgorithmSpecification"]["TrainingImage"]}


def test_each_new_status_of_a_job_is_said_once(platform: Simulator, deploy: Deploy) -> None:
    platform.script["DescribeTrainingJob"] = iter(
        {"TrainingJobStatus": "InProgress", "SecondaryStatus": status}
        for status in ("Starting", "Starting", "Training")
    )
    said = re.findall(r"^training job .*: (.*)$", deploy(*TRAIN).stderr, re.MULTILINE)
    assert said == ["InProgress, Starting", "InProgress, Training", "Completed"]


@pytest.mark.parametrize("status", ["Failed", "Stopped", "Deleting"])
def test_a_job_that_does_not_complete_is_a_mistake(platform: Simulator, deploy: Deploy, status: str) -> None:
    end = {"TrainingJobStatus": status, "SecondaryStatus": "MaxRuntimeExceeded"}
    platform.script["DescribeTrainingJob"] = chain(
        [{"TrainingJobStatus": "Stopping", "SecondaryStatus": "Stopping"}], repeat(end)
    )
    ended = deploy(*TRAIN)
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert ended.stderr.endswith(f"ended as {status}, MaxRuntimeExceeded.\n")


def test_a_role_made_a_moment_ago_is_waited_for(platform: Simulator, deploy: Deploy) -> None:
    platform.script["CreateTrainingJob"] = iter([Refusal("ValidationException", f"Could not assume role {ROLE}.")])
    last_line(deploy(*TRAIN))  # C-09
    assert platform.operations() == ["CreateTrainingJob", "CreateTrainingJob"]


# Deploying.


def test_model_configuration_and_endpoint_have_names_of_their_own(platform: Simulator, deploy: Deploy) -> None:
    assert last_line(deploy(*DEPLOY, "--endpoint", "churn", "--instance-count", "2")) == "churn"
    assert NAME.fullmatch(platform.request("CreateModel")["ModelName"])
    assert NAME.fullmatch(platform.request("CreateEndpointConfig")["EndpointConfigName"])
    assert platform.request("CreateEndpointConfig")["ProductionVariants"][0]["InitialInstanceCount"] == 2


@pytest.mark.parametrize(
    ("instance", "driver"),
    [
        *[(name, "al2023-ami-sagemaker-inference-gpu-4-1") for name in ("ml.g5.xlarge", "ml.p4d.24xlarge")],
        *[(name, None) for name in ("ml.p3.2xlarge", "ml.m5.large")],
    ],
)
def test_an_instance_with_a_gpu_has_the_driver_that_the_packages_need(
    platform: Simulator, deploy: Deploy, instance: str, driver: str | None
) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn", "--instance-type", instance))
    assert platform.request("CreateEndpointConfig")["ProductionVariants"][0].get("InferenceAmiVersion") == driver


def test_an_endpoint_that_is_there_is_left_alone(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn"))
    calls = platform.operations()
    assert sentence(deploy(*DEPLOY, "--endpoint", "churn")) == (
        "The endpoint 'churn' exists, InService: update it, take another name or delete it."
    )
    assert platform.operations() == calls


def test_an_image_named_by_a_tag_is_deployed_with_a_warning(deploy: Deploy) -> None:
    by_tag = deploy(*DEPLOY, "--image", "my-algorithm:latest")
    assert last_line(by_tag)
    assert "'my-algorithm:latest' is a tag" in by_tag.stderr  # E-14
    assert "digest" not in deploy(*DEPLOY).stderr


@pytest.mark.parametrize(
    ("passing", "status"),
    [
        ("Creating", "Failed"),
        ("Updating", "OutOfService"),
        ("RollingBack", "UpdateRollbackFailed"),
        ("SystemUpdating", "Deleting"),
    ],
)
def test_an_endpoint_that_does_not_get_into_service_is_a_mistake(
    platform: Simulator, deploy: Deploy, passing: str, status: str
) -> None:
    end = {"EndpointStatus": status, "FailureReason": "No capacity."}
    platform.script["DescribeEndpoint"] = chain([{"EndpointStatus": passing}], repeat(end))
    ended = deploy(*DEPLOY, "--endpoint", "churn")
    assert ended.returncode != 0  # C-27
    assert ended.stderr.endswith(f"The endpoint churn ended as {status}: No capacity.\n")


def test_a_model_that_is_not_seen_yet_is_waited_for(platform: Simulator, deploy: Deploy) -> None:
    late = Refusal("ValidationException", 'Could not find model "arn:aws:sagemaker:us-west-2:1:model/x".')
    platform.script["CreateEndpointConfig"] = iter([late])
    last_line(deploy(*DEPLOY))  # C-09


def test_what_was_made_before_a_refusal_is_deleted_again(platform: Simulator, deploy: Deploy) -> None:
    limit = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances."
    platform.script["CreateEndpoint"] = repeat(Refusal("ResourceLimitExceeded", limit))
    said = refused(deploy(*DEPLOY))
    assert said.startswith(
        f"AWS refused CreateEndpoint: {limit} (ResourceLimitExceeded). Ask for more: `aws service-quotas"
    )
    assert platform.operations() == [
        *("CreateModel", "CreateEndpointConfig", "CreateEndpoint"),
        *("DeleteEndpointConfig", "DeleteModel"),
    ]


# Deleting.


def test_what_is_gone_already_is_passed_over(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn"))
    platform.sagemaker.delete_endpoint_config(
        EndpointConfigName=platform.request("CreateEndpointConfig")["EndpointConfigName"]
    )
    assert deploy(*DELETE).returncode == 0  # C-10
    assert deploy(*DELETE).returncode == 0


def test_an_endpoint_that_is_changing_is_deleted_once_it_has_changed(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn"))
    platform.script["DescribeEndpoint"] = iter([{"EndpointStatus": "Updating"}] * 2)  # the lock looks first
    before = len(platform.calls)
    assert deploy(*DELETE).returncode == 0
    asked = [call.operation for call in platform.calls[before:]]
    assert asked.index("DeleteEndpoint") > asked.index("DescribeEndpoint", asked.index("AddTags"))
    assert "DescribeEndpoint" in asked[asked.index("DeleteEndpoint") : asked.index("DeleteEndpointConfig")]


def test_a_delete_that_was_interrupted_is_taken_up_again(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY, "--endpoint", "churn"))
    gone = Refusal("ValidationException", 'Could not find endpoint "arn:aws:sagemaker:us-west-2:1:endpoint/churn".')
    looks = [{"EndpointStatus": "Deleting"}] * 2  # for the lock, and for what to do
    platform.script["DescribeEndpoint"] = chain(looks, repeat(gone))
    assert deploy(*DELETE).returncode == 0
    assert platform.operations()[-2:] == ["DeleteEndpointConfig", "DeleteModel"]
    assert "DeleteEndpoint" not in platform.operations()


def test_what_never_comes_to_be_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answer: Any = {"Error": {"Code": "ValidationException", "Message": f"Could not assume role {ROLE}."}}
    calls: list[str] = []

    def refuse(**request: str) -> None:
        calls.append(request["ModelName"])
        raise ClientError(answer, "CreateModel")

    with pytest.raises(ClientError, match="Could not assume role"):
        waiting.retry_until_visible(refuse, ModelName="churn")
    assert 1 < len(calls) < 10  # C-09


def test_a_call_may_take_its_minute_and_is_repeated_once() -> None:
    patience: Any = context.RUNTIME
    assert (patience.read_timeout, patience.retries["total_max_attempts"]) == (70, 2)  # H-11


# Mistakes.

EARLY = {
    "no image": (
        TRAIN[:1],
        "There is no image: give --image, or set it in deploy.toml, which `python -m deploy init` writes.",
    ),
    "no such command": (("undeploy",), "No such command 'undeploy'."),
    "a name with an underscore": (
        (*DEPLOY, "--endpoint", "my_endpoint"),
        "EndpointName is 'my_endpoint': give letters, digits, and hyphens between them.",
    ),
    "a name with a hyphen at its end": ((*DEPLOY, "--endpoint", "churn-"), "EndpointName is 'churn-': give letters"),
    "a name that is too long": (
        (*DEPLOY, "--endpoint", "x" * 64),
        "EndpointName has a size of 64: at most 63 is allowed.",
    ),
    "a bad name to delete": (("delete", "--endpoint", "my_endpoint"), "EndpointName is 'my_endpoint': give letters"),
    "a bad name to invoke": (
        (*INVOKE, "--endpoint", "my_endpoint"),
        "EndpointName is 'my_endpoint': give letters",
    ),
    "a role's name": ((*TRAIN, "--role", "sagemaker"), "RoleArn is 'sagemaker': give a role's ARN"),
    "a user's ARN": (
        (*DEPLOY, "--role", f"arn:aws:iam::{ACCOUNT}:user/me"),
        f"ExecutionRoleArn is 'arn:aws:iam::{ACCOUNT}:user/me': give a role's ARN",
    ),
    "a local output": ((*TRAIN, "--bucket", "models"), "--bucket is 'models': give s3://BUCKET/PREFIX."),
    "a web address": ((*TRAIN, "--bucket", "https://bucket/x"), "--bucket is 'https://bucket/x': give s3://"),
    "a local model": (
        (*DEPLOY, "--model", "model.tar.gz"),
        "--model is 'model.tar.gz': give s3://BUCKET/PATH/model.tar.gz, job:NAME, registry:NAME, or a folder or",
    ),
    "a folder as a model": ((*DEPLOY, "--model", "s3://bucket/job"), "--model is 's3://bucket/job': give s3://"),
    "a local channel": (
        (*TRAIN, "--channel", "training=data/training"),
        "InputDataConfig[0].DataSource.S3DataSource.S3Uri is 'data/training': give s3://BUCKET/PATH.",
    ),
    "a channel's name": (
        (*TRAIN, "--channel", "my data=s3://bucket/x"),
        "InputDataConfig[0].ChannelName is 'my data': give letters, digits",
    ),
    "no folder of data": ((*TRAIN, "--data", "nowhere"), "There is no folder in 'nowhere': make one for each channel"),
    "no folder in data": ((*TRAIN, "--data", "data/training"), "There is no folder in 'data/training': make one"),
    "a hyperparameter without a value": (
        (*TRAIN, "--hyperparameter", "foo"),
        "Invalid value for '--hyperparameter': 'foo': give NAME=VALUE, and each name once.",
    ),
    "a hyperparameter given twice": (
        (*TRAIN, "--hyperparameter", "a=1", "--hyperparameter", "a=2"),
        "Invalid value for '--hyperparameter': 'a=2': give NAME=VALUE, and each name once.",
    ),
    "too long a hyperparameter": (
        (*TRAIN, "--hyperparameter", f"target={'x' * 2501}"),
        "HyperParameters.target has a size of 2501: at most 2500 is allowed.",
    ),
    "an instance type": (
        (*TRAIN, "--instance-type", "ml.m5.larg"),
        "ResourceConfig.InstanceType is 'ml.m5.larg', which this version of boto3 does not know: "
        "did you mean ml.m5.large?",
    ),
    "an instance type to deploy on": (
        (*DEPLOY, "--instance-type", "ml.m5"),
        "ProductionVariants[0].InstanceType is 'ml.m5', which this version of boto3 does not know: did you mean",
    ),
    "no instances": (
        (*DEPLOY, "--instance-count", "0"),
        "ProductionVariants[0].InitialInstanceCount has a size of 0: at least 1",
    ),
    "no such input": (
        (*INVOKE, "--input", "data/nothing.csv"),
        "Invalid value for '--input': File 'data/nothing.csv' does not exist.",
    ),
    "an unknown content": (
        (*INVOKE, "--input", "pyproject.toml"),
        "'pyproject.toml' does not end in one of .csv, .json, .jsonl, .npy, .parquet: give --content-type.",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), EARLY.values(), ids=EARLY.keys())
def test_a_mistake_is_one_sentence_before_anything_is_sent(
    platform: Simulator, deploy: Deploy, arguments: tuple[str, ...], said: str
) -> None:
    assert sentence(deploy(*arguments)).startswith(said)
    assert platform.calls == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_an_empty_channel_is_named(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "mine" / "training").mkdir(parents=True)
    (tmp_path / "mine" / "training" / ".DS_Store").touch()
    assert sentence(deploy(*TRAIN, "--data", str(tmp_path / "mine"))) == (
        f"'{tmp_path}/mine/training' has no files: add some, or remove it to train without that channel."
    )


def test_a_file_that_cannot_be_read_is_one_sentence(deploy: Deploy) -> None:
    ended = deploy(*INVOKE, "--input", "/proc/self/mem", "--content-type", "text/csv")
    assert sentence(ended) == "[Errno 5] Input/output error"


def test_without_credentials_the_sentence_says_how_to_get_some(deploy: Deploy) -> None:
    ended = deploy(*DELETE, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert sentence(ended) == (
        "AWS has no credentials for you: run `aws configure` or `aws sso login`, or set AWS_PROFILE."
    )


def test_an_unknown_profile_is_named(deploy: Deploy) -> None:
    assert sentence(deploy(*DELETE, AWS_PROFILE="nobody")) == "The config profile (nobody) could not be found"


def test_aws_out_of_reach_is_one_sentence(deploy: Deploy) -> None:
    ended = deploy(*DELETE, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    assert sentence(ended).startswith("Could not connect to the endpoint URL")


def test_an_access_that_is_denied_is_told_in_aws_own_words(platform: Simulator, deploy: Deploy) -> None:
    words = "User: me is not authorized to perform: sagemaker:CreateModel on resource: model/x"
    platform.script["CreateModel"] = repeat(Refusal("AccessDeniedException", words))
    said = refused(deploy(*DEPLOY))
    assert said.startswith(
        f"AWS refused CreateModel: {words} (AccessDeniedException). Ask for the action sagemaker:Create"
    )


def test_a_bucket_that_does_not_exist_is_named(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*TRAIN, "--bucket", "s3://no-such-bucket/x")
    assert ended.returncode != 0
    said = ended.stderr.splitlines()[-1]
    assert "The specified bucket does not exist (NoSuchBucket). Create it with `aws s3 mb" in said
    assert "Traceback" not in ended.stderr
    assert platform.operations() == []


def test_an_unknown_endpoint_is_named(deploy: Deploy) -> None:
    assert sentence(deploy(*INVOKE)) == (
        f"AWS refused InvokeEndpoint: Endpoint churn of account {ACCOUNT} not found. (ValidationError)"
    )


def test_without_its_packages_the_command_says_how_to_get_them(project: Path) -> None:
    without = [sys.executable, "-B", "-S", "-m", "deploy"]
    ended = subprocess.run(without, cwd=project, capture_output=True, text=True, check=False)
    assert sentence(ended).startswith("`python -m deploy` needs the package 'click': run `make setup`")


def test_an_interrupted_command_says_that_the_job_goes_on(platform: Simulator, start: Start) -> None:
    busy = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
    platform.script["DescribeTrainingJob"] = repeat(busy)
    said = interrupted(start(*TRAIN), "InProgress")
    name = platform.request("CreateTrainingJob")["TrainingJobName"]
    assert said == (
        f"Interrupted: the training job {name} is still running, and costs money: `python -m deploy wait {name}` "
        f"waits for it, `python -m deploy stop {name}` ends it."
    )


# Regions.


@pytest.mark.parametrize(
    ("arguments", "variables", "region"),
    [
        (("--region", "eu-west-1"), {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        ((), {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        ((), {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ((), {"AWS_REGION": "", "AWS_PROFILE": "north"}, "eu-north-1"),
        ((), {"AWS_REGION": ""}, "us-west-2"),
    ],
    ids=["flag", "AWS_REGION", "AWS_DEFAULT_REGION", "profile", "none"],
)
def test_the_region_is_the_nearest_that_is_set(
    platform: Simulator,
    deploy: Deploy,
    tmp_path: Path,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    region: str,
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile north]\nregion = eu-north-1\n")
    ended = deploy(*DELETE, *arguments, **variables)
    assert ended.returncode == 0
    assert {call.region for call in platform.calls} == {region}
    assert ("No region is set, so us-west-2 is used." in ended.stderr) == (region == "us-west-2")


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-eusc"])
def test_roles_of_every_partition_are_taken(platform: Simulator, deploy: Deploy, partition: str) -> None:
    role = f"arn:{partition}:iam::{ACCOUNT}:role/team/sagemaker"
    last_line(deploy(*DEPLOY, "--role", role))  # C-05
    assert platform.request("CreateModel")["ExecutionRoleArn"] == role


def test_no_partition_or_address_of_aws_is_written_down(project: Path) -> None:
    text = "".join(path.read_text() for path in (project / "deploy").glob("*.py"))
    assert not re.search(
        r"arn:aws|(?<!sagemaker\.)amazonaws|dkr\.ecr", text
    )  # E-05: it would be wrong in another partition


# Names.


def is_valid(name: str) -> bool:
    request = {"EndpointName": name, "EndpointConfigName": name}
    return len(name) <= 63 and violations("CreateEndpoint", request) == []


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("My_Model.v2", "My-Model-v2-"),
        ("x" * 80, "x" * 42 + "-2"),
        ("-x-", "x-"),
        ("a b/c", "a-b-c-"),
        ("7", "7-"),
        ("x" * 41 + "-y" * 9, "x" * 41 + "-2"),
    ],
)
def test_a_base_is_folded_into_a_valid_name(base: str, start: str) -> None:
    name = names.unique_name(base)
    assert name.startswith(start)  # C-04, V-49
    assert is_valid(name)


@pytest.mark.parametrize("base", ["模型", "", "---", "naïve", "a\n;b"])
def test_a_base_that_cannot_be_folded_is_refused(base: str) -> None:
    with pytest.raises(Exception, match="cannot name a job: SageMaker takes letters a to z, digits and hyphens"):
        names.unique_name(base)


@given(base=st.from_regex(r"[A-Za-z0-9]([-_. /A-Za-z0-9]{0,90})", fullmatch=True))
def test_every_base_of_letters_and_separators_makes_a_valid_name(base: str) -> None:
    assert is_valid(names.unique_name(base))


def test_two_names_of_the_same_second_differ() -> None:
    assert len({names.unique_name("churn") for _ in range(20)}) == 20


# The judge of requests that these tests rely on.


@pytest.mark.parametrize(
    "broken",
    [
        {"EndpointName": "my_endpoint"},
        {"EndpointName": "x" * 64},
        {"EndpointName": 7},
        {"Tags": [{"Key": "a", "Value": "x" * 257}]},
        {"Tags": [{"Key": "<", "Value": ""}]},
        {"EndpointConfigName": None},
        {"Unknown": 1},
    ],
    ids=str,
)
def test_the_service_model_finds_a_broken_request(broken: dict[str, Any]) -> None:
    assert violations("CreateEndpoint", {"EndpointName": "churn", "EndpointConfigName": "churn"}) == []
    assert violations("CreateEndpoint", {"EndpointName": "churn", "EndpointConfigName": "churn"} | broken)
