"""Template: ``python -m deploy invoke`` sends a file to an endpoint of any kind and prints the response."""

import io
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
from botocore import xform_name
from botocore.exceptions import ClientError, EventStreamError

from deploy import config, context, names, storage
from deploy.context import Context
from deploy.errors import DeployError, describe
from deploy.limits import valid_request
from deploy.splitting import LINES, Part, content_type_by_suffix, has_header, media_type, parts
from deploy.waiting import print_progress, retry, wait_for_status

# The largest bodies of a request, by the kind of endpoint, and the largest input by way of S3 (H-13, S-02, A-03, A-02).
REQUEST_BYTES, SERVERLESS_BYTES, ASYNC_BYTES, OBJECT_BYTES = 6 * 2**20, 4 * 2**20, 128_000, 2**30
NOT_READY = ("ModelNotReadyException", "ThrottlingException")
STARTING_SECONDS = (1, 2, 4, 8, 16, 30, 30, 30, 30, 30)  # a serverless container has three minutes (S-02, S-08)
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@context.verb("bucket", changes=False, endpoint=True)
@click.option("--input", "file", required=True, type=_FILE, help="A file, or - for stdin.")
@click.option("--content-type", help="By default from the file's suffix; .csv is 'text/csv; header=present'.")
@click.option("--accept", help="Type of the response, such as application/json.")
@click.option("--stream", is_flag=True, help="Print each part of the response when it comes.")
def invoke(
    context: Context, endpoint: str, file: Path, content_type: str | None, accept: str | None, stream: bool
) -> None:
    """Send a file to an endpoint and print its response. The result of an async endpoint is waited for.

    CSV and JSON Lines that are larger than a request are sent in parts.
    """
    request = {"EndpointName": endpoint, "ContentType": content_type or content_type_by_suffix(str(file))}
    request |= {"Accept": accept} if accept else {}
    valid_request(context.client("sagemaker-runtime"), "InvokeEndpoint", request | {"Body": b""})
    known = _configuration(context, endpoint)
    limit = SERVERLESS_BYTES if "ServerlessConfig" in known.get("ProductionVariants", [{}])[0] else REQUEST_BYTES
    answers: Iterable[bytes]
    if "AsyncInferenceConfig" in known:
        if stream:
            raise DeployError(f"The endpoint '{endpoint}' is async and cannot stream: leave out --stream.")
        data = _read(file, OBJECT_BYTES, "a request to an async endpoint", "cut it, or use batch")
        answers = [_asynchronous(context, request, data)]
    elif stream:
        data = _read(file, limit, "a streamed request", "leave out --stream, or use an async endpoint")
        answers = _streamed(context, request | {"Body": data})
    else:
        in_parts = media_type(request["ContentType"]) in LINES
        what, remedy = "a request of other types than CSV and JSON Lines", "use an async endpoint, or batch"
        data = _read(file, None if in_parts else limit, what, remedy)
        answers = list(_answers(context, request, file.name, data, limit))  # all of them, or none
    for answer in answers:
        click.echo(answer, nl=False)


def _read(file: Path, limit: int | None, what: str, remedy: str) -> bytes:
    """The input. Raises ``DeployError`` if it is beyond the limit: of a file before it is read."""
    with click.open_file(str(file), "rb") as opened:
        size = os.fstat(opened.fileno()).st_size  # 0 for a pipe
        data = b"" if limit and size > limit else opened.read()
    size = max(size, len(data))
    if limit and size > limit:
        raise DeployError(f"The input has {size} bytes, and {what} at most {limit}: {remedy}.")
    return data


def _configuration(context: Context, endpoint: str) -> dict[str, Any]:
    """The endpoint's configuration; empty if there is none, or if the caller may do no more than invoke."""
    try:
        there = context.describe("Endpoint", endpoint) or {}
        name = there.get("EndpointConfigName")
        return context.client().describe_endpoint_config(EndpointConfigName=name) if name else {}
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return {}
        raise


def _send(context: Context, operation: str, request: dict[str, Any]) -> Any:
    """Send a request, and send it again while the model is not ready or too many requests are under way."""
    runtime = context.client("sagemaker-runtime")
    call = partial(getattr(runtime, xform_name(operation)), **valid_request(runtime, operation, request))
    return retry(call, lambda error: error.response["Error"]["Code"] in NOT_READY, STARTING_SECONDS)


def _answers(context: Context, request: dict[str, Any], name: str, data: bytes, limit: int) -> Iterator[bytes]:
    """The responses in the order of the rows, from several requests at a time if there are many rows."""
    if len(data) <= limit:
        yield _send(context, "InvokeEndpoint", request | {"Body": data})["Body"].read()
        return
    with ThreadPoolExecutor(4) as pool:
        pieces = parts(name, data, request["ContentType"], limit)
        yield from pool.map(partial(_answer_of_part, context, request), pieces)


def _answer_of_part(context: Context, request: dict[str, Any], part: Part) -> bytes:
    try:
        answer = _send(context, "InvokeEndpoint", request | {"Body": part.body})
    except (ClientError, DeployError) as error:
        raise DeployError(f"In {part}: {describe(error)}") from error
    kind = answer["ContentType"]
    if media_type(kind) not in LINES:
        raise DeployError(f"The response is {kind}, whose parts cannot be joined: give --accept text/csv.")
    lines = answer["Body"].read().splitlines(keepends=True)
    return b"".join(lines[1:] if part.first > 1 and has_header(kind) else lines)


def _streamed(context: Context, request: dict[str, Any]) -> Iterator[bytes]:
    try:
        for event in _send(context, "InvokeEndpointWithResponseStream", request)["Body"]:
            yield event["PayloadPart"]["Bytes"]
    except EventStreamError as error:
        raise DeployError(f"The response is not complete: {error.response['Error']['Message']}") from error


def _asynchronous(context: Context, request: dict[str, Any], data: bytes) -> bytes:
    """The result, from S3. A large input is sent by way of S3, too."""
    if len(data) <= ASYNC_BYTES:
        request = request | {"Body": data}
    else:
        config.require(context.settings, "bucket")
        name = names.unique_name(request["EndpointName"])
        request = request | {"InputLocation": f"{storage.folder(context.settings.bucket)}async/input/{name}"}
        context.client("s3").upload_fileobj(io.BytesIO(data), *storage.split(request["InputLocation"]))
    answer = _send(context, "InvokeEndpointAsync", request)
    print_progress(f"the result will be at {answer['OutputLocation']}")
    places = [answer[name] for name in ("OutputLocation", "FailureLocation") if name in answer]
    place, body = wait_for_status(
        f"request {answer['InferenceId']}",
        lambda: next(((place, body) for place in places if (body := _object(context, place)) is not None), ("", b"")),
        lambda seen: "answered" if seen[0] else "waiting",
        passing=("waiting",),
    )
    if place == places[0]:
        return body
    text = body.decode(errors="replace")
    if not (said := re.search(r'\((\d+)\) from \S+ with message "(.*)"', text, re.DOTALL)):
        raise DeployError(f"The endpoint failed: {' '.join(text.split())}")
    error: Any = {"Error": {"Code": "ModelError", "Message": text}}
    raise ClientError(error | {"OriginalStatusCode": said[1], "OriginalMessage": said[2]}, "InvokeEndpointAsync")


def _object(context: Context, address: str) -> bytes | None:
    """What is at the address; None while there is nothing."""
    s3, (bucket, key) = context.client("s3"), storage.split(address)
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None
