"""A job is followed to its end, and come back to: its log, its failure, Ctrl-C, and what can go wrong meanwhile."""

import re
import subprocess
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from deploying import TRAIN, Deploy, Start, interrupted, last_line, sentence
from projects import Bake
from rehearsal.calls import Refusal
from rehearsal.logs import Stream
from rehearsal.simulator import Simulator
from rehearsal.training import GROUP, interrupt

BUSY = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
DONE = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}
EXPIRED = Refusal("ExpiredTokenException", "The security token included in the request is expired")
STATES = {f"InProgress, {phase}" for phase in ("Starting", "Downloading", "Training", "Uploading")} | {"Completed"}
COUNTING = """#!/usr/bin/env python3
import pathlib, signal, sys
file = pathlib.Path("/opt/ml/checkpoints/count")
count = int(file.read_text()) + 1 if file.exists() else 1
file.write_text(str(count))
print("start", count, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if count == 1:
    signal.pause()
pathlib.Path("/opt/ml/model/model").write_text("model")
"""
DENIED = Refusal("AccessDeniedException", "User: me is not authorized to perform: logs:DescribeLogStreams")


@pytest.fixture
def job(platform: Simulator, deploy: Deploy) -> str:
    """The name of a job that was started and not waited for."""
    return last_line(deploy(*TRAIN, "--detach"))


def stream(platform: Simulator, job: str, host: int = 1) -> Stream:
    return Stream(platform, GROUP, f"{job}/algo-{host}-1700000000")


# The log.


def test_each_line_of_the_log_is_printed_once_and_in_order_and_the_last_ones_too(
    platform: Simulator, deploy: Deploy, job: str
) -> None:
    """Nothing is lost between two looks, and CloudWatch has the last lines only after the job has ended."""
    log = stream(platform, job)
    late = threading.Timer(1.5, lambda: log.write("late 0\nlate 1"))

    def looks() -> Iterator[Any]:
        yield BUSY  # that finds the job
        yield BUSY
        for look in range(3):
            for number in range(40):
                log.write(f"look {look} line {number}")
            log.write("loss=0.5;")
            yield BUSY
        late.start()
        yield from repeat(DONE)

    platform.script["DescribeTrainingJob"] = looks()
    ended = deploy("wait", job)
    late.join()
    assert last_line(ended).endswith(f"{job}/output/model.tar.gz")
    printed = [line for line in ended.stderr.splitlines() if re.match("look|late|loss", line)]
    expected: list[str] = []
    for look in range(3):
        expected += [*(f"look {look} line {number}" for number in range(40)), "loss=0.5;"]
    assert printed == [*expected, "late 0", "late 1"]


def test_lines_of_several_hosts_are_in_the_order_of_time_and_name_their_host(
    platform: Simulator, deploy: Deploy, job: str
) -> None:
    hosts = [stream(platform, job, number) for number in (1, 2)]
    for number in range(4):
        hosts[number % 2].write(f"step {number}")
        platform.wait(1)
    ended = deploy("wait", job)
    printed = re.findall(r"^algo-\d.*$", ended.stderr, re.MULTILINE)
    assert printed == [f"algo-{number % 2 + 1} | step {number}" for number in range(4)]
    assert deploy("logs", job).stdout.splitlines() == printed


def test_without_permission_for_the_log_the_wait_goes_on(platform: Simulator, deploy: Deploy, job: str) -> None:
    stream(platform, job).write("secret")
    platform.script["DescribeTrainingJob"] = chain(repeat(BUSY, 3), repeat(DONE))
    platform.script["DescribeLogStreams"] = repeat(DENIED)
    ended = deploy("wait", job)
    last_line(ended)
    assert ended.stderr.count("The log cannot be shown: AWS refused DescribeLogStreams: User: me is not auth") == 1
    assert sentence(deploy("logs", job)).startswith("AWS refused DescribeLogStreams")


