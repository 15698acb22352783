"""Template: the model's signature: what ``predict`` expects, and how it is kept with the model."""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import UserError
from contract.feature import Feature, Value
from contract.payload import Payload

Rows = NDArray[np.float64]
Records = Rows | list[list[Any]]
"""Decoded rows: an array if any finite number is allowed, else a list for each row."""

FILE = "signature.json"
"""What training learned, stored beside the files that ``save`` wrote."""


class Schema:
    """The features of a model, and the form in which ``predict`` wants them."""

    def __init__(self, features: Sequence[str | Feature], predict: Any) -> None:
        self.features = [item if isinstance(item, Feature) else Feature(str(item)) for item in features]
        self.names = [feature.name for feature in self.features]
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise UserError(f"The column '{min(twice)}' is declared twice: declare it once.")
        self.numbers = all(feature.plain for feature in self.features)
        self.frame = wants_frame(predict)
        self.answer: dict[str, Any] = {}
        """What the columns of the answer hold, by name, if that is known (``predictions.describe``)."""
        texts = [feature.name for feature in self.features if feature.kind is str]
        if texts and not self.frame:
            raise UserError(
                f"The column '{texts[0]}' holds text, which an array of numbers cannot hold: in algorithm.py, "
                "annotate the rows of predict() as pandas.DataFrame."
            )

    def sample(self) -> list[Value]:
        """The example row."""
        return [feature.sample for feature in self.features]

    def examples(self) -> Records:
        """Rows from which the model must be able to predict."""
        return [self.sample()]

    def table(self, records: Records) -> Any:
        """What ``predict`` is called with: an array of shape (rows, features), or a DataFrame with named columns.

        The DataFrame's columns have the same types as in training, for any rows.
        """
        if not self.frame:
            return np.asarray(records, np.float64)
        if isinstance(records, np.ndarray):
            return self._pandas.DataFrame(records, columns=self.names)
        columns = zip(self.names, zip(*records, strict=True), self._dtypes, strict=True)
        array = self._pandas.array
        return self._pandas.DataFrame({name: array(list(cells), dtype=dtype) for name, cells, dtype in columns})

    def typed(self, table: Any) -> Any:
        """The same from a DataFrame whose columns hold such values already."""
        if not self.frame:
            return table[self.names].to_numpy(np.float64)
        return table[self.names].astype(dict(zip(self.names, self._dtypes, strict=True)))

    @cached_property
    def _pandas(self) -> Any:
        import pandas  # only if the algorithm wants a DataFrame

        return pandas

    @cached_property
    def _dtypes(self) -> list[Any]:
        text = self._pandas.Series(["a"]).dtype  # as the installed version of pandas.read_csv returns it
        return [text if feature.kind is str else np.dtype(_number(feature)) for feature in self.features]


def _number(feature: Feature) -> type[Any]:
    return bool if feature.kind is bool and not feature.missing else np.float64


class RawSchema:
    """The requests of a model that takes raw requests."""

    numbers = False

    def __init__(self, content_types: Sequence[str], example: Payload | None) -> None:
        self.content_types = [each.lower() for each in content_types]
        self.example = example

    def examples(self) -> list[Any]:
        """A request that the model must be able to answer, if it has one."""
        return [self.example] if self.example else []

    def table(self, records: Any) -> Any:
        """What ``predict`` is called with: a list of ``Payload``."""
        return records


def wants_frame(predict: Any) -> bool:
    """Whether the second parameter of ``predict`` is annotated as a DataFrame, by name or by class."""
    return _annotation(predict)[-1:] == ["DataFrame"]


def wants_raw(predict: Any) -> bool:
    """Whether it is annotated as a list of ``Payload``."""
    return "Payload" in _annotation(predict)


def _annotation(predict: Any) -> list[str]:
    rows = list(inspect.signature(predict).parameters.values())[1].annotation
    return re.findall(r"\w+", rows if isinstance(rows, str) else inspect.formatannotation(rows))


def write(features: Sequence[Feature], directory: Path, answer: Mapping[str, Any] | None = None) -> None:
    """Keep the signature with the model, and what the columns of its ``answer`` hold."""
    about = {"features": [feature.as_json() for feature in features], "answer": dict(answer or {})}
    (directory / FILE).write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def of_model(algorithm: Any, model: object, directory: Path) -> Schema | RawSchema:
    """The schema of a model: from ``features(model)`` if ``algorithm.py`` has it, else what training learned.

    Raises ``UserError`` if there is neither.
    """
    if wants_raw(algorithm.predict):
        return _raw(algorithm, model)
    if hasattr(algorithm, "features"):
        return Schema(algorithm.features(model), algorithm.predict)
    path = directory / FILE
    if not path.exists():
        raise UserError(
            f"The model has no {FILE}, so its columns are not known: read the data with "
            'job.channel("training").split(...) in train(), or add features(model) to algorithm.py.'
        )
    kept = orjson.loads(path.read_bytes())
    schema = Schema([Feature.from_json(given) for given in kept["features"]], algorithm.predict)
    schema.answer = kept.get("answer", {})
    return schema


def _raw(algorithm: Any, model: object) -> RawSchema:
    types = getattr(algorithm, "CONTENT_TYPES", None)
    if isinstance(types, str) or not types or not all("/" in str(each) for each in types):
        raise UserError(
            "predict() in algorithm.py takes raw requests, so algorithm.py must list their content types: "
            'add a line such as CONTENT_TYPES = ["image/png"].'
        )
    example = algorithm.example(model) if hasattr(algorithm, "example") else None
    if not isinstance(example, Payload | None):
        raise UserError(
            f"example() in algorithm.py returned {type(example).__name__}: "
            f'return a request such as Payload(body, "{types[0]}").'
        )
    return RawSchema(types, example)
