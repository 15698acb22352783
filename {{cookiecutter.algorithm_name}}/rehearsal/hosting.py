"""Template: what the simulator does for an endpoint: containers of the real image, with the model read-only."""

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3
from botocore import xform_name
from botocore.exceptions import ClientError
from werkzeug import Response

from rehearsal import containers, findings, logs
from rehearsal.calls import Call, Json, Known, Refusal, document
from rehearsal.simulator import Handler, Simulator

ACCOUNT = "123456789012"
CHANGING = ("Creating", "Updating", "RollingBack")
HTTP = urllib3.PoolManager(maxsize=64, retries=False)
TIMEOUT = "Your invocation timed out while waiting for a response from container primary."


@dataclass
class Fleet:
    """The containers of one endpoint configuration."""

    config: str
    address: str = ""
    container: str = ""
    busy: int = 0
    """How many calls it has not answered yet."""
    answered: list[tuple[float, int, float]] = field(default_factory=list)
    """When each call was answered, with which status, and after how many microseconds."""

    def post(self, body: bytes, headers: dict[str, str], seconds: float) -> Any:
        """The container's answer to a call, which may take so many seconds."""
        began, status = time.time(), 504
        try:
            said = HTTP.request("POST", f"{self.address}/invocations", body=body, headers=headers, timeout=seconds)
            status = said.status
        finally:
            self.answered.append((time.time(), status, (time.time() - began) * 1e6))
        return said


@dataclass
class Endpoint:
    """What serves behind a name."""

    status: str
    fleet: Fleet | None = None
    failure: str = ""
    looks: list[Json] = field(default_factory=list)
    coming: Fleet | None = None
    share: int = 0
    """How many percent of the calls go to the fleet that is coming."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def described(self) -> Json:
        """What Describe says beyond moto's record."""
        said: Json = {"EndpointStatus": self.status}
        if self.coming:
            said["PendingDeploymentSummary"] = {"EndpointConfigName": self.coming.config}
        return said | ({"FailureReason": self.failure} if self.failure else {})

    @contextmanager
    def call(self) -> Iterator[Fleet | None]:
        """The fleet that gets a call, which is not stopped before the call is answered."""
        with self.lock:
            fleet = self.coming if self.coming and random.uniform(0, 100) < self.share else self.fleet
            if fleet:
                fleet.busy += 1
        try:
            yield fleet
        finally:
            with self.lock:
                if fleet:
                    fleet.busy -= 1


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateEndpoint: start a container and wait until it answers ``/ping``."""
    name = call.request["EndpointName"]
    answer = create_named(simulator, call, known)
    if answer.status_code == 200 and simulator.image:
        simulator.endpoints[name] = Endpoint("Creating")
        simulator.pool.submit(bring_up, simulator, name, call.request["EndpointConfigName"])
    return answer


def create_named(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateModel and similar: a name can be used once."""
    noun = call.operation.removeprefix("Create")
    name = call.request[f"{noun}Name"]
    with simulator.lock:  # of two requests at a time one comes first
        try:
            getattr(simulator.sagemaker, xform_name(f"Describe{noun}"))(**{f"{noun}Name": name})
        except ClientError:
            return known()
    raise Refusal("ValidationException", f'Cannot create already existing {noun.lower()} "{name}".')


def bring_up(simulator: Simulator, name: str, config: str) -> None:
    """The first fleet of an endpoint."""
    endpoint: Endpoint = simulator.endpoints[name]
    try:
        endpoint.fleet = start(simulator, config)
        endpoint.status = "InService"
    except Exception as error:  # a request that no container could be made of
        if simulator.containers:
            logs.publish(simulator, f"/aws/sagemaker/Endpoints/{name}", simulator.containers[-1])
        endpoint.status, endpoint.failure = "Failed", str(error)[:1024]


def start(simulator: Simulator, config: str) -> Fleet:
    """A container that answers ``/ping``, for the model that the configuration names."""
    described = simulator.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    variant = described["ProductionVariants"][0]
    model = simulator.sagemaker.describe_model(ModelName=variant["ModelName"])
    primary = model["PrimaryContainer"]
    folder = containers.unpack(simulator.role_s3, primary["ModelDataUrl"], simulator.directory)
    instance_type = variant.get("InstanceType", "a serverless endpoint")
    container, address = findings.serve(simulator, folder, primary.get("Environment", {}), instance_type)
    return Fleet(config, address, container)


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeEndpoint: moto's record, with the status of the containers."""
    name = call.request["EndpointName"]
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    answer = known()
    if endpoint and endpoint.status == "Deleting":
        if endpoint.looks:
            return document(answer) | endpoint.looks.pop()
        simulator.sagemaker.delete_endpoint(EndpointName=name)
        del simulator.endpoints[name]
        return known()
    if answer.status_code != 200 or endpoint is None:
        return answer
    return document(answer) | endpoint.described()


def delete(simulator: Simulator, call: Call, known: Known) -> Response:
    """DeleteEndpoint: the endpoint is seen once more, as Deleting."""
    name = call.request["EndpointName"]
    if name not in _there(simulator):
        return known()
    if name in simulator.endpoints and simulator.endpoints[name].status in CHANGING:
        raise Refusal("ValidationException", f'Cannot update in-progress endpoint "{name}".')
    simulator.script.pop("DescribeEndpoint", None)
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    if endpoint and endpoint.fleet and endpoint.fleet.container:
        simulator.pool.submit(findings.stop, simulator, endpoint.fleet.container)
    simulator.endpoints[name] = Endpoint("Deleting", looks=[{"EndpointStatus": "Deleting"}])
    return Response("{}")


def _there(simulator: Simulator) -> list[str]:
    return [each["EndpointName"] for each in simulator.sagemaker.list_endpoints()["Endpoints"]]


def invoke(simulator: Simulator, call: Call, known: Known) -> Response:
    """InvokeEndpoint: the container's answer, and its error as ModelError (H-42)."""
    name = call.request["EndpointName"]
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    if endpoint is None:
        raise Refusal("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
    headers = {
        key: call.request[key.replace("-", "")]
        for key in ("Content-Type", "Accept")
        if key.replace("-", "") in call.request
    }
    with endpoint.call() as fleet:
        if fleet is None:
            raise Refusal("ValidationError", f"Endpoint {name} of account {ACCOUNT} has no instances yet.")
        try:
            said = fleet.post(call.request["Body"], headers, simulator.rules.invocation)
        except urllib3.exceptions.HTTPError as error:
            findings.no_answer(simulator, fleet.container, isinstance(error, urllib3.exceptions.TimeoutError))
            return model_error(0, TIMEOUT)
    if said.status == 200:
        return Response(said.data, 200, {"Content-Type": said.headers["Content-Type"]})
    return model_error(said.status, said.data.decode(errors="replace"))


def model_error(status: int, text: str) -> Response:
    """The error of a container, as a caller gets it."""
    error = {"OriginalStatusCode": status, "OriginalMessage": text, "LogStreamArn": "arn"}
    error["Message"] = f'Received error ({status}) from primary with message "{text}".'
    return Response(json.dumps(error), 424, {"x-amzn-errortype": "ModelError"})


HANDLERS: dict[str, Handler] = {
    "CreateModel": create_named,
    "CreateEndpointConfig": create_named,
    "CreateEndpoint": create,
    "DescribeEndpoint": describe,
    "DeleteEndpoint": delete,
    "InvokeEndpoint": invoke,
}
