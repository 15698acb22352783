"""Template: HTTP/1.1 on one connection: parses requests, has them answered in their order, writes the responses.

httptools follows RFC 9112 but leaves the sizes of heads and some odd framing to us. What is not clearly one request is
refused, and the connection closed, so that nothing can be smuggled to the next one.
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools

from contract.errors import RequestError
from contract.serving import negotiation
from contract.serving.exchange import Exchange
from contract.serving.response import Response
from contract.serving.service import Service

HEAD_BYTES = 65_536  # of request line and headers; what frames the body may take as many (H-57)
TARGET_BYTES = 8_190
IDLE_SECONDS = 90  # longer than nginx keeps a connection that it does not use (H-14)
SILENT_SECONDS = 60  # in the middle of a request
LINGER_SECONDS = 5  # in which a client that still sends can read why it was refused
HEAD_TOO_LARGE = RequestError(431, "bad_request", f"the headers are over {HEAD_BYTES} bytes: send data in the body")
TARGET_TOO_LARGE = RequestError(414, "bad_request", "the address is too long: send data in the body")
TOO_SLOW = RequestError(408, "too_slow", "the request did not arrive in time: send it again")
UNREADABLE = RequestError(400, "bad_request", "this is not an HTTP request that can be read")
STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


class Incoming:
    """A request as it comes in."""

    __slots__ = ("body", "exchange", "headers", "keep_alive", "method", "path", "refusal", "size", "target", "version")

    def __init__(self, refusal: RequestError | None = None) -> None:
        self.refusal = refusal  # of what is not a request
        self.target = self.path = b""
        self.headers: dict[bytes, bytes] = {}
        self.size = 0  # of target and headers
        self.method = self.version = ""
        self.exchange: Exchange | None = None  # of a request to predict
        self.body: list[bytes] = []  # of any other
        self.keep_alive = False


class Server(Protocol):
    """What a connection needs to know of the worker."""

    service: Service
    alive: bool
    now: float
    date: bytes
    connections: set["Connection"]

    def call_application(self, incoming: Incoming, connection: "Connection") -> None:
        """Have the WSGI application answer, with ``connection.write_raw``."""


class Connection(asyncio.Protocol):
    """One client's, which is mostly nginx."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: Incoming | None = None
        self._pipeline: deque[Incoming] = deque()
        self._in_head = True
        self._overhead = 0  # bytes since the last request that are not of a body
        self._answering = self._full = self._lingering = self._half_closed = False
        self._last_data = server.now

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone."""
        self._server.connections.discard(self)
        self._drop()

    def data_received(self, data: bytes) -> None:
        """Parse; requests that are complete have been taken up by then."""
        self._last_data = self._server.now
        if self._lingering:
            return
        self._overhead += len(data)
        try:
            while data:
                data = self._feed(data)
            if self._overhead > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)
        except httptools.HttpParserError as error:  # or one that a callback raised
            self._refuse(error.__context__)

    def _feed(self, data: bytes) -> bytes:
        """Parse; where a client offers another protocol, return the same request without the offer (RFC 9110, 7.8)."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            incoming, self._parser = self._incoming, httptools.HttpRequestParser(self)
            assert incoming
            incoming.headers.pop(b"upgrade")
            head = [b"%b %b HTTP/%b" % (incoming.method.encode(), incoming.target, incoming.version.encode())]
            head += [b"%b: %b" % header for header in incoming.headers.items()]
            return b"\r\n".join([*head, b"", data[offer.args[0] :]])
        return b""

    def eof_received(self) -> bool:
        """Without nginx a client may close its half and wait for its answers. nginx means that the client has gone."""
        self._half_closed = True
        return bool(self._pipeline) and not self._server.service.settings.behind_nginx

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self._full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        if self._answering and self._pipeline[0].exchange:
            self._pipeline[0].exchange.advance()
        self._advance()

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        """A request line comes."""
        self._incoming, self._in_head = Incoming(), True

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        assert self._incoming
        self._incoming.target += url
        if len(self._incoming.target) > TARGET_BYTES:
            raise TARGET_TOO_LARGE

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which means nothing to us."""
        if self._in_head and self._incoming:
            headers, name = self._incoming.headers, name.lower()
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value.rstrip()
            self._incoming.size += len(name) + len(value)
            if self._incoming.size > HEAD_BYTES:
                raise HEAD_TOO_LARGE

    def on_headers_complete(self) -> None:
        """The body comes, if there is one."""
        incoming = self._incoming
        assert incoming
        self._in_head, self._overhead = False, 0
        incoming.method, incoming.version = self._parser.get_method().decode(), self._parser.get_http_version()
        incoming.path = _path(incoming.target)
        _require_plain_framing(incoming)
        if self._parser.should_upgrade():
            return
        incoming.size = int(incoming.headers.get(b"content-length", b"0"))
        self._require_size(incoming)
        if self._pipeline:
            self.transport.pause_reading()  # its turn comes later
        else:
            self._take_up(incoming)

    def _take_up(self, incoming: Incoming) -> None:
        """It is the turn of a request whose body may still come."""
        if incoming.method == "POST" and incoming.path == b"/invocations":
            incoming.exchange = Exchange(self._server.service, incoming.headers, self)
            for data in incoming.body:
                incoming.exchange.feed(data)
        if incoming.headers.get(b"expect", b"").lower() == b"100-continue" and incoming.version == "1.1":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _require_size(self, incoming: Incoming) -> None:
        if incoming.size > self._server.service.settings.body_limit:
            settings = self._server.service.settings
            raise negotiation.too_large(settings.body_limit, settings.body_remedy)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        assert self._incoming
        self._overhead -= len(data)
        if b"transfer-encoding" in self._incoming.headers:
            self._incoming.size += len(data)
            self._require_size(self._incoming)
        if self._incoming.exchange:
            self._incoming.exchange.feed(data)
        else:
            self._incoming.body.append(data)

    def on_message_complete(self) -> None:
        """A request is complete."""
        assert self._incoming
        if self._parser.should_upgrade():
            return
        self._incoming.keep_alive = self._parser.should_keep_alive()
        self._pipeline.append(self._incoming)
        self._incoming, self._overhead = None, 0
        self._advance()

    # The answers.

    def _advance(self) -> None:
        """Have requests answered one after the other, in their order."""
        while self._pipeline and not self._answering and not self._full:
            self._answering = True
            incoming = self._pipeline[0]
            if incoming.refusal:
                self.begin(self._server.service.refuse(incoming.refusal, incoming.headers), more=False)
            elif incoming.exchange:
                incoming.exchange.finish()
            elif incoming.path == b"/ping" and incoming.method in ("GET", "HEAD", "POST"):  # H-03
                self.begin(self._server.service.health(), more=False)
            else:
                self._server.call_application(incoming, self)

    def begin(self, response: Response, more: bool) -> None:
        """Write the response, or the begin of one."""
        incoming = self._pipeline[0]
        chunked = more and incoming.version == "1.1"
        last = self._last(incoming) or (more and not chunked)
        head = [STATUS_LINES[response.status], self._server.date]
        head += [b"%b: %b\r\n" % header for header in response.headers]
        if chunked:
            head.append(b"transfer-encoding: chunked\r\n")
        if last:
            incoming.keep_alive = False
            head.append(b"connection: close\r\n")
        elif incoming.version == "1.0":
            head.append(b"connection: keep-alive\r\n")
        head.append(b"\r\n")
        if not more and incoming.method != "HEAD":
            head.append(response.body)
        self.transport.write(b"".join(head))
        if more:
            self.send_piece(response.body)
        else:
            self._done()

    def send_piece(self, piece: bytes) -> None:
        """Write a piece; the next is computed once it has gone. An empty one is the end."""
        incoming = self._pipeline[0]
        if incoming.version == "1.1":
            piece, ends = b"%x\r\n%b\r\n" % (len(piece), piece), not piece
        else:
            ends = not piece
        self.transport.write(piece)
        if ends:
            self._done()
        elif incoming.exchange and not self._full:
            incoming.exchange.advance()

    def abort(self) -> None:
        """Cut the connection: the client sees that the answer is not complete (H-61)."""
        self.transport.abort()

    def write_raw(self, data: bytes) -> None:
        """Write a complete response of the WSGI application."""
        if not self._pipeline:
            return  # the client has gone
        if self._last(self._pipeline[0]):
            self._pipeline[0].keep_alive = False
            data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self.transport.write(data)
        self._done()

    def _last(self, incoming: Incoming) -> bool:
        return not incoming.keep_alive or self._half_closed or not self._server.alive

    def _done(self) -> None:
        """A response is complete: the connection is closed, or used again."""
        self._answering = False
        if not self._pipeline.popleft().keep_alive:
            self._drop()
            self._lingering = True  # closing at once could reset the connection before the response is read
            self.transport.write_eof()
        elif self._pipeline:
            if not self._pipeline[0].refusal:
                self._take_up(self._pipeline[0])
            asyncio.get_running_loop().call_soon(self._advance)
        else:
            self.transport.resume_reading()
            if self._incoming and not self._in_head:
                self._take_up(self._incoming)

    def _refuse(self, error: BaseException | None) -> None:
        """Answer what is not a request, after those that came before it, and close."""
        self._lingering = True
        if self._incoming and self._incoming.exchange:
            self._incoming.exchange.close()
        self._incoming = None
        if not self._pipeline or self._pipeline[-1].keep_alive:  # else what comes after the last request means nothing
            self._pipeline.append(Incoming(error if isinstance(error, RequestError) else UNREADABLE))
            self._advance()

    def check(self, now: float) -> None:
        """Close what has been silent for too long."""
        silent = now - self._last_data
        if self._lingering and not self._pipeline:
            if silent > LINGER_SECONDS:
                self.transport.abort()
        elif self._incoming:
            if silent > SILENT_SECONDS:
                self._refuse(TOO_SLOW)
        elif not self._pipeline and silent > IDLE_SECONDS:
            self.transport.close()

    def stop(self) -> bool:
        """Close if nothing is being answered; return whether something is."""
        if not self._pipeline:
            self.transport.close()
        return bool(self._pipeline)

    def _drop(self) -> None:
        """Give back what the requests that are not answered hold."""
        for incoming in (*self._pipeline, self._incoming):
            if incoming and incoming.exchange:
                incoming.exchange.close()
        self._pipeline.clear()
        self._incoming = None


def _path(target: bytes) -> bytes:
    """Of a target in any form, as Flask would find it."""
    path = target.partition(b"?")[0] if target[:1] == b"/" else httptools.parse_url(target).path or target
    return path if path in (b"/invocations", b"/ping") else b"/" + unquote_to_bytes(path).lstrip(b"/")


def _require_plain_framing(incoming: Incoming) -> None:
    """Raises ``RequestError`` where httptools takes what other servers would read otherwise (RFC 9112, 3.2, 6.1)."""
    headers = incoming.headers
    if incoming.version not in ("1.0", "1.1"):
        raise RequestError(505, "bad_request", "this server speaks HTTP/1.1")
    encoding = headers.get(b"transfer-encoding")
    if encoding is not None and incoming.version == "1.0":
        raise RequestError(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding: send a Content-Length")
    if encoding is not None and encoding.lower() != b"chunked":
        raise RequestError(501, "bad_request", "the only Transfer-Encoding that can be read is 'chunked'")
    if incoming.version == "1.1" and (b"host" not in headers or b"," in headers[b"host"]):
        raise RequestError(400, "bad_request", "a request has one header Host")
    if incoming.method == "CONNECT":
        raise RequestError(405, "bad_request", "this server is no proxy")
