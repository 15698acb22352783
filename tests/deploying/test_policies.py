"""The policies of ``deploy/policies`` allow what the commands do, and nothing more."""

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from deploying import DEPLOY, IMAGE, MODEL, ROLE, TRAIN, Deploy, at, last_line, sentence, started
from policies import FOLDER, filled, policy
from rehearsal import permissions
from rehearsal.calls import Json, Refusal
from rehearsal.permissions import CALLER, Use
from rehearsal.simulator import Simulator

OUTPUT = ("--output", f"{tempfile.gettempdir()}/predictions-{os.getpid()}.csv")  # not beside the input
KEY = ("--kms-key", "arn:aws:kms:us-west-2:123456789012:key/KEY")
VPC = ("--subnets", "subnet-1", "--subnets", "subnet-2", "--security-groups", "sg-1")
CAPTURE = ("--capture-percent", "10", "--bucket", "s3://bucket/my/models")
OTHER = ("--endpoint", "my-algorithm-other")
PACKED = ("--image", IMAGE, "--bucket", "s3://bucket/my/models")
REGISTER = ("register", *PACKED, "--model", MODEL)
PROMOTE = ("promote", "--to", "dev", "--role", ROLE)
UPDATE = ("update", "--environment", "A=1", "--canary", "10", "--bake", "1m")
NIGHTLY = ("autoscale", "--schedule", "cron(0 20 * * ? *)", "--min", "1", "--max", "1")
ASYNC = (*DEPLOY, *OTHER, "--async", "--bucket", "s3://bucket/my/models")
INVOKE = ("invoke", "--input", "data/predict.csv")
BACKLOG = ("autoscale", *OTHER, "--min", "0", "--max", "2")
BUSY: Json = {"TrainingJobStatus": "InProgress"}
STOPPED: Json = {"TrainingJobStatus": "Stopped"}
# What each command does, as widely as it can: its runs, one after the other on the same platform.
RUNS: dict[str, list[tuple[str, ...]]] = {
    "train": [(*TRAIN, *KEY, *VPC, "--spot", "--data", "LARGE")],
    "tune": [("tune", *TRAIN[1:], *KEY, *VPC, "--objective", "validation_accuracy", "--max-jobs", "2")],
    "wait": [(*TRAIN, "--detach"), ("wait", "LAST"), DEPLOY, ("wait", "LAST")],
    "logs": [(*TRAIN, "--detach"), ("logs", "LAST")],
    "stop": [(*TRAIN, "--detach"), ("stop", "LAST")],
    "register": [REGISTER],
    "approve": [REGISTER, ("approve", "LAST")],
    "promote": [REGISTER, ("approve", "LAST"), PROMOTE, PROMOTE],
    "deploy": [(*DEPLOY, *KEY, *VPC, *CAPTURE), (*DEPLOY, *OTHER), (*DEPLOY[:-2], "--endpoint", "my-algorithm-newest")],
    "update": [DEPLOY, UPDATE],
    "releases": [DEPLOY, ("releases",)],
    "rollback": [DEPLOY, UPDATE, ("rollback",)],
    "unlock": [DEPLOY, ("unlock",)],
    "autoscale": [DEPLOY, ("autoscale", "--min", "1", "--max", "2"), NIGHTLY, ("autoscale", "--off"), ASYNC, BACKLOG],
    "invoke": [(*INVOKE, "--stream"), INVOKE, ASYNC, (*INVOKE, *OTHER, "--bucket", "s3://bucket/my/models")],
    "batch": [("batch", *DEPLOY[1:], "--bucket", "s3://bucket/my/models", "--input", "data/predict.csv", *OUTPUT)],
    "status": [DEPLOY, ("status",)],
    "list": [DEPLOY, ("list",)],
    "cost": [DEPLOY, ("cost",)],
    "delete": [DEPLOY, UPDATE, ("autoscale", "--min", "1", "--max", "2"), ("delete", "--yes")],
}
# What AWS answers to an operation in those runs: {} lets it be.
ANSWERS: dict[str, dict[str, list[Json | Refusal]]] = {
    "deploy": {"CreateEndpoint": [{}, Refusal("ResourceLimitExceeded", "The limit is 0.")]},  # all is taken back
    "invoke": {"InvokeEndpointAsync": [Refusal("ValidationError", "no")]},
    "stop": {"DescribeTrainingJob": [BUSY, BUSY, STOPPED]},
}
# Who runs which commands. The execution role's policy is what SageMaker does in all of them.
BY_CI = ("train", "tune", "wait", "logs", "register", "deploy", "update", "rollback", "invoke", "batch", "status")
WHO: dict[str, set[str]] = {"person": set(RUNS), "ci": set(BY_CI)}


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Callable[[str], list[Use]]:
    """What the runs of a command need, which are carried out once, by a person with the person's policy."""
    return functools.cache(lambda verb: carry_out(verb, project, tmp_path_factory.mktemp(verb)))


