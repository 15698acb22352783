"""Template: what the simulator does for a streamed response: each chunk of the container is an event (H-60)."""

import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import requests
from werkzeug import Response

from rehearsal import containers
from rehearsal.asynchronous import configuration
from rehearsal.calls import Call, Known, Refusal
from rehearsal.hosting import model_error
from rehearsal.simulator import Handler, Simulator


def invoke(simulator: Simulator, call: Call, known: Known) -> Response:
    """InvokeEndpointWithResponseStream: the chunks of the container's answer, when they come."""
    name = call.request["EndpointName"]
    endpoint = simulator.endpoints.get(name)
    if endpoint is None or endpoint.fleet is None or configuration(simulator, name):
        raise Refusal("ValidationError", f"Endpoint {name} not found, or it cannot stream.")
    said = containers.invoke(endpoint.fleet.address, call.request, timeout=480, stream=True)
    if not said.ok:
        return model_error(said.status_code, said.text)
    kind = {"X-Amzn-SageMaker-Content-Type": said.headers["Content-Type"]}
    return Response(events(said), 200, kind, content_type="application/vnd.amazon.eventstream")


def events(said: Any) -> Iterator[bytes]:
    """Each chunk as a PayloadPart; a stream that breaks ends with an error (H-61)."""
    try:
        for chunk in said.iter_content(None):
            yield event({"event-type": "PayloadPart", "message-type": "event"}, chunk)
    except requests.RequestException:
        yield event(
            {"exception-type": "ModelStreamError", "message-type": "exception"},
            b'{"Message": "The model container closed the connection.", "ErrorCode": "StreamBroken"}',
        )


def event(headers: dict[str, str], payload: bytes) -> bytes:
    """A message of AWS's event stream: lengths and their checksum, headers, payload, checksum."""
    head = b"".join(
        struct.pack(
            f">B{len(name) + 1}sBH{len(value)}s", len(name) + 1, f":{name}".encode(), 7, len(value), value.encode()
        )
        for name, value in headers.items()
    )
    start = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = start + struct.pack(">I", crc32(start)) + head + payload
    return message + struct.pack(">I", crc32(message))


HANDLERS: dict[str, Handler] = {"InvokeEndpointWithResponseStream": invoke}
