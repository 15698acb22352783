"""Template: what the project has on SageMaker, found by its tags, and what uses what.

The tagging API answers for all kinds at once, but minutes late: it lacks what was just created, and still has what was
just deleted. So each thing is described, and from an endpoint its configuration and models are followed. Jobs are found
by their names: all those of the past keep their tags.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore import xform_name

from deploy import names
from deploy.context import Context

KINDS = {  # how AWS calls it in an address: how we do, and how its operations do
    "endpoint": ("endpoint", "Endpoint"),
    "endpoint-config": ("configuration", "EndpointConfig"),
    "model": ("model", "Model"),
    "training-job": ("training job", "TrainingJob"),
    "transform-job": ("batch job", "TransformJob"),
    "hyper-parameter-tuning-job": ("tuning job", "HyperParameterTuningJob"),
}
JOBS = tuple(kind for kind in KINDS if kind.endswith("-job"))
TYPES = [*(f"sagemaker:{kind}" for kind in KINDS if kind not in JOBS), "sagemaker:model-package", "cloudwatch:alarm"]


@dataclass(frozen=True)
class Thing:
    """An endpoint, a model and so on."""

    kind: str
    name: str
    stage: str = field(default="", compare=False)

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{KINDS.get(self.kind, (self.kind,))[0]} {self.name}"


def tagged(context: Context, stage: str = "") -> list[Thing]:
    """What has the project's tag, and the stage's if there is one, except jobs. Names are in lower case there."""
    wanted = {"project": names.project()} | ({"stage": stage} if stage else {})
    filters = [{"Key": key, "Values": [value]} for key, value in wanted.items()]
    kinds = {"TagFilters": filters, "ResourceTypeFilters": TYPES}
    return [_thing(each) for each in context.items("get_resources", "resourcegroupstaggingapi", **kinds)]


def there(context: Context, things: Iterable[Thing]) -> dict[Thing, dict[str, Any]]:
    """Those of the things that exist and what they use, each with what Describe says of it."""
    seen: dict[Thing, dict[str, Any]] = {}
    waiting = list(things)
    while waiting:
        thing = waiting.pop(0)
        said = describe(context, thing) if thing.kind in KINDS and thing not in seen else None
        if said:
            thing = replace(thing, name=said[f"{KINDS[thing.kind][1]}Name"])
            seen[thing] = said
            waiting += used(thing, said)
    return seen


def describe(context: Context, thing: Thing) -> dict[str, Any] | None:
    """What AWS says of it; None if it does not exist."""
    said: dict[str, Any] | None = context.describe(KINDS[thing.kind][1], thing.name)
    return said


def used(thing: Thing, said: dict[str, Any]) -> list[Thing]:
    """What an endpoint or a configuration uses, also while an update to another configuration is under way."""
    if thing.kind == "endpoint":
        configurations = {said["EndpointConfigName"], said.get("PendingDeploymentSummary", said)["EndpointConfigName"]}
        return [Thing("endpoint-config", name, thing.stage) for name in configurations]
    variants = [*said.get("ProductionVariants", []), *said.get("ShadowProductionVariants", [])]
    models = {variant["ModelName"] for variant in variants if "ModelName" in variant}
    return [Thing("model", name, thing.stage) for name in sorted(models)]


def users(context: Context, known: dict[Thing, dict[str, Any]]) -> dict[Thing, set[Thing]]:
    """For each of ``known`` what uses it, of all that there is in the account and not older."""
    found: dict[Thing, set[Thing]] = {thing: set() for thing in known}
    for kind, of, member in (
        ("endpoint", "endpoint-config", "LastModifiedTimeAfter"),
        ("endpoint-config", "model", "CreationTimeAfter"),
    ):
        ages = [said["CreationTime"] for thing, said in known.items() if thing.kind == of]
        if not ages:
            continue
        for thing in _listed(context, kind, **{member: min(ages) - timedelta(seconds=1)}):
            said = known.get(thing) or describe(context, thing)
            for each in used(thing, said) if said else []:
                found.setdefault(each, set()).add(thing)
    return found


def jobs(context: Context) -> Iterator[Thing]:
    """The jobs that run."""
    start = names.with_suffix(names.project(), "x")[:-1]
    for kind in JOBS:
        for job in _listed(context, kind, NameContains=start, StatusEquals="InProgress"):
            if job.name.startswith(start):
                yield job


def scaling(context: Context, endpoint: str) -> list[dict[str, Any]]:
    """The scaling targets of an endpoint's variants."""
    targets = context.items("describe_scalable_targets", "application-autoscaling", ServiceNamespace="sagemaker")
    return [each for each in targets if each["ResourceId"].startswith(f"endpoint/{endpoint}/variant/")]


def metrics(context: Context, endpoint: str, said: Mapping[str, Any], hours: int, *wanted: str) -> dict[str, float]:
    """Figures of the last hours by ``NAME STATISTIC``: the sum over the variants, of latencies the largest."""
    variants = [each["VariantName"] for each in said.get("ProductionVariants", [])]
    pairs = [(variant, metric) for variant in variants for metric in wanted]
    queries = [_query(f"m{number}", endpoint, *pair, hours) for number, pair in enumerate(pairs)]
    if not queries:
        return {}
    now = datetime.now(UTC)
    answer = context.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(hours=hours), EndTime=now
    )
    found: dict[str, float] = {}
    for result in answer["MetricDataResults"]:
        name = pairs[int(result["Id"][1:])][1]
        values = [*result["Values"], *([found[name]] if name in found else [])]
        if values:
            found[name] = sum(values) if name.endswith("Sum") else max(values)
    return found


def _query(number: str, endpoint: str, variant: str, metric: str, hours: int) -> dict[str, Any]:
    name, statistic = metric.split()
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    series = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": dimensions}
    return {"Id": number, "MetricStat": {"Metric": series, "Period": hours * 3600, "Stat": statistic}}


def _listed(context: Context, kind: str, **members: Any) -> Iterator[Thing]:
    noun = KINDS[kind][1]
    for each in context.items(xform_name(f"List{noun}s"), **members):
        yield Thing(kind, each[f"{noun}Name"])


def _thing(mapping: dict[str, Any]) -> Thing:
    kind, name = re.split("[/:]", mapping["ResourceARN"].split(":", 5)[5], maxsplit=1)
    tags = {tag["Key"]: tag["Value"] for tag in mapping["Tags"]}
    return Thing(kind, name, tags.get("stage", ""))
