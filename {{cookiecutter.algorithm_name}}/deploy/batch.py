"""Template: ``python -m deploy batch`` predicts files with a batch transform job.

Local CSV and JSON Lines are cut here, at the borders of rows, and each part has the header: columns are found by name,
and a cell may have a line break. Where SageMaker itself takes rows apart, no header may be left (B-08).
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import config, context, names, release, storage
from deploy.context import Context
from deploy.endpoint import unless_absent
from deploy.errors import DeployError, message_of
from deploy.plan import Plan
from deploy.prices import Cost
from deploy.splitting import LINES, Part, content_type_by_suffix, has_header, media_type, parts
from deploy.waiting import print_progress, wait_for_status

MB = 10**6  # SageMaker may count more bytes
LOG_GROUP = "/aws/sagemaker/TransformJobs"
_LOG_LINE = re.compile(r"\[sagemaker logs\]: (\S+/(?:(?!: ).)+): (?!Message:|\w+Error: \d+)(.+)")


@context.verb(
    *("image", "role", "bucket", "environment", "tags", "kms_key", "subnets", "security_groups", "network_isolation"),
    *("instance_type", "instance_count"),
    table="batch",
)
@click.option("--input", "source", required=True, help="A file, a folder of files of one type, or s3://BUCKET/PREFIX.")
@click.option("--model", required=True, help="s3://BUCKET/PATH/model.tar.gz, as train prints it.")
@click.option("--output", type=click.Path(path_type=Path), help="File or folder of the result, by default INPUT.out.")
@click.option("--content-type", help="By default from the suffix; .csv is 'text/csv; header=present'.")
@click.option("--accept", default="", help="Type of the result, such as application/jsonlines.")
@click.option("--join", is_flag=True, help="Write each row of the input before its prediction.")
@click.option("--input-filter", help="JSONPath of what the model gets of a row, such as '$[1:]'.")
@click.option("--output-filter", help="JSONPath of what is written of a row, such as '$[0,-1]'.")
@click.option("--single-record", is_flag=True, help="Send one row in each request.")
@click.option("--max-payload-mb", type=click.IntRange(1, 100), default=6, show_default=True, help="Of a request.")
@click.option("--max-concurrent", type=click.IntRange(1), help="Requests at a time, by default as the container says.")
def batch(
    context: Context, source: str, model: str, output: Path | None, content_type: str | None, **flags: Any
) -> None:
    """Predict files with a batch transform job; the last line says where the result is."""
    config.require(context.settings, "bucket")
    name, files = names.unique_name(names.project()), _files(source)
    address = f"{storage.folder(context.settings.bucket)}{name}/"
    content_type = content_type or _content_type(list(files) or [source])
    sent: dict[str, Part] = {}
    plan = Plan(context)
    request = _request(name, context, f"{address}input/" if files else source, content_type, flags)
    request["TransformOutput"]["S3OutputPath"] = results = f"{address}output/"
    if files and has_header(content_type) and request["TransformInput"]["SplitType"] == "Line":
        plan.notes.append("The header is left out: the columns must be in the model's order.")
    if files:
        plan.upload(source, f"{address}input/", partial(_upload, context, files, content_type, request, sent))
    elif has_header(content_type) and request["TransformInput"]["SplitType"] == "Line":
        raise DeployError("The header of an object on S3 would be taken for a row: give local files instead.")
    release.add_model(plan, name, model)
    plan.add("CreateTransformJob", request)
    plan.costs.append(Cost("transform", context.settings.instance_type, context.settings.instance_count))
    if not plan.run():
        return
    if context.detach:
        print_progress(f"The model {name} is for this job alone, and stays until you delete it.")
    else:
        _finish(context, name, sent)
        if files:
            output = output or Path(f"{source.rstrip('/')}.out")
            _download(context, request["TransformOutput"], sent, output, Path(source).is_dir())
    click.echo(output if files and not context.detach else results)


def _files(source: str) -> dict[str, Path]:
    """The local files by their names below ``source``; none if it is on S3."""
    path = Path(source)
    if source.startswith("s3://"):
        return {}
    found = {file.relative_to(path).as_posix(): file for file in storage.files(path)} if path.is_dir() else {}
    if not found and not path.is_file():
        raise DeployError(f"'{source}' is no file, and no folder that holds one.")
    return found or {path.name: path}


def _content_type(names: list[str]) -> str:
    types = {content_type_by_suffix(name) for name in names}
    if len(types) > 1:
        raise DeployError(f"A job reads files of one type, and these are {', '.join(sorted(types))}: part them.")
    return types.pop()


def _request(name: str, context: Context, address: str, content_type: str, flags: dict[str, Any]) -> dict[str, Any]:
    """``CreateTransformJob``. SageMaker takes rows apart only where it must, or where there is no header."""
    settings, media, lines = context.settings, media_type(content_type), media_type(content_type) in LINES
    if flags["max_payload_mb"] * (flags["max_concurrent"] or 1) > 100:
        raise DeployError("--max-payload-mb times --max-concurrent is more than 100: lower one of them.")  # B-05
    if flags["accept"] and lines and media_type(flags["accept"]) not in LINES:
        raise DeployError(f"Results as {flags['accept']} cannot be joined: give --accept text/csv.")
    processing = {"InputFilter": flags["input_filter"], "OutputFilter": flags["output_filter"]}
    processing["JoinSource"] = "Input" if flags["join"] else ""
    split = lines and (any(processing.values()) or flags["single_record"] or not has_header(content_type))
    accept = flags["accept"] or (media if any(processing.values()) else "")  # a join needs one type (B-12)
    resources = {"InstanceType": settings.instance_type, "InstanceCount": settings.instance_count}
    request = {
        "TransformJobName": name,
        "ModelName": name,
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": address}}}
        | {"ContentType": media if split else content_type, "SplitType": "Line" if split else "None"},
        "TransformOutput": {
            "AssembleWith": "Line" if lines else "None",
            "Accept": accept,
            "KmsKeyId": settings.kms_key,
        },
        "TransformResources": resources | {"VolumeKmsKeyId": settings.kms_key},
        "MaxPayloadInMB": flags["max_payload_mb"],
        "MaxConcurrentTransforms": flags["max_concurrent"],
        "BatchStrategy": split and ("SingleRecord" if flags["single_record"] else "MultiRecord"),
        "DataProcessing": any(processing.values()) and processing,
    }
    return _filled(request)


def _filled(request: dict[str, Any]) -> dict[str, Any]:
    """``request`` without its empty members."""
    return {key: _filled(value) if isinstance(value, dict) else value for key, value in request.items() if value}


def _upload(
    context: Context, files: dict[str, Path], content_type: str, request: dict[str, Any], sent: dict[str, Part]
) -> None:
    """Upload each file in parts, and note in ``sent`` which object is which part."""
    given, limit = request["TransformInput"], request["MaxPayloadInMB"] * MB
    bucket, prefix = storage.split(given["DataSource"]["S3DataSource"]["S3Uri"])
    for number, (name, path) in enumerate(files.items()):
        print_progress(f"uploading {path}")
        with path.open("rb") as file:
            pieces: Iterable[Part] = parts(name, file, content_type, limit, given["ContentType"] == content_type)
            for part in pieces if media_type(content_type) in LINES else [Part(name, body=file.read())]:
                if given["SplitType"] == "Line" and part.rows not in (0, len(part.body.splitlines())):
                    raise DeployError(f"In {part}, a cell has a line break, at which SageMaker would take it apart.")
                key = f"{number:05}-{part.first:012}{path.suffix}"
                context.client("s3").put_object(Bucket=bucket, Key=f"{prefix}{key}", Body=part.body)
                sent[key] = replace(part, body=b"")
    if empty := files.keys() - {part.file for part in sent.values()}:
        raise DeployError(f"'{files[min(empty)]}' holds no rows.")


def _finish(context: Context, name: str, sent: dict[str, Part]) -> None:
    """Wait for the job, and delete its model. Raises ``DeployError`` if it did not complete."""
    sagemaker = context.client()
    ended = wait_for_status(
        f"transform job {name}",
        lambda: sagemaker.describe_transform_job(TransformJobName=name),
        lambda seen: str(seen["TransformJobStatus"]),
        passing=("InProgress", "Stopping"),
    )
    unless_absent(sagemaker.delete_model, ModelName=name)
    if ended["TransformJobStatus"] != "Completed":
        reasons = [f"The transform job {name} ended as {ended['TransformJobStatus']}.", ended.get("FailureReason", "")]
        raise DeployError(" ".join([*filter(None, reasons), *_faults(context, name, sent)]))


def _faults(context: Context, name: str, sent: dict[str, Part]) -> Iterator[str]:
    """A sentence for each object that failed, from the platform's log of the job (B-10)."""
    said: dict[str, str] = {}
    with suppress(ClientError):  # the caller may have no access to logs
        pages = context.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/"):
            for line in filter(None, (_LOG_LINE.search(event["message"]) for event in page["events"])):
                said[line[1]] = f"{said.get(line[1], '')} {line[2]}"
    for address, text in said.items():
        yield f"In {sent.get(address.rpartition('/')[2], f's3://{address}')}: {message_of(text)}."


def _download(context: Context, given: dict[str, Any], sent: dict[str, Part], output: Path, folder: bool) -> None:
    """Write the results of each file, in the order of its rows."""
    bucket, prefix = storage.split(given["S3OutputPath"])
    for name in {part.file: None for part in sent.values()}:
        target = output / f"{name}.out" if folder else output
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as result:
            for key, part in sent.items():
                if part.file == name:
                    body = context.client("s3").get_object(Bucket=bucket, Key=f"{prefix}{key}.out")["Body"].read()
                    result.write(_rows(body, part) if given["AssembleWith"] == "Line" else body)


def _rows(body: bytes, part: Part) -> bytes:
    """The result of a part without blank lines. Raises ``DeployError`` unless there is one for each row (B-08)."""
    rows = [row for row in body.splitlines(keepends=True) if row.strip()]
    if part.rows and (
        len(rows) < part.rows or (len(rows) > part.rows and b'"' not in body)
    ):  # a cell with a line break
        raise DeployError(
            f"In {part}, there are {len(rows)} results for {part.rows} rows: the model must give one for each."
        )
    return b"".join(rows)
