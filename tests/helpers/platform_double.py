"""SageMaker for tests: moto keeps the records and the buckets, and the real image does the work.

An HTTP server in front of moto. What the platform would do for a job or an endpoint is done with `docker run`,
laid out as the contract says: an `/opt/ml` tree, the archive on S3, the failure file as `FailureReason`
(T-43), an error of the container as `ModelError` (H-42). Nothing is ready at the first look.
"""

import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from moto.sagemaker.models import sagemaker_backends
from werkzeug import Request, Response
from werkzeug.serving import make_server

from service_model import violations

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

Json = dict[str, Any]
Application = Callable[[WSGIEnvironment, StartResponse], Any]
HARNESS = "harness"  # the access key of the calls that the platform makes itself: neither recorded nor altered
OWN = boto3.Session(HARNESS, "secret", region_name="us-west-2")


@dataclass(frozen=True)
class Call:
    """A request that reached SageMaker."""

    operation: str
    request: Json
    region: str


@dataclass(frozen=True)
class Refusal:
    """An answer to give in place of moto's."""

    code: str
    message: str

    def response(self) -> Response:
        headers = {"x-amzn-errortype": self.code}
        return Response(
            json.dumps({"__type": self.code, "message": self.message, "Message": self.message}), 400, headers
        )


class Platform:
    """SageMaker and S3 at ``url``. ``image`` stands for whatever image a request names; without one nothing runs."""

    def __init__(self, image: str | None, directory: Path) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.script: dict[str, Iterator[Json | Refusal]] = {}
        """What to answer to an operation, call by call: a refusal, or values to lay over moto's answer."""
        self.metrics: dict[str, float] = {}
        """What was scraped from the logs of training jobs (T-55)."""
        self.image = image
        self.directory = directory
        self.containers: list[str] = []
        self.addresses: dict[str, str] = {}
        self.moto: Application = DomainDispatcherApplication(create_backend_app)
        self.pool = ThreadPoolExecutor()

    def operations(self, *, but: str = "Describe") -> list[str]:
        return [call.operation for call in self.calls if not call.operation.startswith(but)]

    def request(self, operation: str) -> Json:
        """The newest request of that operation."""
        return next(call.request for call in reversed(self.calls) if call.operation == operation)

    @property
    def s3(self) -> "S3Client":
        return OWN.client("s3", endpoint_url=self.url)

    @property
    def sagemaker(self) -> "SageMakerClient":
        return OWN.client("sagemaker", endpoint_url=self.url)

    # The front door.

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        body = Request(environ).get_data()
        environ["wsgi.input"] = io.BytesIO(body)
        call = read(Request(environ), body)
        answer = self.answer(call, environ) if call else self.moto
        return answer(environ, start_response)

    def answer(self, call: Call, environ: WSGIEnvironment) -> Application:
        self.calls.append(call)
        if faults := violations(call.operation, call.request):
            return Refusal("ValidationException", f"1 validation error detected: {faults[0]}").response()
        if call.operation == "InvokeEndpoint":
            return self.invoke(call.request)
        if call.operation == "DeleteEndpoint" and self.is_there(call.request):
            self.script["DescribeEndpoint"] = self.leave(call.request)
            return Response("{}")
        known = Response.from_app(self.moto, environ)
        if call.operation.startswith("Describe") and known.status_code != 200:
            return known
        planned = next(self.script.get(call.operation, iter(())), {})
        if isinstance(planned, Refusal):
            return planned.response()
        if known.status_code == 200 and self.image:
            self.start(call)
        return Response(json.dumps(json.loads(known.get_data() or "{}") | planned), known.status_code, known.headers)

    def start(self, call: Call) -> None:
        if call.operation == "CreateTrainingJob":
            busy = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
            self.script["DescribeTrainingJob"] = progress(busy, self.pool.submit(self.train, call.request))
        if call.operation == "CreateEndpoint":
            work = self.pool.submit(self.serve, call.request)
            self.script["DescribeEndpoint"] = progress({"EndpointStatus": "Creating"}, work)

    # What a training job does.

    def train(self, job: Json) -> Json:
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            root = Path(scratch)
            self.lay_out(root, job)
            command = ["docker", "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}"]
            ended = subprocess.run(
                [*command, "--volume", f"{root}:/opt/ml", str(self.image), "train"], capture_output=True, text=True
            )
            for metric in job["AlgorithmSpecification"]["MetricDefinitions"]:
                for value in re.findall(metric["Regex"], ended.stdout):
                    self.metrics[metric["Name"]] = float(value)
            if ended.returncode != 0:
                failure = root / "output" / "failure"
                reason = failure.read_text(encoding="utf-8")[:1024] if failure.exists() else ""
                reason = f"AlgorithmError: {reason}, exit code: {ended.returncode}"
                return {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason[:1024]}
            bucket, key = split(f"{job['OutputDataConfig']['S3OutputPath']}/{job['TrainingJobName']}/output")
            self.s3.put_object(Bucket=bucket, Key=f"{key}/model.tar.gz", Body=pack(root / "model"))
        return {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}

    def lay_out(self, root: Path, job: Json) -> None:
        """The tree that the platform gives to a job (contract 3.1)."""
        for name in ("input/config", "input/data", "model", "output"):
            (root / name).mkdir(parents=True)
        files = {
            "hyperparameters": job["HyperParameters"],
            "inputdataconfig": {
                channel["ChannelName"]: {"TrainingInputMode": "File"} for channel in job["InputDataConfig"]
            },
            "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
        }
        for name, content in files.items():
            (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        for channel in job["InputDataConfig"]:
            self.download(channel["DataSource"]["S3DataSource"]["S3Uri"], root / "input/data" / channel["ChannelName"])

    def download(self, address: str, directory: Path) -> None:
        s3, (bucket, prefix) = self.s3, split(address)
        for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            target = directory / found["Key"][prefix.rfind("/") + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, found["Key"], str(target))

    # What an endpoint does.

    def serve(self, request: Json) -> Json:
        sagemaker = self.sagemaker
        config = sagemaker.describe_endpoint_config(EndpointConfigName=request["EndpointConfigName"])
        model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
        bucket, key = split(model["PrimaryContainer"]["ModelDataUrl"])
        archive = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        directory = tempfile.mkdtemp(dir=self.directory)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(directory, filter="data")
        container = docker(
            *("run", "--detach", "--publish", "127.0.0.1::8080"),
            *("--volume", f"{directory}:/opt/ml/model:ro", str(self.image), "serve"),
        )
        self.containers.append(container)
        address = f"http://{docker('port', container, '8080').splitlines()[0]}"
        if not answers(f"{address}/ping"):
            return {"EndpointStatus": "Failed", "FailureReason": "The container did not pass the ping health check."}
        self.addresses[request["EndpointName"]] = address
        return {"EndpointStatus": "InService"}

    def invoke(self, request: Json) -> Response:
        name = request["EndpointName"]
        if isinstance(planned := next(self.script.get("InvokeEndpoint", iter(())), None), Refusal):
            return planned.response()
        if name not in self.addresses:
            return Refusal("ValidationError", f"Endpoint {name} of account 123456789012 not found.").response()
        headers = {
            key: request[key.replace("-", "")] for key in ("Content-Type", "Accept") if key.replace("-", "") in request
        }
        said = requests.post(f"{self.addresses[name]}/invocations", request["Body"], headers=headers, timeout=60)
        if said.ok:
            return Response(said.content, 200, {"Content-Type": said.headers["Content-Type"]})
        error = {"OriginalStatusCode": said.status_code, "OriginalMessage": said.text, "LogStreamArn": "arn"}
        error["Message"] = f'Received error ({said.status_code}) from primary with message "{said.text}".'
        return Response(json.dumps(error), 424, {"x-amzn-errortype": "ModelError"})

    def predictions(self, endpoint: str, file: Path) -> list[str]:
        """What the model behind ``endpoint`` says to the rows of ``file`` with no server between."""
        program = (
            "import sys, pathlib, algorithm; from contract import predictions, schema\n"
            "from contract.serving import encoder, formats\n"
            "directory = pathlib.Path('/opt/ml/model')\n"
            "model = algorithm.load(directory)\n"
            "expected = schema.of_model(algorithm, model, directory)\n"
            "body = formats.Body(sys.stdin.buffer.read(), {'header': 'present'}, 2**30)\n"
            "batch = formats.CSV.decode(body, expected)\n"
            "columns = predictions.as_columns(algorithm.predict(model, expected.table(batch)), len(batch))\n"
            "print(formats.CSV.encode(encoder.select(columns, ()), []).decode(), end='')\n"
        )
        command = ["docker", "exec", "--interactive", self.containers[-1], "python", "-c", program]
        return subprocess.run(
            command, input=file.read_text(), check=True, capture_output=True, text=True
        ).stdout.splitlines()

    def is_there(self, request: Json) -> bool:
        return any(
            there["EndpointName"] == request["EndpointName"] for there in self.sagemaker.list_endpoints()["Endpoints"]
        )

    def leave(self, request: Json) -> Iterator[Json | Refusal]:
        yield {"EndpointStatus": "Deleting"}
        self.sagemaker.delete_endpoint(**request)
        self.addresses.pop(request["EndpointName"], None)
        yield Refusal("ValidationException", f'Could not find endpoint "arn:of:{request["EndpointName"]}".')

    def close(self) -> None:
        self.pool.shutdown()
        for container in self.containers:
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)


