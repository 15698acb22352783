"""Template: ``python -m deploy status`` shows an endpoint: what runs, how much it is used, and what is wrong."""

import json
from typing import Any

import click

from deploy import context, found
from deploy.context import Context
from deploy.errors import DeployError
from deploy.found import Thing
from deploy.limits import valid_request

METRICS = {
    "calls": "Invocations Sum",
    "errors of callers (4xx)": "Invocation4XXErrors Sum",
    "errors of the model (5xx)": "Invocation5XXErrors Sum",
    "latency p50 in ms": "ModelLatency p50",
    "latency p99 in ms": "ModelLatency p99",
}


@context.verb(changes=False, endpoint=True)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, for programs.")
def status(context: Context, endpoint: str, as_json: bool) -> None:
    """Show how an endpoint is: release, instances, traffic, scaling, alarms and the calls of the last hour."""
    valid_request(context.client(), "DescribeEndpoint", {"EndpointName": endpoint})
    facts = _facts(context, endpoint)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=str))
        return
    for key, value in facts.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(value, dict):
            values = [f"{figure}: {number:g}" for figure, number in value.items()]
        for each in values:
            click.echo(f"{key:<10} {each}")


def _facts(context: Context, name: str) -> dict[str, Any]:
    known = found.there(context, [Thing("endpoint", name)])
    if not known:
        raise DeployError(f"There is no endpoint '{name}' in {context.session.region_name}: `deploy` creates one.")
    said = next(iter(known.values()))
    configuration = known.get(Thing("endpoint-config", said["EndpointConfigName"]), {})
    containers = [each["PrimaryContainer"] for each in known.values() if "PrimaryContainer" in each]
    last_hour = found.metrics(context, name, said, 1, *METRICS.values())
    figures = {key: last_hour[metric] for key, metric in METRICS.items() if metric in last_hour}
    facts = {
        "endpoint": said["EndpointName"],
        "status": f"{said['EndpointStatus']} since {said['LastModifiedTime']:%Y-%m-%d %H:%M}",
        "failure": said.get("FailureReason"),
        "release": said["EndpointConfigName"],
        "image": [each.get("Image") for each in containers],
        "model": [each.get("ModelDataUrl") for each in containers],
        "variant": _variants(said, configuration),
        "scaling": [f"{each['ResourceId']}: {limits(each)}" for each in found.scaling(context, name)],
        "alarm": [f"{each}: in ALARM" for each in _ringing(context, name)],
        "last hour": {key: value / 1000 if "ms" in key else value for key, value in figures.items()} or "no calls",
    }
    return {key: value for key, value in facts.items() if value}


def limits(target: dict[str, Any]) -> str:
    """Between how many instances it scales."""
    return f"{target['MinCapacity']} to {target['MaxCapacity']} instances"


def _variants(said: dict[str, Any], configuration: dict[str, Any]) -> list[str]:
    """Each variant: its instances, now and wanted, and its share of the traffic."""
    variants = said.get("ProductionVariants", [])
    types = {each["VariantName"]: each.get("InstanceType") for each in configuration.get("ProductionVariants", [])}
    weights = sum(each.get("CurrentWeight", 1) for each in variants) or 1
    shown = []
    for each in variants:
        now, wanted = each.get("CurrentInstanceCount", 0), each.get("DesiredInstanceCount", 0)
        runs = f"{now} of {wanted} x {types.get(each['VariantName'])}" if wanted or now else "serverless"
        share = each.get("CurrentWeight", 1) / weights
        shown.append(f"{each['VariantName']}: {runs}, {share:.0%} of the traffic")
    return shown


def _ringing(context: Context, endpoint: str) -> list[str]:
    alarms = context.items("describe_alarms", "cloudwatch", StateValue="ALARM")
    pair = {"Name": "EndpointName", "Value": endpoint}
    return [alarm["AlarmName"] for alarm in alarms if pair in alarm.get("Dimensions", [])]
