"""Template: the real `train` and `serve` on this machine, in .venv and in the container, for any `algorithm.py`.

Tests marked ``tables`` are for a ``predict`` that takes rows, those marked ``raw`` for one that takes raw requests,
and those marked ``training`` for an algorithm that trains. conftest.py describes the fixtures.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import FILE, Machine, content_type, make_machine, written

from contract.schema import Schema
from contract.serving import negotiation
from contract.serving.formats import Body

CSV, CSV_WITH_HEADER = "text/csv", "text/csv; header=present"
JSON, JSON_LINES = "application/json", "application/jsonlines"
ALL = {"Accept": f"{JSON_LINES}; columns=all"}


def predictions(machine: Machine, table: Any, media_type: str) -> list[Any]:
    """All columns of the server's answer, as a dict for each row."""
    answer = machine.ask("/invocations", written(table, media_type), Content_Type=media_type, **ALL)
    assert answer.status == 200, answer.error
    return [json.loads(line) for line in answer.body.splitlines()]


def assert_alike(one: Any, other: Any) -> None:
    """Equal except for rounding, if a library computes many rows in another order than one row."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other)
        for mine, yours in zip(one, other, strict=True):
            assert_alike(mine, yours)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    else:
        assert one == other


@pytest.mark.training
def test_train_leaves_a_model_and_no_failure(machine: Machine) -> None:
    saved = [path for path in (machine.tree / "model").rglob("*") if path.is_file()]
    assert saved, "train left no file in the model directory"
    assert not list(machine.tree.glob("runs/*/output/failure"))


def test_ping_answers_200(machine: Machine) -> None:
    assert machine.ask("/ping").status == 200


def test_the_file_to_predict_is_answered(machine: Machine) -> None:
    answer = machine.ask("/invocations", FILE.read_bytes(), Content_Type=content_type(FILE))
    assert answer.status == 200, answer.error
    assert answer.body


@pytest.mark.tables
@pytest.mark.parametrize("media_type", [CSV, CSV_WITH_HEADER, JSON, JSON_LINES])
def test_each_row_of_training_means_the_same_in_a_request(columns: Schema, table: Any, media_type: str) -> None:
    import pandas as pd

    format_, parameters = negotiation.content_type(media_type, b"")
    records = format_.decode(Body(written(table, media_type), parameters, limit=2**40), columns)
    asked, trained = (pd.DataFrame(rows, columns=columns.names) for rows in (columns.table(records), table))
    pd.testing.assert_frame_equal(asked, trained, check_exact=True)


@pytest.mark.tables
def test_each_row_gets_one_prediction_in_its_place_however_it_is_sent(machine: Machine, table: Any) -> None:
    few = table.head(5)
    together = predictions(machine, few, CSV)
    assert len(together) == len(few)
    for media_type in (CSV_WITH_HEADER, JSON, JSON_LINES):
        assert_alike(predictions(machine, few, media_type), together)
    for place in range(len(few)):
        assert_alike(predictions(machine, few.iloc[[place]], CSV), [together[place]])


@pytest.mark.tables
def test_a_bad_request_is_told_what_is_wrong(machine: Machine, columns: Schema, table: Any) -> None:
    good = written(table.head(1), CSV)
    bad = {b"": "the body holds no rows", good + b"1," + good: f"row 2 has {len(columns.names) + 1} columns, the model"}
    numbers = [feature.name for feature in columns.features if feature.kind is float]
    if numbers:
        many = table.head(1).astype(object).assign(**{numbers[0]: "many"})
        bad[good + written(many, CSV)] = f"row 2, column '{numbers[0]}' is not a finite number"
    for body, sentence in bad.items():
        answer = machine.ask("/invocations", body, Content_Type=CSV)
        assert (answer.status, answer.type) == (400, JSON)
        assert answer.error.startswith(sentence)


@pytest.mark.raw
def test_a_request_is_answered_alike_each_time(machine: Machine) -> None:
    body, sent_as = FILE.read_bytes(), content_type(FILE)
    one, other = (machine.ask("/invocations", body, Content_Type=sent_as) for _ in range(2))
    assert one == other


@pytest.mark.raw
def test_another_type_of_request_is_refused(machine: Machine) -> None:
    answer = machine.ask("/invocations", b"?", Content_Type="application/x-unheard-of")
    assert (answer.status, answer.type) == (415, JSON)
    assert answer.error.startswith("send one of ")


@pytest.mark.training
def test_an_unknown_hyperparameter_fails_the_job_and_is_named(machine: Machine, tmp_path: Path) -> None:
    docker = machine.environment["DOCKER"]
    done = make_machine(tmp_path, docker).run("train", "no_such_thing=1")
    assert done.returncode != 0
    assert "There is no hyperparameter 'no_such_thing'" in done.stderr
    [failure] = tmp_path.glob("runs/*/output/failure")
    assert "no_such_thing" in failure.read_text(encoding="utf-8")
