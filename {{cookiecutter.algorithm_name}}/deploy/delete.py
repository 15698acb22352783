"""Template: ``python -m deploy delete`` deletes all of a stage, in the order that AWS needs (C-26)."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import autoscale, context, found, lock, names
from deploy.context import Context
from deploy.endpoint import CHANGING, GONE, wait_for_endpoint
from deploy.errors import DeployError, describe
from deploy.found import KINDS, Thing
from deploy.limits import valid_request
from deploy.plan import Plan
from deploy.waiting import print_progress, unless_absent

Json = dict[str, Any]
Known = dict[Thing, Json]


@context.verb(changes=False)
@click.option("--endpoint", help="Only this endpoint, with its configuration and models.")
@click.option("--all", "everything", is_flag=True, help="All stages of the project.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Print the requests as JSON and send none.")
def delete(context: Context, endpoint: str | None, everything: bool, yes: bool) -> None:
    """Delete a stage: its endpoints, and the configurations, models and alarms of all its releases.

    Files on S3, images and model packages are kept.
    """
    start = [Thing("endpoint", endpoint or names.endpoint(context.stage))]
    valid_request(context.client(), "DeleteEndpoint", {"EndpointName": start[0].name})
    if endpoint and everything:
        raise DeployError("Give --endpoint or --all, not both.")
    tagged = found.tagged(context, "" if endpoint or everything else context.stage)
    known = found.there(context, start if endpoint else start + tagged)
    alarms = list(_alarms(context, [each.name for each in tagged if each.kind == "alarm"], endpoint))
    if not known and not alarms:
        print_progress(f"{start[0]}: {GONE}")
        return
    deletion = Deletion(context, found.users(context, known))
    plan = Plan(context)
    plan.notes += [*deletion.keep_what_others_use(known), *_kept(known, tagged)]
    deletion.add_to(plan, known, alarms)
    _run(plan, yes)
    if deletion.failed:
        faults = "; ".join(f"{thing}: {why}" for thing, why in deletion.failed.items())
        raise DeployError(f"Not deleted: {faults} Run the command again when that is resolved.")


@dataclass
class Deletion:
    """What is deleted, and what AWS refused to delete."""

    context: Context
    users: dict[Thing, set[Thing]]
    failed: dict[Thing, str] = field(default_factory=dict)

    def keep_what_others_use(self, known: Known) -> Iterator[str]:
        """Take from ``known`` what something else uses, and say so."""
        for kind in ("endpoint-config", "model"):
            for thing in [each for each in known if each.kind == kind]:
                others = self.users[thing] - known.keys()
                if others:
                    del known[thing]
                    yield f"{thing} stays: {min(map(str, others))} uses it"

    def add_to(self, plan: Plan, known: Known, alarms: list[Thing]) -> None:
        """Add a step for each thing: what uses another one comes before it."""
        for thing in known:
            if thing.kind == "endpoint":
                self._add_scaling(plan, thing)
        for thing in sorted(known, key=lambda each: list(KINDS).index(each.kind)):
            noun = KINDS[thing.kind][1]
            self._add(plan, thing, f"Delete{noun}", {f"{noun}Name": thing.name})
        for alarm in alarms:
            self._add(plan, alarm, "DeleteAlarms", {"AlarmNames": [alarm.name]}, "cloudwatch")

    def _add_scaling(self, plan: Plan, endpoint: Thing) -> None:
        for kind, each in autoscale.found(self.context, endpoint.name):
            self._add(plan, Thing("scaling", each["ResourceId"]), *autoscale.removal(kind, each), autoscale.SERVICE)

    def _add(self, plan: Plan, thing: Thing, operation: str, request: Json, service: str = "sagemaker") -> None:
        action = functools.partial(self._delete, thing, operation, request, service)
        plan.add(operation, request, service, action=action)

    def _delete(self, thing: Thing, operation: str, request: Json, service: str) -> None:
        """Delete one thing, unless what uses it could not be deleted."""
        if left := self.users.get(thing, set()) & self.failed.keys():
            self.failed[thing] = f"{min(map(str, left))} uses it."
            return
        is_endpoint = thing.kind == "endpoint"
        try:
            if is_endpoint:
                lock.take(self.context, thing.name)
            # AWS refuses to delete an endpoint that is changing.
            there = wait_for_endpoint(self.context, thing.name, CHANGING) if is_endpoint else None
            if not is_endpoint or (there and there["EndpointStatus"] != "Deleting"):
                unless_absent(lambda: self.context.call(operation, request, service))
            if there:
                wait_for_endpoint(self.context, thing.name, ("Deleting",), wanted=GONE)
            elif not is_endpoint:
                print_progress(f"{thing}: deleted")
        except (ClientError, DeployError) as error:
            self.failed[thing] = describe(error)


def _run(plan: Plan, yes: bool) -> None:
    try:
        plan.run(ask="" if yes or not plan.steps else "Delete these?")
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted: run the same command again to delete the rest.") from None


def _alarms(context: Context, tagged: list[str], endpoint: str | None) -> Iterator[Thing]:
    """The project's alarms that exist; those of one endpoint if it is given."""
    client = context.client("cloudwatch")
    for start in range(0, len(tagged), 100):  # as many as AWS takes at a time
        for alarm in client.describe_alarms(AlarmNames=tagged[start : start + 100])["MetricAlarms"]:
            if not endpoint or {"Name": "EndpointName", "Value": endpoint} in alarm["Dimensions"]:
                yield Thing("alarm", alarm["AlarmName"])


def _kept(known: Known, tagged: list[Thing]) -> list[str]:
    """What stays: model packages, and the files and images of the models."""
    containers = [said["PrimaryContainer"] for said in known.values() if "PrimaryContainer" in said]
    places = {str(each[key]) for each in containers for key in ("ModelDataUrl", "Image") if each.get(key)}
    places |= {str(each) for each in tagged if each.kind == "model-package"}
    return [f"{place} stays" for place in sorted(places)]
