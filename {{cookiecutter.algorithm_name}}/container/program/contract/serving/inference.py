"""Template: what is computed: complete requests in, answers out. No threads and no waiting here."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from contract.algorithm_interface import Algorithm, predict_examples
from contract.errors import BadInput, RequestError, UserError
from contract.payload import Payload
from contract.predictions import Columns, as_columns, as_payloads, each_piece
from contract.schema import RawSchema, Schema
from contract.serving import encoder, negotiation
from contract.serving.encoder import quoted
from contract.serving.formats import CSV, JSON, JSON_LINES, NPY, Body, Format
from contract.serving.request import Answer, Head, Request
from contract.settings import Settings

Answers = list[tuple[int, Answer]]
"""Indices of requests among those given, each with its answer."""
Run = Callable[..., Any]
"""``run(places, function, *arguments)`` calls into the algorithm, for those requests, and may time it."""


class Readable(NamedTuple):
    """A request that has been read."""

    place: int
    records: Any
    """``Records``, or a list of one ``Payload``."""
    wanted: negotiation.Wanted
    bad_rows: list[int]
    unwanted: RequestError | None = None
    """Why columns cannot be the answer, though a ``Payload`` can."""


class Inference:
    """The algorithm with its model."""

    def __init__(self, algorithm: Algorithm, model: object, schema: Schema | RawSchema, settings: Settings) -> None:
        self.schema = schema
        self._algorithm, self._model, self._settings = algorithm, model, settings

    def answers(self, requests: Sequence[Request], run: Run) -> Iterator[Answers]:
        """Yield each answer as soon as it is there. All requests are predicted together if that works."""
        started = perf_counter()
        readable: list[Readable] = []
        refused: Answers = []
        for place, request in enumerate(requests):
            try:
                readable.append(self._read(place, request))
            except Exception as error:  # the response says what it is
                refused.append((place, Answer(error, started=started, finished=perf_counter())))
        if refused:
            yield refused
        for answers in self._isolate(readable, run):
            finished = perf_counter()
            yield [(place, answer._replace(started=started, finished=finished)) for place, answer in answers]

    def predict_example(self, run: Run) -> None:
        """Predict the example row and check the answer. Raises any error (H-05)."""
        columns = run((), predict_examples, self._algorithm, self._model, self.schema)
        unknown = [name for name in self._settings.columns if name not in columns and name != "all"]
        if columns and unknown:
            raise UserError(
                f"SAGEMAKER_INFERENCE_OUTPUT names the column '{unknown[0]}', which predict() does not return: "
                f"it returns {', '.join(columns)}."
            )

    def rehearse(self) -> None:
        """Do everything except predict, before the fork, so that workers share what it leaves in memory (P-51)."""
        if isinstance(self.schema, RawSchema):
            return
        row = ",".join(quoted(str(value)) for value in self.schema.sample()).encode()
        request = Request(Head.read({b"content-type": CSV.media_type.encode()}), row, 0.0)
        for _ in range(30):
            list(self.answers([request], lambda *_: {"label": ["one"]}))

    def _read(self, place: int, request: Request) -> Readable:
        head, limit = request.head, self._settings.body_limit
        data = negotiation.decompress(request.body, head.content_encoding, limit, self._settings.body_remedy)
        if isinstance(self.schema, RawSchema):
            return self._read_raw(place, head, data, self.schema)
        format_, parameters = negotiation.content_type(head.content_type, data)
        wanted = negotiation.accept(head.accept, format_)
        if "columns" in parameters and not wanted.columns:
            raise RequestError(400, "bad_input", negotiation.IN_ACCEPT)
        bad_rows: list[int] = []
        body = Body(data, parameters, limit, bad_rows if self._settings.mark_bad_rows else None)
        return Readable(place, negotiation.read_rows(body, format_, self.schema), wanted, bad_rows)

    def _read_raw(self, place: int, head: Head, data: bytes, schema: RawSchema) -> Readable:
        payload = Payload(data, negotiation.raw_content_type(head.content_type, schema.content_types))
        try:
            return Readable(place, [payload], negotiation.accept(head.accept, JSON), [])
        except RequestError as refusal:
            return Readable(place, [payload], negotiation.Wanted(JSON, ()), [], refusal)

    def _isolate(self, group: list[Readable], run: Run) -> Iterator[Answers]:
        """Predict a group together. If that fails, find the requests that fail, and answer the others.

        A half that fails is halved again; if both halves fail, many requests are bad and each is tried alone.
        """
        parts = [group] if group else []
        while parts:
            failed: list[list[Readable]] = []
            for part in parts:
                try:
                    answers = self._predict(part, run)
                except Exception as error:  # of the user's predict()
                    if len(part) > 1:
                        failed.append(part)
                        continue
                    rows = len(part[0].records)
                    told = error.among(rows) if isinstance(error, BadInput) else error
                    answers = [(part[0].place, Answer(told, rows=rows))]
                yield answers
            if len(failed) == 1:
                middle = len(failed[0]) // 2
                parts = [failed[0][:middle], failed[0][middle:]]
            else:
                parts = [[one] for part in failed for one in part]

    def _predict(self, group: list[Readable], run: Run) -> Answers:
        ends = list(accumulate((len(one.records) for one in group), initial=0))
        records: Any = group[0].records
        if len(group) > 1:
            parts: list[Any] = [one.records for one in group]
            records = np.concatenate(parts) if self.schema.numbers else list(chain.from_iterable(parts))
        places = [one.place for one in group]
        result = run(places, self._algorithm.predict, self._model, self.schema.table(records))
        if isinstance(result, Iterator):
            [one] = group  # an error if there are more, after which each gets its own iterator
            return [(one.place, self._stream(one, result, run))]
        answers: Answers = []
        if payloads := as_payloads(result, ends[-1], len(group)):
            for one, payload in zip(group, payloads, strict=True):
                answers.append((one.place, _as_it_is(payload)._replace(rows=1, together=len(group))))
            return answers
        columns = as_columns(result, ends[-1])
        for one, (begin, end) in zip(group, pairwise(ends), strict=True):
            cut = {name: values[begin:end] for name, values in columns.items()}
            try:
                body, error = self._encode(one, one.wanted.format, cut), None
            except RequestError as refusal:
                body, error = b"", refusal
            answers.append((one.place, Answer(error, body, one.wanted.format, None, end - begin, len(group))))
        return answers

    def _stream(self, one: Readable, result: Iterator[Any], run: Run) -> Answer:
        """The first piece of an answer, and an iterator for the others."""
        if one.bad_rows:  # which piece would hold the row is not known
            raise RequestError(400, "bad_input", f"row {one.bad_rows[0] + 1} is bad; pieces cannot mark it")
        format_ = JSON_LINES if one.wanted.format == JSON else one.wanted.format  # a document has no pieces
        if format_ == NPY:
            raise RequestError(406, "not_acceptable", "the answer comes in pieces, but an array cannot: accept CSV")
        parts = each_piece(result, None if isinstance(self.schema, RawSchema) else len(one.records))
        first = run([one.place], next, parts)
        if isinstance(first, Payload):
            format_ = _as_it_is(first).format
        pieces = self._pieces(one, format_, chain([first], parts))
        return Answer(None, run([one.place], next, pieces, b""), format_, pieces, len(one.records))

    def _pieces(self, one: Readable, format_: Format, parts: Iterable[Columns | Payload]) -> Generator[bytes]:
        for part in parts:
            body = part.body if isinstance(part, Payload) else self._encode(one, format_, part)
            if body:  # an empty piece would be the end
                yield body

    def _encode(self, one: Readable, format_: Format, columns: Columns) -> bytes:
        if one.unwanted:
            raise one.unwanted
        return format_.encode(encoder.select(columns, one.wanted.columns or self._settings.columns), one.bad_rows)


def _as_it_is(payload: Payload) -> Answer:
    return Answer(None, payload.body, Format(payload.content_type, "", ""))
