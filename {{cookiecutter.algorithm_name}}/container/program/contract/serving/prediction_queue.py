"""Template: what waits: requests in a queue, and the threads that take them from it.

Nothing waits for a batch to fill: while one is predicted, the next one gathers. A single request goes at once.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from time import perf_counter, sleep
from typing import Any

from contract import failure, resources
from contract.errors import RequestError, UserError
from contract.serving import crash_record, log
from contract.serving.exchange import Exchange
from contract.serving.health import Health
from contract.serving.inference import Inference
from contract.serving.request import Answer
from contract.settings import Settings

BYTES_TOGETHER = 2**16  # of bodies: larger ones gain nothing from being together
TIMED_OUT = RequestError(503, "timeout", "the prediction took longer than MODEL_SERVER_TIMEOUT allows")
DIED = "predict() in algorithm.py twice ended its process with this request, or hung."
NO_MEMORY = "memory ran out twice with this request: send fewer rows at a time, or use an instance with more memory."
Settled = list[tuple[Exchange, Answer]]


class PredictionThread:
    """What the watch has to know about a thread."""

    def __init__(self) -> None:
        self.since = 0.0
        """When its call into the algorithm started; 0 outside of a call."""
        self.exchanges: Sequence[Exchange] = ()
        """For which requests."""


class PredictionQueue:
    """The queue of a process and its prediction threads."""

    def __init__(self, inference: Inference, health: Health, settings: Settings) -> None:
        self._inference, self._health, self._settings = inference, health, settings
        self._record = crash_record.SHARED if settings.behind_nginx else None  # without nginx nothing is retried
        self._queue: SimpleQueue[Exchange | None] = SimpleQueue()
        self._started = threading.Lock()
        self._deliver: Callable[[Settled], object]

    def start(self, deliver: Callable[[Settled], object]) -> None:
        """Begin to predict in this process, once. ``deliver`` is called in a prediction thread with what is ready."""
        if not self._started.acquire(blocking=False):
            return
        self._deliver = deliver
        threads = [PredictionThread() for _ in range(self._settings.threads)]
        for thread in threads:
            threading.Thread(target=self._run, args=[thread], daemon=True).start()
        threading.Thread(target=self._watch, args=[threads], daemon=True).start()

    def submit(self, exchange: Exchange) -> None:
        """Queue a request, for its answer or for the next piece of it."""
        self._queue.put(exchange)

    def submit_example(self) -> None:
        """Have the example row predicted, to see whether the model is healthy again."""
        self._queue.put(None)

    def _run(self, thread: PredictionThread) -> None:
        self._predict_example(thread)
        while True:
            self._work(thread, *self._take())  # no variable here holds requests: abandoned streams end (H-61)

    def _take(self) -> tuple[list[Exchange], bool]:
        """The next requests, as many as can be predicted together, and whether the example row is due."""
        exchanges: list[Exchange] = []
        example, size = False, 0
        item = self._queue.get()
        while True:
            if item is None:
                example = True
            elif item.pieces or not item.closed:  # a client that has gone needs no answer, but its stream must end
                exchanges.append(item)
                size += BYTES_TOGETHER if item.request.head.content_encoding else len(item.request.body)
            if len(exchanges) >= self._settings.batch or size >= BYTES_TOGETHER:
                break
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
        return exchanges, example

    def _work(self, thread: PredictionThread, exchanges: list[Exchange], example: bool) -> None:
        new = [exchange for exchange in exchanges if not exchange.pieces]
        for group in self._groups(new):
            example |= self._answer(thread, group)
        for exchange in exchanges:
            if exchange.pieces:
                example |= self._continue(thread, exchange)
        if example:
            self._predict_example(thread)

    def _groups(self, exchanges: list[Exchange]) -> Iterable[list[Exchange]]:
        """Requests to predict together, and each one alone with which a worker has died. After two it is refused."""
        if not self._record:
            return [exchanges] if exchanges else []
        innocent: list[Exchange] = []
        groups = [innocent]
        for exchange in exchanges:
            deaths = self._record.deaths(exchange.head.id)
            if deaths > 1:
                self._settle([(exchange, Answer(UserError(NO_MEMORY if resources.oom_kills() else DIED)))])
            elif deaths:
                groups.append([exchange])
            else:
                innocent.append(exchange)
        return [group for group in groups if group]

    def _answer(self, thread: PredictionThread, group: list[Exchange]) -> bool:
        """Answer a group; return whether the algorithm has failed."""
        if self._record:
            self._record.begin(exchange.head.id for exchange in group)

        def run(places: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
            return self._timed(thread, [group[place] for place in places], function, *arguments)

        failed = False
        for answers in self._inference.answers([exchange.request for exchange in group], run):
            failed |= any(answer.error and not isinstance(answer.error, RequestError) for _, answer in answers)
            if any(not answer.error for _, answer in answers):
                self._health.succeeded()
            self._settle([(group[place], answer) for place, answer in answers])
        return failed

    def _continue(self, thread: PredictionThread, exchange: Exchange) -> bool:
        """Compute the next piece of an answer; return whether the algorithm has failed.

        If the client has gone, the stream is ended, in the thread that started it.
        """
        pieces = exchange.pieces
        if not pieces:
            return False
        try:
            if exchange.closed:
                exchange.pieces = None
                pieces.close()
                return False
            answer = Answer(body=self._timed(thread, [exchange], next, pieces, b""))
        except Exception as error:  # of the user's predict(), which yields the pieces
            answer = Answer(error)
        self._settle([(exchange, answer)])
        return answer.error is not None

    def _settle(self, settled: Settled) -> None:
        if self._record:
            self._record.end(exchange.head.id for exchange, _ in settled)
        self._deliver(settled)

    def _timed(self, thread: PredictionThread, exchanges: list[Exchange], function: Any, *arguments: Any) -> Any:
        thread.exchanges, thread.since = exchanges, perf_counter()
        try:
            return function(*arguments)
        finally:
            thread.exchanges, thread.since = (), 0.0

    def _predict_example(self, thread: PredictionThread) -> None:
        try:
            self._inference.predict_example(lambda _, *call: self._timed(thread, [], *call))
            self._health.succeeded()
        except Exception as error:  # after any error, the model is not ready
            log.write("error", f"the model cannot predict the example: {failure.describe(error)}")
            self._health.failed("the model cannot predict from the examples of features(); the log says why")

    def _watch(self, threads: list[PredictionThread]) -> None:
        """End this process when a prediction hangs: a single thread cannot be ended (H-12)."""
        while True:
            sleep(1)
            for thread in threads:
                since, exchanges = thread.since, thread.exchanges
                if since and perf_counter() - since > self._settings.timeout and self._health.known.is_set():
                    if len(exchanges) == 1 or not self._record:  # else nginx retries each, which shows which one it is
                        self._deliver([(exchange, Answer(TIMED_OUT)) for exchange in exchanges])
                    log.write("error", f"{TIMED_OUT.message}: this worker is replaced")
                    sleep(0.5)  # until the responses are sent
                    os._exit(1)
