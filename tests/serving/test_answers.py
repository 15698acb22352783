"""What `predict` may return: a value, a vector, a list, a dict or a payload for each row, in every form of answer."""

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contract.errors import RequestError, UserError
from contract.payload import Payload
from contract.predictions import as_columns, as_payloads
from contract.serving import encoder
from contract.serving.formats import CSV, JSON_LINES, NPY

PROBABILITIES = np.array([[0.25, 0.75], [0.5, 0.5]])


def lines(answer: object, rows: int = 2) -> list[Any]:
    """The objects of an answer in JSON Lines."""
    return [json.loads(line) for line in JSON_LINES.encode(as_columns(answer, rows), []).splitlines()]


def csv(answer: object, rows: int = 2) -> str:
    return CSV.encode(as_columns(answer, rows), []).decode()


@pytest.mark.parametrize(
    ("answer", "objects", "text"),
    [
        ({"p": PROBABILITIES}, [{"p": [0.25, 0.75]}, {"p": [0.5, 0.5]}], "0.25,0.75\n0.5,0.5\n"),
        ({"p": PROBABILITIES[:, :1]}, [{"p": [0.25]}, {"p": [0.5]}], "0.25\n0.5\n"),
        ({"p": PROBABILITIES.astype(np.float32)}, [{"p": [0.25, 0.75]}, {"p": [0.5, 0.5]}], "0.25,0.75\n0.5,0.5\n"),
        ({"p": [[1, 2, 3], [4]]}, [{"p": [1, 2, 3]}, {"p": [4]}], '"[1,2,3]"\n[4]\n'),
        ({"p": [[1.5, None], ["a", "b"]]}, [{"p": [1.5, None]}, {"p": ["a", "b"]}], '1.5,""\na,b\n'),
        ({"p": np.ones((2, 1, 2))}, [{"p": [[1.0, 1.0]]}, {"p": [[1.0, 1.0]]}], '"[[1.0,1.0]]"\n"[[1.0,1.0]]"\n'),
        (
            {"p": [{"a": 1}, {"b": np.float32(2.5)}]},
            [{"p": {"a": 1}}, {"p": {"b": 2.5}}],
            '"{""a"":1}"\n"{""b"":2.5}"\n',
        ),
        ({"p": np.array([[np.nan, 1], [2, np.inf]])}, [{"p": [None, 1.0]}, {"p": [2.0, None]}], "nan,1.0\n2.0,inf\n"),
        (PROBABILITIES, [{"prediction": [0.25, 0.75]}, {"prediction": [0.5, 0.5]}], "0.25,0.75\n0.5,0.5\n"),
        (["yes", "no"], [{"prediction": "yes"}, {"prediction": "no"}], "yes\nno\n"),
        (pd.Series([1, 2]), [{"prediction": 1}, {"prediction": 2}], "1\n2\n"),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "1,x\n2,y\n"),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}], '1,x\n2,""\n'),
        ({"p": [np.ones(2), np.zeros(3)]}, [{"p": [1.0, 1.0]}, {"p": [0.0] * 3}], '"[1.0,1.0]"\n"[0.0,0.0,0.0]"\n'),
    ],
)
def test_an_answer_may_have_any_shape(answer: object, objects: list[Any], text: str) -> None:
    """H-58: vectors fill cells of CSV; what has no such shape is JSON in one cell."""
    assert lines(answer) == objects
    assert csv(answer) == text


def test_a_forecast_may_be_longer_than_its_request() -> None:
    """H-58: one row asks, twelve values answer."""
    assert lines({"forecast": [list(range(12))]}, 1) == [{"forecast": list(range(12))}]
    assert csv({"forecast": np.arange(12.0)[None]}, 1) == ",".join(f"{value}.0" for value in range(12)) + "\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "predict() in algorithm.py returned NoneType: return a dict of named columns such as "),
        ({}, "predict() in algorithm.py returned dict: return a dict of named columns such as "),
        ("yes", "predict() in algorithm.py returned str: "),
        ([{"a": 1}, {"b": 1}], "predict() in algorithm.py returned dicts with different keys: give each row the same "),
        (pd.DataFrame({"a": [1, 2]}, index=[1, 0]), "predict() in algorithm.py returned a DataFrame whose rows are "),
        (pd.DataFrame([[1, 2]] * 2, columns=["a", "a"]), "predict() in algorithm.py returned a DataFrame with two "),
        ({"label": "yes"}, "predict() in algorithm.py returned the column 'label' as str: return a list or an array "),
        ({"label": {1, 2}}, "predict() in algorithm.py returned the column 'label' as set: "),
        ({"label": [1]}, "predict() in algorithm.py returned the column 'label' with shape (1,) for 2 rows: "),
        ({"label": np.ones((1, 2))}, "predict() in algorithm.py returned the column 'label' with shape (1, 2) for 2 "),
    ],
)
def test_another_answer_is_named(answer: object, sentence: str) -> None:
    """H-46."""
    with pytest.raises(UserError) as mistake:
        as_columns(answer, 2)
    assert str(mistake.value).startswith(sentence)


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), 1j])
def test_a_value_without_a_form_is_refused(value: object) -> None:
    """H-46: and not sent as Python prints it."""
    for format_ in (CSV, JSON_LINES):
        with pytest.raises(UserError, match=r"^predict\(\) in algorithm\.py returned a value of the type "):
            format_.encode(as_columns({"p": [value, value]}, 2), [])


def test_pandas_own_gaps_are_gaps() -> None:
    """X-42."""
    answer = {"s": pd.array([None, "z"], dtype="string"), "t": [pd.NaT, pd.Timestamp("2024-01-31")]}
    assert lines(answer) == [{"s": None, "t": None}, {"s": "z", "t": "2024-01-31 00:00:00"}]
    assert csv(answer) == '"",""\nz,2024-01-31 00:00:00\n'


@pytest.mark.parametrize(
    ("answer", "array"),
    [
        ({"p": PROBABILITIES}, PROBABILITIES),
        ({"p": [1, 2]}, np.array([1, 2])),
        ({"a": [1, 2], "b": [0.5, 1.5]}, np.array([[1, 0.5], [2, 1.5]])),
        ({"p": np.ones((2, 3, 4), np.float32)}, np.ones((2, 3, 4), np.float32)),
    ],
)
def test_numbers_are_answered_in_numpys_format(answer: object, array: Any) -> None:
    """H-24: in the type and the shape that they have."""
    found = np.load(io.BytesIO(NPY.encode(as_columns(answer, 2), [])), allow_pickle=False)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize("answer", [{"label": ["a", "b"]}, {"a": [1, 2], "p": PROBABILITIES}, {"p": [[1], [2, 3]]}])
def test_what_is_no_array_of_numbers_is_not(answer: object) -> None:
    """H-24: with a word about what to accept."""
    with pytest.raises(RequestError, match="a column of numbers, as in 'Accept: application/x-npy; columns=score'"):
        encoder.encode_npy(as_columns(answer, 2))


def test_payloads_are_one_for_each_request() -> None:
    """H-58."""
    one = Payload(b"x", "image/png")
    assert as_payloads([one, one], 2) == [one, one]
    assert as_payloads(one, 1) == [one]
    assert as_payloads({"label": [1]}, 1) == []
    with pytest.raises(
        UserError, match=r"^predict\(\) in algorithm\.py returned 2 values, among them a Payload, for 1 "
    ):
        as_payloads([one, one], 1)
