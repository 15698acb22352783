"""Template: what the requests and answers of a time look like, counted as training has counted its own."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np

from contract.training import evaluation
from contract.training.baseline import count
from stack.monitoring.bodies import Columns
from stack.monitoring.captures import Event
from stack.monitoring.model import Model

AT_A_TIME = 5_000  # rows that are held before they are counted


class Window:
    """What was counted so far."""

    def __init__(self, model: Model, truth: Mapping[str, list[Any]], keep: int = 0) -> None:
        """``keep`` is how many rows, at most, are kept as they are."""
        self.requests = self.rows = self.refused = self.refused_rows = self.others = 0
        self.first: datetime | None = None
        self.features: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.kept: list[dict[str, Any]] = []
        self._pairs: list[tuple[Any, Any]] = []  # a true value, and what was predicted
        self._model, self._truth, self._keep, self._random = model, truth, keep, np.random.default_rng(0)
        self._held: tuple[Columns, Columns] = defaultdict(list), defaultdict(list)

    def add(self, events: Iterable[Event]) -> None:
        """Count events, but not those of other models."""
        for event in events:
            if event.model and self._model.version and event.model != self._model.version:
                self.others += 1
                continue
            self.requests += 1
            if event.inputs is None and event.status in (None, 200):
                self.refused += 1  # a request that was refused is not always captured with its status
            elif event.status not in (None, 200):
                self.refused += 400 <= (event.status or 0) < 500
            else:
                self._add(event)
            if max(map(len, self._held[0].values()), default=0) >= AT_A_TIME:
                self._count()
        self._count()

    def _add(self, event: Event) -> None:
        inputs, answers = event.inputs or {}, event.answers or {}
        rows = len(next(iter((inputs or answers).values()), [0]))  # a raw request counts as one row
        self.rows, self.refused_rows = self.rows + rows, self.refused_rows + event.refused_rows
        for held, columns in zip(self._held, (inputs, answers), strict=True):
            for name, values in columns.items():
                held[name] += values
        true = event.truth or next((self._truth[each] for each in event.ids if each in self._truth), [])
        predicted = answers.get(next(iter(self._model.answer or answers), ""), [])
        if len(true) == len(predicted):
            self._pairs += zip(true, predicted, strict=True)
        for place in range(rows if self._keep else 0):
            self._keep_some({name: values[place] for name, values in inputs.items()})

    def _keep_some(self, row: dict[str, Any]) -> None:
        """Each row has the same chance."""
        if len(self.kept) < self._keep:
            self.kept.append(row)
        elif (place := self._random.integers(self.rows)) < self._keep:
            self.kept[place] = row

    def _count(self) -> None:
        baseline = self._model.baseline
        for held, abouts, counts in (
            (self._held[0], baseline["features"], self.features),
            (self._held[1], baseline["answers"], self.answers),
        ):
            for about in abouts:
                with suppress(ValueError, TypeError):  # an answer that the algorithm has written in a way of its own
                    found = count(about, held.get(about["name"], []))
                    before = counts.setdefault(about["name"], {"rows": [0] * len(found["rows"]), "gaps": 0})
                    before["rows"] = [a + b for a, b in zip(before["rows"], found["rows"], strict=True)]
                    before["gaps"] += found["gaps"]
            held.clear()

    def evaluated(self, kind: str | None) -> dict[str, Any]:
        """How good the predictions were whose true values are known, as ``log_predictions`` finds it; or nothing."""
        if not self._pairs:
            return {}
        true, predicted = zip(*self._pairs, strict=True)
        if kind == "numbers":
            return evaluation.evaluate(_floats(true), _floats(predicted), "numbers")
        return evaluation.evaluate([_plain(value) for value in true], [_plain(value) for value in predicted], "classes")


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]


def _plain(value: Any) -> str:
    """One way to write a class: 1, 1.0 and '1' are the same, and so are true and True."""
    text = str(value).strip()
    with suppress(ValueError):
        return f"{float(text):.15g}" if text.lower() not in ("nan", "inf", "infinity") else text
    return text.lower() if text.lower() in ("true", "false") else text
