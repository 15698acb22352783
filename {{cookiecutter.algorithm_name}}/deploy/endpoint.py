"""Template: ``python -m deploy deploy`` puts a model into service on a new endpoint."""

from typing import Any

import click

from deploy import context, models, names, release
from deploy.context import Context
from deploy.diagnosis import explain
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.waiting import unless_absent as unless_absent
from deploy.waiting import wait_for_status

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # any other status stays as it is (C-27)
GONE = "does not exist"


@context.verb(*release.FIELDS, "inference")
@click.option("--model", default="", help=models.HELP)
@click.option("--endpoint", help="Its name, by default the project's name and the stage.")
def deploy(context: Context, model: str, endpoint: str | None) -> None:
    """Put a model into service; the last line is the endpoint's name."""
    put_into_service(context, model, endpoint or names.endpoint(context.stage))


def put_into_service(context: Context, model: str, endpoint: str) -> None:
    """Make a new endpoint. If it fails, print what its log says, and raise ``DeployError``."""
    sagemaker = context.client()
    name = names.unique_name(names.project())
    plan = Plan(context)
    release.add(plan, name, model)
    plan.add("CreateEndpoint", {"EndpointName": endpoint, "EndpointConfigName": name})
    if there := unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint):
        raise DeployError(
            f"The endpoint '{endpoint}' exists, {there['EndpointStatus']}: update it, take another name or delete it."
        )
    if not plan.run():
        return
    try:
        if not context.detach:
            wait_for_endpoint(sagemaker, endpoint, CHANGING, wanted="InService")
    except DeployError:
        explain(plan.context, endpoint, plan.request("CreateModel"))
        raise
    click.echo(endpoint)


def wait_for_endpoint(sagemaker: Any, endpoint: str, passing: tuple[str, ...], wanted: str = "") -> Any:
    """The endpoint once its status is none of ``passing``, or None if there is no such endpoint."""
    return wait_for_status(
        f"endpoint {endpoint}",
        lambda: unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint),
        lambda seen: seen["EndpointStatus"] if seen else GONE,
        passing,
        wanted,
    )