@contextmanager
def running(directory: Path, image: str | None = None) -> Iterator[Platform]:
    """A platform that answers at ``platform.url`` and leaves no container behind."""
    sagemaker_backends.reset()
    s3_backends.reset()
    platform = Platform(image, directory)
    server = make_server("127.0.0.1", 0, platform, threaded=True, request_handler=MotoRequestHandler)
    platform.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        platform.close()
        server.shutdown()
        server.server_close()
        thread.join()


def read(request: Request, body: bytes) -> Call | None:
    """The call to SageMaker that an HTTP request is; None for another service's, or the platform's own."""
    signed = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", request.headers.get("Authorization", ""))
    if signed is None or signed[1] == HARNESS:
        return None
    if named := re.fullmatch("/endpoints/([^/]+)/invocations", request.path):
        given: Json = {"EndpointName": unquote(named[1]), "Body": body}
        for key in ("Content-Type", "Accept"):
            if key in request.headers:
                given[key.replace("-", "")] = request.headers[key]
        return Call("InvokeEndpoint", given, signed[2])
    service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    return Call(operation, json.loads(body), signed[2]) if service == "SageMaker" else None


def progress(busy: Json, work: "Future[Json]") -> Iterator[Json]:
    """Busy at the first look and until the work is done; then for ever what came of it."""
    yield busy
    while not work.done():
        yield busy
    error = work.exception()
    yield from repeat({next(iter(busy)): "Failed", "FailureReason": str(error)[:1024]} if error else work.result())


def answers(url: str) -> bool:
    """Whether ``url`` gives 200 within a minute."""
    for _ in range(300):
        try:
            if requests.get(url, timeout=2).ok:
                return True
        except requests.RequestException:
            pass
        time.sleep(0.2)
    return False


def split(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.netloc, parts.path.lstrip("/")


def pack(directory: Path) -> bytes:
    """The archive of a model: its paths are relative to the directory (T-40)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packing:
        for path in sorted(directory.iterdir()):
            packing.add(path, path.name)
    return archive.getvalue()


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()
