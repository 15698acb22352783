"""Template: a request to predict and the answer to it, as values that do not change."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from time import perf_counter
from typing import NamedTuple

from contract.serving.formats import CSV, Format


class Head(NamedTuple):
    """What the headers say. Strings are empty if a header is missing."""

    id: str
    """nginx gives each request an id, which the log, the response and nginx's log share."""
    began: float
    """Of ``perf_counter``."""
    content_type: str
    content_encoding: str
    accept: str
    length: int
    """Of the body, or 0 if it comes in chunks."""
    inference_id: str
    custom_attributes: str
    traceparent: str

    @classmethod
    def read(cls, headers: Mapping[bytes, bytes]) -> Head:
        """From headers whose names are in lower case."""

        def text(name: bytes) -> str:
            value = headers.get(name)
            return value.decode("latin-1") if value else ""

        length, attributes = text(b"content-length"), text(b"x-amzn-sagemaker-custom-attributes")
        echoed = len(attributes) <= 1024 and attributes.isascii() and attributes.isprintable()  # H-26
        id_, inference_id = text(b"x-request-id")[:64], text(b"x-amzn-sagemaker-inference-id")[:64]  # H-27
        return cls(
            id_ or uuid.uuid4().hex, perf_counter(),
            text(b"content-type"), text(b"content-encoding").strip(), text(b"accept"),
            int(length) if length.isdecimal() else 0,
            inference_id, attributes if echoed else "", text(b"traceparent")[:64],
        )  # fmt: skip


class Request(NamedTuple):
    """A complete request, in the queue since ``arrived``."""

    head: Head
    body: bytes
    arrived: float


class Answer(NamedTuple):
    """The answer to a request: an error, or a body and perhaps more pieces of it."""

    error: Exception | None = None
    body: bytes = b""
    format: Format = CSV
    pieces: Generator[bytes] | None = None
    """The rest of a streamed answer (H-60)."""
    rows: int = 0
    together: int = 1
    """Requests that were predicted in the same call."""
    started: float = 0.0
    """When the request was taken from the queue; 0 if it never was."""
    finished: float = 0.0
