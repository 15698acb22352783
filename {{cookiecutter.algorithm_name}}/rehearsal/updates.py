"""Template: what the simulator does for UpdateEndpoint: a second fleet, and traffic that moves to it or back (C-20)."""

import time
from collections.abc import Iterator
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.sagemaker.models import sagemaker_backends
from werkzeug import Response

from rehearsal import alarms, containers, hosting
from rehearsal.calls import Call, Json, Known, Refusal, document
from rehearsal.hosting import ACCOUNT, Endpoint, Fleet
from rehearsal.simulator import Handler, Simulator

UPDATABLE = ("InService", "UpdateRollbackFailed")
TICKS = 20  # how often the alarms are looked at while one step bakes
STOP_SECONDS = 30  # from SIGTERM to SIGKILL


def update(simulator: Simulator, call: Call, known: Known) -> Json:
    """UpdateEndpoint: refused, or begun."""
    request, backend = call.request, sagemaker_backends[ACCOUNT][call.region]
    name = request["EndpointName"]
    record = backend.endpoints.get(name)
    if record is None:
        raise Refusal("ValidationException", f'Could not find endpoint "{name}".')
    endpoint = simulator.endpoints.setdefault(name, Endpoint("InService", Fleet(record.endpoint_config_name)))
    if endpoint.status not in UPDATABLE:
        raise Refusal("ValidationException", f'Cannot update in-progress endpoint "{record.arn}".')
    old, new = (
        backend.endpoint_configs.get(each) for each in (record.endpoint_config_name, request["EndpointConfigName"])
    )
    if new is None:
        wanted = request["EndpointConfigName"]
        raise Refusal("ValidationException", f'Could not find endpoint configuration "{wanted}".')
    policy = request.get("DeploymentConfig", {})
    require(policy, call.region, old.production_variants if old else [], new.production_variants)
    endpoint.status, endpoint.failure, endpoint.coming = "Updating", "", Fleet(request["EndpointConfigName"])
    simulator.pool.submit(run, simulator, call.region, endpoint, record, policy)
    return {"EndpointArn": record.arn}


def require(policy: Json, region: str, old: list[Any], new: list[Any]) -> None:
    """Refuse what the service model does not show, but the service does (C-21, C-22)."""
    size, least, most = 10, 1, 50
    traffic = policy.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if rolling := policy.get("RollingUpdatePolicy"):
        size, least = rolling["MaximumBatchSize"]["Value"], 5
        if len(new) > 1 or "ServerlessConfig" in new[0]:
            raise Refusal("ValidationException", "Rolling updates take one variant, and no serverless one.")
    elif traffic.get("Type") == "CANARY":
        size = traffic["CanarySize"]["Value"]
    elif traffic.get("Type") == "LINEAR":
        size, least = traffic["LinearStepSize"]["Value"], 10
    if not least <= size <= most:
        raise Refusal("ValidationException", f"The size of a step is {size} %: it must be from {least} to {most} %.")
    if old and [each["VariantName"] for each in old] != [each["VariantName"] for each in new]:
        raise Refusal("ValidationException", "The new configuration must have the variant names of the old one.")
    if old and "ServerlessConfig" in new[0] and "ServerlessConfig" not in old[0]:  # (S-09)
        raise Refusal("ValidationException", "An endpoint with instances cannot be updated to a serverless one.")
    for name in alarms_of(policy):
        if name not in cloudwatch_backends[ACCOUNT][region].alarms:
            raise Refusal("ValidationException", f"The alarm {name} does not exist.")


