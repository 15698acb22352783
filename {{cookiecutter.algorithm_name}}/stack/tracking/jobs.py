"""Template: a training job on SageMaker, laid out as a run of `make train` leaves it."""

import os
import tarfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.project import LocalError
from stack.tracking.runs import Run

ARCHIVES = {"model.tar.gz": "model", "output.tar.gz": "output/data"}


def download(name: str, folder: Path) -> Run:
    """Download what a job has left, into ``folder``. Raises ``LocalError`` if it has no model."""
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    try:
        job = session.client("sagemaker").describe_training_job(TrainingJobName=name)
        address = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if job["TrainingJobStatus"] not in ("Completed", "Stopped") or not address:
            raise LocalError(f"The training job '{name}' is {job['TrainingJobStatus']}, and has no model to log.")
        _fetch(session.client("s3"), address.rpartition("/")[0], folder)
    except (BotoCoreError, ClientError, OSError, tarfile.TarError) as error:
        raise LocalError(f"The training job '{name}' cannot be read: {error}") from error
    tags = {"training_job": job["TrainingJobArn"], "instance_type": job["ResourceConfig"].get("InstanceType", "")}
    tags["image"] = job["AlgorithmSpecification"].get("TrainingImage", "")
    times = (job.get("TrainingStartTime", job["CreationTime"]), job.get("TrainingEndTime", job["CreationTime"]))
    started, ended = (int(time.timestamp() * 1000) for time in times)
    return Run(folder, name, started, ended, {name: text for name, text in tags.items() if text})


def _fetch(s3: Any, address: str, folder: Path) -> None:
    """Unpack the archives below ``address``. A job that logged nothing has no output.tar.gz."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    for name, place in ARCHIVES.items():
        archive = folder / name
        try:
            s3.download_file(bucket, f"{prefix}/{name}", str(archive))
        except ClientError as error:
            if name == "output.tar.gz" and error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                continue
            raise
        with tarfile.open(archive) as opened:
            opened.extractall(folder / place, filter="data")
        archive.unlink()
