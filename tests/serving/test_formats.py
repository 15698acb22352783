"""What goes in and what comes out: every form of a body, every form of an answer, and what is refused.

Every case is asked of both servers of ``conftest.py``, with and without a container. The truth is what
``algorithm.py`` predicts when it is called without a server.
"""

import csv
import gzip
import http.client
import importlib
import io
import json
import math
import os
import re
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import openapi_spec_validator
import pandas as pd
import pyarrow.parquet
import pytest
from contract.errors import RequestError
from contract.feature import Feature
from contract.predictions import Columns, as_columns
from contract.schema import Schema
from contract.serving import formats, openapi
from contract.serving.formats import Body
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from faults import eventually
from programs import Answer, Server, docker, serving, serving_here

CSV, JSON, JSON_LINES, NPY = "text/csv", "application/json", "application/jsonlines", "application/x-npy"
WIDTH = 30
algorithm: Any = importlib.import_module("algorithm")


@pytest.fixture(scope="module")
def names(lines: list[str]) -> list[str]:
    return lines[0].split(",")


@pytest.fixture(scope="module")
def rows(lines: list[str]) -> NDArray[np.float64]:
    """Eight held-out rows, of both classes."""
    return np.array([[float(cell) for cell in line.split(",")] for line in lines[1:9]])


@pytest.fixture(scope="module")
def truth(model: Path) -> Callable[[Any], dict[str, list[Any]]]:
    """All columns that the algorithm predicts for an array of rows."""
    loaded = algorithm.load(model)

    def predict(rows: Any) -> dict[str, list[Any]]:
        columns = algorithm.predict(loaded, np.asarray(rows, np.float64))
        return {name: list(np.asarray(column)) for name, column in columns.items()}

    return predict


Truth = Callable[[Any], dict[str, list[Any]]]
Array = NDArray[np.float64]


