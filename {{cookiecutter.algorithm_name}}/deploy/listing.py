"""Template: ``python -m deploy list`` shows what the project has on SageMaker, and ``cost`` what of it costs money."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from deploy import context, found, names, prices
from deploy.context import Context
from deploy.found import Thing
from deploy.prices import Cost
from deploy.status import limits
from deploy.waiting import print_progress

Known = dict[Thing, dict[str, Any]]


@context.verb(changes=False)
def list_all(context: Context) -> None:
    """Show the endpoints, configurations, models, alarms and running jobs of all stages."""
    tagged = found.tagged(context)
    known = _known(context, tagged)
    for thing, said in known.items():
        status = next((str(value) for key, value in said.items() if key.endswith("Status")), "")
        click.echo(f"{thing} {f'({thing.stage}) ' if thing.stage else ''}{status}".rstrip())
        for target in found.scaling(context, thing.name) if thing.kind == "endpoint" else []:
            click.echo(f"scaling {target['ResourceId']} {limits(target)}")
    for thing in tagged:
        if thing.kind in ("alarm", "model-package"):
            click.echo(f"{thing} {f'({thing.stage})' if thing.stage else ''}".rstrip())
    if not known and not tagged:
        print_progress(f"{names.project()} has nothing on SageMaker in {context.session.region_name}.")


@context.verb(changes=False)
def cost(context: Context) -> None:
    """Show what runs, and what it costs an hour and a month."""
    costs: list[Cost] = []
    for thing, said in _known(context, found.tagged(context)).items():
        for line in _costs(thing, said, context):
            if isinstance(line, Cost):
                costs.append(line)
                line = line.spent
            click.echo(f"{thing}: {line}")
    hours = [each.hourly for each in costs]
    months = [each.hourly for each in costs if each.kind == "hosting"]
    unknown = "" if all(each is not None for each in hours) else "at least "
    total = prices.spent(sum(each or 0 for each in hours), sum(each or 0 for each in months))
    click.echo(f"total: {unknown}{total} ({prices.source()})")


def _known(context: Context, tagged: list[Thing]) -> Known:
    """All that there is and can be described; the stage's endpoint also where its tags are not known yet."""
    own = Thing("endpoint", names.endpoint(context.stage), context.stage)
    return found.there(context, [*tagged, own, *found.jobs(context)])


def _costs(thing: Thing, said: dict[str, Any], context: Context) -> list[Cost | str]:
    for job, member in (("training", "ResourceConfig"), ("transform", "TransformResources")):
        if thing.kind == f"{job}-job":
            return [Cost(job, said[member]["InstanceType"], said[member]["InstanceCount"])]
    if thing.kind != "endpoint":
        return []
    configuration = found.describe(context, found.used(thing, said)[0]) or {}
    counts = {each["VariantName"]: each.get("CurrentInstanceCount", 0) for each in said.get("ProductionVariants", [])}
    found_costs: list[Cost | str] = []
    for variant in configuration.get("ProductionVariants", []):
        if "ServerlessConfig" in variant:
            found_costs.append(prices.serverless(variant["ServerlessConfig"]["MemorySizeInMB"]))
        else:
            found_costs.append(Cost("hosting", variant["InstanceType"], counts.get(variant["VariantName"], 0)))
    if _idle(context, thing, said):
        found_costs.append("idle: no call in the last 24 hours")
    return found_costs


def _idle(context: Context, endpoint: Thing, said: dict[str, Any]) -> bool:
    day_ago = datetime.now(UTC) - timedelta(days=1)
    calls = found.metrics(context, endpoint.name, said, 24, "Invocations Sum")
    return said["CreationTime"] < day_ago and not any(calls.values())
