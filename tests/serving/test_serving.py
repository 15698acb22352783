"""What the server answers, with and without a container: every case is asked of both."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.predictions import as_columns
from contract.serving import formats

from programs import Server, serving_here

CSV, JSON = "text/csv", "application/json"


@pytest.fixture(scope="module")
def expected(server: Server, lines: list[str]) -> list[str]:
    """The predictions for the first three held-out rows."""
    answer = server.predict("\n".join(lines[1:4]).encode())
    assert answer.status == 200, answer.body
    return answer.body.decode().splitlines()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("host", ["169.254.1.2:8080", "model.aws.local:8080", "localhost"])
def test_ping_answers_200_to_any_method_and_host(server: Server, method: str, host: str) -> None:
    """H-02, H-03, H-05; V-24."""
    answer = server.ask("/ping", b"" if method == "POST" else None, method, Host=host)
    assert (answer.status, answer.body) == (200, b"")
    assert "html" not in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "content_type",
    ["text/csv", "text/csv; charset=utf-8", "TEXT/CSV", "text/csv;header=absent", ""],
)
def test_csv_is_recognised_however_it_is_named(
    server: Server, lines: list[str], expected: list[str], content_type: str
) -> None:
    """H-21, H-22, H-40; V-27."""
    answer = server.predict(lines[1].encode(), content_type)
    assert (answer.status, answer.body.decode()) == (200, expected[0] + "\n")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    "form",
    [
        "{0}\n{1}\n{2}",
        "{0}\n{1}\n{2}\n",
        "{0}\r\n{1}\r\n{2}\r\n",
        "\ufeff{0}\n{1}\n{2}\n",
        "{0}\n\n{1}\n{2}\n\n\n",
        "{0}\r\n\r\n{1}\r\n{2}",
    ],
)
def test_line_ends_blank_lines_and_a_bom_make_no_rows(
    server: Server, lines: list[str], expected: list[str], form: str
) -> None:
    """H-58, H-59, B-07; V-28: three rows in, three lines out in their order, one final newline."""
    answer = server.predict(form.format(*lines[1:4]).encode())
    assert answer.body.decode() == "\n".join(expected) + "\n"


def test_quoted_numbers_are_numbers(server: Server, lines: list[str], expected: list[str]) -> None:
    """H-59."""
    quoted = ",".join(f'"{cell}"' for cell in lines[1].split(","))
    assert server.predict(quoted.encode()).body.decode() == expected[0] + "\n"


def test_a_header_is_taken_where_it_is_declared(server: Server, lines: list[str], expected: list[str]) -> None:
    """H-59."""
    answer = server.predict("\n".join(lines[:4]).encode(), "text/csv; header=present")
    assert answer.body.decode().splitlines() == expected


def test_json_rows_may_be_lists_or_named_and_bare_or_wrapped(
    server: Server, lines: list[str], expected: list[str]
) -> None:
    """H-23, H-25; V-29."""
    row = [float(cell) for cell in lines[1].split(",")]
    named = dict(reversed(list(zip(lines[0].split(","), row, strict=True))))
    answers = {
        server.predict(json.dumps(body).encode(), content_type).body
        for body in ([row], [named], {"instances": [row]}, {"instances": [named]})
        for content_type in (JSON, "")
    }
    [prediction] = json.loads(answers.pop())["predictions"]
    assert not answers
    assert prediction == {"label": expected[0]}


@pytest.mark.parametrize(
    ("sent", "accept", "answered"),
    [
        (CSV, None, CSV), (JSON, None, JSON), (CSV, "*/*", CSV), (JSON, "*/*", JSON), (CSV, JSON, JSON),
        (JSON, CSV, CSV), (CSV, "text/csv;q=0.1, application/json", JSON), (JSON, "text/*", CSV),
    ],
)  # fmt: skip
def test_the_answer_has_the_type_that_is_preferred(
    server: Server, lines: list[str], sent: str, accept: str | None, answered: str
) -> None:
    """H-24, H-25, M-42; V-29: as in the request, CSV for CSV, unless it is asked for."""
    row = lines[1]
    body = row if sent == CSV else json.dumps([[float(cell) for cell in row.split(",")]])
    answer = server.predict(body.encode(), sent, **({"Accept": accept} if accept else {}))
    assert answer.status == 200
    assert answer.headers["Content-Type"].split(";")[0] == answered


CHAINED = """
from pandas import DataFrame
from contract.api import Feature


def load(directory):
    return None


def features(model):
    return [Feature("a"), Feature("b")]


def predict(model, rows: DataFrame):
    return {"scaled": 2 * rows.to_numpy()}
