"""Template: the calls that reach SageMaker, and what may be answered to them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from werkzeug import Request, Response

from rehearsal.service_model import INVOCATIONS, headers

Json = dict[str, Any]
Known = Callable[[], Response]
"""What moto answers to the call; asking changes its records."""


@dataclass(frozen=True)
class Call:
    """A request that reached SageMaker."""

    operation: str
    request: Json
    region: str


@dataclass(frozen=True)
class Refusal(Exception):
    """An error to answer with, as AWS's JSON has it."""

    code: str
    message: str
    status: int = 400
    """0: the call is done, but the connection breaks before the answer."""

    def response(self) -> Response:
        """The answer."""
        said = {"__type": self.code, "message": self.message, "Message": self.message}
        return Response(json.dumps(said), self.status, {"x-amzn-errortype": self.code})


def signature(request: Request) -> "re.Match[str] | None":
    """The access key, the region and the service that a request is signed for."""
    return re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", request.headers.get("Authorization", ""))


def read(request: Request, body: bytes) -> Call | None:
    """The call to SageMaker that an HTTP request is; None for another service's, and for one that is not signed."""
    signed = signature(request)
    if signed is None:
        return None
    if named := re.fullmatch("/endpoints/([^/]+)/([a-z-]+)", request.path):
        given = {"EndpointName": unquote(named[1])} | headers(INVOCATIONS[named[2]], request.headers)
        return Call(INVOCATIONS[named[2]], given | ({} if "InputLocation" in given else {"Body": body}), signed[2])
    service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    return Call(operation, json.loads(body), signed[2]) if service == "SageMaker" else None


def document(answer: Response) -> Json:
    """The JSON of an answer."""
    said: Json = json.loads(answer.get_data())
    return said
