"""Template: a request as it comes in, and the check that it is clearly one request.

httptools follows RFC 9112, but does not check sizes and some unusual framing. A request that other servers could read
differently is refused and the connection closed, so that no request can be smuggled in.
"""

from urllib.parse import unquote_to_bytes

import httptools

from contract.errors import RequestError
from contract.serving import negotiation
from contract.serving.exchange import Exchange
from contract.settings import Settings

HEAD_BYTES = 65_536  # of headers; the framing of the body may take as many (H-57)
TARGET_BYTES = 8_190
HEAD_TOO_LARGE = RequestError(431, "bad_request", f"the headers are over {HEAD_BYTES} bytes: send data in the body")
TARGET_TOO_LARGE = RequestError(414, "bad_request", "the address is too long: send data in the body")
TOO_SLOW = RequestError(408, "too_slow", "the request did not arrive in time: send it again")
UNREADABLE = RequestError(400, "bad_request", "this is not an HTTP request that can be read")


class Incoming:
    """Its methods raise ``RequestError`` for what is refused."""

    __slots__ = ("body", "exchange", "headers", "keep_alive", "method", "path", "refusal", "size", "target", "version")

    def __init__(self, refusal: RequestError | None = None) -> None:
        self.refusal = refusal  # of an invalid request
        self.target = self.path = b""
        self.headers: dict[bytes, bytes] = {}
        self.size = 0  # of the headers, then of the body
        self.method = self.version = ""
        self.exchange: Exchange | None = None  # of a request to predict
        self.body: list[bytes] = []  # of any other
        self.keep_alive = False

    def add_target(self, part: bytes) -> None:
        self.target += part
        if len(self.target) > TARGET_BYTES:
            raise TARGET_TOO_LARGE

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header; one that is repeated becomes a list of values."""
        name, value = name.lower(), value.rstrip()
        self.headers[name] = b"%b, %b" % (self.headers[name], value) if name in self.headers else value
        self.size += len(name) + len(value)
        if self.size > HEAD_BYTES:
            raise HEAD_TOO_LARGE

    def end_head(self, method: bytes, version: str, settings: Settings) -> None:
        self.method, self.version, self.path = method.decode(), version, _path(self.target)
        headers, encoding = self.headers, self.headers.get(b"transfer-encoding")
        if version not in ("1.0", "1.1"):
            raise RequestError(505, "bad_request", "this server speaks HTTP/1.1")
        if encoding is not None and version == "1.0":
            raise RequestError(400, "bad_request", "HTTP/1.0 has no Transfer-Encoding: send a Content-Length")
        if encoding is not None and encoding.lower() != b"chunked":
            raise RequestError(501, "bad_request", "the only Transfer-Encoding that can be read is 'chunked'")
        if version == "1.1" and (b"host" not in headers or b"," in headers[b"host"]):
            raise RequestError(400, "bad_request", "a request needs exactly one Host header")
        if method == b"CONNECT":
            raise RequestError(405, "bad_request", "this server is not a proxy")
        self.size = 0
        self.grow(int(headers.get(b"content-length", b"0")), settings)

    def grow(self, size: int, settings: Settings) -> None:
        self.size += size
        if self.size > settings.body_limit:
            raise negotiation.too_large(settings.body_limit, settings.body_remedy)

    def again(self, rest: bytes) -> bytes:
        """The same request without the offer of another protocol, which may be ignored (RFC 9110, 7.8)."""
        self.headers.pop(b"upgrade")
        head = [b"%b %b HTTP/%b" % (self.method.encode(), self.target, self.version.encode())]
        return b"\r\n".join([*head, *(b"%b: %b" % header for header in self.headers.items()), b"", rest])

    @property
    def predicts(self) -> bool:
        return self.path == b"/invocations" and self.method == "POST"

    @property
    def pings(self) -> bool:
        """Whether it is a health check (H-03)."""
        return self.path == b"/ping" and self.method in ("GET", "HEAD", "POST")

    @property
    def waits_to_send(self) -> bool:
        """Whether the client wants to be told before it sends the body."""
        return self.version == "1.1" and self.headers.get(b"expect", b"").lower() == b"100-continue"


def _path(target: bytes) -> bytes:
    """The path of a target in any form, as Flask would read it."""
    path = target.partition(b"?")[0] if target[:1] == b"/" else httptools.parse_url(target).path or target
    return path if path in (b"/invocations", b"/ping") else b"/" + unquote_to_bytes(path).lstrip(b"/")
