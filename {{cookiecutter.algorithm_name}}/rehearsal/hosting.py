"""Template: what the simulator does for an endpoint: containers of the real image, with the model read-only."""

import json
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Response

from rehearsal import containers, findings
from rehearsal.simulator import Call, Handler, Json, Known, Refusal, Simulator

ACCOUNT = "123456789012"
TIMEOUT = "Your invocation timed out while waiting for a response from container primary."


@dataclass
class Fleet:
    """The containers of one endpoint configuration."""

    config: str
    address: str = ""
    container: str = ""


@dataclass
class Endpoint:
    """What serves behind a name."""

    status: str
    fleet: Fleet | None = None
    failure: str = ""
    looks: list[Json] = field(default_factory=list)

    def described(self) -> Json:
        """What Describe says beyond moto's record."""
        said: Json = {"EndpointStatus": self.status}
        return said | ({"FailureReason": self.failure} if self.failure else {})


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateEndpoint: start a container and wait until it answers ``/ping``."""
    answer = known()
    if answer.status_code == 200 and simulator.image:
        name = call.request["EndpointName"]
        simulator.endpoints[name] = Endpoint("Creating")
        simulator.pool.submit(bring_up, simulator, name, call.request["EndpointConfigName"])
    return answer


def bring_up(simulator: Simulator, name: str, config: str) -> None:
    """The first fleet of an endpoint."""
    endpoint: Endpoint = simulator.endpoints[name]
    try:
        endpoint.fleet = start(simulator, config)
        endpoint.status = "InService"
    except Exception as error:  # a request that no container could be made of
        endpoint.status, endpoint.failure = "Failed", str(error)[:1024]


def start(simulator: Simulator, config: str) -> Fleet:
    """A container that answers ``/ping``, for the model that the configuration names."""
    described = simulator.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    variant = described["ProductionVariants"][0]
    model = simulator.sagemaker.describe_model(ModelName=variant["ModelName"])
    primary = model["PrimaryContainer"]
    folder = containers.unpack(simulator.role_s3, primary["ModelDataUrl"], simulator.directory)
    instance_type = variant.get("InstanceType", "a serverless endpoint")
    try:
        container, address = findings.serve(simulator, folder, primary.get("Environment", {}), instance_type)
    except findings.Unfit as error:
        raise RuntimeError(f"The container did not pass the ping health check. {error}") from error
    return Fleet(config, address, container)


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeEndpoint: moto's record, with the status of the containers."""
    name = call.request["EndpointName"]
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    answer = known()
    if endpoint and endpoint.status == "Deleting":
        if endpoint.looks:
            return json.loads(answer.get_data()) | endpoint.looks.pop()  # type: ignore[no-any-return]
        simulator.sagemaker.delete_endpoint(EndpointName=name)
        del simulator.endpoints[name]
        return known()
    if answer.status_code != 200 or endpoint is None:
        return answer
    return json.loads(answer.get_data()) | endpoint.described()  # type: ignore[no-any-return]


def delete(simulator: Simulator, call: Call, known: Known) -> Response:
    """DeleteEndpoint: the endpoint is seen once more, as Deleting."""
    name = call.request["EndpointName"]
    there = [each["EndpointName"] for each in simulator.sagemaker.list_endpoints()["Endpoints"]]
    if name not in there:
        return known()
    simulator.script.pop("DescribeEndpoint", None)
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    if endpoint and endpoint.fleet:
        simulator.pool.submit(findings.stop, simulator, endpoint.fleet.container)
    simulator.endpoints[name] = Endpoint("Deleting", looks=[{"EndpointStatus": "Deleting"}])
    return Response("{}")


def invoke(simulator: Simulator, call: Call, known: Known) -> Response:
    """InvokeEndpoint: the container's answer, and its error as ModelError (H-42)."""
    name = call.request["EndpointName"]
    endpoint: Endpoint | None = simulator.endpoints.get(name)
    if endpoint is None or endpoint.fleet is None:
        raise Refusal("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
    headers = {
        key: call.request[key.replace("-", "")]
        for key in ("Content-Type", "Accept")
        if key.replace("-", "") in call.request
    }
    fleet = endpoint.fleet
    said = findings.invoke(simulator, fleet.container, fleet.address, call.request["Body"], headers)
    if said is not None and said.ok:
        return Response(said.content, 200, {"Content-Type": said.headers["Content-Type"]})
    return model_error(said)


def model_error(said: Any) -> Response:
    """The error of a container, as a caller gets it."""
    status, text = (said.status_code, said.text) if said is not None else (0, TIMEOUT)
    error = {"OriginalStatusCode": status, "OriginalMessage": text, "LogStreamArn": "arn"}
    error["Message"] = f'Received error ({status}) from primary with message "{text}".'
    return Response(json.dumps(error), 424, {"x-amzn-errortype": "ModelError"})


HANDLERS: dict[str, Handler] = {
    "CreateEndpoint": create,
    "DescribeEndpoint": describe,
    "DeleteEndpoint": delete,
    "InvokeEndpoint": invoke,
}
