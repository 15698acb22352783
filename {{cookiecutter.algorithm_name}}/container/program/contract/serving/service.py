"""Template: the model as a service: which requests are admitted, its health, and its log."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from time import perf_counter
from typing import IO, Any

from contract import resources
from contract.algorithm_interface import Algorithm
from contract.errors import RequestError
from contract.schema import RawSchema, Schema
from contract.serving import negotiation
from contract.serving.exchange import Exchange
from contract.serving.health import Health
from contract.serving.inference import Inference
from contract.serving.log import RequestLog
from contract.serving.prediction_queue import PredictionQueue, Settled
from contract.serving.request import Answer, Head
from contract.serving.response import Response, refusal
from contract.settings import Settings

BYTES_HELD = 2**28  # of bodies in the queue of a process, if memory allows; a single one may be larger
OVERLOADED = RequestError(503, "overloaded", "the queue is full: try again in a second")


class Admission:
    """The places in the queue of a process, limited in requests and in bytes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._requests = self._bytes = 0
        self._bytes_held = min(BYTES_HELD, resources.memory() / (8 * settings.workers))
        self._lock = threading.Lock()

    def admit(self, length: int) -> RequestError | None:
        """Take a place for a body of ``length`` bytes, to be given back with ``release``; or return the refusal."""
        if length > self._settings.body_limit:
            return negotiation.too_large(self._settings.body_limit, self._settings.body_remedy)
        with self._lock:
            if self._requests >= self._settings.queue or (self._requests and self._bytes + length > self._bytes_held):
                return OVERLOADED
            self._requests += 1
            self._bytes += length
        return None

    def grow(self, length: int, total: int) -> RequestError | None:
        """Add bytes to the place of a body that comes in chunks, ``total`` so far; or return the refusal."""
        with self._lock:
            self._bytes += length
            if total > self._settings.body_limit:
                return negotiation.too_large(self._settings.body_limit, self._settings.body_remedy)
            return OVERLOADED if self._requests > 1 and self._bytes > self._bytes_held else None

    def release(self, length: int) -> None:
        with self._lock:
            self._requests -= 1
            self._bytes -= length


class Service:
    """The model of a process and the rules of its use."""

    def __init__(self, algorithm: Algorithm, model: object, schema: Schema | RawSchema, settings: Settings) -> None:
        self.settings = settings
        self.threads_started = 0
        """By ``load()``: they would not survive a fork."""
        self.health_state = Health()
        self.inference = Inference(algorithm, model, schema, settings)
        self.queue = PredictionQueue(self.inference, self.health_state, settings)
        self.admission = Admission(settings)
        self.capture: Any = None
        if settings.capture:
            from contract.serving.capture import Capture  # only if it is set

            self.capture = Capture(schema, settings)
        self.log = RequestLog()
        self.observers: list[Callable[[dict[str, Any]], object]] = [self.log]

    def start(self, deliver: Callable[[Settled], object] | None = None) -> None:
        """Begin to predict in this process, once; threads do not survive a fork."""
        self.queue.start(deliver or settle)
        if self.capture:
            self.capture.prepare()

    def stop(self) -> None:
        """Write what is still to be logged or captured."""
        self.log.flush()
        if self.capture:
            self.capture.close()

    def health(self) -> Response:
        """The answer to ``/ping`` (H-04, H-05). While predictions fail, each ``/ping`` has one tried again."""
        if not self.health_state.problem:
            return Response(200, [(b"content-type", b"text/plain"), (b"content-length", b"0")], b"")
        self.queue.submit_example()
        return refusal(RequestError(503, "not_ready", self.health_state.problem), uuid.uuid4().hex)

    def execution_parameters(self) -> dict[str, int]:
        """How much batch transform may send at a time (B-02 to B-05)."""
        megabytes = min(6, self.settings.body_limit // 2**20)
        slots = self.settings.workers * self.settings.threads
        return {"MaxConcurrentTransforms": min(slots, 100 // megabytes), "MaxPayloadInMB": megabytes}

    def answer(self, headers: Mapping[bytes, bytes], body: IO[bytes]) -> tuple[Response, Iterator[bytes]]:
        """Wait for the response to a request and an iterator of its later pieces: for threaded servers."""
        client = WaitingClient()
        exchange = Exchange(self, headers, client)
        try:
            while data := body.read(2**18):
                exchange.feed(data)
            exchange.finish()
            response, more = client.first.get()
        except BaseException:  # whatever ends the request, its place is given back
            exchange.close()
            raise
        return response, client.rest(exchange) if more else iter(())

    def report(self, head: Head, answer: Answer, status: int, error: RequestError | None, arrived: float = 0.0) -> None:
        event: dict[str, Any] = {"id": head.id, "status": status, "bytes": head.length}
        event["total_ms"] = _milliseconds(head.began, perf_counter())
        for name, value in (("inference_id", head.inference_id), ("traceparent", head.traceparent)):
            if value:
                event[name] = value
        if answer.started:
            event |= {
                "rows": answer.rows,
                "together": answer.together,
                "queue_ms": _milliseconds(arrived, answer.started),
                "predict_ms": _milliseconds(answer.started, answer.finished),
            }
        if error:
            event |= {"code": error.code, "message": error.message}
        for observer in self.observers:
            observer(event)

    def refuse(self, error: RequestError, headers: Mapping[bytes, bytes]) -> Response:
        """Log a request that is not a prediction, and return its response."""
        head = Head.read(headers)
        self.report(head, Answer(error), error.status, error)
        return refusal(error, head.id)


class WaitingClient:
    """Hands responses from the prediction thread to a thread that waits for them."""

    def __init__(self) -> None:
        self.first: SimpleQueue[tuple[Response, bool]] = SimpleQueue()
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()

    def begin(self, response: Response, more: bool) -> None:
        self.first.put((response, more))

    def send_piece(self, piece: bytes) -> None:
        self._pieces.put(piece)

    def abort(self) -> None:
        """Make ``rest`` raise an error."""
        self._pieces.put(None)

    def rest(self, exchange: Exchange) -> Iterator[bytes]:
        """The pieces after the first. Raises ``ConnectionAbortedError`` if there cannot be more of them (H-61)."""
        try:
            exchange.advance()
            while piece := self._pieces.get():
                yield piece
                exchange.advance()
            if piece is None:
                raise ConnectionAbortedError(f"the answer to {exchange.head.id} is not complete")
        finally:
            exchange.close()


def settle(settled: Settled) -> None:
    """Pass answers on to their exchanges."""
    for exchange, answer in settled:
        exchange.settle(answer)


def _milliseconds(begin: float, end: float) -> float:
    return round(1000 * (end - begin), 3)