"""


def test_an_answer_in_csv_is_a_request_to_the_next_container_of_a_pipeline(project: Path, tmp_path: Path) -> None:
    """M-21: SageMaker hands on the body and its content type, parameters included."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    (mine / "container/program/algorithm.py").write_text(CHAINED, encoding="utf-8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/manifest.json").touch()
    with serving_here(mine, tmp_path, tmp_path / "serve.log") as server:
        first = server.predict(b"1,2\n3,4\n")
        second = server.predict(first.body, first.headers["Content-Type"])
    assert (second.status, second.body) == (200, b"4.0,8.0\n12.0,16.0\n")


def test_an_answer_in_no_possible_type_is_refused(server: Server, lines: list[str]) -> None:
    """H-24, H-43; V-29."""
    answer = server.predict(lines[1].encode(), Accept="application/x-foo")
    known = "text/csv, application/json, application/jsonlines, application/x-npy"
    assert answer.status == 406
    assert answer.message == f"the answer can be one of {known}: name one of them in Accept"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        *[("/invocations", "GET", 405), ("/ping", "DELETE", 405), ("/nope", "GET", 404), ("/pingfoo", "GET", 404)],
        *[("/", "GET", 404), ("/ping/", "GET", 404), ("/execution-parameters", "POST", 405)],
    ],
)
def test_other_paths_and_methods_are_refused(server: Server, path: str, method: str, status: int) -> None:
    """H-03, B-02; V-31, V-38."""
    answer = server.ask(path, method=method)
    assert answer.status == status
    assert answer.message.startswith("this server answers POST /invocations and GET /ping")
    allowed = {"/invocations": "POST", "/ping": "GET, HEAD, POST", "/execution-parameters": "GET, HEAD"}
    assert answer.headers["Allow"] == (allowed[path] if status == 405 else None)


def row_with(lines: list[str], cell: str, column: int = 3) -> str:
    cells = lines[1].split(",")
    return ",".join([*cells[:column], cell, *cells[column + 1 :]])


LAST = b"[[" + b"1," * 29
LAST_NOT_FINITE = "row 1, column 'worst_fractal_dimension' is not a finite number"
LAST_IS_STRING = "row 1, column 'worst_fractal_dimension' is a string: send it without quotes"
LAST_EMPTY = "row 1, column 'worst_fractal_dimension' has no value, but the model needs one"
EMPTY = "row 2, column 'mean_area' has no value, but the model needs one"
NOT_FINITE = "row 2, column 'mean_area' is not a finite number"
NO_ROWS = "the body holds no rows: send one line of comma-separated values for each row"


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        *[(cell, NOT_FINITE) for cell in ("many", "inf", "-inf", "1e400", "0x10", "True", "-nan")],
        *[(cell, EMPTY) for cell in ("", "nan", "NaN", "NA", "n/a", "NULL", "None")],
        *[(cell, NOT_FINITE) for cell in ("1_000", "\uff11", "2024-01-01", "1;2", "\x00", "'1'", "1.0\x00")],
        ("1,2", "row 2 has 31 columns, the model expects 30"),
        ('"1', None),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(
    server: Server, lines: list[str], cell: str, sentence: str | None
) -> None:
    """H-42, H-55; V-30."""
    answer = server.predict(f"{lines[1]}\n{row_with(lines, cell)}\n{lines[2]}".encode())
    assert answer.status == 400
    assert answer.message == sentence or sentence is None
    assert server.predict(lines[1].encode()).status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (b"", CSV, NO_ROWS),
        (b"\n \r\n", CSV, NO_ROWS),
        (b"1,2,3", CSV, "row 1 has 3 columns, the model expects 30"),
        (b"\xff\xfe1", CSV, "the body is not UTF-8: byte 1 cannot be read"),
        (b"1," * 50_000, CSV, "row 1 has 50001 columns, the model expects 30"),
        (b"x" * 200_000, CSV, "row 1 has 1 column, the model expects 30"),
        (b"a,b\n1,2", "text/csv; header=present", "the header lacks the column 'mean_radius'"),
        (b"", "text/csv; header=present", NO_ROWS),
        (b"", JSON, 'the body is not JSON: send {"instances": [[...], ...]} with one list of values for each row'),
        (b'{"instances": [[1', JSON, "the body is not JSON: "),
        (b"[" * 100_000, JSON, "the body is not JSON: "),
        (b"{}", JSON, "the body holds no rows: "),
        (b"[]", JSON, "the body holds no rows: "),
        (b"7", JSON, "the body holds no rows: "),
        (b"[7]", JSON, "row 1 is neither a list of values nor an object of named values"),
        (b"[[1, 2]]", JSON, "row 1 has 2 columns, the model expects 30"),
        (b'[{"mean_radius": 1}]', JSON, "row 1 lacks the column 'mean_texture'"),
        (LAST + b"NaN]]", JSON, LAST_EMPTY),
        (LAST + b'"1"]]', JSON, LAST_IS_STRING),
        (LAST + b"true]]", JSON, LAST_NOT_FINITE),
        (LAST + b"9" * 400 + b"]]", JSON, LAST_NOT_FINITE),
        (LAST + b"[1]]]", JSON, LAST_NOT_FINITE),
    ],
)  # fmt: skip
def test_a_bad_body_is_a_400_with_one_sentence(server: Server, body: bytes, content_type: str, sentence: str) -> None:
    """H-42, H-55, B-07; V-30."""
    answer = server.predict(body, content_type)
    assert answer.status == 400
    assert answer.message.startswith(sentence)