def test_metrics_are_shown_when_they_change(platform: Simulator, deploy: Deploy, job: str) -> None:
    def looks() -> Iterator[Any]:
        yield from repeat(BUSY | {"FinalMetricDataList": []}, 2)
        for loss in (0.5, 0.5, 0.25):
            yield BUSY | {"FinalMetricDataList": [{"MetricName": "loss", "Value": loss, "Timestamp": 1}]}
        yield from repeat(DONE | {"FinalMetricDataList": [{"MetricName": "loss", "Value": 0.25, "Timestamp": 1}]})

    platform.script["DescribeTrainingJob"] = looks()
    assert re.findall("metrics: (.*)", deploy("wait", job).stderr) == ["loss=0.5", "loss=0.25"]


def test_the_log_of_an_endpoint_is_printed(platform: Simulator, deploy: Deploy) -> None:
    platform.sagemaker.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{'1' * 12}:role/sagemaker")
    variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    platform.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    platform.sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="c")
    Stream(platform, "/aws/sagemaker/Endpoints/churn", "all/i-0123456789abcdef0").write("ready")
    assert last_line(deploy("logs", "churn", "--minutes", "5")) == "ready"
    assert last_line(deploy("wait", "churn")) == "churn"  # and the same verb waits for one
    assert sentence(deploy("stop", "churn")) == (
        "'churn' is an endpoint: `python -m deploy delete --endpoint churn` ends it."
    )


# How it ends.


@pytest.mark.parametrize(
    ("phase", "reason", "repeatable"),
    [
        ("Downloading", "ClientError: Data download failed: no S3 objects found", False),
        ("Training", "AlgorithmError: The channel 'training' is empty., exit code: 1", True),
        ("Uploading", "ClientError: Artifact upload failed: AccessDenied", False),
    ],
)
def test_a_job_that_fails_in_any_phase_says_why_and_how_to_see_it_here(
    platform: Simulator, deploy: Deploy, phase: str, reason: str, repeatable: bool
) -> None:
    failed = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason}
    busy = {"TrainingJobStatus": "InProgress", "SecondaryStatus": phase}
    platform.script["DescribeTrainingJob"] = chain([busy], repeat(failed))
    ended = deploy(*TRAIN, "--hyperparameter", "n_estimators=5", "--hyperparameter", "target=it's $1")
    assert (ended.returncode != 0, ended.stdout) == (True, "")
    lines = ended.stderr.splitlines()
    name = platform.request("CreateTrainingJob")["TrainingJobName"]
    assert f"training job {name}: InProgress, {phase}" in lines
    assert lines[-1] == f"The training job {name} ended as Failed: {reason}"
    assert ("To see this on your machine: make train HYPERPARAMETERS=" in ended.stderr) == repeatable


