"""Template: ``python -m deploy deploy`` puts a model into service on a new endpoint."""

from typing import Any

import click

from deploy import context, models, names, release
from deploy.context import Context
from deploy.diagnosis import explain
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.waiting import wait_for_status

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # any other status stays as it is (C-27)
GONE = "does not exist"


@context.verb(*release.FIELDS, "inference", endpoint=True)
@click.option("--model", default="", help=models.HELP)
def deploy(context: Context, model: str, endpoint: str) -> None:
    """Put a model into service; the last line is the endpoint's name."""
    put_into_service(context, model, endpoint)


def put_into_service(context: Context, model: str, endpoint: str) -> None:
    """Make a new endpoint. If it fails, print what its log says, and raise ``DeployError``."""
    name = names.unique_name(names.project())
    plan = Plan(context)
    release.add(plan, name, model)
    plan.add("CreateEndpoint", {"EndpointName": endpoint, "EndpointConfigName": name})
    if there := context.describe("Endpoint", endpoint):
        raise DeployError(
            f"The endpoint '{endpoint}' exists, {there['EndpointStatus']}: update it, take another name or delete it."
        )
    if not plan.run():
        return
    try:
        if not context.detach:
            wait_for_endpoint(context, endpoint, CHANGING, wanted="InService")
    except DeployError:
        explain(plan.context, endpoint, plan.request("CreateModel"))
        raise
    click.echo(endpoint)


def wait_for_endpoint(context: Context, endpoint: str, passing: tuple[str, ...], wanted: str = "") -> Any:
    """The endpoint once its status is none of ``passing``, or None if there is no such endpoint."""
    return wait_for_status(
        f"endpoint {endpoint}",
        lambda: context.describe("Endpoint", endpoint),
        lambda seen: seen["EndpointStatus"] if seen else GONE,
        passing,
        wanted,
    )
