"""Template: a server that answers as SageMaker and the services around it would, with the real image behind it.

moto keeps the records and the buckets. What it lacks is in the modules below: what a training job, an endpoint or a
batch job does is done with `docker run`, laid out as on the platform. Each request is checked against AWS's own service
model first. Nothing is ready at the first look.
"""

import io
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug import Request, Response
from werkzeug.serving import make_server

from rehearsal import permissions, records
from rehearsal.calls import Call, Json, Known, Refusal, document, read, signature
from rehearsal.findings import Finding, Rules
from rehearsal.service_model import violations

Application = Callable[[WSGIEnvironment, StartResponse], Any]
HARNESS = permissions.HARNESS_KEY  # signs the calls that the platform makes itself: neither recorded nor altered
OWN: Any = boto3.Session(HARNESS, "secret", region_name="us-west-2")
AS_ROLE = boto3.Session(permissions.ROLE_KEY, "secret", region_name="us-west-2")
records.complete()


Handler = Callable[["Simulator", Call, Known], "Response | Json"]


class Simulator:
    """SageMaker and S3 at ``url``. ``image`` stands for whatever image a request names; without one nothing runs."""

    def __init__(self, image: str | None, directory: Path, scale: float = 0.01) -> None:
        self.url = ""
        self.image = image
        self.directory = directory
        self.scale = scale
        """How long a second of the platform's own waits lasts: a canary's ten minutes are six seconds at 0.01."""
        self.calls: list[Call] = []
        self.script: dict[str, Iterator[Json | Refusal]] = {}
        """What to answer to an operation, call by call: a refusal, or values to lay over the answer."""
        self.denied: set[str] = set()
        """What the caller may not do, as policies name it, such as ``ecr:BatchGetImage``."""
        self.outages: dict[str, Iterator[int]] = {}
        """How a service other than SageMaker fails, call by call: an HTTP status, 0 for a broken connection."""
        self.lock = threading.RLock()
        self.clients: dict[str, Any] = {}
        self.containers: list[str] = []
        self.metrics: dict[str, float] = {}
        """What was scraped from the logs of training jobs (T-55)."""
        self.endpoints: Json = {}
        """What serves behind each endpoint, by its name; ``rehearsal.hosting`` fills it."""
        self.asynchronous: dict[str, Json] = {}
        """The ``AsyncInferenceConfig`` of each endpoint configuration that was called, by its name."""
        self.jobs: Json = {}
        """What Describe says beyond moto's records, by the kind of job and its name."""
        self.uses: list[permissions.Use] = []
        """The permissions that were needed so far."""
        self.policies: dict[str, Json] = {}
        """Policies to enforce, by identity: ``permissions.CALLER``, ``permissions.ROLE``."""
        self.rules = Rules()
        self.findings: list[Finding] = []
        """What the platform would not accept."""
        self.started: dict[str, list[str]] = {}
        """What the containers that serve were started with, by their ids."""
        self.moto: Application = DomainDispatcherApplication(create_backend_app)
        self.pool = ThreadPoolExecutor(32)

    def operations(self, *, but: tuple[str, ...] = ("Describe", "List", "AddTags", "DeleteTags")) -> list[str]:
        """The names of the calls so far, except those that begin with one of ``but``: reading, and the lock's tags."""
        return [call.operation for call in self.calls if not call.operation.startswith(but)]

    def request(self, operation: str) -> Json:
        """The newest request of that operation."""
        return next(call.request for call in reversed(self.calls) if call.operation == operation)

    def client(self, service: str) -> Any:
        """A client of this server, whose calls are not recorded."""
        with self.lock:
            if service not in self.clients:
                self.clients[service] = OWN.client(service, endpoint_url=self.url)
            return self.clients[service]

    @property
    def s3(self) -> Any:
        """S3 of this server."""
        return self.client("s3")

    @property
    def role_s3(self) -> Any:
        """S3 as the execution role may use it."""
        return AS_ROLE.client("s3", endpoint_url=self.url)

    @property
    def sagemaker(self) -> Any:
        """SageMaker of this server."""
        return self.client("sagemaker")

    def wait(self, seconds: float) -> None:
        """Let so many seconds of the platform's time pass."""
        time.sleep(seconds * self.scale)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer a request: SageMaker's here, any other service's by moto."""
        body = Request(environ).get_data()
        environ["wsgi.input"] = io.BytesIO(body)
        if denied := permissions.judge(self, Request(environ), body):
            return denied(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            answer = self.answer_to(Request(environ), body, environ)
            environ["wsgi.input"] = io.BytesIO(body)
            return answer(environ, start_response)
        except ConnectionResetError:  # planned
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise
        except NotImplementedError as error:  # of moto's; as to a caller without the permission
            said = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{error}</Message></Error></ErrorResponse>"
            return Response(said, 403)(environ, start_response)

    def answer_to(self, request: Request, body: bytes, environ: WSGIEnvironment) -> Application:
        """The answer of SageMaker or of another service; what the platform asks for itself goes to moto."""
        from rehearsal.registry import layer_address

        signed = signature(request)
        if signed and not signed[1].startswith(HARNESS):
            if call := read(request, body):
                return self.answer(call, environ)
            if planned := self.planned_elsewhere(signed[3], request):
                return planned
        return layer_address(self, request, body) or self.moto

    def planned_elsewhere(self, service: str, request: Request) -> Response | None:
        """What a test has planned for another service than SageMaker: an outage or a refusal."""
        if (status := next(self.outages.get(service, iter(())), 200)) != 200:
            if not status:
                raise ConnectionResetError
            return Response(status=status)
        operation = request.headers.get("X-Amz-Target", "").partition(".")[2]
        planned = next(self.script.get(operation, iter(())), None)
        return planned.response() if isinstance(planned, Refusal) else None

    def answer(self, call: Call, environ: WSGIEnvironment) -> Application:
        """The answer to a call of SageMaker's: refused, planned by a test, or worked out."""
        self.calls.append(call)
        if faults := violations(call.operation, call.request):
            return Refusal("ValidationException", f"1 validation error detected: {faults[0]}").response()
        body = environ["wsgi.input"].getvalue()

        def known() -> Response:
            environ["wsgi.input"] = io.BytesIO(body)
            return Response.from_app(self.moto, environ)

        try:
            answer = self.work_out(call, known)
        except Refusal as refusal:
            return refusal.response()
        return answer if isinstance(answer, Response) else Response(json.dumps(answer, default=str))

    def work_out(self, call: Call, known: Known) -> "Response | Json":
        """What the handler of the operation says, or else moto; and what a test lays over it."""
        from rehearsal.handlers import HANDLERS

        describes = call.operation.startswith("Describe")
        planned = {} if describes else self.planned(call)
        if isinstance(planned, Refusal) and planned.status:
            raise planned
        answer = HANDLERS.get(call.operation, _from_moto)(self, call, known)
        if isinstance(planned, Refusal):
            raise ConnectionResetError
        if describes and (not isinstance(answer, Response) or answer.status_code == 200):
            planned = self.planned(call)
            if isinstance(planned, Refusal):
                raise planned
            return (document(answer) if isinstance(answer, Response) else answer) | planned
        return answer

    def planned(self, call: Call) -> "Json | Refusal":
        """What a test has planned for this call."""
        return next(self.script.get(call.operation, iter(())), {})

    def close(self) -> None:
        """Stop all containers."""
        self.pool.shutdown()
        for container in filter(None, self.containers):
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)


def _from_moto(simulator: Simulator, call: Call, known: Known) -> Response:
    return known()


@contextmanager
def running(directory: Path, image: str | None = None, scale: float = 0.01, port: int = 0) -> Iterator[Simulator]:
    """A simulator that answers at its ``url`` and leaves no container behind."""
    records.reset()
    simulator = Simulator(image, directory, scale)
    server = make_server("127.0.0.1", port, simulator, threaded=True, request_handler=MotoRequestHandler)
    simulator.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield simulator
    finally:
        simulator.close()
        server.shutdown()
        server.server_close()
        thread.join()
