"""Template: what the training data and the model's answers look like, kept with the model as counts for monitoring.

No row is kept. The only texts kept are choices and classes that the model knows; of others, the lengths are counted.
"""

import importlib
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.algorithm_interface import Algorithm, predict
from contract.predictions import Columns
from contract.schema import RawSchema, Schema

FILE = "baseline.json"
ROWS, CELLS, FEW_ROWS = 50_000, 4_000_000, 1_000  # of a sample: at most, at most, at least
BINS, ROWS_FOR_EACH, CHOICES = 20, 10, 100
ANSWERS, BATCH, SECONDS = 2_000, 256, 5.0  # rows to predict, at a time, and how long


class Served(NamedTuple):
    """The model as it was loaded from what ``save`` wrote, and what its answers hold."""

    algorithm: Algorithm
    model: object
    schema: Schema | RawSchema
    answer: dict[str, Any]


class Sample:
    """Random rows of a channel, a few MB at most, and how many rows the channel has."""

    def __init__(self) -> None:
        self.rows, self._parts, self._random = 0, list[tuple[Any, NDArray[Any]]](), np.random.default_rng(0)

    def add(self, table: Any) -> None:
        self.rows += len(table)
        share = min(ROWS, max(FEW_ROWS, CELLS // max(1, table.shape[1]))) / self.rows
        parts = [*self._parts, (table, self._random.random(len(table)))]
        self._parts = [(rows[keys < share], keys[keys < share]) for rows, keys in parts]

    def table(self) -> Any:
        return importlib.import_module("pandas").concat([rows for rows, _ in self._parts], ignore_index=True)


def sampled(samples: dict[str, Sample], channel: str, tables: Iterable[Any]) -> Iterator[Any]:
    """Yield the tables of a channel, and add them to its sample when it is read for the first time."""
    first = channel not in samples
    for table in tables:
        if first:
            with suppress(Exception):  # A problem with a sample must not fail the job.
                samples.setdefault(channel, Sample()).add(table)
        yield table


def learn(name: str, values: NDArray[Any], choices: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a column by ``choices``, also of few numbers, or by ``edges`` of bins; and count the rows of each."""
    text = values.dtype.kind not in "iufb"
    about: dict[str, Any] = {"name": name, "kind": "text", "choices": list(choices)}
    if not text or not choices:
        about = {"name": name, "kind": "length" if text else "number"}
        numbers = _numbers(about, values)
        filled = numbers[np.isfinite(numbers)]
        distinct = np.unique(filled)
        few = len(distinct) <= BINS and len(filled) >= ROWS_FOR_EACH * len(distinct)
        about |= {"choices": distinct.tolist()} if few else {"edges": _edges(filled)}
    return about | count(about, values)


def count(about: Mapping[str, Any], values: Any) -> dict[str, Any]:
    """Count the ``rows`` of each choice and of others, or in each bin, and the missing values as ``gaps``.

    A value is in the first bin whose edge is not below it. The last bin has no edge.
    """
    if about["kind"] == "text":
        texts = Counter(value for value in values if isinstance(value, str))
        rows = [texts.pop(choice, 0) for choice in about["choices"]]
        return {"rows": [*rows, texts.total()], "gaps": len(values) - sum(rows) - texts.total()}
    numbers = _numbers(about, values)
    filled = numbers[np.isfinite(numbers)]
    edges = np.array(about.get("edges", about.get("choices")), np.float64)
    places = np.searchsorted(edges, filled)
    if "choices" in about:
        places[np.append(edges, np.nan)[places] != filled] = len(edges)
    return {"rows": np.bincount(places, minlength=len(edges) + 1).tolist(), "gaps": len(numbers) - len(filled)}


def write(directory: Path, job: Any, served: Served | None) -> None:
    """Write the file to the model's ``directory``. An error fails no job. Without ``served`` it has no answers."""
    try:
        packed = orjson.dumps(_describe(job, served), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        (directory / FILE).write_bytes(packed)
    except Exception as error:  # a problem with the baseline must not fail the job
        missing = "The baseline has no answers" if served else "There is no baseline"
        print(f"{missing}, because of an error: {type(error).__name__}: {error}", file=sys.stderr)
        if served:
            write(directory, job, None)


def _describe(job: Any, served: Served | None) -> dict[str, Any]:
    """``fitted`` says whether the answers are to rows that the model was fitted on, if there is no other channel."""
    samples: list[Sample] = list(job.signature.samples.values())
    table, columns = samples[0].table() if samples else {}, []
    for each in served.schema.features if served and isinstance(served.schema, Schema) else job.features:
        with suppress(KeyError, ValueError):  # a column that train() reads in another way
            columns.append(learn(each.name, table[each.name].to_numpy(), each.choices))
    figures = {
        data: {name: value for name, value in found.items() if isinstance(value, str | int | float)}
        for data, found in job.evaluated["predictions"].items()
    }
    answers = _answers(samples[-1].table(), job, served) if samples and served else []
    rows, fitted = samples[0].rows if samples else 0, len(samples) == 1
    return {"rows": rows, "features": columns, "fitted": fitted, "answers": answers, "evaluation": figures}


def _answers(table: Any, job: Any, served: Served) -> list[dict[str, Any]]:
    """Describe the columns of the answer, for as many random rows as there is time for."""
    if isinstance(served.schema, RawSchema):
        return []
    rows = served.schema.typed(table.sample(min(len(table), ANSWERS), random_state=0))
    pieces, begun, done, size, took = list[Columns](), time.monotonic(), 0, 1, 0.0
    while done < len(rows) and not job.stopping and time.monotonic() - begun + 2 * took < SECONDS:
        started = time.monotonic()
        pieces.append(predict(served.algorithm, served.model, rows[done : done + size]))
        done, size, took = done + size, min(2 * size, BATCH), time.monotonic() - started
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in (pieces[0] if pieces else ())}
    return [learn(name, values, _classes(values)) for name, values in columns.items() if values.ndim == 1]


def _classes(values: NDArray[Any]) -> list[str]:
    """The texts of a column, if they are few."""
    texts = [value for value in values if isinstance(value, str)]
    found = sorted(set(texts))
    return found if len(found) <= CHOICES and len(texts) >= ROWS_FOR_EACH * len(found) else []


def _numbers(about: Mapping[str, Any], values: Any) -> NDArray[np.float64]:
    """The values, or their lengths; NaN for a missing value."""
    if about["kind"] == "length":
        values = [len(value) if isinstance(value, str) else math.nan for value in values]
    return np.asarray(values, np.float64)


def _edges(filled: NDArray[np.float64]) -> list[float]:
    """Edges with about as many rows between each two, rounded, so that they do not reveal values of the data."""
    bins = max(1, min(BINS, len(filled) // ROWS_FOR_EACH))
    edges = np.unique(np.quantile(filled, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else filled[:0])
    digits = 3 - math.floor(math.log10(np.ptp(edges))) if len(edges) > 1 else 300
    found: list[float] = np.unique(np.round(edges, min(300, digits))).tolist()
    return found
