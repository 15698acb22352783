"""Template: what a request holds and how it wants to be answered, from its headers."""

import codecs
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from contract.errors import RequestError
from contract.schema import Records, Schema
from contract.serving.csv_decoder import from_csv
from contract.serving.encoder import CSV, JSON, JSON_LINES
from contract.serving.json_decoder import from_json, from_jsonlines, from_npy

NPY = "application/x-npy"
READERS: dict[str, Callable[[bytes, Schema], Records]] = {JSON: from_json, JSON_LINES: from_jsonlines, NPY: from_npy}
ALIASES = {"application/x-jsonlines": JSON_LINES}  # H-23
ANSWERS = (CSV, JSON, JSON_LINES)
CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252", "utf-16")


@dataclass(frozen=True)
class Form:
    """The form of an answer: its media type and the columns asked for (H-24)."""

    media: str
    columns: tuple[str, ...]


def read(body: bytes, media: str, parameters: dict[str, str], schema: Schema, bad: list[int] | None = None) -> Records:
    """The rows of a body whose type is ``given``. Raises ``RequestError`` 400 or 415. ``bad``: see ``from_csv``."""
    charset = _charset(parameters.get("charset", "utf-8"))
    if charset not in ("utf-8", "ascii"):
        try:
            body = body.decode(charset).encode()
        except UnicodeError:
            raise RequestError(400, "bad_input", f"the body is not {charset}, as its Content-Type says") from None
    if media == CSV:
        return from_csv(body, schema, parameters.get("header", "").lower() == "present", bad)
    return READERS[media](body, schema)


def given(content_type: str, body: bytes) -> tuple[str, dict[str, str]]:
    """The type of a body, in lower case, and its parameters (H-21); where none is named, a guess (H-22)."""
    if not content_type.strip():
        return JSON if body.lstrip()[:1] in (b"{", b"[") else CSV, {}
    return _parse(content_type)


@lru_cache(256)
def _parse(content_type: str) -> tuple[str, dict[str, str]]:
    media, parameters = _options(content_type)
    if media != CSV and media not in READERS:
        known = ", ".join((CSV, JSON, JSON_LINES, NPY))
        raise RequestError(415, "unsupported_media_type", f"send one of {known} and say so in Content-Type")
    return media, parameters


def _options(header: str) -> tuple[str, dict[str, str]]:
    media, parameters = parse_options_header(header)
    return ALIASES.get(media.lower(), media.lower()), parameters


@lru_cache(256)
def _charset(name: str) -> str:
    try:
        charset = codecs.lookup(name).name
    except (LookupError, ValueError):  # the second for a NUL, which 'charset*' can spell
        charset = ""
    if charset not in CHARSETS:
        raise RequestError(415, "unsupported_media_type", f"send the charset as one of {', '.join(CHARSETS)}")
    return charset


@lru_cache(256)
def accept(header: str, media: str) -> Form:
    """What ``Accept`` prefers; without a preference the type of the request (H-24). Raises ``RequestError`` 406.

    The parameter ``columns`` names the columns wanted: ``text/csv; columns="label,score"``, or ``columns=all``.
    """
    same = media if media in ANSWERS else CSV
    ranges = [(*_options(item), quality) for item, quality in parse_accept_header(header, MIMEAccept)]
    if not ranges:
        return Form(same, ())
    best: tuple[float, Form] = (0, Form("", ()))
    for answer in sorted(ANSWERS, key=lambda answer: answer != same):
        wildcards = ("*/*", answer.split("/")[0] + "/*", answer)
        fitting = [(wildcards.index(kind), quality, parameters)
                   for kind, parameters, quality in ranges if kind in wildcards]  # fmt: skip
        if fitting:
            _, quality, parameters = max(fitting, key=lambda fit: fit[0])
            columns = tuple(name.strip() for name in parameters.get("columns", "").split(",") if name.strip())
            best = max(best, (quality, Form(answer, columns)), key=lambda choice: choice[0])
    if not best[0]:
        known = ", ".join(ANSWERS)
        raise RequestError(406, "not_acceptable", f"the answer can be one of {known}: name one of them in Accept")
    return best[1]


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as ``Content-Encoding`` says (H-29). Raises ``RequestError`` 400, 413 or 415.

    It may have ``limit`` bytes, and a hundred times those it came in: what packs better is an attack.
    """
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise RequestError(415, "unsupported_encoding", "send the body as it is, or with Content-Encoding: gzip")
    limit = min(limit, 2**20 + 100 * len(body))
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        unpacked = b""
    if len(unpacked) > limit:
        raise too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise RequestError(400, "bad_input", "the body is not one complete gzip stream, as its Content-Encoding says")
    return unpacked


def too_large(limit: int) -> RequestError:
    """A body over the limit (H-44)."""
    return RequestError(413, "too_large", f"the body is over {limit} bytes: send less, or raise MODEL_SERVER_BODY_MB")
