"""Template: what the simulator does for a batch transform job: the real image, asked for each object on S3."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from werkzeug import Response

from rehearsal import containers, findings, jsonpath
from rehearsal.calls import Call, Json, Known, Refusal, document
from rehearsal.simulator import Handler, Simulator

LOG_GROUP = "/aws/sagemaker/TransformJobs"
STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}


class BadObject(Exception):
    """An object that failed, with the status and the body of the container's answer."""


@dataclass
class Job:
    """One job while it runs."""

    simulator: Simulator
    request: Json
    address: str = ""
    log: list[str] = field(default_factory=list)

    @property
    def input(self) -> Json:
        """``TransformInput``."""
        given: Json = self.request["TransformInput"]
        return given

    @property
    def processing(self) -> Json:
        """``DataProcessing``; empty if there is none."""
        given: Json = self.request.get("DataProcessing", {})
        return given

    @property
    def media_type(self) -> str:
        """Of the input."""
        return str(self.input.get("ContentType", "")).partition(";")[0].strip().lower()


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateTransformJob: refuse what the platform would, and run the job."""
    request = call.request
    refuse(simulator, request)
    answer = known()
    if answer.status_code == 200 and simulator.image:
        jobs = simulator.jobs.setdefault("transform", {})
        jobs[request["TransformJobName"]] = {"TransformJobStatus": "InProgress"}
        simulator.pool.submit(run, simulator, request)
    return answer


def refuse(simulator: Simulator, request: Json) -> None:
    """What does not go together (B-05, B-12), and what does not exist."""
    split = request["TransformInput"].get("SplitType", "None")
    if "BatchStrategy" in request and split == "None":
        raise Refusal("ValidationException", "BatchStrategy cannot be used without SplitType.")
    if request.get("MaxConcurrentTransforms", 1) * request.get("MaxPayloadInMB", 6) > 100:
        raise Refusal("ValidationException", "MaxConcurrentTransforms * MaxPayloadInMB must not exceed 100 MB.")
    name = request["ModelName"]
    if name not in [each["ModelName"] for each in simulator.sagemaker.list_models()["Models"]]:
        raise Refusal("ValidationException", f'Could not find model "arn:aws:sagemaker:us-west-2:1:model/{name}".')


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeTransformJob: moto's record, with the status of the container."""
    answer = known()
    state: Json = simulator.jobs.get("transform", {}).get(call.request["TransformJobName"], {})
    return document(answer) | state if answer.status_code == 200 else answer


def run(simulator: Simulator, request: Json) -> None:
    """Run the job to its end, and say how it went."""
    job = Job(simulator, request)
    try:
        failed = transform(job)
        reason = "ClientError: See job logs for more information" if failed else ""
    except Exception as error:  # a request that no container could be made of
        reason = f"ClientError: {error}"[:1024]
    write_log(job)
    ended: Json = {"TransformJobStatus": "Failed" if reason else "Completed"}
    simulator.jobs["transform"][request["TransformJobName"]] = ended | ({"FailureReason": reason} if reason else {})


def transform(job: Job) -> bool:
    """Whether an object failed. The others are written all the same (B-10)."""
    simulator, request = job.simulator, job.request
    described = simulator.sagemaker.describe_model(ModelName=request["ModelName"])["PrimaryContainer"]
    folder = containers.unpack(simulator.role_s3, described["ModelDataUrl"], simulator.directory)
    variables = described.get("Environment", {}) | request.get("Environment", {}) | variables_of(request)
    _, job.address = findings.serve(simulator, folder, variables, request["TransformResources"]["InstanceType"])
    limits = execution_parameters(job)
    job.log.append(", ".join(f"{name}={value}" for name, value in limits.items()))
    bucket, prefix = containers.split(job.input["DataSource"]["S3DataSource"]["S3Uri"])
    found = simulator.role_s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in found for each in page.get("Contents", [])]
    if not keys:
        raise RuntimeError(f"No object matches s3://{bucket}/{prefix}.")
    with ThreadPoolExecutor(limits["MaxConcurrentTransforms"]) as pool:
        return not all(list(pool.map(lambda key: transform_object(job, bucket, key, prefix, limits), keys)))


