"""Template: ``python -m deploy batch`` predicts files with a batch transform job.

Local CSV and JSON Lines are cut here, at the borders of rows, and each part has the header: columns are found by name,
and a cell may have a line break. Where SageMaker itself takes rows apart, no header may be left (B-08).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import config, context, models, names, release, storage
from deploy.context import Context
from deploy.errors import DeployError, message_of
from deploy.plan import Plan
from deploy.prices import Cost
from deploy.splitting import LINES, Part, content_type_by_suffix, has_header, media_type, parts
from deploy.waiting import print_progress, unless_absent, wait_for_status

LOG_GROUP = "/aws/sagemaker/TransformJobs"
# The newest that batch transform has, for CUDA 12. The default on ml.g4dn and ml.g5 is one for CUDA 11.
_GPU_AMI = "al2-ami-sagemaker-batch-gpu-535"
_TAKES_GPU_AMI = re.compile(r"ml\.g[4-9]")
_LOG_LINE = re.compile(r"\[sagemaker logs\]: (\S+/(?:(?!: ).)+): (?!Message:|\w+Error: \d+)(.+)")


@context.verb(
    *("image", "role", "bucket", "environment", "tags", "kms_key", "subnets", "security_groups", "network_isolation"),
    *("instance_type", "instance_count"),
    table="batch",
)
@click.option("--input", "source", required=True, help="A file, a folder of files of one type, or s3://BUCKET/PREFIX.")
@click.option("--model", default="", help=models.HELP)
@click.option("--output", type=click.Path(path_type=Path), help="File or folder of the result, by default INPUT.out.")
@click.option("--content-type", help="By default from the suffix; .csv is 'text/csv; header=present'.")
@click.option("--accept", default="", help="Type of the result, such as application/jsonlines.")
@click.option("--join", is_flag=True, help="Write each row of the input before its prediction.")
@click.option("--input-filter", help="JSONPath of the part of a row that the model gets, such as '$[1:]'.")
@click.option("--output-filter", help="JSONPath of the part of a row that is written, such as '$[0,-1]'.")
@click.option("--single-record", is_flag=True, help="Send one row in each request.")
@click.option("--max-payload-mb", type=click.IntRange(1, 100), default=6, show_default=True, help="Of a request.")
@click.option("--max-concurrent", type=click.IntRange(1), help="Requests at a time, by default the container's.")
def batch(
    context: Context, source: str, model: str, output: Path | None, content_type: str | None, **flags: Any
) -> None:
    """Predict files with a batch transform job; the last line says where the result is."""
    config.require(context.settings, "bucket")
    name, files = names.unique_name(names.project()), _files(source)
    address = f"{storage.folder(context.settings.bucket)}{name}/"
    content_type = content_type or content_type_by_suffix(*(files or [source]))
    request = _request(name, context, f"{address}input/" if files else source, content_type, flags)
    request["TransformOutput"]["S3OutputPath"] = f"{address}output/"
    plan, sent = Plan(context), dict[str, Part]()
    if has_header(content_type) and request["TransformInput"]["SplitType"] == "Line":
        if not files:
            raise DeployError("The header of an object on S3 would be read as a row: give local files instead.")
        plan.notes.append("The header is left out: the columns must be in the model's order.")
    if files:
        plan.upload(source, f"{address}input/", partial(_upload, context, files, content_type, request, sent))
    release.add_model(plan, name, model)
    plan.add("CreateTransformJob", request)
    plan.costs.append(Cost("transform", context.settings.instance_type, context.settings.instance_count))
    if not plan.run():
        return
    if context.detach:
        print_progress(f"The model {name} is for this job alone, and stays until you delete it.")
    else:
        _finish(context, name, sent)
    if context.detach or not (files or output):
        click.echo(f"{address}output/")
    else:
        output = output or Path(f"{source.rstrip('/')}.out")
        _download(context, request["TransformOutput"], sent, output, Path(source).is_file())
        click.echo(output)


def _files(source: str) -> dict[str, Path]:
    """The local files by their names below ``source``; none if it is on S3."""
    path = Path(source)
    if path.is_file() or source.startswith("s3://"):
        return {path.name: path} if path.is_file() else {}
    if found := storage.files(path):
        return {file.relative_to(path).as_posix(): file for file in found}
    raise DeployError(f"'{source}' is neither a file nor a folder with files.")


def _request(name: str, context: Context, address: str, content_type: str, flags: dict[str, Any]) -> dict[str, Any]:
    """``CreateTransformJob``. SageMaker takes rows apart only where it must, or where there is no header."""
    settings, media = context.settings, media_type(content_type)
    if flags["max_payload_mb"] * (flags["max_concurrent"] or 1) > 100:
        # AWS limits the product as well (B-05).
        raise DeployError("--max-payload-mb times --max-concurrent is more than 100: lower one of them.")
    if flags["accept"] and media in LINES and media_type(flags["accept"]) not in LINES:
        raise DeployError(f"Results as {flags['accept']} cannot be joined: give --accept text/csv.")
    filters = {"InputFilter": flags["input_filter"], "OutputFilter": flags["output_filter"]}
    processing = filters | {"JoinSource": "Input" if flags["join"] else None}
    is_processed = any(processing.values())
    split = media in LINES and (is_processed or flags["single_record"] or not has_header(content_type))
    given = {"ContentType": media if split else content_type, "SplitType": "Line" if split else "None"}
    taken = {
        "Accept": flags["accept"] or (media if is_processed else None),
        "KmsKeyId": settings.kms_key,
    }  # of one type (B-12)
    resources = {"InstanceType": settings.instance_type, "InstanceCount": settings.instance_count}
    if _TAKES_GPU_AMI.match(settings.instance_type):
        resources["TransformAmiVersion"] = _GPU_AMI
    return {
        "TransformJobName": name,
        "ModelName": name,
        "TransformInput": given | {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": address}}},
        "TransformOutput": taken | {"AssembleWith": "Line" if media in LINES else "None"},
        "TransformResources": resources | {"VolumeKmsKeyId": settings.kms_key},
        "MaxPayloadInMB": flags["max_payload_mb"],
        "MaxConcurrentTransforms": flags["max_concurrent"],
        "BatchStrategy": split and ("SingleRecord" if flags["single_record"] else "MultiRecord"),
        "DataProcessing": processing,
    }


def _upload(
    context: Context, files: dict[str, Path], content_type: str, request: dict[str, Any], sent: dict[str, Part]
) -> None:
    """Upload each file in parts, and note in ``sent`` which object is which part."""
    given, limit = request["TransformInput"], request["MaxPayloadInMB"] * 10**6  # SageMaker may count more
    bucket, prefix = storage.split(given["DataSource"]["S3DataSource"]["S3Uri"])
    for number, (name, path) in enumerate(files.items()):
        print_progress(f"uploading {path}")
        for part in parts(name, path, content_type, limit, given["ContentType"] == content_type):
            if given["SplitType"] == "Line" and part.rows not in (0, len(part.body.splitlines())):
                raise DeployError(f"In {part}, a cell has a line break, where SageMaker would split it.")
            key = f"{number:05}-{part.first:012}{path.suffix}"
            context.client("s3").put_object(Bucket=bucket, Key=f"{prefix}{key}", Body=part.body)
            sent[key] = replace(part, body=b"")


def _finish(context: Context, name: str, sent: dict[str, Part]) -> None:
    """Wait for the job, and delete its model. Raises ``DeployError`` if it did not complete."""
    sagemaker, subject = context.client(), f"transform job {name}"
    describe = partial(sagemaker.describe_transform_job, TransformJobName=name)
    ended = wait_for_status(subject, describe, lambda seen: str(seen["TransformJobStatus"]), ("InProgress", "Stopping"))
    unless_absent(sagemaker.delete_model, ModelName=name)
    if ended["TransformJobStatus"] != "Completed":
        reason = f"The {subject} ended as {ended['TransformJobStatus']}. {ended.get('FailureReason', '')}".strip()
        raise DeployError(" ".join([reason, *_faults(context, name, sent)]))


def _faults(context: Context, name: str, sent: dict[str, Part]) -> Iterator[str]:
    """A sentence for each object that failed, from the platform's log of the job (B-10)."""
    said: dict[str, str] = {}
    with suppress(ClientError):  # the caller may have no access to logs
        events = context.items("filter_log_events", "logs", logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/")
        for line in filter(None, (_LOG_LINE.search(event["message"]) for event in events)):
            said[line[1]] = f"{said.get(line[1], '')} {line[2]}"
    for address, text in said.items():
        yield f"In {sent.get(address.rpartition('/')[2], f's3://{address}')}: {message_of(text)}."


def _download(context: Context, given: dict[str, Any], sent: dict[str, Part], output: Path, one_file: bool) -> None:
    """Write the results of each file, in the order of its rows and without blank lines."""
    s3, (bucket, prefix) = context.client("s3"), storage.split(given["S3OutputPath"])
    if not sent:  # the input was on S3
        listed = context.items("list_objects_v2", "s3", Bucket=bucket, Prefix=prefix)
        keys = [each["Key"][len(prefix) : -len(".out")] for each in listed]
        sent = {key: Part(key) for key in keys}
    for file, group in groupby(sent.items(), lambda each: each[1].file):
        target = output if one_file else output / f"{file}.out"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as opened:
            for key, part in group:
                body = s3.get_object(Bucket=bucket, Key=f"{prefix}{key}.out")["Body"].read()
                opened.write(_rows(body, part) if given["AssembleWith"] == "Line" else body)


def _rows(body: bytes, part: Part) -> bytes:
    rows = [row for row in body.splitlines(keepends=True) if row.strip()]
    if part.rows and (
        len(rows) < part.rows or (len(rows) > part.rows and b'"' not in body)
    ):  # a cell with a line break
        raise DeployError(
            f"In {part}, there are {len(rows)} results for {part.rows} rows: the model must give one each."
        )
    return b"".join(rows)
