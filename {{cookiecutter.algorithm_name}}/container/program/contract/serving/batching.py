"""Template: requests wait in a queue; a thread takes all that wait, predicts once for all, and answers each.

Nothing waits for a batch to fill: while one is predicted the next one gathers. A lone request goes at once.
"""

import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, pairwise
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

import numpy as np

from contract import failure
from contract.algorithm_interface import Algorithm, predict_examples
from contract.errors import RequestError, UserError
from contract.predictions import Columns, as_columns
from contract.schema import Records, Schema
from contract.serving import encoder, negotiation
from contract.serving.crash_record import Board
from contract.settings import Settings

BYTES_TOGETHER = 2**16  # of bodies: larger ones gain nothing from company


@dataclass(slots=True, eq=False)
class Job:
    """A request for predictions and, once ``future`` is done, what became of it. Times are of ``perf_counter``."""

    id: str
    body: bytes
    content_type: str
    encoding: str
    accept: str
    future: Any  # asyncio's or concurrent.futures', as the server needs it
    arrived: float = field(default_factory=perf_counter)
    started: float = 0.0
    predicted: float = 0.0
    together: int = 1
    rows: int = 0
    records: Records | None = None
    bad: list[int] = field(default_factory=list)
    error: Exception | None = None
    form: negotiation.Form = field(default=negotiation.Form(encoder.CSV, ()))
    answer: bytes = b""
    pieces: Iterator[bytes] | None = None
    """More of the answer: submit the job again for each until an answer is empty (H-60)."""


