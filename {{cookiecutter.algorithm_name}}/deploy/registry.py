"""Template: the model registry: ``register`` a model with its metrics, ``approve`` it, ``promote`` it to a stage."""

import io
import json
import tarfile
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import click
from botocore.exceptions import ClientError

from contract.serving.formats import FORMATS, RESPONSES
from deploy import config, context, guard, models, names, release, storage, tags, update
from deploy.context import Context
from deploy.endpoint import put_into_service
from deploy.errors import DeployError
from deploy.plan import Plan

RESULTS = ("metrics.json", "evaluation.json", "report.html")


@context.verb("image", "bucket", "tags", table="train")
@click.option("--model", default="", help=models.HELP)
def register(context: Context, model: str) -> None:
    """Register a model with its metrics, to be approved; the last line is NAME/VERSION."""
    config.require(context.settings, "bucket")
    plan, group = Plan(context), names.folded(names.project())
    name = names.unique_name(group)
    found = models.add(plan, name, model)
    listed = context.items("list_model_package_groups", NameContains=group)
    if group not in [each["ModelPackageGroupName"] for each in listed]:
        plan.add("CreateModelPackageGroup", {"ModelPackageGroupName": group}, undo="DeleteModelPackageGroup")
    container = {"Image": plan.context.settings.image, "ModelDataUrl": found.address}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": [each.media_type for each in FORMATS],
        "SupportedResponseMIMETypes": [each.media_type for each in RESPONSES],
    }
    request = {"ModelPackageGroupName": group, "ModelApprovalStatus": "PendingManualApproval"}
    plan.add("CreateModelPackage", request | {"InferenceSpecification": specification} | _results(plan, name, found))
    if plan.run():
        click.echo(f"{group}/{plan.answers['CreateModelPackage']['ModelPackageArn'].rpartition('/')[2]}")


@context.verb(table="train")
@click.argument("version")
@click.option("--reject", is_flag=True, help="Reject it instead.")
@click.option("--note", default="", help="Why.")
def approve(context: Context, version: str, reject: bool, note: str) -> None:
    """Approve VERSION, which is NAME/VERSION as register prints it, so that it can be deployed."""
    if not version.partition("/")[2]:
        raise DeployError(f"'{version}' names no version: give NAME/VERSION, as register prints it.")
    there = models.package(context, version)
    request = {"ModelPackageArn": there["ModelPackageArn"]}
    request["ModelApprovalStatus"] = "Rejected" if reject else "Approved"
    plan = Plan(context)
    plan.add("UpdateModelPackage", request | {"ApprovalDescription": note}, before=there)
    if plan.run():
        click.echo(version)


@context.verb(*release.FIELDS, "inference", stage="--to")
@guard.options
def promote(context: Context, **flags: Any) -> None:
    """Put the newest approved version into service on a stage; the last line is the endpoint's name."""
    model, endpoint = f"registry:{names.folded(names.project())}", names.endpoint(context.stage)
    if context.describe("Endpoint", endpoint):
        update.replace(context, endpoint, model, force=False, flags=flags)
    else:
        put_into_service(context, model, endpoint)


def _results(plan: Plan, name: str, model: models.Model) -> dict[str, Any]:
    """What the model's job says about it (T-42): metrics and report as members of the request. Adds their uploads."""
    if model.results:
        files = {name: (model.results / name).read_bytes() for name in RESULTS if (model.results / name).exists()}
    else:
        files = _files(plan.context, f"{model.address.rpartition('/')[0]}/output.tar.gz")
    logged = {name: values[-1] for name, values in json.loads(files.get("metrics.json", b"{}")).items()}
    figures = {name: f"{value:.6g}" for name, value in logged.items() if value is not None}
    known = {"training-job": model.job} | dict(list(figures.items())[:40])  # a package takes 50 properties
    address = {file: f"{storage.folder(plan.context.settings.bucket)}registry/{name}/{file}" for file in files}
    for file, content_type in (("evaluation.json", "application/json"), ("report.html", "text/html")):
        if file in files:
            bucket, key = storage.split(address[file])
            put = partial(plan.context.client("s3").put_object, Bucket=bucket, Key=key, ContentType=content_type)
            plan.upload(file, address[file], partial(put, Body=files[file]))
    known = tags.cleaned(known | {"report": address.get("report.html", "")})
    quality = {"ContentType": "application/json", "S3Uri": address.get("evaluation.json")}
    if "evaluation.json" not in files:
        quality = {}
        plan.notes.append("note: there is no evaluation.json beside the model, so the package has no metrics")
    return {"CustomerMetadataProperties": known, "ModelMetrics": {"ModelQuality": {"Statistics": quality}}}


def _files(context: Context, address: str) -> dict[str, bytes]:
    """The files in an output.tar.gz of a training job; none if there is no such archive, or it may not be read."""
    bucket, key = storage.split(address)
    try:
        body = context.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "AccessDenied"):
            return {}
        raise
    try:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            opened = {PurePosixPath(member.name).name: archive.extractfile(member) for member in archive}
            return {name: file.read() for name, file in opened.items() if file}
    except tarfile.TarError as error:
        raise DeployError(f"{address} is no archive: {error}.") from error