def test_an_undeclared_header_is_recognised(server: Server, lines: list[str]) -> None:
    """H-59."""
    answer = server.predict("\n".join(lines).encode())
    assert answer.status == 400
    assert answer.message == (
        "row 1 is a header: leave it out, or send 'Content-Type: text/csv; header=present'; if it is a row, "
        "send header=absent"
    )


def test_columns_may_be_in_another_order_than_in_training(server: Server, lines: list[str]) -> None:
    """H-59."""
    moved = "\n".join(",".join([last, *rest]) for *rest, last in (line.split(",") for line in lines[:9]))
    answer = server.predict(moved.encode(), "text/csv; header=present")
    assert answer.status == 200
    assert answer.body == server.predict("\n".join(lines[:9]).encode(), "text/csv; header=present").body


@pytest.mark.parametrize("content_type", ["application/x-unknown", "text/plain", "image/png", "nonsense"])
def test_an_unknown_type_is_refused_with_those_that_are_known(server: Server, content_type: str) -> None:
    """H-43; V-31."""
    answer = server.predict(b"1,2", content_type)
    known = "text/csv, application/json, application/jsonlines, application/x-npy"
    known += "" if server.container else ", application/x-parquet"  # the image of a new project has no pyarrow
    assert (answer.status, answer.message) == (415, f"send one of {known} and say so in Content-Type")


def test_a_body_of_thirty_megabytes_is_answered(server: Server, lines: list[str]) -> None:
    """H-13; V-32: no cap of our own, so every row is predicted."""
    rows = (lines[1] + "\n") * (30_000_000 // len(lines[1]))
    answer = server.predict(rows.encode())
    assert answer.status == 200
    assert answer.body.count(b"\n") == rows.count("\n")


def test_a_prediction_that_is_no_number_is_null_in_json() -> None:
    """X-42: NaN is not JSON."""
    columns = as_columns({"score": [0.5, float("nan"), float("inf")]}, 3)
    rows = json.loads(formats.JSON.encode(columns, []), parse_constant=pytest.fail)["predictions"]
    assert rows == [{"score": 0.5}, {"score": None}, {"score": None}]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_number_reads_back_as_the_same_number(kind: str) -> None:
    values = np.random.default_rng(0).random(1000).astype(kind)
    columns = as_columns({"score": values}, 1000)
    as_csv = [float(line) for line in formats.CSV.encode(columns, []).splitlines()]
    as_json = [row["score"] for row in json.loads(formats.JSON.encode(columns, []))["predictions"]]
    assert np.array_equal(np.array(as_csv, kind), values)
    assert np.array_equal(np.array(as_json, kind), values)


def test_serving_imports_neither_pandas_nor_scikit_learn(project: Path, model: Path) -> None:
    """The reason for ONNX: a quick start and little memory."""
    script = "import sys, wsgi; print(sorted({'pandas', 'sklearn', 'skl2onnx', 'scipy'} & set(sys.modules)))"
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(model.parent)}
    command = [sys.executable, "-c", script]
    program = project / "container/program"
    done = subprocess.run(command, cwd=program, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_stop_keeps_the_log_of_what_was_answered(
    project: Path, model: Path, tmp_path: Path, lines: list[str]
) -> None:
    """P-53: lines are written together, a moment later."""
    log = tmp_path / "serve.log"
    with serving_here(project, model.parent, log) as server:
        answered = {server.predict(lines[1].encode()).headers["x-request-id"] for _ in range(30)}
    logged = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    assert {event["id"] for event in map(json.loads, logged) if "id" in event} == answered


def test_bad_rows_can_be_marked_instead(project: Path, model: Path, tmp_path: Path, lines: list[str]) -> None:
    """B-10: the good rows keep their places and their answers."""
    mark = {"MODEL_SERVER_MARK_BAD_ROWS": "True"}  # P-34
    body = "\n".join([lines[1], "1,2", lines[2], row_with(lines, "many")]).encode()
    with serving_here(project, model.parent, tmp_path / "serve.log", **mark) as server:
        first, second = server.predict("\n".join(lines[1:3]).encode(), Accept="text/csv; columns=all").body.splitlines()
        marked = server.predict(body, Accept="text/csv; columns=all").body.splitlines()
        as_json = json.loads(server.predict(body, Accept=JSON).body)["predictions"]
    assert marked == [first, b"ERROR,ERROR,ERROR", second, b"ERROR,ERROR,ERROR"]
    assert [row["label"] == "ERROR" for row in as_json] == [False, True, False, True]
