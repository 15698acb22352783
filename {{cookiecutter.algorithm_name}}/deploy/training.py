"""Template: runs a training job on SageMaker, from folders of data to the S3 address of a model."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy import names
from deploy.errors import DeployError
from deploy.limits import valid_request
from deploy.waiting import print_progress, retry_until_visible, wait_for_status

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_sagemaker.literals import TrainingInstanceTypeType
    from mypy_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

MAX_SECONDS = 24 * 60 * 60
DISK_GB = 30
PARAMETERS = ["actual", "predicted", "data", "kind", "probabilities"]  # of log_predictions
FIGURES = ["accuracy", "mae", "rmse", "r2"]  # of classes, of numbers
PROBABILITY_FIGURES = ["log_loss", "roc_auc"]
ALGORITHM = Path(__file__).resolve().parent.parent / "container/program/algorithm.py"


@dataclass(frozen=True)
class TrainingOptions:
    """What to train, with what, and where to put the model."""

    image: str
    role: str
    output: str
    instance_type: str
    instance_count: int
    hyperparameters: Mapping[str, str]
    metrics: Sequence[str]


def run(session: "Session", options: TrainingOptions, channels: Mapping[str, str | Path]) -> str:
    """Upload the channels that are folders, train and wait; returns the S3 address of the model.

    Everything is checked before the first byte is sent. Raises ``DeployError`` with AWS's reason if the job does not
    complete.
    """
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    name = names.unique_name(names.project())
    bucket, key = _split_output(options.output)
    inputs = f"{key}{name}/input"  # SageMaker writes to NAME/output
    addresses = {
        channel: source if isinstance(source, str) else f"s3://{bucket}/{inputs}/{channel}/"
        for channel, source in channels.items()
    }
    request = valid_request(sagemaker, "CreateTrainingJob", _request(name, options, addresses))
    for channel, source in channels.items():
        if isinstance(source, Path):
            print_progress(f"uploading {source} to {addresses[channel]}")
            for file in _files(source):
                s3.upload_file(str(file), bucket, f"{inputs}/{channel}/{file.relative_to(source).as_posix()}")
    retry_until_visible(sagemaker.create_training_job, **request)
    completed = wait_for_status(  # a stopped job may have left no model
        f"training job {name}",
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda seen: ", ".join(dict.fromkeys((seen["TrainingJobStatus"], seen["SecondaryStatus"]))),
        passing=("InProgress", "Stopping"),
        wanted="Completed",
    )
    return completed["ModelArtifacts"]["S3ModelArtifacts"]


def folders(data: Path) -> dict[str, Path]:
    """The folders in ``data``, each a channel, by name."""
    channels = {path.name: path for path in sorted(data.glob("[!.]*")) if path.is_dir()}
    if not channels:
        raise DeployError(f"There is no folder in '{data}': make one for each channel, such as {data / 'training'}.")
    for folder in channels.values():
        if not _files(folder):
            raise DeployError(f"'{folder}' holds no file: fill it, or remove it to train without that channel.")
    return channels


def metrics() -> list[str]:
    """The metrics that ``algorithm.py`` logs with ``log_metric`` and ``log_predictions``."""
    source = ALGORITHM.read_text(encoding="utf-8")
    names = re.findall(r"""\.log_metric\(\s*["']([^"']+)["']""", source)
    return list(dict.fromkeys([*names, *_metrics_of_predictions(source)]))


def _metrics_of_predictions(source: str) -> list[str]:
    """The metrics of each call of ``log_predictions(actual, predicted, data="validation", ...)``."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # to this Python, which may be older than the image's
        data_names = re.findall(r"""\bdata=["']([^"']+)["']""", source)
        return [f"{name}_{figure}" for name in ["validation", *data_names] for figure in FIGURES + PROBABILITY_FIGURES]
    names = []
    for call in nodes:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "log_predictions":
            given = dict(zip(PARAMETERS, call.args, strict=False)) | {each.arg: each.value for each in call.keywords}
            data = given.get("data", ast.Constant("validation"))
            figures = FIGURES + (PROBABILITY_FIGURES if given.keys() & {"probabilities", None} else [])
            if isinstance(data, ast.Constant) and isinstance(data.value, str):
                names += [f"{data.value}_{figure}" for figure in figures]
    return names


def _files(folder: Path) -> list[Path]:
    """All files below ``folder`` except hidden ones, which editors and desktops leave there."""
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in there if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _split_output(output: str) -> tuple[str, str]:
    """The bucket and the prefix of ``output`` (C-06)."""
    match = re.fullmatch(r"s3://([^/\s]+)/?(\S*?)/*", output)
    if not match:
        raise DeployError(f"--output is '{output}': give s3://BUCKET/PATH.")
    return match[1], f"{match[2]}/".lstrip("/")


def _request(name: str, options: TrainingOptions, channels: Mapping[str, str]) -> "CreateTrainingJobRequestTypeDef":
    return {
        "TrainingJobName": name,
        "RoleArn": options.role,
        "AlgorithmSpecification": {
            "TrainingImage": options.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [  # as ``log_metric`` prints them (T-55)
                {"Name": metric, "Regex": rf"\b{re.escape(metric)}=([0-9.eE+-]+);"} for metric in options.metrics
            ],
        },
        "HyperParameters": options.hyperparameters,
        "Environment": {"TRAINING_IMAGE": options.image},  # for the model's manifest
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
        "OutputDataConfig": {"S3OutputPath": options.output},
        "ResourceConfig": {
            "InstanceType": cast("TrainingInstanceTypeType", options.instance_type),
            "InstanceCount": options.instance_count,
            "VolumeSizeInGB": DISK_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": MAX_SECONDS},
    }