def test_the_command_for_this_machine_trains_with_the_same_values(
    platform: Simulator, deploy: Deploy, bake: Bake, tmp_path: Path
) -> None:
    reason = {"FailureReason": "AlgorithmError: no, exit code: 1"}
    platform.script["DescribeTrainingJob"] = repeat(DONE | {"TrainingJobStatus": "Failed"} | reason)
    odd = 'it\'s "$HOME" & #1'
    ended = deploy(*TRAIN, "--hyperparameter", f"target={odd}", "--data", "data")
    [command] = re.findall("To see this on your machine: make train (.*)", ended.stderr)
    (tmp_path / "Makefile").write_text("train:\n\t@printf '%s\\n' $(HYPERPARAMETERS)\nSHELL = bash\n", encoding="utf-8")
    made = subprocess.run(f"make -s train {command}", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (made.stdout, command.endswith(" DATA=data")) == (f"target={odd}\n", True)


def test_wait_has_the_exit_status_of_the_outcome(platform: Simulator, deploy: Deploy, job: str) -> None:
    platform.script["DescribeTrainingJob"] = repeat(
        {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    )
    assert deploy("wait", job).stderr.splitlines()[-1] == (
        f"The training job {job} ended as Stopped, MaxRuntimeExceeded."
    )
    assert deploy("wait", job).returncode != 0
    del platform.script["DescribeTrainingJob"]
    assert last_line(deploy("wait", job)) == f"s3://bucket/my/models/{job}/output/model.tar.gz"


def test_a_job_that_has_logged_nothing_says_so(deploy: Deploy, job: str) -> None:
    ended = deploy("logs", job)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == f"The training job {job} has no log, or none yet.\n"


@pytest.mark.parametrize("verb", ["wait", "logs", "stop"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "No job and no endpoint is named 'nobody' in us-west-2."),
        ("no_name", "TrainingJobName is 'no_name': give letters, digits, and hyphens between them."),
    ],
)
def test_a_name_that_nothing_has_is_one_sentence(deploy: Deploy, verb: str, name: str, said: str) -> None:
    """C-10."""
    assert sentence(deploy(verb, name)) == said


# Coming back.


def test_a_detached_job_is_named_with_the_way_back(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*TRAIN, "--detach", "--region", "us-west-2")
    name = platform.request("CreateTrainingJob")["TrainingJobName"]
    assert ended.stdout == f"{name}\n"
    assert ended.stderr.splitlines()[-1] == (
        f"Not waiting: the training job {name} is still running, and costs money: `python -m deploy wait {name} "
        f"--region us-west-2` waits for it, `python -m deploy stop {name} --region us-west-2` ends it."
    )
    assert "DescribeTrainingJob" not in [call.operation for call in platform.calls]


def test_ctrl_c_before_anything_is_sent_says_so(start: Start, bake: Bake, platform: Simulator) -> None:
    mine = bake()
    slow = "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    (mine / "container/program/algorithm.py").write_text(slow, encoding="utf-8")
    assert interrupted(start(*TRAIN, folder=mine), "importing") == "Interrupted: nothing was started."
    assert platform.operations() == []


def test_ctrl_c_during_an_upload_says_what_is_there(start: Start, platform: Simulator, tmp_path: Path) -> None:
    (tmp_path / "mine/training").mkdir(parents=True)
    with (tmp_path / "mine/training/large.bin").open("wb") as file:
        file.truncate(400_000_000)
    said = interrupted(start(*TRAIN, "--data", str(tmp_path / "mine")), "400.0 MB in files: 1")
    assert re.fullmatch(
        r"Interrupted in the upload to s3://bucket/my/models/\S+/input/training/: nothing was started; "
        "its files stay there.",
        said,
    )
    assert platform.operations() == []


def test_ctrl_c_while_following_a_log_ends_it(start: Start, platform: Simulator, job: str) -> None:
    platform.script["DescribeTrainingJob"] = repeat(BUSY)
    said = interrupted(start("logs", job, "--follow"), "InProgress")
    assert said.startswith(f"Interrupted: the training job {job} is still running")


# What goes wrong meanwhile.


def test_credentials_that_expire_during_a_wait_leave_the_way_back(
    platform: Simulator, deploy: Deploy, job: str
) -> None:
    platform.script["DescribeTrainingJob"] = chain(repeat(BUSY, 3), repeat(EXPIRED))
    ended = deploy("wait", job)
    assert (ended.returncode != 0, "Traceback" in ended.stderr) == (True, False)
    last = ended.stderr.splitlines()[-1]
    assert "The security token included in the request is expired" in last
    assert f"the training job {job} is still running, and costs money: `python -m deploy wait {job}` waits" in last


@pytest.mark.parametrize(
    "operation", ["CreateTrainingJob", "DescribeTrainingJob", "DescribeLogStreams", "GetLogEvents"]
)
@pytest.mark.parametrize(
    "refusal",
    [Refusal("ThrottlingException", "Rate exceeded"), Refusal("InternalFailure", "An internal error occurred.", 500)],
    ids=["throttled", "internal error"],
)
def test_a_call_that_is_refused_for_a_moment_is_repeated(
    platform: Simulator, deploy: Deploy, operation: str, refusal: Refusal
) -> None:
    platform.script[operation] = iter([refusal, refusal])
    Stream(platform, GROUP, "other/algo-1-1700000000").write("another job's")
    name = last_line(deploy(*TRAIN)).split("/")[-3]
    stream(platform, name).write("a line")
    assert last_line(deploy("logs", name)) == "a line"
    assert list(platform.script.pop(operation)) == []


# With the real image.


@pytest.fixture
def counting(image: str, tmp_path: Path) -> Iterator[str]:
    """The image with a `train` that counts its starts in the folder of checkpoints."""
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY --chmod=755 train /opt/program/train\n")
    (tmp_path / "train").write_text(COUNTING)
    subprocess.run(["docker", "build", "--quiet", "--tag", f"{image}-counting", str(tmp_path)], check=True)
    yield f"{image}-counting"
    subprocess.run(["docker", "rmi", f"{image}-counting"], check=True)


def test_a_job_is_followed_from_its_containers_to_its_model(cloud: Simulator, deploy_really: Deploy) -> None:
    """T-40, T-55, P-30: the log's lines, the metrics that AWS scraped, and what the container was told."""
    ended = deploy_really(*TRAIN, "--hyperparameter", "n_estimators=5")
    name = last_line(ended).split("/")[-3]
    lines = ended.stderr.splitlines()
    said = [line.rpartition(": ")[2] for line in lines if line.startswith(f"training job {name}: ")]
    assert (said[-1], set(said) <= STATES) == ("Completed", True)
    log = deploy_really("logs", name).stdout.splitlines()
    assert [line for line in lines if line in log] == log
    assert any(line.startswith("validation_accuracy=") for line in log)
    assert any(line.startswith("metrics: validation_accuracy=") for line in lines)


def test_a_job_that_is_stopped_or_out_of_time_is_told_to_the_one_who_waits(
    cloud: Simulator, deploy_really: Deploy, tmp_path: Path
) -> None:
    """P-21, P-27: SIGTERM comes, and the job ends in time."""
    long = (*TRAIN, "--hyperparameter", "n_estimators=2000", "--detach")
    name = last_line(deploy_really(*long))
    last_line(deploy_really("stop", name))
    assert cloud.jobs["training"][name].described["TrainingJobStatus"] == "Stopped"
    again = deploy_really("stop", name)
    assert (again.returncode, "StopTrainingJob" in again.stderr) == (0, False)

    (tmp_path / "short.json").write_text('{"CreateTrainingJob": {"StoppingCondition": {"MaxRuntimeInSeconds": 100}}}')
    ended = deploy_really(*long[:-1], "--with", str(tmp_path / "short.json"))
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1].endswith("ended as Stopped, MaxRuntimeExceeded.")


