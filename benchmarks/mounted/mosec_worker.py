"""The model in mosec, which hosts no application: `mosec_worker.py WORKERS`. It checks nothing that it is sent."""

import sys
from pathlib import Path

import algorithm
import numpy as np
from mosec import Server, Worker
from numpy.typing import NDArray


class Predictor(Worker):
    """Reads CSV, predicts with ``algorithm.py``, writes CSV."""

    resp_mime_type = "text/csv"

    def __init__(self) -> None:
        super().__init__()
        self.model = algorithm.load(Path("/opt/ml/model"))

    def deserialize(self, data: bytearray) -> NDArray[np.float64]:
        """The rows of a request."""
        # numpy reads a number from bytes; from a bytearray it would read its characters.
        return np.array([line.split(b",") for line in bytes(data).splitlines()], dtype=np.float64)

    def forward(self, data: NDArray[np.float64]) -> list[list[object]]:
        """The predictions, column by column."""
        return [np.asarray(column).tolist() for column in algorithm.predict(self.model, data).values()]

    def serialize(self, data: list[list[object]]) -> bytes:
        """One line for each row."""
        return "".join(",".join(map(str, row)) + "\n" for row in zip(*data, strict=True)).encode()


if __name__ == "__main__":
    workers = int(sys.argv[1])
    sys.argv[1:] = ["--address", "0.0.0.0", "--port", "8080"]  # which mosec reads by itself
    server = Server()
    server.append_worker(Predictor, num=workers, route="/invocations")
    server.run()
