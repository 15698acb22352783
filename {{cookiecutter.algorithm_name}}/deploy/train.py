"""Template: ``python -m deploy train`` runs a training job, from folders of data to the S3 address of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from deploy import config, context, names, storage
from deploy.context import Context
from deploy.metrics import metric_definitions
from deploy.plan import Plan
from deploy.prices import Cost
from deploy.waiting import wait_for_status


@context.verb(
    *("image", "role", "bucket", "instance_type", "instance_count", "environment", "tags", "volume_gb", "max_hours"),
    *("spot", "keep_alive_minutes", "kms_key", "subnets", "security_groups", "network_isolation"),
    table="train",
)
@click.option("--data", default="data", show_default=True, type=click.Path(path_type=Path), help="Folder of channels.")
@click.option("--channel", "channels", multiple=True, callback=context.pairs, metavar="NAME=S3", help="Not --data.")
@click.option("--hyperparameter", "hyperparameters", multiple=True, callback=context.pairs, metavar="NAME=VALUE")
@click.option("--metric", "metrics", multiple=True, help="Instead of those that algorithm.py logs.")
def train(
    context: Context,
    data: Path,
    channels: Mapping[str, str] | None,
    hyperparameters: Mapping[str, str] | None,
    metrics: Sequence[str],
) -> None:
    """Run a training job; the last line is the model's S3 address."""
    config.require(context.settings, "image", "role", "bucket")
    name = names.unique_name(names.project())
    inputs = f"{storage.folder(context.settings.bucket)}{name}/input/"  # SageMaker writes to NAME/output
    folders = {} if channels else storage.channels(data)
    addresses = dict(channels or {}) | {channel: f"{inputs}{channel}/" for channel in folders}
    plan = Plan(context)
    for channel, folder in folders.items():
        plan.upload(str(folder), addresses[channel], storage.uploader(context, folder, addresses[channel]))
    plan.add("CreateTrainingJob", request(name, context, addresses, hyperparameters or {}, metrics))
    plan.costs.append(Cost("training", context.settings.instance_type, context.settings.instance_count))
    if not plan.run():
        return
    click.echo(name if context.detach else model_of(context, name))


def model_of(context: Context, name: str) -> str:
    """Wait for a training job, and return the S3 address of its model. Raises ``DeployError`` if it has none."""
    sagemaker = context.client()
    completed = wait_for_status(  # a stopped job may have left no model
        f"training job {name}",
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda seen: ", ".join(dict.fromkeys((seen["TrainingJobStatus"], seen["SecondaryStatus"]))),
        passing=("InProgress", "Stopping"),
        wanted="Completed",
    )
    return str(completed["ModelArtifacts"]["S3ModelArtifacts"])


def request(
    name: str,
    context: Context,
    channels: Mapping[str, str],
    hyperparameters: Mapping[str, str],
    metrics: Sequence[str],
) -> dict[str, Any]:
    """CreateTrainingJob for ``channels``, which are on S3."""
    settings = context.settings
    return {
        "TrainingJobName": name,
        "RoleArn": settings.role,
        "AlgorithmSpecification": {
            "TrainingImage": settings.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(metrics),
        },
        "HyperParameters": dict(hyperparameters),
        "Environment": {"TRAINING_IMAGE": settings.image} | settings.environment,  # for the model's manifest
        "InputDataConfig": [
            {"ChannelName": channel, "DataSource": {"S3DataSource": _source(address)}}
            for channel, address in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": settings.bucket} | _unless_empty(KmsKeyId=settings.kms_key),
        "ResourceConfig": _resources(context),
        **_limits(context, name),
        **_network(context),
    }


def _source(address: str) -> dict[str, str]:
    return {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}


def _resources(context: Context) -> dict[str, Any]:
    settings = context.settings
    return {
        "InstanceType": settings.instance_type,
        "InstanceCount": settings.instance_count,
        "VolumeSizeInGB": settings.volume_gb,
        **_unless_empty(VolumeKmsKeyId=settings.kms_key, KeepAlivePeriodInSeconds=settings.keep_alive_minutes * 60),
    }


def _limits(context: Context, name: str) -> dict[str, Any]:
    """How long the job may run. On spot instances it may wait as long again, and keeps checkpoints on S3."""
    seconds = context.settings.max_hours * 3600
    if not context.settings.spot:
        return {"StoppingCondition": {"MaxRuntimeInSeconds": seconds}}
    return {
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds, "MaxWaitTimeInSeconds": 2 * seconds},
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": f"{storage.folder(context.settings.bucket)}{name}/checkpoints/"},
    }


def _network(context: Context) -> dict[str, Any]:
    settings = context.settings
    network: dict[str, Any] = {"EnableNetworkIsolation": True} if settings.network_isolation else {}
    if settings.instance_count > 1 and settings.subnets:
        network["EnableInterContainerTrafficEncryption"] = True
    return network | config.vpc(settings)


def _unless_empty(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
