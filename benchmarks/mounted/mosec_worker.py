"""The model in mosec, which hosts no application: `mosec_worker.py WORKERS BATCH`.

Its worker does the product's work on a request: it reads and checks CSV, predicts, and writes the first column as CSV.
"""

import csv
import io
import struct
import sys
from itertools import accumulate, pairwise
from pathlib import Path

import algorithm
import numpy as np
import orjson
from mosec import Server, Worker
from mosec.errors import DecodingError
from numpy.typing import NDArray

Rows = NDArray[np.float64]
MILLISECONDS_TO_GATHER = 1  # the least that mosec takes: 0 stands for its default, 10


class Predictor(Worker):
    """Reads CSV, predicts with ``algorithm.py``, writes CSV."""

    resp_mime_type = "text/csv; charset=utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.model = algorithm.load(Path("/opt/ml/model"))
        self.names = algorithm.features(self.model)

    def deserialize(self, data: bytes) -> Rows:
        """The rows of a request, all finite. Raises ``DecodingError`` about the first bad cell."""
        text = bytes(data).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
        marks = text.translate(None, b"0123456789+-.eE ")
        if marks == (b"," * (len(self.names) - 1) + b"\n") * marks.count(b"\n"):
            try:
                values = orjson.loads(b"[%b]" % text[:-1].replace(b"\n", b","))
            except ValueError:
                return self.read_cells(text)
            rows = np.frombuffer(struct.pack(f"{len(values)}d", *values)).reshape(-1, len(self.names))
            if np.isfinite(rows).all():
                return rows
        return self.read_cells(text)

    def read_cells(self, text: bytes) -> Rows:
        """Cell by cell, as any odd body is read."""
        rows = []
        try:
            lines = list(filter(None, csv.reader(io.StringIO(text.decode(), newline=""), strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DecodingError(f"the body is not CSV in UTF-8: {error}") from error
        for number, cells in enumerate(lines, 1):
            if len(cells) != len(self.names):
                raise DecodingError(f"row {number} has {len(cells)} columns, the model expects {len(self.names)}")
            try:
                rows.append([float(cell) for cell in cells])
            except ValueError as error:
                raise DecodingError(f"row {number} holds a cell that is not a number") from error
            if not np.isfinite(rows[-1]).all():
                raise DecodingError(f"row {number} holds a number that is not finite")
        if not rows:
            raise DecodingError("the body holds no rows")
        return np.array(rows)

    def forward(self, data: list[Rows] | Rows) -> list[NDArray[np.generic]] | NDArray[np.generic]:
        """The labels: of one request, or of each in a batch, predicted together."""
        if self.max_batch_size == 1:
            return self.predict(data)
        ends = accumulate(map(len, data), initial=0)
        labels = self.predict(data[0] if len(data) == 1 else np.concatenate(data))
        return [labels[begin:end] for begin, end in pairwise(ends)]

    def predict(self, rows: Rows) -> NDArray[np.generic]:
        """The first column, one value for each row."""
        columns = {name: np.asarray(values) for name, values in algorithm.predict(self.model, rows).items()}
        if any(values.shape != (len(rows),) for values in columns.values()):
            raise ValueError("predict() returned columns of another length than the rows")
        return next(iter(columns.values()))

    def serialize(self, data: NDArray[np.generic]) -> bytes:
        """One line for each row."""
        texts = data.tolist() if data.dtype.kind in "OU" else list(map(str, data))
        joined = "".join(texts)
        if not all(texts) or any(mark in joined for mark in ',"\r\n'):
            texts = ['"' + text.replace('"', '""') + '"' for text in texts]
        return "\n".join(texts).encode() + b"\n"


if __name__ == "__main__":
    workers, batch = map(int, sys.argv[1:])
    sys.argv[1:] = ["--address", "0.0.0.0", "--port", "8080"]  # which mosec reads by itself
    server = Server()
    server.append_worker(
        Predictor, num=workers, max_batch_size=batch, max_wait_time=MILLISECONDS_TO_GATHER, route="/invocations"
    )
    server.run()
