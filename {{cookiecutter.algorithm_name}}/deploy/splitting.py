"""Template: cuts CSV and JSON Lines into parts at the borders of rows, so that each part is a request of its own."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from contract.serving.formats import CSV, FORMATS, JSON_LINES, content_type_of
from deploy.errors import DeployError

LINES = (CSV.media_type, JSON_LINES.media_type, JSON_LINES.alias)


@dataclass(frozen=True)
class Part:
    """Some rows of a file. The container counts the rows of each part from 1."""

    file: str
    first: int = 1
    rows: int = 0
    """How many rows it has; 0 if that is not known."""
    body: bytes = b""

    def __str__(self) -> str:
        """Where it is, for a message."""
        return f"the part of {self.file} that begins with row {self.first}"


def content_type_by_suffix(*names: str) -> str:
    """The media type that all these files have. A CSV file has a header."""
    known = {content_type_of(name): name for name in names}
    if None in known:
        raise DeployError(
            f"'{known[None]}' does not end in one of {', '.join(e.suffix for e in FORMATS)}: give --content-type."
        )
    if len(known) > 1:
        raise DeployError(
            f"The files are of several types, such as {' and '.join(known.values())}: send one at a time."
        )
    return str(next(iter(known)))


def media_type(content_type: str) -> str:
    """``content_type`` without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def has_header(content_type: str) -> bool:
    """Whether the first row has the names of the columns."""
    return re.search(r';\s*header\s*=\s*"?present', content_type, re.IGNORECASE) is not None


def parts(name: str, source: Path | bytes, content_type: str, limit: int, keep_header: bool = True) -> Iterator[Part]:
    """Yields the rows of a file in parts of at most ``limit`` bytes. Each begins with the header, or none does.

    What has no rows is one part, of any size. Raises ``DeployError`` for a file of rows that has none.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        if media_type(content_type) not in LINES:
            yield Part(name, body=file.read())
            return
        records = _csv_records(file) if media_type(content_type) == CSV.media_type else filter(bytes.strip, file)
        header = next(records, b"") if has_header(content_type) else b""
        first, rows, size = 1, list[bytes](), len(header)
        for record in chain(records, [None]):
            if record is None or (rows and size + len(record) > limit):
                if not rows:
                    raise DeployError(f"{name} holds no rows.")
                known = len(rows) if all(map(bytes.strip, rows)) else 0  # whether a blank line is one, the model knows
                yield Part(name, first, known, (header if keep_header else b"") + b"".join(rows))
                first, rows, size = first + len(rows), [], len(header)
            rows.append(record or b"")
            size += len(rows[-1])


def _csv_records(file: Iterable[bytes]) -> Iterator[bytes]:
    """Each row as it is written. A line break in quotes ends no row. Blank lines may be rows of a single column."""
    held: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in file:
            held.append(line)
            yield line.decode("latin-1")  # commas and quotes are the same bytes in UTF-8

    columns = 0
    try:
        for cells in csv.reader(lines()):
            columns = columns or len(cells)
            if columns == 1 or len(cells) > 1 or "".join(cells).strip():
                yield b"".join(held)
            held.clear()
    except csv.Error as error:
        raise DeployError(f"The input is not CSV: {error}.") from error
