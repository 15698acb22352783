"""Template: where captured files are: in a folder, or on S3."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from local.project import LocalError

CHUNK_BYTES = 2**20
LAYOUT = re.compile(r"([^/]+)/[^/]+/\d{4}/\d\d/\d\d/\d\d/[^/]+\.jsonl$")
"""ENDPOINT/VARIANT/yyyy/mm/dd/hh/NAME.jsonl, after whatever prefix."""


class File(NamedTuple):
    """A file of captured requests."""

    name: str
    size: int
    read: Callable[[int], Iterator[bytes]]
    """Yields the file from a byte on, in pieces."""

    @property
    def endpoint(self) -> str | None:
        """The endpoint's name, by the place of the file."""
        found = LAYOUT.search(self.name)
        return found[1] if found else None

    def lines(self, begin: int) -> Iterator[tuple[int, bytes]]:
        """Yield each line that is not empty, with the place where it ends. The last one may have no end."""
        rest = b""
        for piece in self.read(begin):
            if not rest and not piece.strip(b"\n"):
                begin += len(piece)  # the empty end of a file that is added to
                continue
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                begin += len(line) + 1
                if line:
                    yield begin, line + b"\n"
        if rest:
            yield begin + len(rest), rest


def files(source: str) -> Iterator[File]:
    """Yield the files of a folder or of a prefix such as ``s3://bucket/prefix``, the oldest first."""
    if source.startswith("s3://"):
        yield from _on_s3(source)
        return
    root = Path(source).resolve()
    if not root.exists():
        raise LocalError(f"There is no folder {source}: name the one in MODEL_SERVER_CAPTURE, or s3://bucket/prefix.")
    for path in sorted(root.rglob("*.jsonl")) if root.is_dir() else [root]:
        yield File(str(path), path.stat().st_size, _reader(path))


def _reader(path: Path) -> Callable[[int], Iterator[bytes]]:
    def read(begin: int) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(begin)
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    return read


def _on_s3(source: str) -> Iterator[File]:
    import boto3

    s3 = boto3.client("s3")
    bucket, _, prefix = source.removeprefix("s3://").partition("/")

    def reader(key: str) -> Callable[[int], Iterator[bytes]]:
        def read(begin: int) -> Iterator[bytes]:
            body: Any = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={begin}-")["Body"]
            yield from body.iter_chunks(CHUNK_BYTES)

        return read

    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if found["Key"].endswith(".jsonl"):
                yield File(f"s3://{bucket}/{found['Key']}", found["Size"], reader(found["Key"]))
