"""Template: ``python -m deploy releases`` lists what was put into service; ``rollback`` goes back to one of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from deploy import context, guard, lock, names, tags, update
from deploy.context import Context
from deploy.errors import DeployError
from deploy.plan import Plan


@dataclass(frozen=True)
class Release:
    """A configuration that deploy or update made, and its model."""

    number: int
    """Counted from the oldest that still exists."""
    name: str
    made: datetime
    container: dict[str, Any]
    tags: dict[str, str]

    def __str__(self) -> str:
        """The release in a line."""
        image = self.container.get("Image", "its model is deleted").rpartition("@")[2]
        model, who = self.container.get("ModelDataUrl", "-"), self.tags.get("created-by", "-").rpartition(":")[2]
        short = image[:19] if image.startswith("sha256:") else image
        commit = self.tags.get("git-revision", "-")
        return f"{self.number} {self.made:%Y-%m-%d %H:%M} {self.name} {short} {model} {commit[:12]} {who}"


@context.verb(changes=False, endpoint=True)
def releases(context: Context, endpoint: str) -> None:
    """List the stage's releases: number, time, name, image, model, commit, and who made it. The newest comes first."""
    there = context.describe("Endpoint", endpoint) or {}
    for each in reversed(_of_stage(context)):
        where = there.get("EndpointStatus", "") if each.name == there.get("EndpointConfigName") else ""
        coming = there.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
        click.echo(f"{each} {where}{'coming' if each.name == coming else ''}".rstrip())


@context.verb("tags", endpoint=True)
@click.argument("number", type=click.IntRange(1), required=False)
@guard.options
def rollback(context: Context, number: int | None, endpoint: str, **flags: Any) -> None:
    """Go back to the release before, or to that of a NUMBER; the last line is the endpoint's name."""
    lock.take(context, endpoint)
    there, _ = update.in_service(context, endpoint)
    now, plan = there["EndpointConfigName"], Plan(context)
    target = _target(_of_stage(context), now, number)
    config = context.call("DescribeEndpointConfig", {"EndpointConfigName": target.name})
    update.require_variant(config)
    plan.notes.append(f"to release {target}")
    alarms = guard.add(plan, endpoint, now, config, flags)
    if not plan.run():
        return
    if not context.detach:
        update.wait(context, endpoint, target.name, alarms, made=False)
    click.echo(endpoint)


def _target(known: list[Release], now: str, number: int | None) -> Release:
    """The release to go back to, of which the model must still exist."""
    place = next((place for place, each in enumerate(known) if each.name == now), len(known))
    wanted = number or place  # the one before is counted as many as come before
    target = next((each for each in known if each.number == wanted), None)
    if not target or target.name == now:
        where = f"no other release {number}" if number else "no release before the one in service"
        raise DeployError(f"There is {where}: `python -m deploy releases` lists them.")
    if not target.container:
        raise DeployError(f"The model of release {target.number} is deleted: choose another release.")
    return target


def _of_stage(context: Context) -> list[Release]:
    """The releases of the project and stage, the oldest first."""
    found: list[Release] = []
    query = {"NameContains": names.unique_name(names.project())[:-20]}  # without time and random characters
    query |= {"SortBy": "CreationTime", "SortOrder": "Ascending"}
    for each in context.items("list_endpoint_configs", **query):
        labels = tags.read(context, each["EndpointConfigArn"])
        if (labels.get("project"), labels.get("stage")) == (names.project(), context.stage):
            name = each["EndpointConfigName"]
            model = context.describe("Model", name) or {}
            container = model.get("PrimaryContainer", {})
            found.append(Release(len(found) + 1, name, each["CreationTime"], container, labels))
    return found
