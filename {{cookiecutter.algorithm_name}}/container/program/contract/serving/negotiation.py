"""Template: what the headers of a request say about its body and about the response wanted."""

import codecs
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from contract.errors import RequestError
from contract.schema import Records, Schema
from contract.serving.formats import CSV, JSON, JSON_LINES, REQUESTS, RESPONSES, Body, Format

CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252", "utf-16")
ALIASES = {known.alias: known.media_type for known in REQUESTS}  # H-23
FORM = "'Accept: text/csv; columns=\"label,score\"'"
IN_ACCEPT = f"the answer's columns are chosen in Accept, not in Content-Type: send {FORM}"
# What follows a valid parameter's name: a text in quotes; or a word, and then perhaps another type.
UNSOUND = re.compile(
    r""";\s*columns(?!=("|[\w!#$%&'*+.^`|~-]*\s*(;|$|,\s*($|\*|[^\s,;]+/))))""", re.ASCII | re.IGNORECASE
)
BY_TYPE = {known.media_type: known for known in REQUESTS}


class Wanted(NamedTuple):
    """The form of the response: its format and the columns asked for (H-24)."""

    format: Format
    columns: tuple[str, ...]


def read_rows(body: Body, format_: Format, schema: Schema) -> Records:
    """The rows of a body in that format. Raises ``RequestError`` 400 or 415."""
    charset = _charset(body.parameters.get("charset", "utf-8"))
    if charset not in ("utf-8", "ascii"):
        try:
            body = body._replace(data=body.data.decode(charset).encode())
        except UnicodeError:
            raise RequestError(400, "bad_input", f"the body cannot be read in its charset, {charset}") from None
    return format_.decode(body, schema)


def content_type(header: str, body: bytes) -> tuple[Format, Mapping[str, str]]:
    """The format of a body and its parameters (H-21). Without a Content-Type it is guessed (H-22)."""
    if not header.strip():
        return (JSON if body.lstrip()[:1] in (b"{", b"[") else CSV), {}
    return _parse(header)


def raw_content_type(header: str, known: Sequence[str]) -> str:
    """The content type of a raw request, if it is among those ``known``, such as ``image/*``.

    A body without one has the only known type. Raises ``RequestError`` 415.
    """
    media_type = parse_options_header(header)[0].lower()
    if not media_type and len(known) == 1:
        return known[0]
    if not {media_type, media_type.split("/")[0] + "/*", "*/*"} & set(known):
        raise RequestError(415, "unsupported_media_type", f"send one of {', '.join(known)} and say so in Content-Type")
    return header


@lru_cache(256)
def _parse(header: str) -> tuple[Format, dict[str, str]]:
    media_type, parameters = _options(header)
    if media_type not in BY_TYPE:
        raise RequestError(
            415, "unsupported_media_type", f"send one of {', '.join(BY_TYPE)} and say so in Content-Type"
        )
    return BY_TYPE[media_type], parameters


def _options(header: str) -> tuple[str, dict[str, str]]:
    media_type, parameters = parse_options_header(header)
    return ALIASES.get(media_type.lower(), media_type.lower()), parameters


@lru_cache(256)
def _charset(name: str) -> str:
    try:
        charset = codecs.lookup(name).name
    except (LookupError, ValueError):  # ValueError for a NUL, which 'charset*' can hold
        charset = ""
    if charset not in CHARSETS:
        raise RequestError(415, "unsupported_media_type", f"send the charset as one of {', '.join(CHARSETS)}")
    return charset


@lru_cache(256)
def accept(header: str, sent: Format) -> Wanted:
    """The format that ``Accept`` prefers, by default that of the request (H-24). Raises ``RequestError`` 406.

    The parameter ``columns`` names the columns wanted: ``text/csv; columns="label,score"``, or ``columns=all``.
    """
    if UNSOUND.search(header):
        raise RequestError(400, "bad_input", f"the columns in Accept need quotes: {FORM}")
    same = sent if sent in (CSV, JSON, JSON_LINES) else CSV
    ranges = [(*_options(item), quality) for item, quality in parse_accept_header(header, MIMEAccept)]
    if not ranges:
        return Wanted(same, ())
    best: tuple[float, Wanted] = (0, Wanted(same, ()))
    for answer in sorted(RESPONSES, key=lambda answer: answer != same):
        kinds = ("*/*", answer.media_type.split("/")[0] + "/*", answer.media_type)
        fitting = [(kinds.index(kind), quality, parameters) for kind, parameters, quality in ranges if kind in kinds]
        if fitting:
            _, quality, parameters = max(fitting, key=lambda fit: fit[0])
            columns = tuple(name.strip() for name in parameters.get("columns", "").split(",") if name.strip())
            best = max(best, (quality, Wanted(answer, columns)), key=lambda choice: choice[0])
    if not best[0]:
        known = ", ".join(answer.media_type for answer in RESPONSES)
        raise RequestError(406, "not_acceptable", f"the answer can be one of {known}: name one of them in Accept")
    return best[1]


def decompress(body: bytes, encoding: str, limit: int, remedy: str) -> bytes:
    """The body as its ``Content-Encoding`` says, of at most ``limit`` bytes (H-29). Raises ``RequestError``."""
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise RequestError(415, "unsupported_encoding", "send the body uncompressed, or with Content-Encoding: gzip")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        unpacked = b""
    if len(unpacked) > limit:
        raise too_large(limit, remedy)
    if not unpacker.eof or unpacker.unused_data:
        raise RequestError(400, "bad_input", "Content-Encoding says gzip, but the body is not one complete gzip stream")
    return unpacked


def too_large(limit: int, remedy: str) -> RequestError:
    """The error for a body over the limit (H-44), with what would allow it."""
    return RequestError(413, "too_large", f"the body is over {limit} bytes: send less, or {remedy}")
