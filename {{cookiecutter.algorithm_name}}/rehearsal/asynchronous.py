"""Template: what the simulator does for an async endpoint: its input and its result are objects on S3."""

import json
import secrets

from werkzeug import Response

from rehearsal import containers, hosting
from rehearsal.calls import Call, Json, Known, Refusal
from rehearsal.simulator import Handler, Simulator


def configuration(simulator: Simulator, endpoint: str) -> Json:
    """The ``AsyncInferenceConfig`` of an endpoint; empty if it has none."""
    serving: hosting.Endpoint | None = simulator.endpoints.get(endpoint)
    if serving is None or serving.fleet is None:
        return {}
    config = serving.fleet.config
    if config not in simulator.asynchronous:  # a configuration never changes, and each call asks for it
        described = simulator.sagemaker.describe_endpoint_config(EndpointConfigName=config)
        simulator.asynchronous[config] = described.get("AsyncInferenceConfig") or {}
    return simulator.asynchronous[config]


def invoke(simulator: Simulator, call: Call, known: Known) -> Response:
    """InvokeEndpointAsync: 202 with the addresses of the result and of the failure; then the container is asked."""
    request = call.request
    config = configuration(simulator, request["EndpointName"])
    if not config:
        raise Refusal("ValidationError", f"Endpoint {request['EndpointName']} is not an async endpoint.")
    if ("Body" in request) == ("InputLocation" in request):
        raise Refusal("ValidationError", "Exactly one of Body and InputLocation is needed.")
    identifier = secrets.token_hex(8)
    output = config["OutputConfig"]
    places = {
        "X-Amzn-SageMaker-OutputLocation": f"{output['S3OutputPath'].rstrip('/')}/{identifier}.out",
        "X-Amzn-SageMaker-FailureLocation": f"{output['S3FailurePath'].rstrip('/')}/{identifier}-error.out",
    }
    simulator.pool.submit(work, simulator, request, *places.values())
    return Response(json.dumps({"InferenceId": identifier}), 202, places)


def work(simulator: Simulator, request: Json, output: str, failure: str) -> None:
    """What comes of a request, on S3 (A-06)."""
    simulator.wait(30)
    try:
        place, body = answer(simulator, request, output, failure)
    except Exception as error:  # no container, no input, or no answer in time
        place, body = failure, str(error).encode()
    bucket, key = containers.split(place)
    simulator.role_s3.put_object(Bucket=bucket, Key=key, Body=body)


def answer(simulator: Simulator, request: Json, output: str, failure: str) -> tuple[str, bytes]:
    """Where the container's answer goes, and the answer."""
    body = request.get("Body")
    if body is None:
        bucket, key = containers.split(request["InputLocation"])
        body = simulator.role_s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    address = simulator.endpoints[request["EndpointName"]].fleet.address
    said = containers.invoke(address, request | {"Body": body}, timeout=900)
    if not said.ok:
        kind = "client" if said.status_code < 500 else "server"
        return failure, f'Received {kind} error ({said.status_code}) from primary with message "{said.text}"'.encode()
    if "Content-Length" not in said.headers:
        return failure, b"The response from container primary did not specify the required Content-Length header"
    return output, said.content


def invoke_synchronously(simulator: Simulator, call: Call, known: Known) -> Response:
    """InvokeEndpoint, which an async endpoint refuses (A-07)."""
    name = call.request["EndpointName"]
    if configuration(simulator, name):
        raise Refusal("ValidationError", f"Endpoint {name} is an async endpoint: only InvokeEndpointAsync is allowed.")
    return hosting.invoke(simulator, call, known)


HANDLERS: dict[str, Handler] = {"InvokeEndpointAsync": invoke, "InvokeEndpoint": invoke_synchronously}
