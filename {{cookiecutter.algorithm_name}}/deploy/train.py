"""Template: ``python -m deploy train`` runs a training job, from folders of data to the S3 address of a model."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deploy import config, context, names, schema, storage, tracking
from deploy.config import Settings
from deploy.context import Context
from deploy.errors import DeployError
from deploy.jobs import TRAINING, Job, finish
from deploy.metrics import metric_definitions
from deploy.plan import Plan
from deploy.prices import Cost

FIELDS = (
    *("image", "role", "bucket", "instance_type", "instance_count", "environment", "tags", "volume_gb", "max_hours"),
    *("spot", "keep_alive_minutes", "input_mode", "kms_key", "subnets", "security_groups", "network_isolation"),
)
_LIMITS = {  # which AWS's model of the request does not have, or has in seconds
    "instance_count": (1, 1000),
    "volume_gb": (1, 16384),
    "max_hours": (1, 28 * 24),
    "keep_alive_minutes": (0, 360),
}
# Their disks are NVMe, of a fixed size and encrypted: AWS takes neither a size nor a key for them.
_OWN_DISKS = re.compile(r"ml\.(g[5-9]|p[4-9]|trn\d|[a-z]+\d+[a-z]*d)")


@dataclass(frozen=True)
class Inputs:
    """What ``train`` and ``tune`` are given, beside the settings."""

    data: Path
    channels: Mapping[str, str] | None
    hyperparameters: Mapping[str, str] | None
    metrics: Sequence[str]


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Make options of ``Inputs``."""

    @click.option(
        "--data", default="data", type=click.Path(path_type=Path), help="Folder of channels, by default data."
    )
    @click.option("--channel", "channels", multiple=True, callback=context.pairs, metavar="NAME=S3", help="Not --data.")
    @click.option("--hyperparameter", "hyperparameters", multiple=True, callback=context.pairs, metavar="NAME=VALUE")
    @click.option("--metric", "metrics", multiple=True, help="Instead of those that algorithm.py logs.")
    @functools.wraps(function)
    def run(context: Context, data: Path, channels: Any, hyperparameters: Any, metrics: Any, **more: Any) -> None:
        config.require(context.settings, "image", "role", "bucket")
        function(context, Inputs(data, channels, hyperparameters, metrics), **more)

    return run


@context.verb(*FIELDS, "mlflow", table="train")
@options
@click.option("--checkpoints", help="S3 folder of checkpoints of an earlier job; with --spot one is made.")
@click.option("--register", default="", metavar="NAME", help="With --mlflow: make it a version of this model there.")
def train(context: Context, inputs: Inputs, checkpoints: str | None, register: str) -> None:
    """Run a training job; the last line is the model's S3 address."""
    tracking.prepare(context, register)
    schema.check(schema.load()[0], inputs.hyperparameters or {})
    plan, name = Plan(context), names.unique_name(names.project())
    own = f"{storage.folder(context.settings.bucket)}{name}/checkpoints/" if context.settings.spot else None
    job = {"TrainingJobName": name, **request(plan, name, inputs), "CheckpointConfig": {"S3Uri": checkpoints or own}}
    plan.add("CreateTrainingJob", job)
    plan.costs.append(Cost("training", context.settings.instance_type, context.settings.instance_count))
    if plan.run():
        finish(Job(context, TRAINING, name, None if inputs.channels else inputs.data))
        tracking.log(context, name, register)


def request(plan: Plan, name: str, inputs: Inputs) -> dict[str, Any]:
    """CreateTrainingJob, but for the name, after the uploads that it needs."""
    settings, seconds = plan.context.settings, plan.context.settings.max_hours * 3600
    _check(settings)
    channels = inputs.channels or _uploaded(plan, name, inputs.data)
    return {
        "RoleArn": settings.role,
        "AlgorithmSpecification": {
            "TrainingImage": settings.image,
            "TrainingInputMode": settings.input_mode,
            "MetricDefinitions": metric_definitions(inputs.metrics),
        },
        "HyperParameters": dict(inputs.hyperparameters or {}),
        "Environment": {"TRAINING_IMAGE": settings.image} | settings.environment,  # for the model's manifest
        "InputDataConfig": [
            {"ChannelName": channel, "DataSource": {"S3DataSource": _source(address)}}
            for channel, address in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": settings.bucket, "KmsKeyId": settings.kms_key},
        "ResourceConfig": _resources(plan),
        # On spot instances it may wait as long again (T-53).
        "StoppingCondition": {
            "MaxRuntimeInSeconds": seconds,
            "MaxWaitTimeInSeconds": 2 * seconds if settings.spot else None,
        },
        "EnableManagedSpotTraining": settings.spot,
        "EnableNetworkIsolation": settings.network_isolation,
        "EnableInterContainerTrafficEncryption": bool(settings.subnets) and settings.instance_count > 1,
        **config.vpc(settings),
    }


def _uploaded(plan: Plan, name: str, data: Path) -> dict[str, str]:
    """The S3 address of each folder in ``data``. One that two channels are links to is uploaded once."""
    inputs = f"{storage.folder(plan.context.settings.bucket)}{name}/input/"  # SageMaker writes to NAME/output
    channels = storage.channels(data)
    firsts = {folder.resolve(): channel for channel, folder in reversed(channels.items())}
    for channel in sorted(firsts.values()):
        address = f"{inputs}{channel}/"
        plan.upload(str(channels[channel]), address, storage.uploader(plan.context, channels[channel], address))
    return {channel: f"{inputs}{firsts[folder.resolve()]}/" for channel, folder in channels.items()}


def _check(settings: Settings) -> None:
    for name, (low, high) in _LIMITS.items():
        if not low <= getattr(settings, name) <= high:
            raise DeployError(f"{name} is {getattr(settings, name)}: give {low} to {high}.")
    if settings.spot and settings.keep_alive_minutes:
        raise DeployError("keep_alive_minutes cannot be combined with spot, which keeps no instances: give one.")


def _source(address: str) -> dict[str, str]:
    return {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}


def _resources(plan: Plan) -> dict[str, Any]:
    settings = plan.context.settings
    own_disks = _OWN_DISKS.match(settings.instance_type)
    if own_disks:
        plan.notes.append(f"disk: {settings.instance_type} has its own, so volume_gb is not used")
    return {
        "InstanceType": settings.instance_type,
        "InstanceCount": settings.instance_count,
        "KeepAlivePeriodInSeconds": settings.keep_alive_minutes * 60 or None,
        "VolumeSizeInGB": None if own_disks else settings.volume_gb,
        "VolumeKmsKeyId": None if own_disks else settings.kms_key,
    }
