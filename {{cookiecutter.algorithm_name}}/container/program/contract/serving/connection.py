"""Template: one client's HTTP connection: has its requests answered in order, and writes the responses."""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from contract.errors import RequestError
from contract.serving.exchange import Exchange
from contract.serving.incoming import HEAD_BYTES, HEAD_TOO_LARGE, TOO_SLOW, UNREADABLE, Incoming
from contract.serving.response import Response

if TYPE_CHECKING:
    from contract.serving.worker import HttpWorker

IDLE_SECONDS = 90  # longer than nginx keeps an idle connection (H-14)
SILENT_SECONDS = 60  # in the middle of a request
LINGER_SECONDS = 5  # for a client that is still sending to read why it was refused
STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


class Connection(asyncio.Protocol):
    """The event loop calls ``connection_made`` to ``resume_writing``, the parser ``on_...``, exchanges the rest."""

    transport: asyncio.Transport

    def __init__(self, server: "HttpWorker") -> None:
        self._server = server
        self._settings = server.service.settings
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: Incoming | None = None
        self._pipeline: deque[Incoming] = deque()
        self._in_head = True
        self._overhead = 0  # bytes since the last request that are not in a body
        self._answering = self._full = self._lingering = self._half_closed = False
        self._last_data = server.now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._drop()

    def data_received(self, data: bytes) -> None:
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
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:  # the parser cannot continue, and has not read the body
            self._parser = httptools.HttpRequestParser(self)
            return self._current.again(data[offer.args[0] :])
        return b""

    def eof_received(self) -> bool:
        """Without nginx, a client may close its half and wait for answers. If nginx does it, the client has gone."""
        self._half_closed = True
        return bool(self._pipeline) and not self._settings.behind_nginx

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._answering and self._pipeline[0].exchange:
            self._pipeline[0].exchange.advance()
        self._advance()

    def on_message_begin(self) -> None:
        self._incoming, self._in_head = Incoming(), True

    def on_url(self, url: bytes) -> None:
        self._current.add_target(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are ignored
            self._current.add_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._overhead = False, 0
        incoming = self._current
        incoming.end_head(self._parser.get_method(), self._parser.get_http_version(), self._settings)
        if self._parser.should_upgrade():
            return
        if self._pipeline:
            self.transport.pause_reading()  # its turn comes later
        else:
            self._take_up(incoming)

    def on_body(self, data: bytes) -> None:
        self._overhead -= len(data)
        incoming = self._current
        if b"transfer-encoding" in incoming.headers:
            incoming.grow(len(data), self._settings)
        if incoming.exchange:
            incoming.exchange.feed(data)
        else:
            incoming.body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        incoming = self._current
        incoming.keep_alive = self._parser.should_keep_alive()
        self._pipeline.append(incoming)
        self._incoming, self._overhead = None, 0
        self._advance()

    @property
    def _current(self) -> Incoming:
        assert self._incoming
        return self._incoming

    def _take_up(self, incoming: Incoming) -> None:
        """Start the next request, whose body may still come."""
        if incoming.predicts:
            incoming.exchange = Exchange(self._server.service, incoming.headers, self)
            for data in incoming.body:
                incoming.exchange.feed(data)
        if incoming.waits_to_send:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _advance(self) -> None:
        """Have requests answered one after another."""
        while self._pipeline and not self._answering and not self._full:
            self._answering = True
            incoming = self._pipeline[0]
            if incoming.refusal:
                self.begin(self._server.service.refuse(incoming.refusal, incoming.headers), more=False)
            elif incoming.exchange:
                incoming.exchange.finish()
            elif incoming.pings:
                self.begin(self._server.service.health(), more=False)
            else:
                self._server.call_application(incoming, self)

    def begin(self, response: Response, more: bool) -> None:
        incoming = self._pipeline[0]
        chunked = more and incoming.version == "1.1"
        head = [STATUS_LINES[response.status], self._server.date]
        head += [b"%b: %b\r\n" % header for header in response.headers]
        if chunked:
            head.append(b"transfer-encoding: chunked\r\n")
        if self._is_last(incoming) or (more and not chunked):
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
        incoming = self._pipeline[0]
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if incoming.version == "1.1" else piece)
        if not piece:
            self._done()
        elif incoming.exchange and not self._full:
            incoming.exchange.advance()

    def abort(self) -> None:
        self.transport.abort()

    def write_raw(self, data: bytes) -> None:
        """Write a complete response of the WSGI application."""
        if not self._pipeline:
            return  # the client has gone
        if self._is_last(self._pipeline[0]):
            self._pipeline[0].keep_alive = False
            data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self.transport.write(data)
        self._done()

    def _is_last(self, incoming: Incoming) -> bool:
        return not incoming.keep_alive or self._half_closed or not self._server.alive

    def _done(self) -> None:
        """A response is complete: go on to the next, unless the connection ends."""
        self._answering = False
        if not self._pipeline.popleft().keep_alive:
            self._drop()
            self._lingering = True  # closing at once could reset the connection before the response is read
            self.transport.write_eof()
            return
        if self._pipeline:
            if not self._pipeline[0].refusal:
                self._take_up(self._pipeline[0])
            asyncio.get_running_loop().call_soon(self._advance)
            return
        self.transport.resume_reading()
        if self._incoming and not self._in_head:
            self._take_up(self._incoming)

    def _refuse(self, error: BaseException | None) -> None:
        """Answer an invalid request, after the requests before it, and close."""
        self._lingering = True
        if self._incoming and self._incoming.exchange:
            self._incoming.exchange.close()
        self._incoming = None
        if not self._pipeline or self._pipeline[-1].keep_alive:  # else data after the last request is ignored
            self._pipeline.append(Incoming(error if isinstance(error, RequestError) else UNREADABLE))
            self._advance()

    def check(self, now: float) -> None:
        """Close a connection that has been silent for too long."""
        silent = now - self._last_data
        if self._lingering and not self._pipeline:
            if silent > LINGER_SECONDS:
                self.transport.abort()
        elif self._incoming:
            if silent > SILENT_SECONDS and not self._pipeline:
                self._refuse(TOO_SLOW)
        elif not self._pipeline and silent > IDLE_SECONDS:
            self.transport.close()

    def stop(self) -> bool:
        """Close unless a request is under way; return whether one is."""
        busy = bool(self._pipeline or self._incoming)
        if not busy:
            self.transport.close()
        return busy

    def _drop(self) -> None:
        """Give back what unanswered requests hold."""
        for incoming in (*self._pipeline, self._incoming):
            if incoming and incoming.exchange:
                incoming.exchange.close()
        self._pipeline.clear()
        self._incoming = None