def alarms_of(policy: Json) -> list[str]:
    """The names of the alarms that roll an update back."""
    return [each["AlarmName"] for each in policy.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def run(simulator: Simulator, region: str, endpoint: Endpoint, record: Any, policy: Json) -> None:
    """Move the traffic to the fleet that is coming; move it back if that does not start, or an alarm fires."""
    old, new = endpoint.fleet, endpoint.coming
    assert old and new
    try:
        if simulator.image:
            endpoint.coming = new = hosting.start(simulator, new.config)
        for share, seconds in steps(policy):
            endpoint.share = share
            bake(simulator, region, seconds, [old, new], alarms_of(policy))
        endpoint.fleet, endpoint.coming, endpoint.share = new, None, 0
        record.endpoint_config_name = new.config
    except Exception as error:  # of the image or the model, or an alarm
        endpoint.status, endpoint.share, endpoint.failure = "RollingBack", 0, str(error)[:1024]
        simulator.wait(60)
        endpoint.coming = None
        old, new = new, old
    stop(simulator, old)
    endpoint.status = "InService"


def steps(policy: Json) -> Iterator[tuple[int, int]]:
    """The shares of the traffic that a policy gives to the new fleet, and how many seconds each is watched."""
    if rolling := policy.get("RollingUpdatePolicy"):
        for share in range(rolling["MaximumBatchSize"]["Value"], 100, rolling["MaximumBatchSize"]["Value"]):
            yield share, rolling["WaitIntervalInSeconds"]
        yield 100, rolling["WaitIntervalInSeconds"]
        return
    blue_green = policy.get("BlueGreenUpdatePolicy", {})
    traffic = blue_green.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    if traffic["Type"] == "CANARY":
        yield traffic["CanarySize"]["Value"], traffic["WaitIntervalInSeconds"]
    elif traffic["Type"] == "LINEAR":
        for share in range(traffic["LinearStepSize"]["Value"], 100, traffic["LinearStepSize"]["Value"]):
            yield share, traffic["WaitIntervalInSeconds"]
    yield 100, blue_green.get("TerminationWaitInSeconds", 0)


def bake(simulator: Simulator, region: str, seconds: int, fleets: list[Fleet], names: list[str]) -> None:
    """Let so many seconds pass. Raises ``RuntimeError`` if an alarm fires in them."""
    for _ in range(TICKS):
        simulator.wait(seconds / TICKS)
        if found := alarms.fired(simulator, region, fleets, names):
            raise RuntimeError(f"The update was rolled back because of the alarms {', '.join(found)}.")


def stop(simulator: Simulator, fleet: Fleet) -> None:
    """Take the fleet out of the traffic, let it answer what it has, and stop its container."""
    deadline = time.monotonic() + STOP_SECONDS
    while fleet.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    if fleet.container:
        containers.docker("stop", "--time", str(STOP_SECONDS), fleet.container)


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeEndpoint, at which CloudWatch has the calls so far."""
    endpoint: Endpoint | None = simulator.endpoints.get(call.request["EndpointName"])
    for fleet in (endpoint.fleet, endpoint.coming) if endpoint else ():
        if fleet:
            published = simulator.jobs.setdefault("published", {})
            alarms.publish(call.request["EndpointName"], fleet, call.region, published)
    return hosting.describe(simulator, call, known)


def describe_model(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeModel: moto forgets whether the network is isolated."""
    answer = known()
    made = {each.request["ModelName"]: each.request for each in simulator.calls if each.operation == "CreateModel"}
    isolated = made.get(call.request["ModelName"], {}).get("EnableNetworkIsolation", False)
    return answer if answer.status_code != 200 else document(answer) | {"EnableNetworkIsolation": isolated}


def delete_tags(simulator: Simulator, call: Call, known: Known) -> Response:
    """DeleteTags: moto fails where the endpoint is gone."""
    kind, _, name = call.request["ResourceArn"].rpartition(":")[2].partition("/")
    if kind == "endpoint" and name not in sagemaker_backends[ACCOUNT][call.region].endpoints:
        raise Refusal("ValidationException", f"Could not find endpoint {name}.")
    return known()


HANDLERS: dict[str, Handler] = {
    "UpdateEndpoint": update,
    "DescribeEndpoint": describe,
    "DescribeModel": describe_model,
    "DeleteTags": delete_tags,
}
