"""Training leaves with the model what its data and answers look like, and no job fails for it."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contract.feature import Feature
from contract.payload import Payload
from contract.schema import RawSchema, Schema
from contract.training import baseline
from contract.training.baseline import BINS, ROWS, Sample, Served, count, learn
from contract.training.channels import Channel
from contract.training.job import TrainingJob
from contract.training.signature import Signature
from hypothesis import given
from hypothesis import strategies as st

from mistakes import Job

NUMBERS = st.lists(st.floats() | st.sampled_from([0.0, 1.0, math.nan]), max_size=300)
TEXTS = st.lists(st.text(max_size=5) | st.just(math.nan), max_size=100)


def predict(model: Any, rows: pd.DataFrame) -> dict[str, Any]:
    """Whether a row holds a large number; the rows that were asked for are counted in ``model``."""
    model.asked += len(rows)
    return {"label": np.where(rows["a"] > 0.5, "large", "small"), "vector": np.zeros((len(rows), 3))}


def job_on(folder: Path, table: pd.DataFrame, **channels: pd.DataFrame) -> Any:
    """A job that has split a channel of each name."""
    job: Any = SimpleNamespace(signature=Signature(predict), evaluated={"predictions": {}}, stopping=False)
    for name, rows in {"training": table, **channels}.items():
        (folder / name).mkdir(parents=True)
        rows.to_csv(folder / name / "table.csv", index=False)
        Channel(name, folder / name, _signature=job.signature).split("y", "classes")
    job.features = job.signature.features
    return job


def written(folder: Path, job: Any, predict: Any = predict) -> tuple[dict[str, Any], int]:
    """What the file says, and how many rows were predicted for it."""
    model = SimpleNamespace(asked=0)
    algorithm: Any = SimpleNamespace(predict=predict)
    baseline.write(folder, job, Served(algorithm, model, Schema(job.features, predict), {}))
    return json.loads((folder / baseline.FILE).read_bytes()), model.asked


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    a = random.random(rows)
    return pd.DataFrame(
        {
            "a": np.where(random.random(rows) < 0.1, np.nan, a),
            "plan": random.choice(["basic", "pro"], rows),
            "name": [f"Person {place:x}" for place in random.integers(0, 10**9, rows)],
            "member": random.random(rows) < 0.3,
            "y": np.where(a > 0.5, "yes", "no"),
        }
    )


def test_the_model_comes_with_a_baseline(project: Path, tmp_path: Path) -> None:
    """Of all columns, of the answers to rows of another channel, and of what log_predictions found."""
    job = Job.lay_out(tmp_path, project)
    for channel in ("training", "validation"):
        lines = [f"{'benign' if i % 2 else 'malignant'},{i % 4},{i}" for i in range(200)]
        job.data("diagnosis,radius,area\n" + "\n".join(lines), f"{channel}/table.csv")
    done = job.run()
    assert done.returncode == 0, done.stderr
    found = json.loads((job.tree / "model/baseline.json").read_bytes())
    radius, area = found["features"]
    assert radius == {
        "name": "radius", "kind": "number", "choices": [0, 1, 2, 3], "rows": [50, 50, 50, 50, 0], "gaps": 0
    }  # fmt: skip
    assert (area["name"], len(area["edges"]), sum(area["rows"]), area["gaps"]) == ("area", BINS - 1, 200, 0)
    assert set(area["rows"]) <= {9, 10, 11}
    label, *chances = found["answers"]
    assert (label["choices"], sum(label["rows"])) == (["benign", "malignant"], 200)
    assert [each["name"] for each in chances] == ["probability_benign", "probability_malignant"]
    assert (found["rows"], found["fitted"]) == (200, False)
    assert found["evaluation"]["validation"].keys() == {"kind", "rows", "accuracy", "log_loss", "roc_auc"}


@pytest.mark.parametrize("check", ["on", "off"])
def test_a_job_does_not_fail_for_its_baseline(project: Path, tmp_path: Path, check: str) -> None:
    """A prediction that fails leaves out the answers, as a job does that may not predict."""
    job = Job.lay_out(tmp_path, project).variable("TRAINING_CHECK", check)
    job.edit("    labels, probabilities = ", '    assert rows[0, 0] != 7, "seven"\n    labels, probabilities = ')
    job.data("diagnosis,radius,area\n" + "benign,1,4\nmalignant,7,5\n" * 9, "validation/table.csv")
    done = job.run()
    assert done.returncode == 0, done.stderr
    says = "The baseline has no answers, because of an error: AssertionError: seven"
    assert (says in done.stderr) is (check == "on")
    found = json.loads((job.tree / "model/baseline.json").read_bytes())
    assert ([each["name"] for each in found["features"]], found["answers"]) == (["radius", "area"], [])


def test_a_baseline_that_save_has_written_stays(project: Path, tmp_path: Path) -> None:
    job = Job.lay_out(tmp_path, project)
    job.edit("write_bytes(model.onnx)", 'write_bytes(model.onnx)\n    (directory / "baseline.json").write_text("mine")')
    assert job.run().returncode == 0
    assert (job.tree / "model/baseline.json").read_text(encoding="utf-8") == "mine"


def test_no_text_of_the_data_is_kept_but_choices(tmp_path: Path) -> None:
    """Of free texts the length is counted."""
    found, _ = written(tmp_path, job_on(tmp_path, table(500)))
    kinds = {each["name"]: each["kind"] for each in found["features"]}
    assert kinds == {"a": "number", "plan": "text", "name": "length", "member": "number"}
    assert found["features"][1]["choices"] == ["basic", "pro"]
    assert "Person" not in (tmp_path / baseline.FILE).read_text(encoding="utf-8")


def test_gaps_and_values_that_were_not_seen_are_counted_apart() -> None:
    numbers = learn("n", np.array([0.0, 1.0] * 50))
    assert count(numbers, [0, 1, 1, 2, math.nan]) == {"rows": [1, 2, 1], "gaps": 1}
    texts = learn("t", np.array(["a", "b"], object), ["a", "b"])
    assert count(texts, ["a", "b", "b", "c", None, math.nan]) == {"rows": [1, 2, 1], "gaps": 2}
    lengths = learn("l", np.array(["abc"] * 100, object))
    assert count(lengths, ["xyz", "four", None]) == {"rows": [1, 1], "gaps": 1}
    amounts = learn("a", np.arange(1000.0))
    assert count(amounts, [-5, 49.9, 50, 1e9]) == {"rows": [3, *[0] * (BINS - 2), 1], "gaps": 0}


@given(NUMBERS, NUMBERS)
def test_each_number_is_counted_once(training: list[float], window: list[float]) -> None:
    about = json.loads(json.dumps(learn("x", np.array(training, np.float64))))
    for values, found in ((training, about), (window, count(about, window))):
        assert sum(found["rows"]) + found["gaps"] == len(values)
        assert len(found["rows"]) == len(about.get("edges", about.get("choices"))) + 1


@given(TEXTS, TEXTS, st.booleans())
def test_each_text_is_counted_once(training: list[Any], window: list[Any], known: bool) -> None:
    choices = sorted({each for each in training if isinstance(each, str)}) if known else ()
    about = learn("x", np.array([*training, None], object)[:-1], choices)
    assert sum(about["rows"]) + about["gaps"] == len(training)
    found = count(about, window)
    assert sum(found["rows"]) + found["gaps"] == len(window)


def test_a_sample_is_random_and_bounded() -> None:
    """However the rows come, each has the same chance, and no more are kept than ROWS."""
    sample, rows = Sample(), 40 * ROWS
    for first in range(0, rows, ROWS):
        sample.add(pd.DataFrame({"a": np.arange(first, first + ROWS, dtype=float)}))
        assert len(sample.table()) < 1.05 * ROWS
    kept = sample.table()["a"].to_numpy()
    assert (sample.rows, len(np.unique(kept))) == (rows, len(kept))
    shares = np.histogram(kept, 10, (0, rows))[0] / len(kept)
    assert np.abs(shares - 0.1).max() < 0.01


def test_wide_tables_keep_fewer_rows() -> None:
    sample = Sample()
    sample.add(pd.DataFrame(np.zeros((30_000, 1000))))
    assert 3_600 < len(sample.table()) < 4_400


def test_data_that_is_read_in_pieces_is_known_too(tmp_path: Path) -> None:
    """The columns are those of features(model). A second pass over a channel adds nothing."""
    job = job_on(tmp_path, table(300))
    job.signature.samples.clear()
    channel = Channel("training", tmp_path / "training", _signature=job.signature)
    for _ in range(2):
        assert [len(piece) for piece in channel.tables(rows=100)] == [100, 100, 100]
    job.features = [Feature("a", missing=True), Feature("absent")]
    found, _ = written(tmp_path, job, lambda model, rows: {"p": rows["a"].to_numpy()})
    assert [(each["name"], sum(each["rows"]) + each["gaps"]) for each in found["features"]] == [("a", 300)]
    assert found["rows"] == 300


def test_answers_are_to_rows_of_another_channel(tmp_path: Path) -> None:
    """Where there is no other, the file says that the model was fitted on them. Vectors are left out."""
    only, _ = written(tmp_path, job_on(tmp_path / "only", table(100)))
    both, _ = written(tmp_path, job_on(tmp_path / "both", table(100), validation=table(60, 1)))
    assert [(found["fitted"], [each["name"] for each in found["answers"]]) for found in (only, both)] == [
        (True, ["label"]),
        (False, ["label"]),
    ]
    assert [sum(found["answers"][0]["rows"]) for found in (only, both)] == [100, 60]


def test_predicting_for_the_baseline_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And begins with one row, since a row may take long."""
    job = job_on(tmp_path, table(300))
    assert written(tmp_path, job)[1] == 300
    monkeypatch.setattr(baseline, "SECONDS", 1e-9)
    found, asked = written(tmp_path, job)
    assert (asked, found["answers"]) == (0, [])
    job.stopping = True
    monkeypatch.undo()
    assert written(tmp_path, job)[1] == 0


def test_of_a_model_without_a_table_the_evaluation_is_known(tmp_path: Path) -> None:
    """Here of one that reads images."""
    nothing: Any = None
    job: Any = TrainingJob(nothing, nothing)
    job.log_predictions(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    schema = RawSchema(["image/png"], Payload(b"", "image/png"))
    baseline.write(tmp_path, job, Served(SimpleNamespace(), None, schema, {}))
    found = json.loads((tmp_path / baseline.FILE).read_bytes())
    assert found == {
        "rows": 0, "features": [], "fitted": False, "answers": [],
        "evaluation": {"validation": {"kind": "classes", "rows": 3, "accuracy": pytest.approx(2 / 3)}},
    }  # fmt: skip
