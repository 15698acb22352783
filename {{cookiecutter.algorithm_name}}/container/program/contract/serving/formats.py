"""Template: the formats of requests and responses, one line each. A new format is a line and a function in this file.

Only the standard library is imported here: `local` reads the table on machines without numpy.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from contract.predictions import Columns
    from contract.schema import Records, Schema


class Body(NamedTuple):
    """A request body and what is needed to read it."""

    data: bytes
    parameters: Mapping[str, str]
    """The parameters of the Content-Type."""
    limit: int
    """The most bytes that the rows may take."""
    bad_rows: list[int] | None = None
    """If this is a list, CSV adds the indices of bad rows to it instead of refusing the body (B-10)."""


@dataclass(frozen=True)
class Format:
    """A media type, the suffix of such files, and the functions that read and write it, as ``module.function``."""

    media_type: str
    suffix: str
    reader: str
    writer: str = ""
    alias: str = ""
    package: str = ""
    """The package that must be in requirements.txt for it."""

    @cached_property
    def decode(self) -> Callable[[Body, Schema], Records]:
        """Returns the rows of a body. Raises ``RequestError`` 400."""
        return _function(self.reader)

    @cached_property
    def encode(self) -> Callable[[Columns, list[int]], bytes]:
        """Returns the body of a response; rows in the list say ``ERROR``."""
        return _function(self.writer)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f"contract.serving.{module}"), function)
    return found


def content_type_of(file: str) -> str | None:
    """The Content-Type of a file, by its name. CSV files start with a header, which a request has to declare."""
    suffix = PurePath(file).suffix.lower()
    guessed, packed = mimetypes.guess_type(file)
    known = next((known.media_type for known in FORMATS if known.suffix == suffix), None if packed else guessed)
    return f"{known}; header=present" if known == CSV.media_type else known


def decode_npy(body: Body, schema: Schema) -> Records:
    """Rows of an array of numbers, as ``numpy.save`` writes it; objects are never unpickled."""
    import numpy as np
    from numpy.lib import format as npy

    from contract.serving.csv_decoder import refuse
    from contract.serving.json_decoder import records

    file = io.BytesIO(body.data)
    try:
        read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        array = np.frombuffer(body.data, dtype, offset=file.tell()).reshape(shape, order="F" if by_columns else "C")
    except Exception:  # the header is Python source, which can be wrong in many ways
        refuse("the body is not in NumPy's format, or is cut short: send what numpy.save() writes")
    if dtype.kind not in "iufb" or array.shape != shape or not array.size:
        refuse("the array is empty or does not hold numbers: send numbers of shape (rows, features)")
    rows = np.atleast_2d(array.astype(np.float64))
    if rows.shape == (len(rows), len(schema.names)) and schema.numbers and np.isfinite(rows).all():
        return rows
    return records([[None if value != value else value for value in row] for row in rows.tolist()], schema)


def decode_parquet(body: Body, schema: Schema) -> Records:
    """Rows of a Parquet file, whose columns are found by name."""
    from pyarrow import ArrowException, BufferReader, parquet

    from contract.serving.csv_decoder import refuse
    from contract.serving.json_decoder import records

    try:
        file = parquet.ParquetFile(BufferReader(body.data))
        cells = file.metadata.num_rows * file.metadata.num_columns
        if 8 * cells > body.limit:  # a few bytes can encode any number of equal rows
            refuse(f"the file holds {cells} cells, more than the server has memory for: send fewer rows at a time")
        rows = file.read().to_pylist()
    except (ArrowException, OSError):
        refuse("the body is not a Parquet file, or is cut short")
    return records([{name: None if cell != cell else cell for name, cell in row.items()} for row in rows], schema)


CSV = Format("text/csv", ".csv", "csv_decoder.decode", "encoder.encode_csv")
JSON = Format("application/json", ".json", "json_decoder.decode_document", "encoder.encode_document")
JSON_LINES = Format(
    "application/jsonlines", ".jsonl", "json_decoder.decode_lines", "encoder.encode_lines", "application/x-jsonlines"
)
NPY = Format("application/x-npy", ".npy", "formats.decode_npy", "encoder.encode_npy")
PARQUET = Format("application/x-parquet", ".parquet", "formats.decode_parquet", package="pyarrow")
FORMATS = (CSV, JSON, JSON_LINES, NPY, PARQUET)
REQUESTS = tuple(known for known in FORMATS if not known.package or importlib.util.find_spec(known.package))
RESPONSES = tuple(known for known in FORMATS if known.writer)