def labels(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return answer.body.decode().splitlines()


def as_csv(rows: Any) -> str:
    return "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows)


def as_npy(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    npy_format.write_array(file, array, version)
    return file.getvalue()


def header_of_npy(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


# What is read


@pytest.mark.parametrize(
    ("content_type", "encode"),
    [
        ("Text/Csv; Header=PRESENT", lambda header, body: (header + body).encode()),
        ('text/csv; header="present"; charset="UTF-8"', lambda header, body: (header + body).encode("utf-8-sig")),
        ("text/csv;header=present", lambda header, body: (header + body).replace("\n", "\r\n\r\n").encode()),
        ("text/csv;header=present", lambda header, body: re.sub(r"([^,\n]+)", r'"\1"', header + body).encode()),
        ("text/csv; charset=latin-1", lambda header, body: body.encode("latin-1")),
        ("text/csv; charset=Windows-1252", lambda header, body: body.encode("cp1252")),
        ("text/csv; charset=us-ascii", lambda header, body: body.encode("ascii")),
        ("text/csv; charset=UTF-16", lambda header, body: body.encode("utf-16")),
        ("text/csv; charset=utf16; header=present", lambda header, body: (header + body).encode("utf-16")),
        ("text/csv; boundary=unknown", lambda header, body: body.replace(",", " , ").encode()),
        ("text/csv", lambda header, body: body.replace("\n", "\r").encode()),
    ],
)
def test_csv_is_read_in_each_of_its_forms(
    server: Server, names: list[str], rows: Array, truth: Truth, content_type: str, encode: Callable[[str, str], bytes]
) -> None:
    """H-21, H-59; V-27, V-28."""
    answer = server.predict(encode(",".join(names) + "\n", as_csv(rows)), content_type)
    assert labels(answer) == truth(rows)["label"]


@pytest.mark.parametrize("charset", ["koi8-r", "no-such", "base64", "utf-8-sig", "x" * 4000, "../../etc/passwd"])
def test_an_unknown_charset_is_refused_with_those_that_are_known(server: Server, charset: str) -> None:
    """H-43: a codec is no way to other code either."""
    answer = server.predict(b"1,2", f"text/csv; charset={charset}")
    assert (answer.status, answer.message) == (
        415, "send the charset as one of utf-8, ascii, iso8859-1, cp1252, utf-16",
    )  # fmt: skip


def shuffled(names: list[str]) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).permutation(len(names))]


JSON_FORMS: dict[str, Callable[[list[str], list[list[float]]], object]] = {
    "rows": lambda names, rows: rows,
    "instances": lambda names, rows: {"instances": rows},
    "named": lambda names, rows: [{names[i]: row[i] for i in shuffled(names)} for row in rows],
    "named instances": lambda names, rows: {"instances": [dict(zip(names, row, strict=True)) for row in rows]},
    "some named": lambda names, rows: [rows[0], *[dict(zip(names, row, strict=True)) for row in rows[1:]]],
    "columns and data": lambda names, rows: {"columns": names, "data": rows},
    "columns in another order": lambda names, rows: {
        "data": [[row[i] for i in shuffled(names)] for row in rows], "columns": [names[i] for i in shuffled(names)],
        "index": list(range(len(rows))),
    },
    "a list for each column": lambda names, rows: {names[i]: [row[i] for row in rows] for i in shuffled(names)},
}  # fmt: skip


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_json_is_read_in_each_of_its_forms(
    server: Server, names: list[str], rows: Array, truth: Truth, form: str, charset: str
) -> None:
    """H-23; V-29."""
    body = json.dumps(JSON_FORMS[form](names, rows.tolist()), indent=1).encode(charset)
    answer = server.predict(body, f"Application/JSON; charset={charset}", Accept=CSV)
    assert labels(answer) == truth(rows)["label"]


@pytest.mark.parametrize(
    "content_type", [JSON_LINES, "application/x-jsonlines", "Application/JsonLines; charset=utf-8"]
)
@pytest.mark.parametrize("form", ["rows", "named", "some named"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
def test_json_lines_are_read_and_answered_line_by_line(
    server: Server, names: list[str], rows: Array, truth: Truth, content_type: str, form: str, end: str
) -> None:
    """H-23, H-25, H-58; V-29."""
    instances: Any = JSON_FORMS[form](names, rows.tolist())
    answer = server.predict(end.join(map(json.dumps, instances)).encode("utf-8-sig"), content_type)
    assert answer.headers["Content-Type"] == JSON_LINES
    assert answer.body.endswith(b"}\n")
    assert answered(answer) == [{"label": label} for label in truth(rows)["label"]]


@pytest.mark.parametrize("kind", ["float32", "float64", ">f8", "float16", "longdouble", "int64", "uint16", ">i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_of_any_number_type_are_read(
    server: Server, rows: Array, truth: Truth, kind: str, order: Any
) -> None:
    """H-23."""
    array = rows.astype(kind, order=order)
    assert labels(server.predict(as_npy(array), NPY)) == truth(array)["label"]


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, **options)
    return bytes(file.getvalue())


def read_parquet(body: bytes, schema: Schema, limit: int = 2**20) -> Any:
    return formats.PARQUET.decode(Body(body, {}, limit), schema)


def predict_places(model: object, rows: pd.DataFrame) -> None: ...


PLACE = Schema([Feature("age", missing=True), Feature("place", str)], predict_places)


def predict_flats(model: object, rows: pd.DataFrame) -> None: ...


FLATS = Schema(
    [Feature("city", str, ("Lyon", "Oslo")), Feature("area", minimum=1, maximum=999), Feature("year", missing=True),
     Feature("garage", bool), Feature("heating", str, missing=True)], predict_flats
)  # fmt: skip
GAP = math.nan
ONE = ["Oslo", 50.0, GAP, True, "gas"]


def read_flats(text: str, content_type: str = CSV, **parameters: str) -> Any:
    decode = {CSV: formats.CSV, JSON: formats.JSON, JSON_LINES: formats.JSON_LINES}[content_type].decode
    return decode(Body(text.encode(), parameters, 2**20), FLATS)


@pytest.mark.parametrize(
    "text",
    [
        "city,area,year,garage,heating\nOslo,50,,True,gas\n",
        "heating,garage,year,area,city\ngas,true,NA,50.0,Oslo\n",
        "id,city,area,year,garage,heating,rent\n7,Oslo,50,nan,1,gas,900\n",
        " city ,area,garage,heating\nOslo, 50 ,TRUE,gas\n",
        "id,city,area,garage,heating\n7,Oslo,50,TRUE,gas,\n",
    ],
    ids=["in order", "in another order", "with other columns", "without one that may be missing", "both, and a comma"],
)
def test_a_header_says_where_the_columns_are(text: str) -> None:
    """H-59: as the names of a JSON object do."""
    assert repr(read_flats(text, header="present")) == repr([ONE])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("city,area,year,garage\nOslo,50,,True\n", ""),
        ("area,year,garage,heating\n50,,True,gas\n", "the header lacks the column 'city'"),
        (
            "city,area,yaer,garage,heating\nOslo,50,1990,True,gas\n",
            "the header lacks the column 'year' and has one of almost that name: rename it",
        ),
        ("city,city,area,year,garage,heating\nLyon,Oslo,50,,1,gas\n", "the header has the column 'city' twice"),
        ("city,area,year,garage,heating\nOslo,50,,True\n", "row 1 has 4 columns, the header has 5"),
        ("city,area,year,garage,heating\nNA,50,,True,gas\n", "row 1, column 'city' is not one of the 2 values"),
        ("city,area,year,garage,heating\n,50,,True,gas\n", "row 1, column 'city' has no value, but the model needs "),
        ("city,area,year,garage,heating\nOslo,0.5,,True,gas\n", "row 1, column 'area' is below 1"),
        ("city,area,year,garage,heating\nOslo,1000,,True,gas\n", "row 1, column 'area' is above 999"),
        ("city,area,year,garage,heating\nOslo,50,,yes,gas\n", "row 1, column 'garage' is not true or false"),
        ("city,area,year,garage,heating\nOslo,50,,2,gas\n", "row 1, column 'garage' is not true or false"),
        ("city,area,year,garage,heating\nOslo,50,old,1,gas\n", "row 1, column 'year' is not a finite number"),
        ("city,area,year,garage,heating\n", "the body holds no rows"),
    ],
)
def test_a_table_that_the_model_cannot_take_is_refused(text: str, sentence: str) -> None:
    """H-55, H-59: a name that is misspelled does not pass for a gap."""
    if not sentence:
        assert len(read_flats(text, header="present")) == 1
        return
    with pytest.raises(RequestError) as refused:
        read_flats(text, header="present")
    assert str(refused.value).startswith(sentence)


def test_a_row_of_the_names_is_a_row_where_a_header_is_denied() -> None:
    """H-59: texts may be what the columns are called."""
    names = Schema([Feature("city", str), Feature("kind", str)], predict_flats)
    text = b"kind,city\nOslo,x\n"
    with pytest.raises(RequestError) as refused:
        formats.CSV.decode(Body(text, {}, 2**20), names)
    assert str(refused.value) == (
        "row 1 is a header: leave it out, or send 'Content-Type: text/csv; header=present'; if it is a row, "
        "send header=absent"
    )
    denied = formats.CSV.decode(Body(text, {"header": "Absent"}, 2**20), names)
    assert denied == [["kind", "city"], ["Oslo", "x"]]


def test_a_table_without_commas_is_told_of_its_separator() -> None:
    """H-55: with and without a header; a text may hold any mark."""
    header, row = "city;area;year;garage;heating\n", "row 1 has 1 column, the model expects 5: "
    for text, about, parameter in (
        ("Oslo;50;;True;gas\n", f"{row}separate the cells with commas, not semicolons", ""),
        ("Oslo\t50\t\tTrue\tgas\n", f"{row}separate the cells with commas, not tabs", ""),
        ("Oslo;50,5;;True;gas\n", "row 1 has 2 columns, the model expects 5: separate the cells with commas, not ", ""),
        (header, f"{row}separate the cells with commas, not semicolons", ""),
        (header, "the header has 1 column: separate the names with commas, not semicolons", "present"),
        ("Oslo; the town,50\n", "row 1 has 2 columns, the model expects 5", ""),
    ):
        with pytest.raises(RequestError) as refused:
            read_flats(text, header=parameter)
        assert str(refused.value).startswith(about)
    assert "separate" not in str(refused.value)
    place = Schema([Feature("place", str)], predict_places)
    assert formats.CSV.decode(Body(b"a;b\n", {}, 2**20), place) == [["a;b"]]


NAMED = '{"city": "Oslo", "area": 50, "garage": true, "heating": "gas"}'
LISTED = '["Oslo", 50, null, true, "gas"]'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"instances": [{LISTED}]}}',
        f'{{"instances": [{NAMED}]}}',
        f'{{"instances": [{{"features": {LISTED}}}]}}',
        f"[{NAMED}]",
        NAMED,
        f'{{"features": {LISTED}}}',
        f'{{"inputs": [{LISTED}]}}',
        '{"inputs": {"city": ["Oslo"], "area": [50], "garage": [1], "heating": ["gas"]}}',
        f'{{"dataframe_records": [{NAMED}]}}',
        '{"dataframe_split": {"index": [0], "columns": ["area", "city", "garage", "heating"],'
        ' "data": [[50, "Oslo", true, "gas"]]}}',
        '{"instances": [["Oslo", 50, NaN, 1.0, "gas"]]}',
    ],
)
def test_json_is_read_in_the_forms_that_people_send(text: str) -> None:
    """H-21: SageMaker's own, MLflow's, and those of pandas."""
    assert repr(read_flats(text, JSON)) == repr([ONE])


def test_json_lines_may_wrap_their_features() -> None:
    """H-21: as SageMaker's built-in algorithms have it."""
    assert repr(read_flats(f'{{"features": {LISTED}}}\n{NAMED}\n', JSON_LINES)) == repr([ONE, ONE])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps(NAMED), "the body is a JSON string, perhaps because it was encoded twice: send "),
        ('{"data": 1}', 'the body holds no rows: send {"instances": [{"city": ..., "area": ..., "year": ..., ...}'),
        ('[{"city": "Oslo"}]', "row 1 lacks the column 'area'"),
        (NAMED.replace('"gas"', '"gas", "yaer": 1990'), "row 1 lacks the column 'year' and has one of almost that "),
        (NAMED.replace("true", '"yes"'), "row 1, column 'garage' is not true or false"),
        (
            NAMED.replace("true", '"True"'),
            "row 1, column 'garage' is a string: send it without quotes",
        ),
        (NAMED.replace("50", '" 1.5"'), "row 1, column 'area' is a string: send it without quotes"),
        (NAMED.replace("50", '"many"'), "row 1, column 'area' is not a finite number"),
        (NAMED.replace('"Oslo"', "NaN"), "row 1, column 'city' has no value"),
        (NAMED.replace('"Oslo"', '""'), "row 1, column 'city' has no value"),
        (NAMED.replace("50", "true"), "row 1, column 'area' is not a finite number"),
    ],
)
def test_a_document_that_cannot_be_read_is_answered_with_the_form_that_can(text: str, sentence: str) -> None:
    """H-55: a model of named columns shows named columns."""
    with pytest.raises(RequestError) as refused:
        read_flats(text, JSON)
    assert str(refused.value).startswith(sentence)


