"""Template: one request to predict, from its headers to the last byte of the response, for any server."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from contract.errors import RequestError
from contract.serving.request import Answer, Head, Request
from contract.serving.response import Response, explain, refusal, success

if TYPE_CHECKING:
    from contract.serving.service import Service


class Client(Protocol):
    """What sends the response."""

    def begin(self, response: Response, more: bool) -> None:
        """Send a response; if there is ``more``, pieces of its body follow."""

    def send_piece(self, piece: bytes) -> None:
        """Send a piece and ask for the next one with ``advance``; an empty piece is the end."""

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the answer is not complete (H-61)."""


class Exchange:
    """Admits the request, has it answered, logs it and gives back its place in the queue.

    Its methods are called in one thread, the server's. Prediction threads read ``request``, ``pieces`` and ``closed``.
    """

    __slots__ = ("_capture", "_client", "_held", "_parts", "_queued", "_refusal", "_service",
                 "closed", "head", "pieces", "request")  # fmt: skip
    request: Request

    def __init__(self, service: Service, headers: Mapping[bytes, bytes], client: Client) -> None:
        self.head = Head.read(headers)
        self.pieces: Generator[bytes] | None = None
        self.closed = self._queued = False
        self._service, self._client = service, client
        self._capture = service.capture.sample() if service.capture else None
        self._parts: list[bytes] = []
        self._held = self.head.length
        self._refusal: RequestError | None = service.admission.admit(self._held)

    def feed(self, data: bytes) -> None:
        """Take a part of the body. A refused body is read too, so that the connection can be used again."""
        if not self._refusal:
            self._parts.append(data)
            if not self.head.length:  # it comes in chunks
                self._held += len(data)
                self._refusal = self._service.admission.grow(len(data), self._held)
                if self._refusal:
                    self._release()

    def finish(self) -> None:
        if self._refusal:
            self.settle(Answer(self._refusal))
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.request = Request(self.head, body, perf_counter())
        self._submit()

    def settle(self, answer: Answer) -> None:
        """Send the answer to the request, or a piece of it."""
        self._queued = False
        if self.closed:
            self.pieces = self.pieces or answer.pieces
            self._end_stream()
        elif self.pieces:
            self._settle_piece(answer)
        else:
            self._settle_first(answer)

    def advance(self) -> None:
        if self.pieces and not self.closed:
            self._submit()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._release()
            self._end_stream()

    def _settle_first(self, answer: Answer) -> None:
        if answer.pieces and not answer.body:
            answer = answer._replace(pieces=None)  # it was empty
        error = explain(answer.error, self.head) if answer.error else None
        response = refusal(error, self.head.id) if error else success(self.head, answer)
        self.pieces = answer.pieces
        if self._capture and not self._refusal:
            self._capture.begin(self.request, response, more=bool(self.pieces))
        self._client.begin(response, more=bool(self.pieces))
        if not self.pieces:
            self.close()
        arrived = 0.0 if self._refusal else self.request.arrived
        self._service.report(self.head, answer, response.status, error, arrived)

    def _settle_piece(self, answer: Answer) -> None:
        if not answer.body:
            self.pieces = None
        if answer.error:
            explain(answer.error, self.head)
            self._client.abort()
        else:
            if self._capture:
                self._capture.add(answer.body)
            self._client.send_piece(answer.body)
        if not self.pieces:
            self.close()

    def _submit(self) -> None:
        self._queued = True
        self._service.queue.submit(self)

    def _end_stream(self) -> None:
        """Have a prediction thread close the algorithm's iterator, unless one is using it: then ``settle`` follows."""
        if self.pieces and not self._queued:
            self._submit()

    def _release(self) -> None:
        self._parts.clear()
        self._service.admission.release(self._held)
        self._held = 0