class Predictor:
    """The prediction threads of a process, and the queue before them."""

    def __init__(self, algorithm: Algorithm, model: object, settings: Settings) -> None:
        self.schema = Schema(algorithm.features(model), algorithm.predict)
        self.ill = "the model is loading"
        """Why it cannot predict; empty once a prediction has worked (H-05)."""
        self.busy: dict[int, tuple[float, list[Job]]] = {}
        """Thread → since when it has been predicting, and for which jobs."""
        self._algorithm, self._model, self._settings = algorithm, model, settings
        self._batch = 1 if inspect.isgeneratorfunction(algorithm.predict) else settings.batch
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._first = threading.Lock()
        self._board = Board(settings.workers * settings.threads, settings.batch)

    def start(self, deliver: Callable[[list[Job]], object]) -> None:
        """Begin to predict in this process, once. ``deliver`` gets the jobs that are done, in a prediction thread."""
        threads = self._settings.threads
        first = int(os.environ.get("WORKER_NUMBER", "0")) * threads
        for number in range(first, first + threads) if self._first.acquire(blocking=False) else ():
            self.busy[number] = (perf_counter(), [])
            threading.Thread(target=self._run, args=(number, deliver), daemon=True).start()

    def rehearse(self) -> None:
        """Do all but predict, before the fork, so that workers share what it leaves in memory (P-51, X-28)."""
        row = ",".join(map(str, self.schema.sample())).encode()
        for _ in range(20):
            with suppress(RequestError):  # examples need not be readable as CSV: an empty text is not
                self._read(Job("", row, encoder.CSV, "", "", None))
            encoder.encode(as_columns({"label": ["one"]}, 1), encoder.CSV)

    def submit(self, job: Job) -> None:
        """Put a job into the queue, for an answer or for its next piece."""
        self._queue.put(job)

    def check(self) -> None:
        """Try whether a prediction works now; ``ill`` tells."""
        self._queue.put(None)

    def _run(self, number: int, deliver: Callable[[list[Job]], object]) -> None:
        self._board.succeed(number)
        self._work(number, [], deliver)
        while True:
            self._work(number, self._take(), deliver)  # no name holds the jobs: a stream that was left ends (H-61)

    def _work(self, number: int, jobs: list[Job], deliver: Callable[[list[Job]], object]) -> None:
        self.busy[number] = (perf_counter(), jobs)
        begun = [job for job in jobs if job.pieces]
        self._answer(number, [job for job in jobs if not job.pieces])
        for job in begun:
            self._continue(job)
        deliver(jobs)
        if not jobs or any(job.error and not isinstance(job.error, RequestError) for job in jobs):
            self._check()
        del self.busy[number]

    def _take(self) -> list[Job]:
        """The next job and those that may be predicted with it; none where a check is due."""
        jobs: list[Job] = []
        size = 0
        item = self._queue.get()
        with suppress(Empty):
            while True:
                if item and not item.future.done():  # else the client has gone
                    jobs.append(item)
                    size += len(item.body)
                if len(jobs) >= self._batch or size >= BYTES_TOGETHER:
                    break
                item = self._queue.get_nowait()
        return jobs

    def _check(self) -> None:
        try:
            predict_examples(self._algorithm, self._model, self.schema)
            self.ill = ""
        except Exception as error:  # whatever it is, it is not ready
            self.ill = "the model cannot predict from the examples of features(); the log says why"
            print(f"{self.ill}: {failure.describe(error)}", file=sys.stderr, flush=True)

    def _answer(self, number: int, jobs: list[Job]) -> None:
        """Answer all together, but for those with which a worker has died: each by itself, or no more."""
        new: list[Job] = []
        for job, deaths in zip(jobs, self._board.deaths([job.id for job in jobs]), strict=True):
            if deaths > 1:
                job.error = UserError("predict() in algorithm.py twice ended its process with this request, or hung.")
            elif deaths:
                self._board.write(number, [job.id])
                self._answer_together([job])
            else:
                new.append(job)
        if new:
            self._board.write(number, [job.id for job in new])
            self._answer_together(new)

    def _answer_together(self, jobs: list[Job]) -> None:
        """Read all, predict together, and write the answers."""
        started = perf_counter()
        for job in jobs:
            job.started, job.together = started, len(jobs)
            try:
                self._read(job)
            except Exception as error:  # the answer says what it is
                job.error = error
            job.body = b""
        self._predict([job for job in jobs if not job.error])
        for job in jobs:
            job.predicted = perf_counter()

    def _read(self, job: Job) -> None:
        job.body = negotiation.unpack(job.body, job.encoding, self._settings.body_limit)
        kind, parameters = negotiation.given(job.content_type, job.body)
        job.form = negotiation.accept(job.accept, kind)
        bad = job.bad if self._settings.mark_bad_rows else None
        job.records = negotiation.read(job.body, kind, parameters, self.schema, bad)
        job.rows = len(job.records)

    def _predict(self, jobs: list[Job]) -> None:
        """All rows at once; where that fails each job's by themselves, so that none suffers for another."""
        try:
            if jobs:
                self._predict_together(jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].error = error
                return
            for job in jobs:
                self._predict([job])

    def _predict_together(self, jobs: list[Job]) -> None:
        ends = list(accumulate((job.rows for job in jobs), initial=0))
        parts: list[Any] = [job.records for job in jobs]
        if len(parts) > 1:
            parts = [np.concatenate(parts) if self.schema.numbers else list(chain.from_iterable(parts))]
        result = self._algorithm.predict(self._model, self.schema.table(parts[0]))
        if isinstance(result, Iterator):
            [job] = jobs  # an error where there are more, so that each gets an iterator of its own
            if job.bad:  # which piece would hold it is not known
                raise RequestError(400, "bad_input", f"row {job.bad[0] + 1} is bad; pieces cannot mark it")
            if job.form.media == encoder.JSON:  # a document has no pieces
                job.form = replace(job.form, media=encoder.JSON_LINES)
            job.pieces = (self._encode(job, as_columns(piece)) for piece in result)
            self._continue(job)
            return
        columns = as_columns(result, ends[-1])
        for job, (begin, end) in zip(jobs, pairwise(ends), strict=True):
            try:
                job.answer = self._encode(job, {name: values[begin:end] for name, values in columns.items()})
            except RequestError as error:
                job.error = error

    def _continue(self, job: Job) -> None:
        try:
            job.answer = next(job.pieces or iter(()), b"")
        except Exception as error:
            job.error = error

    def _encode(self, job: Job, columns: Columns) -> bytes:
        chosen = encoder.select(columns, job.form.columns or self._settings.columns)
        return encoder.encode(chosen, job.form.media, job.bad)