def test_many_choices_are_counted_and_not_told() -> None:
    """H-55: they come from the training data."""
    many = Feature("country", str, tuple(f"country {number}" for number in range(250)))
    with pytest.raises(ValueError, match=r"^is not one of the 250 values that the model knows$"):
        many.from_text("Atlantis")


def test_the_types_of_a_table_do_not_depend_on_which_rows_come_together() -> None:
    """H-21: a gap is NaN in each, also where all rows have one."""
    gap, full = ["Oslo", 50.0, GAP, True, GAP], ["Lyon", 1.0, 1990.0, False, "gas"]
    tables = [FLATS.table(rows) for rows in ([gap], [full], [gap, full])]
    assert [table.dtypes.tolist() for table in tables] == [tables[2].dtypes.tolist()] * 3
    assert [str(dtype) for dtype in tables[0].dtypes] == ["str", "float64", "float64", "bool", "str"]
    assert repr(tables[0].iloc[0].tolist()) == repr(tables[2].iloc[0].tolist())
    assert tables[0]["heating"].isna().all()


def test_parquet_is_read_by_the_names_of_its_columns() -> None:
    """H-23: as named objects in JSON are, gaps included."""
    body = parquet({"place": ["Oslo", "Rome", "Lima"], "age": [1.5, None, math.nan]})
    document = b'[{"age": 1.5, "place": "Oslo"}, {"age": null, "place": "Rome"}, {"age": null, "place": "Lima"}]'
    assert str(read_parquet(body, PLACE)) == str(formats.JSON.decode(Body(document, {}, 2**20), PLACE))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not a Parquet file"),
        (b"PAR1 no more", "the body is not a Parquet file"),
        (parquet({"age": [1.0]}), "row 1 lacks the column 'place'"),
        (parquet({"age": ["x"], "place": ["Oslo"]}), "row 1, column 'age' is not a finite number"),
        (parquet({"age": [1.0] * 200_000, "place": ["Oslo"] * 200_000}), "the file holds 400000 cells, more than "),
    ],
)
def test_a_parquet_file_that_cannot_be_read_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    """H-42: also one that a few bytes make very large."""
    with pytest.raises(RequestError) as refused:
        read_parquet(body, PLACE)
    assert refused.value.status == 400
    assert str(refused.value).startswith(sentence)


def test_parquet_is_answered_where_pyarrow_is_installed(server: Server, rows: Array, names: list[str]) -> None:
    """H-23, H-24, H-43: in CSV, as answers are not written in Parquet. The image of a new project has no pyarrow."""
    answer = server.predict(parquet(dict(zip(names, rows.T, strict=True))), "application/x-parquet")
    if server.container:
        assert answer.status == 415
    else:
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.body == server.predict(as_csv(rows).encode()).body


def test_a_gap_in_an_array_is_one_where_gaps_are_declared() -> None:
    """H-21: as null in JSON."""
    schema = Schema([Feature("age", missing=True), "height"], lambda model, rows: rows)
    gap, none = (Body(as_npy(np.array([row])), {}, 2**20) for row in ([np.nan, 1.8], [1, np.nan]))
    assert formats.NPY.decode(gap, schema) == formats.JSON.decode(Body(b"[[null, 1.8]]", {}, 2**20), schema)
    with pytest.raises(RequestError, match="row 1, column 'height'"):
        formats.NPY.decode(none, schema)


def test_one_row_of_numpy_needs_no_second_dimension(server: Server, rows: Array, truth: Truth) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        assert labels(server.predict(as_npy(rows[0], version), NPY)) == truth(rows[:1])["label"]


