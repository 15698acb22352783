"""``python -m deploy bootstrap``: the stack of what lives long, and its outputs in deploy.toml."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, cloudformation_backends
from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends

from deploying import Deploy, at, last_line, started
from policies import FOLDER
from projects import BIN, Bake
from rehearsal.simulator import Simulator

# moto makes bucket, role, repository and key; of the rest it says so, and cfn-lint is their judge.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")
STACK = "my-algorithm-bootstrap"
BOOTSTRAP = ("bootstrap", "--yes")
REPOSITORY = "123456789012.dkr.ecr.us-west-2.amazonaws.com/my-algorithm"


@pytest.fixture
def mine(bake: Bake) -> Path:
    """A project of the test's own, in which deploy.toml can be written."""
    return bake()


def apply(change_set: Any) -> None:
    """What moto leaves out of a change set: outputs, and parameters that stay as they are."""
    stack = change_set.stack
    stack.parameters |= {name: value for name, value in change_set.parameters.items() if value}
    stack.template = change_set.template
    stack._parse_template()
    stack.resource_map.update(stack.template_dict, stack.parameters)
    stack.output_map = stack._create_output_map()


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    for backends in (cloudformation_backends, ecr_backends, iam_backends):
        backends.reset()
    monkeypatch.setattr(ChangeSet, "apply", apply)
    with started(tmp_path, None) as platform:
        yield platform


@pytest.fixture
def deploy(platform: Simulator, mine: Path, tmp_path: Path) -> Deploy:
    return at(platform, mine, tmp_path)


def resources(platform: Simulator) -> dict[str, str]:
    listed = platform.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}


def settings(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "deploy.toml").read_text(encoding="utf-8"))


# The template.