def test_a_spot_job_goes_on_from_its_checkpoints_after_an_interruption(
    cloud: Simulator, deploy_really: Deploy, counting: str
) -> None:
    """T-50, T-52: they are on S3, and back in the folder when the container starts again."""
    cloud.image = counting
    name = last_line(deploy_really(*TRAIN, "--spot", "--detach"))
    job = cloud.jobs["training"][name]
    while job.described["SecondaryStatus"] != "Training" or not deploy_really("logs", name).stdout:
        cloud.wait(10)
    interrupt(cloud, name)
    ended = deploy_really("wait", name)
    last_line(ended)
    assert [line for line in ended.stderr.splitlines() if line.startswith("start")] == ["start 1", "start 2"]
    statuses = [each["Status"] for each in job.transitions]
    assert statuses == [
        *("Starting", "Downloading", "Training", "Interrupted", "Downloading", "Training", "Uploading", "Completed"),
    ]


def test_several_hosts_train_together(cloud: Simulator, deploy_really: Deploy) -> None:
    """T-48: one model comes of them, and each has a stream of its own."""
    ended = deploy_really(*TRAIN, "--instance-count", "2", "--hyperparameter", "n_estimators=5")
    name = last_line(ended).split("/")[-3]
    hosts = {line.split(" | ")[0] for line in deploy_really("logs", name).stdout.splitlines()}
    assert hosts == {"algo-1", "algo-2"}


def test_a_transform_job_is_waited_for_too(platform: Simulator, deploy: Deploy) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}
    platform.sagemaker.create_transform_job(
        TransformJobName="scores",
        ModelName="m",
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": "s3://bucket/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    Stream(platform, "/aws/sagemaker/TransformJobs", "scores/i-0123456789abcdef0-1700000000").write("a row")
    ended = deploy("wait", "scores")
    assert last_line(ended) == "s3://bucket/out"
    assert "a row" in ended.stderr.splitlines()
    platform.script["DescribeTransformJob"] = repeat({"TransformJobStatus": "Failed", "FailureReason": "Bad rows."})
    assert deploy("wait", "scores").stderr.endswith("The transform job scores ended as Failed: Bad rows.\n")