class Bomb:
    """What a pickle can do: run a program when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_in_a_numpy_file_is_refused_and_runs_nothing(server: Server, tmp_path: Path) -> None:
    """It would run under ``numpy.load(..., allow_pickle=True)``, as the second half shows."""
    marker = tmp_path / "it ran".replace(" ", "_")
    array = np.empty((1, WIDTH), object)
    array[:] = Bomb(marker)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    answer = server.predict(file.getvalue(), NPY)
    assert answer.status == 400
    assert "numpy.save()" in answer.message
    assert server.predict(file.getvalue()[128:], NPY).status == 400
    assert not marker.exists()
    if server.container:
        assert docker("exec", server.container, "ls", str(marker)).returncode != 0
    np.load(io.BytesIO(file.getvalue()), allow_pickle=True)
    assert marker.exists()


@pytest.mark.parametrize(
    "header",
    [
        *[header_of_npy(shape) for shape in ("(1, 29)", "(2, 30)", "(-1, 30)", "(-1, -30)", "(1, 30, 1)", "()")],
        *[header_of_npy(shape) for shape in ("(0, 30)", "(1000000000, 0)", f"(0, {10**30})", f"({10**30}, 0)")],
        *[header_of_npy(shape) for shape in ("(True, 30)", "[1, 30]", "None", "(" + "1, " * 99 + "30)")],
        *[header_of_npy("(1, 30)", kind) for kind in ("'|O'", "'<c16'", "'|b1'", "'<U2'", "'<m8[s]'", "'|V8'", "7")],
        *[header_of_npy("(1, 30)", kind) for kind in ("[('a', '<f8')]", "[('a', '|O')]", "{}", "(('<f8', 2), 3)")],
        *[header_of_npy("(1, 30)", "None"), header_of_npy("(3,)", "()"), header_of_npy("(1, 30)", order="7")],
        *[b"\x93NUMPY\x01\x00\x05\x00" + text for text in (b"(((((", b"'''''", b"1:2 3", b"\xff" * 5, b"\x00" * 5)],
        b"\x93NUMPY\x01\x00\xff\xff" + b"-" * 65535,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff", b"\x93NUMPY\x09\x00", b"\x93NUM", b"PK\x03\x04", b"",
    ],
)  # fmt: skip
def test_a_numpy_header_that_lies_is_refused(server: Server, header: bytes) -> None:
    """H-42, H-56; V-30: whatever it says of shape and type, the bytes that came decide."""
    answer = server.predict(header + bytes(8 * WIDTH) * ("(1000" not in str(header)), NPY)
    assert answer.status == 400
    assert answer.message


def bodies_with_a_fault(names: list[str]) -> dict[str, tuple[str, bytes, str]]:
    """What is wrong → content type, body, and how the answer begins."""
    ones = [1.0] * WIDTH
    last = names[-1]
    named = dict(zip(names, ones, strict=True))
    columns = {"columns": names, "data": [ones, [*ones, 1.0]]}
    not_finite = f"row 2, column '{last}' is not a finite number"
    empty = f"row 2, column '{last}' has no value, but the model needs one"
    wide = "row 1 has 100000 columns, the model expects 30"

    def second(text: str) -> bytes:
        return json.dumps([ones, [*ones[:-1], "?"]]).replace('"?"', text).encode()

    return {
        **{text: (JSON, second(text), not_finite) for text in ("Infinity", "-1e999", '"many"', "true", "[]", "{}")},
        "a number in quotes": (JSON, second('"1"'), f"row 2, column '{last}' is a string: send it without quotes"),
        **{text: (JSON, second(text), empty) for text in ("NaN", "null", '""')},
        "a long number": (JSON, second("1" + "0" * 309), not_finite),
        "a number beyond reading": (JSON, second("9" * 5000), "the body is not JSON: "),
        "a cell nested deep": (JSON, second("[" * 900 + "]" * 900), not_finite),
        "objects nested deep": (JSON, b'{"a":' * 100_000, "the body is not JSON: "),
        "two documents": (JSON, b"[[1]] [[1]]", "the body is not JSON: "),
        "a comma too many": (JSON, second("1").replace(b"]]", b"],]"), "the body is not JSON: "),
        "not UTF-8": (JSON, b'{"inst\xffances": [[1]]}', "the body is not JSON: "),
        "100,000 columns of JSON": (JSON, json.dumps([[1.0] * 100_000]).encode(), wide),
        "100,000 columns of CSV": (CSV, b"1" + b",1" * 99_999, wide),
        "100,000 columns of npy": (NPY, as_npy(np.ones((1, 100_000))), wide),
        "a name less": (JSON, json.dumps([dict.fromkeys(names[:-1], 1)]).encode(), f"row 1 lacks the column '{last}'"),
        "a wide row of data": (JSON, json.dumps(columns).encode(), "row 2 has 31 columns, the body names 30"),
        "a narrow row of data": (JSON, json.dumps(columns | {"data": [[1]]}).encode(), "row 1 has 1 column, "),
        "a column twice": (JSON, json.dumps(columns | {"columns": [*names, last]}).encode(), "the body names a "),
        "no data": (JSON, json.dumps(columns | {"data": []}).encode(), "the body holds no rows: "),
        "columns of unlike length": (JSON, json.dumps({name: [1] for name in names} | {last: [1, 2]}).encode(),
                                     "the columns differ in length"),
        "columns without rows": (JSON, json.dumps({name: [] for name in names}).encode(), "the body holds no rows: "),
        "a key twice": (JSON, b'{"instances": [[1]], "instances": [[2]]}', "the body has the key 'instances' twice: "),
        "a column of a row twice": (
            JSON, f"[{json.dumps(named)}, {json.dumps(named)[:-1]}, {json.dumps(last)}: 7}}]".encode(),
            f"row 2 has the key '{last}' twice: send each once",
        ),
        "a column of a wrapped row twice": (JSON, b'{"instances": [[1], {"features": [1], "features": [2]}]}',
                                            "row 2 has the key 'features' twice: "),
        "a key that is unknown twice": (JSON, b'{"instances": [[1]], "x": {"a": 1, "a": 1}}',
                                        "the body has a key twice: "),
        "a key twice in disguise": (JSON_LINES, b'[1]\n{"a": 1, "\\u0061": 1}', "line 2 has a key twice: "),
        "two kinds of rows": (JSON, json.dumps({"inputs": [ones], "instances": [ones]}).encode(),
                              "the body holds rows under 'instances' and under 'inputs': send one of them"),
        "rows and data": (JSON, json.dumps(columns | {"instances": [ones]}).encode(),
                          "the body holds rows under 'instances' and under 'data': send one of them"),
        "a bad line": (JSON_LINES, json.dumps(ones).encode() + b"\n\n[1,", "line 3 is not JSON: "),
        "a text for a line": (JSON_LINES, b'"abc"', "row 1 is neither a list of values nor an object of named values"),
        "blank lines": (JSON_LINES, b"\n\r\n \n", "the body holds no rows: "),
        "NaN in npy": (NPY, as_npy(np.array([ones, [*ones[:-1], np.nan]])), empty),
        "overflow in npy": (NPY, as_npy(np.array([[np.longdouble("1e400")] * WIDTH])), f"row 1, column '{names[0]}'"),
        "half of UTF-16": (CSV + "; charset=utf-16", "1,2".encode("utf-16")[:-1], "the body cannot be read in "),
        "UTF-8 as ASCII": (CSV + "; charset=ascii", "1,é".encode(), "row 1 has 2"),
        "a NUL in the charset": (CSV + "; charset*=utf-8''a%00b", b"1,2", "send the charset as one of "),
    }  # fmt: skip


FAULTS = tuple(bodies_with_a_fault([f"column {number}" for number in range(WIDTH)]))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_body_is_named(server: Server, lines: list[str], names: list[str], fault: str) -> None:
    """H-42, H-55, H-56; V-30: with its row and column where it has them; the next request is answered."""
    content_type, body, sentence = bodies_with_a_fault(names)[fault]
    answer = server.predict(body, content_type)
    assert answer.status == (415 if "charset" in sentence else 400)
    assert answer.message.startswith(sentence)
    assert server.predict(lines[1].encode()).status == 200


def peak(server: Server) -> int:
    """The most memory that a worker has had, in bytes."""
    pids = set(re.findall(r"Booting worker with pid: (\d+)", server.logged()))
    files = [f"/proc/{pid}/status" for pid in pids]
    read = ["docker", "exec", server.container, "cat", *files] if server.container else ["cat", *files]
    text = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    return max(int(size) for size in re.findall(r"VmHWM:\s+(\d+) kB", text)) * 1024


@pytest.mark.parametrize("fault", ["a text of 1 MB", "a billion rows of nothing"])
def test_a_small_body_takes_little_memory(server: Server, fault: str) -> None:
    """P-51: numpy would give each cell the width of the longest, or make a list of each row."""
    body, content_type = header_of_npy("(1000000000, 0)"), NPY
    if fault == "a text of 1 MB":
        body, content_type = json.dumps([[1] * WIDTH] * 1000 + [["x" * 1_000_000] * WIDTH]).encode()[:40_000_000], JSON
    before = peak(server)
    assert server.predict(body, content_type).status == 400
    assert peak(server) - before < 10 * len(body) + 50_000_000


# Encodings and transport


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip", "identity", ""])
def test_a_body_may_be_compressed(server: Server, rows: Array, truth: Truth, encoding: str) -> None:
    """H-29."""
    body = as_csv(rows).encode()
    packed = gzip.compress(body) if "gzip" in encoding.lower() else body
    assert labels(server.predict(packed, Content_Encoding=encoding)) == truth(rows)["label"]


@pytest.mark.parametrize("damage", ["cut", "cut early", "tail", "second", "flipped", "plain", "empty", "deflate"])
def test_a_damaged_gzip_stream_is_refused(server: Server, lines: list[str], damage: str) -> None:
    """H-29, H-42; V-30."""
    body = lines[1].encode()
    packed = gzip.compress(body)
    damaged = {
        "cut": packed[:-1], "cut early": packed[:4], "tail": packed + b"\0garbage", "second": packed * 2, "plain": body,
        "flipped": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:], "empty": b"", "deflate": zlib.compress(body),
    }[damage]  # fmt: skip
    answer = server.predict(damaged, Content_Encoding="gzip")
    assert (answer.status, answer.message) == (
        400, "Content-Encoding says gzip, but the body is not one complete gzip stream",
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "*"])
def test_another_encoding_is_refused(server: Server, encoding: str) -> None:
    """H-29, H-43."""
    answer = server.predict(b"1", Content_Encoding=encoding)
    assert (answer.status, answer.message) == (415, "send the body uncompressed, or with Content-Encoding: gzip")


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with closing(socket.create_connection((address.hostname, address.port or 80), timeout=30)) as connection:
        yield connection


def received(connection: socket.socket, method: str = "POST") -> Answer:
    """The next answer on a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"


