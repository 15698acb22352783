"""Template: the real `train` and `serve` on this machine, in .venv and in the container."""

import json
from pathlib import Path

import pytest
from conftest import Machine, make_machine

from local.project import FILE

CSV, CSV_WITH_HEADER = "text/csv", "text/csv; header=present"
LINES = FILE.read_text(encoding="utf-8").splitlines()


def test_train_leaves_a_model_and_no_failure(machine: Machine) -> None:
    saved = [path for path in (machine.tree / "model").rglob("*") if path.is_file()]
    assert saved, "train left no file in the model directory"
    assert not list(machine.tree.glob("runs/*/output/failure"))


def test_ping_answers_200(machine: Machine) -> None:
    assert machine.ask("/ping").status == 200


def test_each_row_gets_one_prediction_in_its_place(machine: Machine) -> None:
    together = machine.ask("/invocations", FILE.read_bytes(), Content_Type=CSV_WITH_HEADER)
    assert together.status == 200, together.text
    assert together.type == CSV
    answers = together.text.splitlines()
    assert len(answers) == len(LINES) - 1
    for row, answer in list(zip(LINES[1:], answers, strict=True))[:5]:
        assert machine.ask("/invocations", row.encode(), Content_Type=CSV).text == answer + "\n"


def test_json_says_the_same_as_csv(machine: Machine) -> None:
    row = [float(cell) for cell in LINES[1].split(",")]
    body = json.dumps({"instances": [row]}).encode()
    answer = machine.ask("/invocations", body, Content_Type="application/json")
    assert answer.status == 200, answer.text
    [prediction] = json.loads(answer.text)["predictions"]
    as_csv = machine.ask("/invocations", LINES[1].encode(), Content_Type=CSV).text
    assert ",".join(str(value) for value in prediction.values()) + "\n" == as_csv


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body holds no rows"),
        (b"1,2", "row 1 has 2 columns, the model expects"),
        (LINES[1].encode() + b"\n" + LINES[2].replace(LINES[2].split(",")[0], "many", 1).encode(), "row 2, column"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(machine: Machine, body: bytes, sentence: str) -> None:
    answer = machine.ask("/invocations", body, Content_Type=CSV)
    assert (answer.status, answer.type) == (400, "application/json")
    assert sentence in json.loads(answer.text)["error"]["message"]


def test_an_unknown_hyperparameter_fails_the_job_and_is_named(machine: Machine, tmp_path: Path) -> None:
    docker = machine.environment["DOCKER"]
    done = make_machine(tmp_path, docker).run("train", "no_such_thing=1")
    assert done.returncode != 0
    assert "There is no hyperparameter 'no_such_thing'" in done.stderr
    [failure] = tmp_path.glob("runs/*/output/failure")
    assert "no_such_thing" in failure.read_text(encoding="utf-8")