class Tags(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """Reads ``!Sub text`` and the like as ``{"Sub": "text"}``."""


def _tag(loader: Any, suffix: str, node: Any) -> Any:
    kind = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
    value = kind[type(node)](node, deep=True) if isinstance(node, yaml.SequenceNode) else kind[type(node)](node)
    return {suffix: value}


Tags.add_multi_constructor("!", _tag)


@pytest.fixture(scope="module")
def document() -> Any:
    text = (FOLDER.parent / "bootstrap.yml").read_text(encoding="utf-8")
    return yaml.load(text, Tags)


def test_cfn_lint_finds_nothing() -> None:
    lint = [str(BIN / "cfn-lint"), "--include-checks", "I", "--", str(FOLDER.parent / "bootstrap.yml")]
    ended = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_role_has_the_permissions_of_its_policy(document: Any) -> None:
    """E-15, and what the platform does besides: the stack's role is no wider than deploy/policies says."""
    role = document["Resources"]["ExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    statements = [each["If"][1] if "If" in each else each for each in role]
    found = [([each["Action"]] if isinstance(each["Action"], str) else each["Action"]) for each in statements]
    wanted = json.loads((FOLDER / "execution-role.json").read_text(encoding="utf-8"))["Statement"]
    assert found == [each["Action"] for each in wanted]
    assert [each.get("Condition") for each in statements] == [each.get("Condition") for each in wanted]


def test_what_holds_data_outlives_the_stack(document: Any) -> None:
    """E-12, E-13: tags stay, images are scanned; the bucket is private, encrypted, versioned, and needs TLS."""
    kept = {name for name, each in document["Resources"].items() if "DeletionPolicy" in each}
    assert kept == {"Key", "Bucket", "Repository", "ModelPackageGroup"}
    repository = document["Resources"]["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])
    bucket = document["Resources"]["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    [tls] = document["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def alarms_of(document: Any) -> list[Any]:
    return [each["Properties"] for each in document["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"]


def dashboard(document: Any, metrics: bool) -> Any:
    """What the dashboard shows, with or without what SageMaker reads from /metrics."""
    text, parts = document["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    for name, part in parts.items():
        assert part["If"][0] == "HasMetrics"
        text = text.replace(f"${{{name}}}", part["If"][1]["Sub"] if metrics else part["If"][2])
    return json.loads(text)


def test_dashboard_and_alarms_watch_the_variant_that_deploy_makes(document: Any) -> None:
    body = dashboard(document, metrics=False)
    assert len(body["widgets"]) == 4
    assert '"VariantName", "all"' in json.dumps(body)
    alarms = [alarm for alarm in alarms_of(document) if "EvaluationCriteria" not in alarm]
    assert len(alarms) == 3
    watched = [{"Name": "EndpointName", "Value": {"Ref": "Endpoint"}}, {"Name": "VariantName", "Value": "all"}]
    for alarm in alarms:
        metric = alarm["Metrics"][1]["MetricStat"]["Metric"] if "Metrics" in alarm else alarm
        assert metric["Dimensions"] == watched
        assert f":alarm:{alarm['AlarmName']['Sub']}" in json.dumps(body)


def test_where_sagemaker_reads_the_metrics_of_the_server_they_are_shown_and_watched(document: Any) -> None:
    """M-50: CloudWatch has them in PromQL alone, under the names that the server gives them."""
    [alarm] = [alarm for alarm in alarms_of(document) if "EvaluationCriteria" in alarm]
    body = json.dumps(dashboard(document, metrics=True))
    assert f":alarm:{alarm['AlarmName']['Sub']}" in body
    queries = body + alarm["EvaluationCriteria"]["PromQLCriteria"]["Query"]["Sub"]
    named = re.findall(r"(\w+?)(?:_total)?\{'aws\.sagemaker\.endpoint\.name'='\$\{Endpoint\}'\}", queries)
    assert len(named) == 4
    server = (FOLDER.parents[1] / "container/program/contract/serving/metrics.py").read_text(encoding="utf-8")
    assert [name for name in named if f'"{name}"' not in server] == []
    assert document["Resources"]["WorkersAlarm"]["Condition"] == "HasMetrics"


# The command.


def test_the_stack_watches_the_servers_metrics_where_the_stage_has_them(deploy: Deploy, mine: Path) -> None:
    """M-50."""
    (mine / "deploy.toml").write_text('[dev]\n\n[prod.environment]\nMODEL_SERVER_METRICS = "true"\n')
    found = {}
    for stage in ("dev", "prod"):
        [request] = json.loads(deploy("bootstrap", "--dry-run", "--stage", stage).stdout)
        parameters = {each["ParameterKey"]: each["ParameterValue"] for each in request["CreateChangeSet"]["Parameters"]}
        found[stage] = parameters["ContainerMetrics"]
    assert found == {"dev": "no", "prod": "yes"}


def test_the_stack_is_made_and_its_outputs_are_in_deploy_toml(platform: Simulator, deploy: Deploy, mine: Path) -> None:
    (mine / "deploy.toml").write_text("# mine\nbucket = 'old'  # too\n\n[prod]\nrole = \"its own\"  # [x]\n")
    assert last_line(deploy(*BOOTSTRAP)) == REPOSITORY
    made = resources(platform)
    assert made.keys() >= {"Bucket", "ExecutionRole", "Repository"}  # moto makes no more than these
    role = platform.client("iam").get_role(RoleName=made["ExecutionRole"])["Role"]["Arn"]
    assert (mine / "deploy.toml").read_text() == (
        f'role = "{role}"\n# mine\nbucket = "s3://{made["Bucket"]}"  # too\n\n[prod]\nrole = "its own"  # [x]\n'
    )
    [stack] = platform.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert {"Key": "project", "Value": "my-algorithm"} in stack["Tags"]  # C-07


def test_the_next_commands_take_what_it_made(platform: Simulator, deploy: Deploy, mine: Path) -> None:
    last_line(deploy(*BOOTSTRAP))
    last_line(deploy("train", "--image", f"{REPOSITORY}@sha256:{'0' * 64}"))
    job = platform.request("CreateTrainingJob")
    assert job["RoleArn"] == settings(mine)["role"]
    assert job["OutputDataConfig"]["S3OutputPath"] == settings(mine)["bucket"]


def test_a_change_keeps_what_is_not_given(platform: Simulator, deploy: Deploy, mine: Path) -> None:
    last_line(deploy(*BOOTSTRAP, "--endpoint", "churn"))
    assert last_line(deploy(*BOOTSTRAP, "--create-key")) == REPOSITORY
    assert settings(mine)["kms_key"].startswith("arn:aws:kms:us-west-2:")
    [stack] = platform.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert (parameters["Endpoint"], parameters["CreateKey"]) == ("churn", "yes")


def test_what_is_there_already_is_left_out_of_the_stack(platform: Simulator, deploy: Deploy) -> None:
    platform.client("ecr").create_repository(repositoryName="my-algorithm")
    platform.sagemaker.create_model_package_group(ModelPackageGroupName="my-algorithm")
    assert last_line(deploy(*BOOTSTRAP)) == REPOSITORY
    assert not {"Repository", "ModelPackageGroup", "Key"} & resources(platform).keys()


def test_without_yes_nothing_is_changed(platform: Simulator, deploy: Deploy, mine: Path) -> None:
    ended = deploy("bootstrap")
    assert ended.returncode != 0
    assert "  + Bucket (AWS::S3::Bucket)" in ended.stderr.splitlines()
    assert ended.stderr.endswith("Nothing was changed.\n")
    assert not (mine / "deploy.toml").exists()
    last_line(deploy(*BOOTSTRAP))  # which is not kept from it by the stack that only ever waited


def test_a_stack_that_fails_ends_in_its_first_reason(
    platform: Simulator, deploy: Deploy, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(backend: Any, change_set_name: str, stack_name: str | None = None) -> None:
        stack = backend.stacks[backend.change_sets[change_set_name].stack_id]
        stack._add_stack_event("CREATE_FAILED", resource_status_reason="The bucket's name is taken.")
        stack._add_stack_event("CREATE_FAILED", resource_status_reason="Resource creation cancelled")
        stack.status = "DELETE_COMPLETE"

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", execute)
    ended = deploy(*BOOTSTRAP)
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1] == (f"The stack {STACK} ended as DELETE_COMPLETE: The bucket's name is taken.")
    assert not (mine / "deploy.toml").exists()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("The submitted information didn't contain changes. Submit different information.", ""),
        ("Transform AWS::X is not allowed.", f"CloudFormation cannot change {STACK}: Transform AWS::X is not allowed."),
    ],
)
def test_a_change_set_without_changes_is_no_mistake_and_any_other_that_fails_is(
    platform: Simulator, deploy: Deploy, monkeypatch: pytest.MonkeyPatch, reason: str, said: str
) -> None:
    last_line(deploy(*BOOTSTRAP))
    described = CloudFormationBackend.describe_change_set

    def failed(backend: Any, change_set_name: str) -> Any:
        change_set: Any = described(backend, change_set_name)
        change_set.status, change_set.status_reason = "FAILED", reason
        return change_set

    monkeypatch.setattr(CloudFormationBackend, "describe_change_set", failed)
    ended = deploy(*BOOTSTRAP, "--endpoint", "churn")
    assert (ended.returncode != 0) == bool(said)
    assert ended.stderr.splitlines()[-1].endswith(said or "FAILED")


def test_a_form_of_deploy_toml_that_cannot_be_changed_is_left_alone(deploy: Deploy, mine: Path) -> None:
    text = 'role = """its\nown"""\n'
    (mine / "deploy.toml").write_text(text)
    ended = deploy(*BOOTSTRAP)
    assert ended.returncode != 0
    assert "deploy.toml has a form that cannot be changed here: put" in ended.stderr.splitlines()[-1]
    assert (mine / "deploy.toml").read_text() == text


def test_whoever_does_not_wait_gets_the_name_of_the_stack(
    deploy: Deploy, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", lambda *_, **__: None)  # it has just begun
    assert last_line(deploy(*BOOTSTRAP, "--detach")) == STACK
    assert not (mine / "deploy.toml").exists()


def test_a_dry_run_prints_the_request(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy("bootstrap", "--dry-run")
    [request] = json.loads(ended.stdout)
    assert request["CreateChangeSet"]["ChangeSetType"] == "CREATE"
    assert platform.client("cloudformation").list_stacks()["StackSummaries"] == []