def test_a_body_may_come_in_chunks(server: Server, rows: Array, truth: Truth) -> None:
    """H-15, B-06; V-32: of any size, with extensions and trailers, on one connection."""
    body = as_csv(rows).encode()
    with connected(server) as connection:
        for size in (7, 1000, len(body)):
            chunks = [body[i : i + size] for i in range(0, len(body), size)]
            connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for chunk in chunks:
                connection.sendall(b"%x;name=value\r\n%b\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\nX-Trailer: 1\r\n\r\n")
            assert labels(received(connection)) == truth(rows)["label"]


def test_a_client_that_waits_for_100_continue_gets_it(server: Server, rows: Array, truth: Truth) -> None:
    """H-15; V-32."""
    body = as_csv(rows).encode()
    with connected(server) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert labels(received(connection)) == truth(rows)["label"]


# What is answered


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("text/csv;q=0.5, application/jsonlines;q=0.6", JSON_LINES), ("application/*", JSON), ("*/*;q=0.1", CSV),
        ("text/csv;q=0, */*", JSON), ("*/*, text/csv;q=0.1, application/json;q=0", JSON_LINES), ("TEXT/CSV", CSV),
        ("text/html, application/xml;q=0.9, */*;q=0.8", CSV), ("application/json; charset=utf-8", JSON), (",", CSV),
        ("image/png, application/json;q=0.001", JSON), ("application/*;q=0.2, application/json;q=0.1", JSON_LINES),
    ],
)  # fmt: skip
def test_accept_is_a_list_of_preferences(server: Server, lines: list[str], accept: str, answered: str) -> None:
    """H-24, H-25; V-29."""
    answer = server.predict(lines[1].encode(), Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"].split(";")[0] == answered


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "*/*;q=0", "text/html, image/*", "*/csv", "x"])
def test_where_nothing_fits_the_answer_says_what_would(server: Server, lines: list[str], accept: str) -> None:
    """H-24, H-43; V-29."""
    answer = server.predict(lines[1].encode(), Accept=accept)
    assert answer.status == 406
    assert "text/csv, application/json, application/jsonlines" in answer.message


def test_the_alias_of_json_lines_can_be_asked_for(server: Server, lines: list[str]) -> None:
    """H-23."""
    assert server.predict(lines[1].encode(), Accept="application/x-jsonlines").status == 200


COLUMNS = ["label", "probability_benign", "probability_malignant"]


@pytest.mark.parametrize(
    "accept",
    [
        "text/csv; columns=label,probability_benign", "text/csv;columns=label, probability_benign;q=0.5, text/csv",
        "*/*; columns=label probability_benign", "text/csv; columns=gr\xf6\xdfe", "text/csv; columns = label",
    ],
)  # fmt: skip
def test_columns_without_the_quotes_they_need_are_refused(server: Server, lines: list[str], accept: str) -> None:
    """H-24, H-42: else the first of them would pass for all."""
    answer = server.predict(lines[1].encode(), Accept=accept)
    assert (answer.status, answer.message) == (
        400, "the columns in Accept need quotes: 'Accept: text/csv; columns=\"label,score\"'",
    )  # fmt: skip


@pytest.mark.parametrize(
    "accept", ["text/csv;columns=label,", "text/csv; columns=label , */*;q=0.1", "text/csv; columns=label, *;q=0.2"]
)
def test_a_column_by_itself_needs_no_quotes(server: Server, rows: Array, truth: Truth, accept: str) -> None:
    """H-24: also where other types follow."""
    assert labels(server.predict(as_csv(rows).encode(), Accept=accept)) == truth(rows)["label"]


def test_columns_are_chosen_in_accept(server: Server, rows: Array) -> None:
    """H-24, H-42: in Content-Type they would have no effect."""
    body, kind = as_csv(rows).encode(), "text/csv; columns=label,probability_benign"
    answer = server.predict(body, kind)
    assert (answer.status, answer.message) == (
        400, "the answer's columns are chosen in Accept, not in Content-Type: "
        "send 'Accept: text/csv; columns=\"label,score\"'",
    )  # fmt: skip
    assert labels(server.predict(body, kind, Accept="text/csv; columns=label")) == labels(server.predict(body))


