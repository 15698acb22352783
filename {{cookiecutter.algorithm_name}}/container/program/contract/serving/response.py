"""Template: what is sent back: status, headers and body."""

from typing import NamedTuple

import orjson

from contract import failure
from contract.errors import RequestError, UserError
from contract.serving import log
from contract.serving.formats import CSV
from contract.serving.request import Answer, Head


class Response(NamedTuple):
    """An HTTP response; names of headers are in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def success(head: Head, answer: Answer) -> Response:
    """A prediction, or its first piece."""
    charset = "; charset=utf-8" if answer.format is CSV else ""
    media_type = (answer.format.media_type + charset).encode()
    headers = [(b"content-type", media_type), (b"x-request-id", head.id.encode("latin-1"))]
    if head.custom_attributes:
        headers.append((b"x-amzn-sagemaker-custom-attributes", head.custom_attributes.encode()))  # H-26
    if answer.pieces:
        headers.append((b"x-accel-buffering", b"no"))  # nginx then sends each piece at once (H-60)
    else:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    return Response(200, headers, answer.body)


def refusal(error: RequestError, id_: str) -> Response:
    """The one shape of all errors (H-55)."""
    body = orjson.dumps({"error": {"code": error.code, "message": error.message[:1500], "id": id_}}) + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"x-request-id", id_.encode("latin-1")))
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    return Response(error.status, headers, body)


def explain(error: Exception, head: Head) -> RequestError:
    """The error that the client gets (H-56). An error that is not the request's fault is logged in full."""
    if isinstance(error, RequestError):
        return error
    log.write("error", failure.describe(error), id=head.id)
    if isinstance(error, UserError):
        return RequestError(500, "algorithm_error", str(error))
    return RequestError(500, "internal_error", f"the algorithm failed; the log says why under {head.id}")
