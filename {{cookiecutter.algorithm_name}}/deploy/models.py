"""Template: where a model comes from: a training job, S3, this machine or the registry. It brings its image along."""

import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract.failure import packing_mistake
from deploy import config, images, names, storage
from deploy.context import Context
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.waiting import print_progress

FORMS = "job:NAME, registry:NAME[/VERSION], s3://.../model.tar.gz, a folder or a file"
HELP = f"{FORMS}; by default the newest job's."


@dataclass(frozen=True)
class Model:
    """A model on S3: where, the image that it was made with, and the training job or the version that it is of.

    ``results`` is the folder of this machine with what its training said about it, if there is one.
    """

    address: str
    image: str = ""
    job: str = ""
    package: str = ""
    results: Path | None = None


def add(plan: Plan, name: str, model: str) -> Model:
    """Find a model, add its upload to the plan, and make the digest of its image the image of the plan."""
    found, settings = find(plan, name, model), plan.context.settings
    if found.package:
        settings = replace(settings, image=found.image, tags=settings.tags | {"model-package": found.package})
    settings = replace(settings, image=settings.image or found.image)
    if found.image not in ("", settings.image):
        plan.notes.append(f"note: the model was made with {found.image}")
    config.require(settings, "image")
    pinned = images.pinned(replace(plan.context, settings=settings), settings.image)
    plan.context = replace(plan.context, settings=replace(settings, image=pinned))
    return found


def find(plan: Plan, name: str, model: str) -> Model:
    """The model that ``--model`` means. One of this machine is uploaded below ``name`` in the bucket."""
    context, (kind, _, rest) = plan.context, model.partition(":")
    if kind == "registry":
        return _of_package(context, rest)
    if not model or kind == "job":
        return _of_job(context, rest or _newest_job(context))
    if re.fullmatch(r"s3://[^/\s]+/\S+\.tar\.gz", model):
        return Model(model)
    if Path(model).exists():
        return _local(plan, name, Path(model))
    if re.fullmatch("[a-zA-Z0-9-]+", model):
        return _of_job(context, model, ", and no file of that name here")
    forms = "job:NAME, registry:NAME, or a folder or model.tar.gz that exists"
    raise DeployError(f"--model is '{model}': give s3://BUCKET/PATH/model.tar.gz, {forms}.")


def package(context: Context, version: str) -> Any:
    """The description of NAME/VERSION in the registry, or of the newest approved version of NAME."""
    group, _, number = version.partition("/")
    newest_first = {"ModelPackageGroupName": group, "SortBy": "CreationTime", "SortOrder": "Descending"}
    for found in context.items("list_model_packages", **newest_first):
        approved = found["ModelApprovalStatus"] == "Approved"
        if str(found["ModelPackageVersion"]) == number or (not number and approved):
            return context.call("DescribeModelPackage", {"ModelPackageName": found["ModelPackageArn"]})
    if number:
        raise DeployError(f"The registry has no version '{version}' in {context.session.region_name}.")
    raise DeployError(
        f"The registry has no approved version of '{group}': `python -m deploy approve {group}/VERSION` approves one."
    )


def _of_package(context: Context, version: str) -> Model:
    found = package(context, version)
    status, [container] = found["ModelApprovalStatus"], found["InferenceSpecification"]["Containers"]
    if status != "Approved":
        raise DeployError(f"'{version}' is {status}: approve it with `python -m deploy approve {version}`.")
    return Model(container["ModelDataUrl"], container["Image"], package=found["ModelPackageArn"])


def _of_job(context: Context, name: str, more: str = "") -> Model:
    job = context.describe("TrainingJob", name)
    if not job:
        raise DeployError(f"There is no training job '{name}' in {context.session.region_name}{more}.")
    address, status = job.get("ModelArtifacts", {}).get("S3ModelArtifacts"), job["TrainingJobStatus"]
    if status not in ("Completed", "Stopped") or not address:
        raise DeployError(f"The training job '{name}' is {status}, and has no model.")
    return Model(address, job["AlgorithmSpecification"].get("TrainingImage", ""), job=name)


def _newest_job(context: Context) -> str:
    """The last training job of this project that completed: it is known by its name."""
    start = names.unique_name(names.project())[: -len("20260101-000000-abcd")]
    newest_first = {"NameContains": start, "SortBy": "CreationTime", "SortOrder": "Descending"}
    for job in context.items("list_training_jobs", StatusEquals="Completed", **newest_first):
        if re.fullmatch(rf"{start}\d{{8}}-\d{{6}}-[0-9a-f]{{4}}", job["TrainingJobName"]):
            return str(job["TrainingJobName"])
    remedy = "run `python -m deploy train`, or give --model"
    raise DeployError(f"There is no completed training job of '{names.project()}': {remedy}.")


def _local(plan: Plan, name: str, source: Path) -> Model:
    """Raises ``DeployError`` if the model's files are not at the top of the folder or archive (T-40)."""
    context = plan.context
    config.require(context.settings, "bucket")
    address = f"{storage.folder(context.settings.bucket)}{name}/model/model.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            if source.is_file():
                with tarfile.open(source, "r:gz") as archive:
                    archive.extractall(scratch, filter="data")
        except (OSError, EOFError, tarfile.TarError) as error:
            raise DeployError(f"'{source}' is not a model.tar.gz: give the folder with the model's files.") from error
        if mistake := packing_mistake(Path(scratch) if source.is_file() else source):
            raise DeployError(mistake.replace(scratch, str(source)))

    def upload() -> None:
        print_progress(f"uploading {source} to {address}")
        with tempfile.TemporaryDirectory() as scratch:
            file = str(source) if source.is_file() else shutil.make_archive(f"{scratch}/model", "gztar", source)
            context.client("s3").upload_file(file, *storage.split(address))

    plan.upload(str(source), address, upload)
    results = source.resolve().parent / "output/data"  # of a run of `make train`
    return Model(address, results=results if source.is_dir() and results.is_dir() else None)