@pytest.mark.parametrize(
    ("parameter", "columns"),
    [
        ("", COLUMNS[:1]), ("; columns=label", COLUMNS[:1]), ("; columns=all", COLUMNS), ('; columns=""', COLUMNS[:1]),
        ('; columns="label,probability_benign"', COLUMNS[:2]), ('; columns="probability_benign,label"', COLUMNS[1::-1]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", [CSV, JSON, JSON_LINES, "*/*"])
def test_accept_chooses_the_columns(
    server: Server, rows: Array, truth: Truth, accept: str, parameter: str, columns: list[str]
) -> None:
    """H-24, H-58: in the order asked for; each number reads back as the same float."""
    answer = server.predict(as_csv(rows).encode(), Accept=accept + parameter)
    assert answered(answer) == rows_of(truth(rows), columns, named=accept not in (CSV, "*/*"))


def rows_of(columns: dict[str, list[Any]], wanted: list[str], named: bool) -> list[Any]:
    """The rows of some columns, as they read back."""
    rows = zip(*(columns[name] for name in wanted), strict=True)
    return [dict(zip(wanted, row, strict=True)) if named else list(row) for row in rows]


def answered(answer: Answer) -> list[Any]:
    """The rows of an answer; a cell that looks like a number is one, in the precision of the model."""
    assert answer.status == 200, answer.body
    text = answer.body.decode()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    kind = answer.headers["Content-Type"]
    if kind == JSON:
        rows = json.loads(text)["predictions"]
    elif kind == JSON_LINES:
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        cells = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [[np.float32(cell) if cell[0].isdigit() else cell for cell in row] for row in cells]
    return [{name: np.float32(cell) if isinstance(cell, float) else cell for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize("wanted", ["nope", "label,nope", "all,label"])
def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    server: Server, lines: list[str], wanted: str
) -> None:
    """H-24, H-43."""
    answer = server.predict(lines[1].encode(), Accept=f'text/csv; columns="{wanted}"')
    assert (answer.status, answer.message) == (
        406, f"the answer does not have all requested columns: it has {', '.join(COLUMNS)}",
    )  # fmt: skip


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(list(',"\r\n\t %é\u2028')))


@st.composite
def tables(draw: st.DrawFn, texts: Any = TEXTS) -> Columns:
    """Columns as ``predict`` may return them: all of one length, each of a type of its own."""
    size = draw(st.integers(1, 20))
    numbers = {
        **{"f2": st.floats(width=16), "f4": st.floats(width=32), "f8": st.floats(width=64)},
        **{f"{sign}{width}": st.integers(*limits(f"{sign}{width}")) for sign in "iu" for width in (1, 2, 4, 8)},
    }
    columns = {}
    for name in draw(st.lists(TEXTS, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from([*numbers, "U", "O"]))
        values = draw(st.lists(numbers.get(kind, texts), min_size=size, max_size=size))
        columns[name] = values if kind == "U" else np.array(values, np.dtype(kind))
    return as_columns(columns, size)


def limits(kind: str) -> tuple[int, int]:
    about = np.iinfo(kind)
    return int(about.min), int(about.max)


def same(read: Any, value: Any) -> bool:
    """Whether a cell that was read back is the value that was written, NaN included."""
    if isinstance(value, np.floating):
        again = type(value)(read)
        return bool(again == value) or bool(np.isnan(again) and np.isnan(value))
    return bool(type(value)(read) == value)


@given(tables())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_predicted_reads_back_from_csv(columns: Columns) -> None:
    """H-58: quotes, commas, line ends, empty texts; a row is never lost, as a blank line would be."""
    body = formats.CSV.encode(columns, []).decode()
    read = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    assert len(read) == len(next(iter(columns.values())))
    for cells, values in zip(read, zip(*columns.values(), strict=True), strict=True):
        assert all(same(cell, value) for cell, value in zip(cells, values, strict=True))


def test_a_prediction_that_is_none_is_an_empty_cell() -> None:
    """H-58: as in JSON it is null, and not the word None; a line is never blank."""
    values = {"label": np.array([None, "x"], object), "score": np.array([1.5, None], object)}
    assert formats.CSV.encode(values, []) == b'"",1.5\nx,""\n'
    assert formats.JSON_LINES.encode(values, []) == b'{"label":null,"score":1.5}\n{"label":"x","score":null}\n'


@given(tables(st.none() | st.booleans() | st.integers(*limits("i8")) | TEXTS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_predicted_reads_back_from_json(columns: Columns) -> None:
    """H-58, X-42: what is not finite is null."""
    document = json.loads(formats.JSON.encode(columns, []), parse_constant=pytest.fail)["predictions"]
    lines = formats.JSON_LINES.encode(columns, []).removesuffix(b"\n").split(b"\n")
    assert document == [json.loads(line) for line in lines]
    assert len(document) == len(next(iter(columns.values())))
    for row, values in zip(document, zip(*columns.values(), strict=True), strict=True):
        assert list(row) == list(columns)
        for cell, value in zip(row.values(), values, strict=True):
            finite = not isinstance(value, np.floating) or np.isfinite(value)
            assert (cell is None and (value is None or not finite)) or (finite and same(cell, value))


# What else a request carries


def test_custom_attributes_come_back_as_they_are(server: Server, lines: list[str]) -> None:
    """H-26; V-37."""
    for attributes in ("c" * 1024, "trace=1; user=a,b", '{"json": "too"}', "~!@#$%^&*()"):
        answer = server.predict(lines[1].encode(), X_Amzn_SageMaker_Custom_Attributes=attributes)
        assert answer.status == 200
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == attributes


@pytest.mark.parametrize("attributes", ["c" * 1025, "é", "a\tb", "\x7f"])
def test_bad_custom_attributes_do_not(server: Server, lines: list[str], attributes: str) -> None:
    """H-26; V-37: never a 5xx, never an echo."""
    answer = server.predict(lines[1].encode(), X_Amzn_SageMaker_Custom_Attributes=attributes)
    assert answer.status in (200, 400)
    assert "x-amzn-sagemaker-custom-attributes" not in {name.lower() for name in answer.headers}


def test_a_control_character_in_a_header_is_no_way_in(server: Server) -> None:
    """H-26; V-37."""
    with connected(server) as connection:
        connection.sendall(POST + b"X-Amzn-SageMaker-Custom-Attributes: a\x01b\r\nContent-Length: 1\r\n\r\n1")
        answer = received(connection)
    assert answer.status == 400
    assert b"\x01" not in answer.body
    assert b"<html" not in answer.body.lower()


def test_unknown_headers_of_the_platform_change_nothing(server: Server, lines: list[str]) -> None:
    """H-20, H-27, H-28; V-37."""
    names = ["Target-Variant", "Target-Model", "Target-Container-Hostname", "Inference-Component", "Session-Id",
             "Enable-Explanations", "Prefix-Aware-Id", "Not-Invented-Yet"]  # fmt: skip
    headers = {f"X-Amzn-SageMaker-{name}": "NEW_SESSION`../x" for name in names}
    answer = server.predict(lines[1].encode(), **headers, X_Forwarded_For="a, b", Cookie="a=b", Authorization="x")
    assert answer.body == server.predict(lines[1].encode()).body
    assert not {name.lower() for name in answer.headers} & {"set-cookie", "x-amzn-sagemaker-new-session-id"}


def event(server: Server, number: str) -> tuple[str, dict[str, Any]]:
    """The line of the log about a request, and what it says."""
    deadline = time.monotonic() + 10
    while True:
        found = [line for line in server.logged().splitlines() if number in line and line.startswith("{")]
        if found:
            [line] = found
            return line, dict(json.loads(line))
        assert time.monotonic() < deadline, f"no line about {number}"
        time.sleep(0.05)


def test_a_request_leaves_one_line_of_json_in_the_log(server: Server, rows: Array) -> None:
    """H-27, P-53, P-54: what it was and how long it took, nothing of what it held."""
    body = as_csv(rows).replace(repr(float(rows[0, 0])), "12.3454321").encode()
    secret = {"X_Amzn_SageMaker_Custom_Attributes": "attribute-of-a-user", "X_Amzn_SageMaker_Inference_Id": "i" * 80}
    answer = server.predict(body, Accept=JSON, **secret)
    line, logged = event(server, answer.headers["x-request-id"])
    assert logged["id"] == answer.headers["x-request-id"]
    assert logged["inference_id"] == "i" * 64
    assert (logged["status"], logged["rows"], logged["bytes"]) == (200, len(rows), len(body))
    assert 0 < logged["queue_ms"] + logged["predict_ms"] <= logged["total_ms"] < 60_000
    assert not [text for text in ("12.345", "attribute-of", "benign", "malignant") if text in line]


def test_an_error_has_the_id_of_its_line_in_the_log(server: Server) -> None:
    """H-55, H-56: and the line says what the client was told."""
    answer = server.predict(b"secret,2", X_Amzn_SageMaker_Inference_Id='quote " and \\')
    number = json.loads(answer.body)["error"]["id"]
    assert number == answer.headers["x-request-id"]
    line, logged = event(server, number)
    assert (logged["status"], logged["code"], logged["message"]) == (400, "bad_input", answer.message)
    assert logged["inference_id"] == 'quote " and \\'
    assert "secret" not in line


def test_two_requests_have_two_ids(server: Server, lines: list[str]) -> None:
    ids = {server.predict(lines[1].encode()).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", number) for number in ids)


HEAD = b"GET /ping HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def front(server: Server) -> Server:
    """A server with nginx before it."""
    if not server.container and not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("nginx is not installed")
    return server


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no request line"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="a long address"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="a bad escape"),
        pytest.param(POST + b"Content-Length: many\r\n\r\n", 400, id="a bad length"),
        pytest.param(POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="two lengths"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400, id="a bad chunk"),
        pytest.param(POST + b"Content-Length: 99999999999\r\n\r\n", 413, id="a long body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"a" * 40_000), 400, id="long header"),
        pytest.param(b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, id="TRACE"),
        pytest.param(b"GET / HTTP/7.0\r\nHost: x\r\n\r\n", 505, id="a version to come"),
        pytest.param(POST + b"Transfer-Encoding: sausage\r\n\r\n", 501, id="an unknown transfer"),
    ],
)  # fmt: skip
def test_what_nginx_refuses_has_the_form_of_every_error(front: Server, request_: bytes, status: int) -> None:
    """H-55, H-57: JSON with an id, and a line in the container's log."""
    with connected(front) as connection:
        connection.sendall(request_)
        answer = received(connection)
    assert answer.status == status
    assert answer.message
    if front.container:
        _, logged = event(front, json.loads(answer.body)["error"]["id"])
        assert logged["status"] == status


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(150)) + b"\r\n", id="150 headers"),
        pytest.param(b"GET /" + b"a" * 6000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="an address of 6,000"),
    ],
)
def test_what_gunicorn_refuses_has_the_form_of_every_error(server: Server, request_: bytes) -> None:
    """H-55."""
    with connected(server) as connection:
        connection.sendall(request_)
        answer = received(connection)
    assert answer.status == 200 or answer.message


@pytest.mark.parametrize("path", ["/invocations", "/execution-parameters"])
def test_options_is_a_method_like_others(server: Server, path: str) -> None:
    """H-03."""
    assert server.ask(path, method="OPTIONS").status == 405


# Other settings

FEW = {
    "MODEL_SERVER_METRICS": "True", "MODEL_SERVER_WORKERS": "2", "MODEL_SERVER_BODY_MB": "8",
    "SAGEMAKER_INFERENCE_OUTPUT": "probability_benign, label",
}  # fmt: skip


@pytest.fixture(scope="module", params=["here", "container"])
def other(
    request: pytest.FixtureRequest, project: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with measurements, two workers, a limit of 8 MiB, and columns chosen from outside."""
    if request.param == "here":
        with serving_here(project, model.parent, tmp_path_factory.mktemp("other") / "serve.log", **FEW) as server:
            yield server
    else:
        options = [f"--env={name}={value}" for name, value in FEW.items()]
        with serving(request.getfixturevalue("image"), model, *options) as server:
            yield server


def test_the_columns_may_be_chosen_from_outside(other: Server, rows: Array, truth: Truth) -> None:
    """H-24: unless the request chooses."""
    columns = truth(rows)
    body = as_csv(rows).encode()
    assert answered(other.predict(body)) == rows_of(columns, COLUMNS[1::-1], named=False)
    assert answered(other.predict(body, Accept=JSON)) == rows_of(columns, COLUMNS[1::-1], named=True)
    assert answered(other.predict(body, Accept="text/csv; columns=label")) == rows_of(columns, COLUMNS[:1], named=False)


def test_a_body_over_the_limit_is_refused(other: Server, lines: list[str]) -> None:
    """H-13, H-44: whether its length is told or not, before and after it is unpacked."""
    row = lines[1].encode() + b"\n"
    some = as_csv(np.random.default_rng(0).random((500, WIDTH))).encode()  # which no packer can shrink to a hundredth
    fits = some * (8 * 2**20 // len(some))
    fits += row * ((8 * 2**20 - len(fits)) // len(row))
    assert other.predict(fits).status == 200
    assert other.predict(gzip.compress(fits, 1), Content_Encoding="gzip").status == 200
    for body, encoding in ((fits + row, ""), (gzip.compress(fits + row, 1), "gzip")):
        answer = other.predict(body, Content_Encoding=encoding)
        assert answer.status == 413
        assert "MODEL_SERVER_BODY_MB" in answer.message


def test_a_gzip_bomb_is_refused_before_it_takes_memory(other: Server) -> None:
    """H-29, H-44: 1 GiB in 1 MB."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    before = peak(other)
    assert other.predict(bomb, Content_Encoding="gzip").status == 413
    assert peak(other) - before < 64 * 2**20


def test_without_a_setting_there_are_no_metrics(server: Server) -> None:
    """M-50; V-52."""
    assert server.ask("/metrics").status == 404


def figures(server: Server) -> dict[tuple[str, str], float]:
    """(sample, status) → value, as Prometheus reads them."""
    answer = server.ask("/metrics")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (sample.name, sample.labels.get("status", "")): sample.value
        for family in families for sample in family.samples if not sample.name.endswith("_bucket")
    }  # fmt: skip


def test_metrics_count_what_all_workers_have_answered(other: Server, lines: list[str]) -> None:
    """M-50; V-52: whichever worker is asked."""
    assert other.predict(lines[1].encode()).status == other.predict(b"1").status + 200 - 400
    rows = "\n".join(lines[1:6]).encode()
    before = figures(other)
    with ThreadPoolExecutor(8) as clients:
        statuses = [answer.status for answer in clients.map(other.predict, [rows] * 60 + [b"1"] * 20)]
    assert sorted(statuses) == [200] * 60 + [400] * 20
    after = [figures(other) for _ in range(10)]
    grown = {name: value - before[name] for name, value in after[0].items()}
    assert grown["model_requests_total", "200"] == 60
    assert grown["model_requests_total", "400"] == 20
    assert grown["model_request_seconds_count", ""] == 80
    assert grown["model_request_rows_sum", ""] == 60 * 5
    for name in (name for name in after[0] if "age" not in name[0]):
        assert {one[name] for one in after} == {after[0][name]}


def test_the_description_quotes_texts_in_its_csv() -> None:
    def predict(model: object, rows: pd.DataFrame) -> None: ...

    about = openapi.describe(Schema([Feature("place", str, ("Oslo, N", "Rome")), "rent"], predict))
    content = about["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert content[CSV]["example"].startswith('"Oslo, N",')


def test_the_description_is_openapi_and_its_examples_are_answered(server: Server) -> None:
    answer = server.ask("/openapi.json")
    document = json.loads(answer.body)
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert set(content) == {CSV, JSON}
    assert server.predict(content[CSV]["example"].encode(), CSV).status == 200
    assert server.predict(json.dumps(content[JSON]["example"]).encode(), JSON).status == 200


# Answers that come piece by piece

STREAMING = '''
"""Yours: twice each number, piece by piece; -1 waits for a sign, -2 fails, -3 is answered twice and -4 never."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.api import Predictions, Rows, TrainingJob

SIGNS = Path(os.environ["SIGNS"])


@dataclass(frozen=True)
class Hyperparameters:
    pass


def train(job: TrainingJob[Hyperparameters]) -> int:
    return 2


def save(model: int, directory: Path) -> None:
    (directory / "factor").write_text(str(model))


def load(directory: Path) -> int:
    return 2


def features(model: int) -> list[str]:
    return ["number"]


def predict(model: int, rows: Rows) -> Iterator[Predictions]:
    try:
        for row, in rows:
            while row == -1 and not (SIGNS / "go").exists():
                time.sleep(0.01)
            if row == -2:
                raise RuntimeError("as the test wants it")
            for _ in range({-3: 2, -4: 0}.get(row, 1)):
                yield {"twice": [model * row], "row": ["a,b"]}
            time.sleep(0.005)
        (SIGNS / "whole").touch()
    finally:
        (SIGNS / "closed").touch()
'''


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory by which test and algorithm tell each other how far they are."""
    directory = tmp_path_factory.mktemp("signs")
    directory.chmod(0o777)
    return directory


# The same application under a plain WSGI server, without nginx and without our worker.
WSGI = (
    "gunicorn --worker-class=gthread --threads=4 --bind=127.0.0.1:{port} --pythonpath={program} "
    "--no-control-socket wsgi:app"
)


@pytest.fixture(scope="module", params=["here", "container", "wsgi"])
def stream(
    request: pytest.FixtureRequest, project: Path, signs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose ``predict`` yields."""
    place = tmp_path_factory.mktemp("stream")
    mine = Path(shutil.copytree(project, place / "mine"))
    source = mine / "container/program/algorithm.py"
    source.write_text(STREAMING.lstrip(), encoding="utf-8")
    (place / "model").mkdir()
    (place / "model/factor").write_text("2")
    if request.param == "container":
        image = request.getfixturevalue("image")
        mounts = [f"--volume={source}:/opt/program/algorithm.py:ro", f"--volume={signs}:/signs", "--env=SIGNS=/signs"]
        with serving(image, place / "model", *mounts) as server:
            yield server
        return
    under = WSGI if request.param == "wsgi" else ""
    with serving_here(mine, place, place / "serve.log", under=under, SIGNS=str(signs)) as server:
        yield server


@pytest.fixture
def clean(signs: Path) -> Path:
    """No signs but those of this test."""
    for sign in signs.iterdir():
        sign.unlink()
    return signs


def appears(sign: Path) -> bool:
    deadline = time.monotonic() + 10
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return sign.exists()


@contextmanager
def asked(server: Server, body: bytes, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """An answer of which only the head has been read."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    connection.request("POST", "/invocations", body, {"Content-Type": CSV, **headers})
    with closing(connection), closing(connection.getresponse()) as answer:
        yield answer


def test_a_piece_is_sent_before_the_next_is_computed(stream: Server, clean: Path) -> None:
    """H-60."""
    with asked(stream, b"1\n-1\n3\n4") as answer:
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/csv; charset=utf-8"
        assert answer.getheader("Transfer-Encoding") == "chunked"
        assert answer.readline() == b"2.0\n"
        (clean / "go").touch()
        assert answer.read() == b"-2.0\n6.0\n8.0\n"
    assert appears(clean / "whole")


@pytest.mark.parametrize("count", [1, 2, 200])
def test_no_piece_is_lost_or_sent_twice(stream: Server, clean: Path, count: int) -> None:
    """H-58, H-60."""
    body = "".join(f"{number}\n" for number in range(count)).encode()
    answer = stream.predict(body, Accept='text/csv; columns="row,twice"')
    assert answer.body.decode() == "".join(f'"a,b",{2.0 * number}\n' for number in range(count))
    assert stream.predict(body, Accept=JSON_LINES).body.count(b"\n") == count


def test_the_pieces_of_a_json_answer_are_lines(stream: Server, clean: Path) -> None:
    """H-25, H-60: a document cannot come in pieces."""
    answer = stream.predict(b"1\n2", Accept=JSON)
    assert told(answer)[2][0] == JSON_LINES
    assert [json.loads(line) for line in answer.body.splitlines()] == [{"twice": 2.0}, {"twice": 4.0}]


def test_a_client_that_leaves_ends_the_work(stream: Server, clean: Path) -> None:
    """H-61: what ``predict`` cleans up is cleaned up, and no other request is needed for it."""
    with asked(stream, b"1\n-1\n" + b"0\n" * 1000) as answer:
        assert answer.readline() == b"2.0\n"
    time.sleep(0.3)
    (clean / "go").touch()
    assert appears(clean / "closed")
    assert not (clean / "whole").exists()
    assert stream.predict(b"1").body == b"2.0\n"


def test_an_error_in_mid_stream_is_no_complete_answer(stream: Server, clean: Path) -> None:
    """H-60: the client can tell, and the log says what it was."""
    with asked(stream, b"1\n2\n-2\n4") as answer:
        assert answer.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    eventually(lambda: f'"id":"{answer.headers["x-request-id"]}","message":"predict() in ' in stream.logged())
    assert "RuntimeError: as the test wants it" in stream.logged()
    assert stream.predict(b"1").body == b"2.0\n"


@pytest.mark.parametrize(("number", "count"), [(-3, 3), (-4, 1)])
def test_more_or_fewer_pieces_than_rows_are_no_complete_answer(
    stream: Server, clean: Path, number: int, count: int
) -> None:
    """H-46, H-58, H-60: the client can tell, and the log says how many there were."""
    with asked(stream, b"1\n%d" % number) as answer:
        assert answer.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    sentence = f"predict() in algorithm.py yielded {count} values for 2 rows: yield one value for each row."
    logged = f'"id":"{answer.headers["x-request-id"]}","message":"{sentence}"'
    eventually(lambda: logged in stream.logged())
    assert stream.predict(b"1").body == b"2.0\n"


def test_no_piece_at_all_is_an_error_like_others(stream: Server, clean: Path) -> None:
    """H-41, H-46, H-58: not an empty answer of status 200."""
    answer = stream.predict(b"-4")
    assert (answer.status, answer.message) == (
        500,
        "predict() in algorithm.py yielded 0 values for 1 rows: yield one value for each row.",
    )


def test_an_error_before_the_first_piece_is_an_error_like_others(stream: Server, clean: Path) -> None:
    """H-56."""
    answer = stream.predict(b"-2")
    assert answer.status == 500
    error = json.loads(answer.body)["error"]
    assert error["message"] == f"the algorithm failed; the log says why under {error['id']}"


# The application without its event loop


@pytest.fixture(scope="module")
def wsgi(project: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_here(project, model.parent, tmp_path_factory.mktemp("wsgi") / "serve.log", under=WSGI) as server:
        yield server


def told(answer: Answer) -> tuple[int, bytes, list[str | None]]:
    """What an answer says, but for the id, which is always another one."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    wanted = ("content-type", "content-length", "x-amzn-sagemaker-custom-attributes", "retry-after")
    return answer.status, re.sub(rb"\b[0-9a-f]{32}\b", b"", answer.body), [headers.get(name) for name in wanted]


def test_a_plain_wsgi_server_answers_the_same_bytes(
    server: Server, wsgi: Server, rows: Array, names: list[str]
) -> None:
    """The application is Flask's too: ``wsgi:app`` runs wherever WSGI does."""
    text = as_csv(rows).encode()
    requests: list[tuple[str, bytes | None, str | None, dict[str, str]]] = [
        ("/ping", None, "GET", {}), ("/ping", b"", "POST", {}), ("/execution-parameters", None, "POST", {}),
        ("/openapi.json", None, None, {}), ("/nope", None, None, {}), ("/invocations", None, "GET", {}),
        *[("/invocations", text, None, {"Content_Type": CSV, "Accept": accept})
          for accept in (CSV, JSON, JSON_LINES, "text/csv; columns=all", "image/png")],
        *[("/invocations", body, None, {"Content_Type": kind})
          for kind, body, _ in bodies_with_a_fault(names).values() if len(body) < 10_000],
        ("/invocations", gzip.compress(text), None, {"Content_Type": CSV, "Content_Encoding": "gzip"}),
        ("/invocations", text, None, {"X_Amzn_SageMaker_Custom_Attributes": "a=b", "Content_Type": CSV}),
    ]  # fmt: skip
    for path, body, method, headers in requests:
        answers = [one.ask(path, body, method, **headers) for one in (server, wsgi)]
        assert told(answers[0]) == told(answers[1]), (path, headers)
