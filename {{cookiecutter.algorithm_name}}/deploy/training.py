"""Template: a training job on SageMaker: from folders of data to the S3 address of a model (contract 11.2)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy import names
from deploy.errors import UserError
from deploy.limits import checked
from deploy.waiting import patiently, say, settle

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_sagemaker.literals import TrainingInstanceTypeType
    from mypy_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

SECONDS_AT_MOST = 24 * 60 * 60
DISK_IN_GB = 30
ALGORITHM = Path(__file__).resolve().parent.parent / "container/program/algorithm.py"


@dataclass(frozen=True)
class Job:
    """What to train, with what, and where to put the model."""

    image: str
    role: str
    output: str
    instance_type: str
    instance_count: int
    hyperparameters: Mapping[str, str]
    metrics: Sequence[str]


def run(session: "Session", job: Job, channels: Mapping[str, str | Path]) -> str:
    """Upload the channels that are folders, train and wait; returns the S3 address of the model.

    Everything is checked before the first byte is sent. Raises ``UserError`` with the platform's reason
    where the job ends as anything but Completed.
    """
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    name = names.fresh(names.project())
    bucket, key = _split(job.output)
    inputs = f"{key}{name}/input"  # the platform writes to NAME/output
    addresses = {
        channel: source if isinstance(source, str) else f"s3://{bucket}/{inputs}/{channel}/"
        for channel, source in channels.items()
    }
    request = checked(sagemaker, "CreateTrainingJob", _request(name, job, addresses))
    for channel, source in channels.items():
        if isinstance(source, Path):
            say(f"uploading {source} to {addresses[channel]}")
            for file in _files(source):
                s3.upload_file(str(file), bucket, f"{inputs}/{channel}/{file.relative_to(source).as_posix()}")
    patiently(sagemaker.create_training_job, **request)
    completed = settle(  # Stopped is not enough: such a job may have left no model, or half of one
        f"training job {name}",
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda seen: ", ".join(dict.fromkeys((seen["TrainingJobStatus"], seen["SecondaryStatus"]))),
        passing=("InProgress", "Stopping"),
        wanted="Completed",
    )
    return completed["ModelArtifacts"]["S3ModelArtifacts"]


def folders(data: Path) -> dict[str, Path]:
    """The folders directly below ``data``: each is the channel of its name."""
    channels = {path.name: path for path in sorted(data.glob("[!.]*")) if path.is_dir()}
    if not channels:
        raise UserError(f"There is no folder in '{data}': make one for each channel, such as {data / 'training'}.")
    for folder in channels.values():
        if not _files(folder):
            raise UserError(f"'{folder}' holds no file: fill it, or remove it to train without that channel.")
    return channels


def metrics() -> list[str]:
    """The names that ``algorithm.py`` gives to ``log_metric``, where they stand there as texts."""
    names = re.findall(r"""\.log_metric\(\s*["']([^"']+)["']""", ALGORITHM.read_text(encoding="utf-8"))
    return list(dict.fromkeys(names))


def _files(folder: Path) -> list[Path]:
    """All files below ``folder`` but the hidden ones, which editors and desktops leave there."""
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in there if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _split(output: str) -> tuple[str, str]:
    """The bucket, and what its keys begin with (C-06)."""
    match = re.fullmatch(r"s3://([^/\s]+)/?(\S*?)/*", output)
    if not match:
        raise UserError(f"--output is '{output}': give s3://BUCKET/PATH.")
    return match[1], f"{match[2]}/".lstrip("/")


def _request(name: str, job: Job, channels: Mapping[str, str]) -> "CreateTrainingJobRequestTypeDef":
    return {
        "TrainingJobName": name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [  # T-55
                {"Name": metric, "Regex": f"{re.escape(metric)}=([0-9.eE+-]+);"} for metric in job.metrics
            ],
        },
        "HyperParameters": job.hyperparameters,
        "Environment": {"TRAINING_IMAGE": job.image},  # for the model's manifest
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": address,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for channel, address in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": job.output},
        "ResourceConfig": {
            "InstanceType": cast("TrainingInstanceTypeType", job.instance_type),
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": DISK_IN_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": SECONDS_AT_MOST},
    }
