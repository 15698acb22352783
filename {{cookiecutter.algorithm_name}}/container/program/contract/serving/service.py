"""Template: what the server does with a request to predict, whichever server it is: admit it, answer it, log it.

Every answer carries the request's id, by which the log, the client and nginx speak of the same request.
"""

import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson

from contract import failure, resources
from contract.algorithm_interface import Algorithm
from contract.errors import RequestError, UserError
from contract.serving import negotiation
from contract.serving.batching import Job, Predictor
from contract.serving.encoder import CSV
from contract.serving.log import Log
from contract.settings import Settings

BYTES_HELD = 2**28  # of bodies in the queue of a worker, where memory allows; one alone may be larger
TIMED_OUT = RequestError(503, "timeout", "the prediction took longer than MODEL_SERVER_TIMEOUT allows")


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers and body, as ASGI wants them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Call:
    """A request as its headers describe it. ``header`` gives the value of a header, named in lower case, or ''."""

    def __init__(self, header: Callable[[str], str]) -> None:
        self.began = perf_counter()
        self.id = header("x-request-id")[:64] or uuid.uuid4().hex
        self.inference_id = header("x-amzn-sagemaker-inference-id")[:64]  # H-27
        self.content_type = header("content-type")
        self.encoding = header("content-encoding").strip()
        self.accept = header("accept")
        length = header("content-length")
        self.length = int(length) if length.isdecimal() else 0
        attributes = header("x-amzn-sagemaker-custom-attributes")
        clean = len(attributes) <= 1024 and attributes.isascii() and attributes.isprintable()
        self.attributes = attributes if clean else ""  # H-26: never echoed unchecked


class Service:
    """The predictor of a process, and the rules of its use."""

    def __init__(self, algorithm: Algorithm, model: object, settings: Settings) -> None:
        self.predictor = Predictor(algorithm, model, settings)
        self.settings = settings
        self.log = Log()
        self.observers: list[Callable[[dict[str, Any]], object]] = [self.log]
        self._requests = self._bytes = 0
        self._bytes_held = min(BYTES_HELD, resources.memory() / (8 * settings.workers))
        self._lock = threading.Lock()

    def health(self) -> Response:
        """The answer to ``/ping`` (H-04, H-05). While no prediction works each ``/ping`` has it tried again."""
        if not self.predictor.ill:
            return Response(200, [(b"content-type", b"text/plain"), (b"content-length", b"0")], b"")
        self.predictor.check()
        return refusal(503, "not_ready", self.predictor.ill, uuid.uuid4().hex)

    def execution_parameters(self) -> dict[str, int]:
        """What batch transform may ask for at a time (B-02 to B-05)."""
        megabytes = min(6, self.settings.body_limit // 2**20)
        slots = self.settings.workers * self.settings.threads
        return {"MaxConcurrentTransforms": min(slots, 100 // megabytes), "MaxPayloadInMB": megabytes}

    def admit(self, length: int) -> RequestError | None:
        """Take a place in the queue for a body of ``length`` bytes, to be given back with ``release``; or refuse."""
        if length > self.settings.body_limit:
            return negotiation.too_large(self.settings.body_limit)
        with self._lock:
            if self._requests >= self.settings.queue or (self._requests and self._bytes + length > self._bytes_held):
                return RequestError(503, "overloaded", "all places in the queue are taken: try again in a second")
            self._requests += 1
            self._bytes += length
        return None

    def release(self, length: int) -> None:
        """Give the place back."""
        with self._lock:
            self._requests -= 1
            self._bytes -= length

    def submit(self, call: Call, body: bytes, future: Any) -> Job:
        """Queue the request; ``future`` is done once it is answered."""
        job = Job(call.id, body, call.content_type, call.encoding, call.accept, future)
        self.predictor.submit(job)
        return job

    def respond(self, call: Call, job: Job | None, error: Exception | None = None) -> Response:
        """The answer, once the job is done; or what ``error`` says. The observers are told."""
        error = error or (job.error if job else None)
        status, code, message = _explain(error, call.id) if error else (200, "", "")
        now = perf_counter()
        event = {"id": call.id, "status": status, "bytes": call.length, "total_ms": _milliseconds(call.began, now)}
        if call.inference_id:
            event["inference_id"] = call.inference_id
        if job and job.predicted:
            event |= {"rows": job.rows, "together": job.together,
                      "queue_ms": _milliseconds(job.arrived, job.started),
                      "predict_ms": _milliseconds(job.started, job.predicted)}  # fmt: skip
        if code:
            event |= {"code": code, "message": message}
        for observe in self.observers:
            observe(event)
        if job and not error:
            return self._success(call, job, job.form.media)
        return refusal(status, code, message, call.id)

    def _success(self, call: Call, job: Job, kind: str) -> Response:
        kind += "; charset=utf-8" if kind == CSV else ""
        headers = [(b"content-type", kind.encode()), (b"x-request-id", call.id.encode())]  # H-25
        if call.attributes:
            headers.append((b"x-amzn-sagemaker-custom-attributes", call.attributes.encode()))
        if job.pieces:
            headers.append((b"x-accel-buffering", b"no"))  # H-60: nginx sends each piece on
        else:
            headers.append((b"content-length", b"%d" % len(job.answer)))
        return Response(200, headers, job.answer)


def settle(jobs: list[Job]) -> None:
    """Tell those who wait that their jobs are done."""
    for job in jobs:
        if not job.future.done():  # else the client has gone
            job.future.set_result(None)


def incomplete(job: Job) -> Exception:
    """What to raise in mid-answer: the server cuts the connection, so that the client sees it is not all (H-61)."""
    if job.error:
        _explain(job.error, job.id)
    return ConnectionAbortedError(f"the answer to {job.id} is not complete")


def refusal(status: int, code: str, message: str, number: str) -> Response:
    """The one shape of all errors (H-55)."""
    error = {"code": code, "message": message[:1500], "id": number}
    body = orjson.dumps({"error": error}) + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
               (b"x-request-id", number.encode())]  # fmt: skip
    if status == 503:
        headers.append((b"retry-after", b"1"))
    return Response(status, headers, body)


def _explain(error: Exception, number: str) -> tuple[int, str, str]:
    """Status, code and message (H-56). What is not a mistake in the request goes to the log in full."""
    if isinstance(error, RequestError):
        return error.status, error.code, error.message
    print(f"error {number}: {failure.describe(error)}", file=sys.stderr, flush=True)
    if isinstance(error, UserError):
        return 500, "algorithm_error", str(error)
    return 500, "internal_error", f"the algorithm failed; the log says why under {number}"


def _milliseconds(begin: float, end: float) -> float:
    return round(1000 * (end - begin), 3)