def carry_out(verb: str, project: Path, folder: Path) -> list[Use]:
    """Run a command as ``RUNS`` says. A policy that is to be written again does not keep it from anything."""
    if any("LARGE" in command for command in RUNS[verb]):
        (folder / "large/training").mkdir(parents=True)
        (folder / "large/training/rows.csv").write_bytes(b"1,2\n" * 2_200_000)  # boto3 sends it in parts
    with started(folder, None) as platform:
        if not os.environ.get("WRITE_POLICIES"):
            platform.policies[CALLER] = filled("person")
        for operation, answers in ANSWERS.get(verb, {}).items():
            platform.script[operation] = iter(answers)
        values = {"LARGE": str(folder / "large")}
        for command in RUNS[verb]:
            ended = at(platform, project, folder)(*[values.get(word, word) for word in command])
            values["LAST"] = "".join(ended.stdout.splitlines()[-1:])
            assert not re.search("Traceback|AccessDenied", ended.stderr), ended.stderr
    return platform.uses


def of(uses: Iterable[Use], identity: str) -> list[Use]:
    return [use for use in uses if use.identity == identity]


@pytest.mark.parametrize("verb", RUNS)
def test_a_person_can_do_it_all_with_the_persons_policy(needed: Callable[[str], list[Use]], verb: str) -> None:
    assert of(needed(verb), CALLER)


@pytest.mark.parametrize("name", [*WHO, permissions.ROLE])
def test_a_policy_is_the_least_that_the_commands_need(needed: Callable[[str], list[Use]], name: str) -> None:
    """Each action is used, and none is missing; the role is passed to SageMaker alone."""
    verbs = WHO.get(name, set(RUNS))
    identity = CALLER if name in WHO else permissions.ROLE
    least = policy(use for verb in verbs for use in of(needed(verb), identity))
    file = FOLDER / f"{name}.json"
    if os.environ.get("WRITE_POLICIES"):
        file.write_text(json.dumps(least, indent=2) + "\n", encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == least
    assert len(json.dumps(least, separators=(",", ":"))) < 6144 - 500, "IAM takes no longer policy"


def test_the_execution_role_may_do_what_an_async_endpoint_does() -> None:
    """A-10: results on S3; there are no topics of SNS."""
    allowed = {action for each in filled(permissions.ROLE)["Statement"] for action in each["Action"]}
    assert {each for each in allowed if each.startswith(("s3:", "sns:"))} == {
        *("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"),
    }


def test_each_command_has_its_runs_here(deploy: Deploy) -> None:
    """None is missing. Bootstrap needs an administrator: it makes roles and keys. Init needs nothing: it may ask."""
    listed = set(re.findall(r"^  (\w+) ", deploy("--help").stdout.partition("Commands:")[2], re.MULTILINE))
    assert listed == RUNS.keys() | {"bootstrap", "init", "policies"}


def test_what_a_policy_does_not_allow_is_refused(platform: Simulator, deploy: Deploy) -> None:
    """The judge that these tests rely on."""
    last_line(deploy(*DEPLOY))
    platform.policies[CALLER] = filled("ci")
    assert "is not authorized to perform: tag:GetResources" in deploy("delete", "--yes").stderr
    assert "is not authorized" in sentence(deploy(*DEPLOY, "--endpoint", "another-project"))
    session: Any = boto3.Session("user", "secret", region_name="us-west-2")
    for service, call in (("s3", "list_buckets"), ("iam", "list_users"), ("ssm", "describe_parameters")):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(session.client(service, endpoint_url=platform.url), call)()


def test_the_execution_role_reads_and_writes_only_what_its_policy_allows(
    cloud: Simulator, deploy_really: Deploy
) -> None:
    cloud.policies[permissions.ROLE] = filled(permissions.ROLE)
    last_line(deploy_really("deploy", "--image", IMAGE, "--role", ROLE, "--model", last_line(deploy_really(*TRAIN))))
    assert policy(of(cloud.uses, permissions.ROLE))["Statement"]
    elsewhere = json.dumps(filled(permissions.ROLE)).replace("s3:::bucket", "s3:::another")
    cloud.policies[permissions.ROLE] = json.loads(elsewhere)
    assert "not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::bucket" in deploy_really(*TRAIN).stderr


# The command.


def test_a_policy_is_printed_for_the_settings_of_the_project(deploy: Deploy) -> None:
    settings = ("--role", ROLE, "--bucket", "s3://bucket/my/models", "--image", IMAGE)
    for name in (*WHO, permissions.ROLE):
        ended = deploy("policies", name, *settings, *KEY, "--subnets", "subnet-1")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert json.loads(ended.stdout) == filled(name)
        without = deploy("policies", name, *settings)
        assert not re.search(r"kms:|ec2:|[A-Z]{4}", without.stdout)


def test_what_is_not_known_is_named(deploy: Deploy) -> None:
    ended = deploy("policies", "person")
    assert ended.stderr.splitlines() == [
        "Replace BUCKET yourself: there is no bucket in deploy.toml or among the flags.",
        "Replace ROLE yourself: there is no role in deploy.toml or among the flags.",
    ]
    assert '"ROLE"' in ended.stdout