def variables_of(request: Json) -> dict[str, str]:
    """What tells the server that it is a batch job, and what the user has set (B-01)."""
    given = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": request.get("MaxPayloadInMB"),
        "SAGEMAKER_BATCH_STRATEGY": STRATEGIES.get(request.get("BatchStrategy", "")),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": request.get("MaxConcurrentTransforms"),
    }
    return {"SAGEMAKER_BATCH": "true"} | {name: str(value) for name, value in given.items() if value is not None}


def execution_parameters(job: Job) -> Json:
    """The request's, then the container's, then the defaults (B-02, B-04)."""
    said = requests.get(f"{job.address}/execution-parameters", timeout=10)
    own = said.json() if said.ok else {}
    defaults = {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6, "BatchStrategy": "MultiRecord"}
    return {name: job.request.get(name, own.get(name, value)) for name, value in defaults.items()}


def transform_object(job: Job, bucket: str, key: str, prefix: str, limits: Json) -> bool:
    """Whether an object went well: its results are then at the same name with .out."""
    s3, output = job.simulator.role_s3, job.request["TransformOutput"]
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    mark = b"\n" if output.get("AssembleWith") == "Line" else b""
    try:
        results = [joined(job, piece, ask(job, filtered(job, piece))) for piece in pieces(job, body, limits)]
    except BadObject as error:
        status, said = error.args
        job.log += [f"{bucket}/{key}: ClientError: {status}", f"{bucket}/{key}: Message:", f"{bucket}/{key}: {said}"]
        return False
    to, folder = containers.split(output["S3OutputPath"])
    place = f"{folder.rstrip('/')}/{key.removeprefix(prefix) or key.rpartition('/')[2]}.out".lstrip("/")
    s3.put_object(Bucket=to, Key=place, Body=b"".join(result + mark for result in results))
    return True


def pieces(job: Job, body: bytes, limits: Json) -> Iterator[bytes]:
    """The bodies that an object is sent in. Rows end at line breaks, whatever is in quotes."""
    limit = limits["MaxPayloadInMB"] * 1024 * 1024
    if job.input.get("SplitType", "None") == "None":
        records, alone = [body], True
    else:
        records, alone = body.splitlines(keepends=True), limits["BatchStrategy"] == "SingleRecord"
    held = b""
    for record in records:
        if len(record) > limit > 0:
            raise BadObject(413, "Payload is larger than MaxPayloadInMB.")
        if held and (alone or len(held) + len(record) > limit):
            yield held
            held = b""
        held += record
    yield held


def ask(job: Job, body: bytes) -> bytes:
    """The container's answer."""
    kinds = {"ContentType": job.input.get("ContentType"), "Accept": job.request["TransformOutput"].get("Accept")}
    said = containers.invoke(job.address, kinds | {"Body": body}, timeout=600)
    if said.status_code != 200:
        raise BadObject(said.status_code, said.text)
    return said.content


def filtered(job: Job, body: bytes) -> bytes:
    """What the container gets of a body (B-12)."""
    path = job.processing.get("InputFilter", "$")
    if path == "$":
        return body
    records = jsonpath.records(job.media_type, body)
    return jsonpath.written(job.media_type, [jsonpath.find(path, record) for record in records])


def joined(job: Job, body: bytes, answer: bytes) -> bytes:
    """What is written of a body and its answer (B-12)."""
    if not job.processing.keys() & {"JoinSource", "OutputFilter"}:
        return answer
    results: list[Any] = jsonpath.records(job.media_type, answer)
    if job.processing.get("JoinSource", "None") == "Input":
        rows = jsonpath.records(job.media_type, body)
        if len(rows) != len(results):
            raise BadObject(400, f"{len(rows)} records of input and {len(results)} of output cannot be joined.")
        results = [jsonpath.join(row, result) for row, result in zip(rows, results, strict=True)]
    path = job.processing.get("OutputFilter", "$")
    return jsonpath.written(job.media_type, [jsonpath.find(path, result) for result in results])


def write_log(job: Job) -> None:
    """The platform's own log of the job, beside the container's."""
    logs, stream = job.simulator.client("logs"), f"{job.request['TransformJobName']}/i-0-1/data-log"
    if not logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]:
        logs.create_log_group(logGroupName=LOG_GROUP)
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [
        {"timestamp": now, "message": f"{time.strftime('%FT%T')}.000:[sagemaker logs]: {line}"} for line in job.log
    ]
    if events:
        logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)


HANDLERS: dict[str, Handler] = {"CreateTransformJob": create, "DescribeTransformJob": describe}
