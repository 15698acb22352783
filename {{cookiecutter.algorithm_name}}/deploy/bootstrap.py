"""Template: ``python -m deploy bootstrap`` makes the role, the bucket and what else lives long, with CloudFormation."""

import json
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import config, context, names, release, tags
from deploy.context import Context
from deploy.errors import DeployError
from deploy.limits import valid_request
from deploy.waiting import print_progress, wait_for_status

TEMPLATE = Path(__file__).with_name("bootstrap.yml")
KEYS = {"Role": "role", "Bucket": "bucket", "KmsKey": "kms_key"}  # outputs, and where deploy.toml has them


@context.verb("tags", "subnets", "environment")
@click.option("--endpoint", help="What alarms and dashboard watch, by default the project's name and the stage.")
@click.option("--alarm-topic", help="ARN of the SNS topic that alarms are sent to.")
@click.option("--create-key", is_flag=True, help="Encrypt with your own KMS key, for $1 a month.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def bootstrap(context: Context, endpoint: str | None, alarm_topic: str | None, create_key: bool, yes: bool) -> None:
    """Create or change what all jobs and endpoints share; the last line is the image repository."""
    client, project = context.client("cloudformation"), names.endpoint("*").removesuffix("-*")
    stack = f"{project}-bootstrap"
    there = _described(client, stack)
    given = {"Endpoint": endpoint, "AlarmTopic": alarm_topic, "CreateKey": "yes" if create_key else None}
    given["UseVpc"] = "yes" if context.settings.subnets else None
    given["ContainerMetrics"] = "yes" if release.answers_metrics(context.settings) else "no"
    if not there:
        given |= {"Project": project, "Endpoint": endpoint or names.endpoint(context.stage), **_kept(context, project)}
    request = _request(context, stack, there, {name: value for name, value in given.items() if value})
    if context.dry_run:
        click.echo(json.dumps([{"CreateChangeSet": request}], indent=2))
        return
    made = context.call("CreateChangeSet", request, "cloudformation")
    if _show(client, made["Id"], stack):
        if not yes and not _agreed():
            client.delete_change_set(ChangeSetName=made["Id"])
            raise DeployError("Nothing was changed.")
        client.execute_change_set(ChangeSetName=made["Id"])
        if not context.detach:
            _wait(client, made["StackId"], f"{request['ChangeSetType']}_COMPLETE")
    seen = _described(client, stack) or {}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in seen.get("Outputs", [])}
    if outputs:
        write({KEYS[name]: value for name, value in outputs.items() if name in KEYS})
    click.echo(outputs.get("Repository", stack))


def _agreed() -> bool:
    """Whether somebody says yes. Where nobody can be asked, nobody does."""
    with suppress(click.Abort):
        return click.confirm("Apply these changes?", err=True)
    return False


def _described(client: Any, stack: str) -> dict[str, Any] | None:
    """The stack; None if there is none, or one that waits for its first change set."""
    try:
        found: dict[str, Any] = client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found


def _kept(context: Context, project: str) -> dict[str, str]:
    """What is there already, made by build_and_push or by register, and so must not be created."""
    kept = {}
    try:
        context.client("ecr").describe_repositories(repositoryNames=[project])
        kept["CreateRepository"] = "no"
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
    groups = context.client().list_model_package_groups(NameContains=project)["ModelPackageGroupSummaryList"]
    if project in [group["ModelPackageGroupName"] for group in groups]:
        kept["CreateModelPackageGroup"] = "no"
    return kept


def _request(context: Context, stack: str, there: dict[str, Any] | None, given: dict[str, str]) -> dict[str, Any]:
    """``CreateChangeSet``. What is not given stays as it is."""
    kept = {each["ParameterKey"] for each in (there or {}).get("Parameters", [])} - given.keys()
    request: dict[str, Any] = {
        "StackName": stack,
        "ChangeSetName": names.unique_name(stack),
        "ChangeSetType": "UPDATE" if there else "CREATE",
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
        + [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    request |= {} if there else {"OnStackFailure": "DELETE"}  # a stack that failed could not be made again
    client = context.client("cloudformation")
    return valid_request(client, "CreateChangeSet", request | tags.member(client, "CreateChangeSet", context, request))


def _show(client: Any, change_set: str, stack: str) -> bool:
    """Print what a change set would do. False if that is nothing."""
    seen = wait_for_status(
        f"change set of {stack}",
        lambda: client.describe_change_set(ChangeSetName=change_set),
        lambda seen: str(seen["Status"]),
        passing=("CREATE_PENDING", "CREATE_IN_PROGRESS"),
    )
    if seen["Status"] == "FAILED":
        client.delete_change_set(ChangeSetName=change_set)
        if not re.search("didn't contain changes|No updates", seen["StatusReason"]):
            raise DeployError(f"CloudFormation cannot change {stack}: {seen['StatusReason']}")
        return False
    for change in (each["ResourceChange"] for each in seen["Changes"]):
        sign = {"Add": "+", "Remove": "-"}.get(change["Action"], "~")
        again = ", which is replaced" if change.get("Replacement") == "True" else ""
        print_progress(f"  {sign} {change['LogicalResourceId']} ({change['ResourceType']}){again}")
    return True


def _wait(client: Any, stack: str, wanted: str) -> None:
    """Wait until the stack has changed. Raises ``DeployError`` with what failed first."""

    def described() -> dict[str, Any]:
        events = client.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [each["ResourceStatusReason"] for each in events if each["ResourceStatus"].endswith("_FAILED")]
        return {**client.describe_stacks(StackName=stack)["Stacks"][0], "FailureReason": "".join(failed[-1:])}

    wait_for_status(
        f"stack {stack.split('/')[1]}",
        described,
        lambda seen: re.sub("^(.*)_IN_PROGRESS", r"in progress: \1", seen["StackStatus"]),
        passing=("in progress",),
        wanted=wanted,
    )


def write(values: dict[str, str]) -> None:
    """Set keys at the top of deploy.toml, and leave all other lines as they are."""
    file = config.DEPLOY_TOML
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    wanted, table = tomllib.loads(text) | values, re.search(r"(?m)^\s*\[", text)
    top, tables = text[: table.start() if table else None], text[table.start() :] if table else ""
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}"
        top, found = re.subn(rf"(?m)^{key}\s*=\s*(\"[^\"\n]*\"|'[^'\n]*')", line, top)
        top = top if found else f"{line}\n{top}"
    with suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(top + tables) == wanted:
            file.write_text(top + tables, encoding="utf-8")
            return
    raise DeployError(f"deploy.toml has a form that cannot be changed here: put {values} at its top yourself.")
