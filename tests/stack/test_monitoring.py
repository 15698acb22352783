"""`make monitor` tells windows of requests that have shifted from those that have not, by its exit status."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import numpy as np
import pytest
import yaml
from contract.errors import RequestError
from contract.feature import Feature
from contract.training.baseline import count, learn
from contract.training.evaluation import evaluate
from prometheus_client.parser import text_string_to_metric_families
from scipy import stats

import environments
import postgres
from deploying import DEPLOY, at, environment, started
from programs import lay_out, serving_here, train_here
from projects import TEMPLATE_VENV, make, run
from stack.monitoring import bodies, drift

FINE, ERROR, SHIFTED, TOO_FEW = 0, 1, 3, 4
NOW = datetime.now(UTC).replace(microsecond=0)
Row = dict[str, str]


@dataclass
class Monitored:
    """A trained model, rows that it has not seen, and what an endpoint would have captured of them."""

    project: Path
    model: Path
    ask: Callable[[bytes], bytes]
    rows: list[Row]
    capture: Path = field(default=Path())

    @property
    def version(self) -> str:
        return sha256((self.model / "manifest.json").read_bytes()).hexdigest()

    def event(self, rows: list[Row], at: datetime = NOW, **about: Any) -> dict[str, Any]:
        """A request with some rows, answered by the model, as SageMaker captures it."""
        body = "".join(",".join(row[name] for name in list(row)[1:]) + "\n" for row in rows)
        sides = {"endpointInput": ("INPUT", body), "endpointOutput": ("OUTPUT", self.ask(body.encode()).decode())}
        return {
            "captureData": {
                side: {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}
                for side, (mode, data) in sides.items()
            },
            "eventMetadata": {
                "eventId": f"event-{id(rows)}-{random.random()}",
                "inferenceTime": f"{at:%FT%TZ}",
                **about,
            },
            "eventVersion": "0",
        }

    def keep(self, *events: dict[str, Any], at: datetime = NOW) -> None:
        """Write events into a file of their hour."""
        folder = self.capture / "my-endpoint/AllTraffic" / f"{at:%Y/%m/%d/%H}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(event) + "\n" for event in events)
        (folder / f"{at:%M-%S}-000-{random.random()}.jsonl").write_text(lines + "\n\n", encoding="utf-8")

    def run(self, *options: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """`make monitor`."""
        words = " ".join(map(str, options))
        places = {"CAPTURE": str(self.capture), "MODEL": str(self.model)}
        return make(self.project, "monitor", f"MONITOR={words}", **places | variables)


def status(done: subprocess.CompletedProcess[str]) -> int:
    """The exit status of ``stack.monitoring``, which make tells: its own is 2 for all but success."""
    if done.returncode == 0:
        return 0
    return int(done.stderr.rpartition("Error ")[2])


@pytest.fixture(scope="module")
def served(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    environments.part("monitoring")
    folder = tmp_path_factory.mktemp("served")
    tree = lay_out(folder / "tree", project, {"n_estimators": "30"})
    assert train_here(project, tree).returncode == 0
    with (project / "data/validation/breast_cancer.csv").open() as file:
        rows = list(csv.DictReader(file))
    with serving_here(project, tree, folder / "log") as server:
        yield Monitored(project, tree / "model", lambda body: server.predict(body).body, rows)


@pytest.fixture
def monitored(served: Monitored, tmp_path: Path) -> Monitored:
    served.capture = tmp_path / "capture"
    return served


def shifted(rows: list[Row], column: str = "mean_radius", factor: float = 1.5) -> list[Row]:
    return [row | {column: str(float(row[column]) * factor)} for row in rows]


def test_rows_like_those_of_training_are_fine(monitored: Monitored) -> None:
    """One request or one for each row; those before the window do not count."""
    monitored.keep(monitored.event(monitored.rows), *(monitored.event([row]) for row in monitored.rows[:20]))
    long_ago = NOW - timedelta(days=3)
    monitored.keep(monitored.event(shifted(monitored.rows), at=long_ago), at=long_ago)
    done = monitored.run()
    assert status(done) == FINE, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(f"21 requests with {len(monitored.rows) + 20} rows, ")
    assert last == "ok: nothing has shifted"
    assert status(monitored.run("--since 7d")) == SHIFTED


def test_a_column_in_another_unit_is_an_alarm(monitored: Monitored, tmp_path: Path) -> None:
    """The status says it, the table names the column, and Prometheus can read the figures."""
    monitored.keep(monitored.event(shifted(monitored.rows)))
    done = monitored.run(f"--prometheus {tmp_path}/monitor.prom")
    assert status(done) == SHIFTED
    assert done.stdout.splitlines()[-1] == "SHIFTED: mean_radius"
    [line] = [line.split() for line in done.stdout.splitlines() if line.endswith("SHIFTED")]
    assert line[:3] == ["feature", "mean_radius", "values"]
    text = (tmp_path / "monitor.prom").read_text(encoding="utf-8")
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert found["model_monitor_alarm"][0].value == 1
    assert found["model_monitor_rows"][0].value == len(monitored.rows)
    assert [sample.labels["name"] for sample in found["model_monitor_shifted"] if sample.value] == ["mean_radius"]
    assert list(tmp_path.glob(".monitor*")) == []


def test_too_few_rows_are_no_verdict(monitored: Monitored) -> None:
    """Nor is an empty folder, which would otherwise look fine when nothing is captured any more."""
    monitored.keep(monitored.event(shifted(monitored.rows[:50])))
    done = monitored.run()
    assert (status(done), done.stdout.splitlines()[-1]) == (
        TOO_FEW, "too few rows: 50, but 100 are needed. Is the window too short, or nothing captured?"
    )  # fmt: skip
    assert status(monitored.run("--least 50")) == SHIFTED
    shutil.rmtree(monitored.capture)
    monitored.capture.mkdir()
    assert status(monitored.run()) == TOO_FEW


def test_rows_that_another_model_answered_are_left_out(monitored: Monitored) -> None:
    served = monitored.event(monitored.rows, modelVersion=monitored.version)
    monitored.keep(served, monitored.event(shifted(monitored.rows), modelVersion="x"))
    done = monitored.run()
    assert status(done) == FINE
    assert "1 requests with" in done.stdout
    assert "1 more were answered by other models, and are left out" in done.stdout


def test_refused_requests_are_an_alarm(monitored: Monitored) -> None:
    """Those whose status was captured, and those that the model's signature refuses."""
    event = monitored.event(monitored.rows)
    refused = json.loads(json.dumps(event))
    del refused["captureData"]["endpointInput"]
    refused["eventMetadata"]["statusCode"] = 400
    unreadable = json.loads(json.dumps(event))
    unreadable["captureData"]["endpointInput"]["data"] = "1,2,3\n"
    many = [monitored.event([row]) for row in monitored.rows]
    monitored.keep(*many, refused, unreadable)
    assert status(monitored.run()) == FINE
    monitored.keep(*[refused] * 10)
    done = monitored.run()
    assert status(done) == SHIFTED
    assert done.stdout.splitlines()[-1] == "SHIFTED: requests"
    assert f"{100 * 12 / (len(many) + 12):.1f} % of {len(many) + 12}" in done.stdout


@pytest.mark.parametrize("by", ["inferenceId", "eventId"])
def test_true_values_tell_when_the_model_errs_more(monitored: Monitored, by: str) -> None:
    """Computed as training computes its metrics. By the id of the client, else by that of the event."""
    events = [monitored.event([row], NOW, **{by: f"id-{place}"}) for place, row in enumerate(monitored.rows)]
    monitored.keep(*events)
    classes = {"benign": "malignant", "malignant": "benign"}
    answers = [event["captureData"]["endpointOutput"]["data"].strip() for event in events]
    for wrong, expected in ((0, FINE), (40, SHIFTED)):
        true = [
            classes[row["diagnosis"]] if place < wrong else row["diagnosis"] for place, row in enumerate(monitored.rows)
        ]
        lines = [
            json.dumps({"groundTruthData": {"data": value, "encoding": "CSV"},
                        "eventMetadata": {"eventId": f"id-{place}"}, "eventVersion": "0"})
            for place, value in enumerate(true)
        ]  # fmt: skip
        folder = monitored.capture.with_name("truth")
        folder.mkdir(exist_ok=True)
        (folder / "true.jsonl").write_text("\n".join(lines), encoding="utf-8")
        done = monitored.run(f"--truth {folder}")
        assert status(done) == expected, done.stdout
        accuracy = evaluate(true, answers, "classes")["accuracy"]
        assert f"{accuracy:.4g}, 0.9" in done.stdout


def test_what_is_wrong_is_said_in_a_sentence(monitored: Monitored, tmp_path: Path) -> None:
    """And the status is neither that of a shift nor of a fine window."""
    monitored.capture.mkdir()
    for variables, sentence in {
        ("CAPTURE", "/nowhere"): "There is no /nowhere: give a folder, s3://BUCKET/PREFIX or postgresql://...",
        ("MODEL", "/nowhere"): "There is no model in /nowhere: No such file or directory. Name one with --model.",
        ("MODEL", str(tmp_path / "empty")): f"{tmp_path}/empty has no baseline.json: train the model again, "
        "which writes one.",
        ("MODEL", str(tmp_path / "no.tar.gz")): f"{tmp_path}/no.tar.gz is not a model.tar.gz: name a model's folder or "
        "archive with --model.",
        ("CAPTURE", "postgresql://127.0.0.1:1/none"): "The database cannot be read: connection failed: ",
    }.items():
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "no.tar.gz").write_text("no", encoding="utf-8")
        done = monitored.run(**dict([variables]))
        assert status(done) == ERROR
        assert done.stderr.splitlines()[0].startswith(sentence)
    assert "usage:" in monitored.run("--sinse 7d").stderr
    assert status(monitored.run("--since 7w")) == 2


def test_an_archive_is_read_no_further_than_needed(monitored: Monitored, tmp_path: Path) -> None:
    """A model.tar.gz may be large."""
    monitored.keep(monitored.event(monitored.rows))
    archive = shutil.make_archive(str(tmp_path / "model"), "gztar", monitored.model)
    assert status(monitored.run(MODEL=archive)) == FINE


def test_the_database_is_read_as_the_files_are(monitored: Monitored, tmp_path: Path) -> None:
    """Named columns, or cells in order; the true values are those of the table."""
    with postgres.running() as server:
        database = server.database("monitoring")
        database.ask(
            "create table predictions (event_id text, row int, inference_id text, model text, endpoint text, "
            "at timestamptz, content_type text, input jsonb, output jsonb, primary key (event_id, row)); "
            "create table truth (inference_id text, row int default 0, value jsonb, at timestamptz)"
        )
        for factor, expected in ((1.0, FINE), (1.5, SHIFTED)):
            values, true = [], []
            for place, row in enumerate(shifted(monitored.rows, factor=factor)):
                cells = {name: float(cell) for name, cell in list(row.items())[1:]}
                given = json.dumps(cells if place % 2 else list(cells.values()))
                values.append(f"('e{place}', 0, null, '{monitored.version}', 'x', now(), 'text/csv', '{given}', "
                              f"'\"{row['diagnosis']}\"')")  # fmt: skip
                true.append(f"('e{place}', 0, '\"{row['diagnosis']}\"', now())")
            database.ask(f"truncate predictions, truth; insert into predictions values {','.join(values)}; "
                         f"insert into truth values {','.join(true)}")  # fmt: skip
            done = monitored.run("--until 2999-01-01", CAPTURE="", DATABASE_URL=database.url)
            assert status(done) == expected, done.stdout + done.stderr
            assert "1, 0.9" in done.stdout  # all predictions were true
            assert f"{len(monitored.rows)} requests with {len(monitored.rows)} rows" in done.stdout


def workflow(monitored: Monitored, folder: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The last step of the scheduled workflow, and the summary it writes, without its action that gets credentials."""
    file = monitored.project / ".github/workflows/monitor.yml"
    [*_, step] = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]["monitor"]["steps"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shared = {"RUNNER_TEMP": str(folder), "GITHUB_STEP_SUMMARY": str(folder / "summary"), "VENV": str(TEMPLATE_VENV)}
    ended = run(monitored.project, "bash", "-e", "-c", step["run"], **variables | shared | {"PATH": path})
    return ended, (folder / "summary").read_text(encoding="utf-8")


def test_an_endpoint_on_sagemaker_is_watched(monitored: Monitored, tmp_path: Path) -> None:
    """Its captured data and its model are found, and CloudWatch gets the figures."""
    with started(tmp_path / "platform", None) as platform:
        session, home = boto3.Session("user", "secret", region_name="us-west-2"), tmp_path / "home"
        s3 = session.client("s3", endpoint_url=platform.url)
        cloudwatch = session.client("cloudwatch", endpoint_url=platform.url)
        archive = shutil.make_archive(str(tmp_path / "model"), "gztar", monitored.model)
        s3.upload_file(archive, "bucket", "job/output/model.tar.gz")
        deploy = at(platform, monitored.project, home)
        capture = ("--bucket", "s3://bucket/my", "--capture-percent", "100")
        assert deploy(*DEPLOY, *capture, "--endpoint", "my-endpoint").returncode == 0
        monitored.keep(monitored.event(shifted(monitored.rows)))
        for path in monitored.capture.rglob("*.jsonl"):
            hour = path.relative_to(monitored.capture / "my-endpoint/AllTraffic")
            s3.upload_file(str(path), "bucket", f"my/capture/my-endpoint/all/{hour}")  # all is the variant's name
        aws = environment(home, AWS_ENDPOINT_URL=platform.url, AWS_DISABLE_REQUEST_COMPRESSION="true")
        done = monitored.run("--cloudwatch Monitoring", ENDPOINT="my-endpoint", CAPTURE="", MODEL="", **aws)
        assert status(done) == SHIFTED, done.stdout + done.stderr
        listed = cloudwatch.list_metrics(Namespace="Monitoring")["Metrics"]
        of = {tuple(each["Value"] for each in metric["Dimensions"]) for metric in listed}
        assert {("my-endpoint",), ("my-endpoint", "feature", "mean_radius", "values")} <= of
        assert {metric["MetricName"] for metric in listed} >= {"Alarm", "Rows", "Shifted", "ShiftSize"}
        ended, summary = workflow(monitored, tmp_path, ENDPOINT="my-endpoint", OPTIONS="--until 0m", **aws)
        assert (ended.returncode, "::error::my-endpoint: SHIFTED: mean_radius" in ended.stdout) == (SHIFTED, True)
        assert "SHIFTED: mean_radius\n```" in summary
        ended, _ = workflow(monitored, tmp_path, ENDPOINT="my-endpoint", OPTIONS="--least 500", **aws)
        assert (ended.returncode, "::warning::my-endpoint: too few rows: " in ended.stdout) == (0, True)
        assert deploy(*DEPLOY, "--endpoint", "other").returncode == 0
        done = monitored.run(ENDPOINT="other", **aws)
        assert (status(done), done.stderr.splitlines()[0]) == (
            ERROR, "The endpoint 'other' captures no data: deploy it with `--capture-percent 100`."
        )  # fmt: skip


def text(content_type: str, data: str, encoding: str = "JSON") -> dict[str, str]:
    return {"observedContentType": content_type, "mode": "INPUT", "data": data, "encoding": encoding}


FEATURES = [Feature("age"), Feature("plan", str, choices=("basic", "pro")), Feature("member", bool, missing=True)]
READ = {"age": [30.0, 40.0], "plan": ["basic", "pro"], "member": [True, False]}


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        (text("text/csv", "30,basic,true\n40,pro,false\n", "CSV"), 0),
        (text("text/csv; header=present", "plan,age,member\nbasic,30,true\npro,40,0\n", "CSV"), 0),
        (text("text/csv", "30,basic,true\nold,pro,false\n40,pro,false\n", "CSV"), 1),
        (text("application/json", '{"instances": [[30,"basic",true], {"plan":"pro","age":40,"member":false}]}'), 0),
        (text("application/jsonlines", '[30, "basic", true]\n{"features": [40, "pro", false]}\n'), 0),
        (text("application/jsonlines", '{"age":30,"plan":"basic","member":true}\nnull\n'
              '{"age":40,"plan":"pro","member":false}'), 1),
        (text("text/csv", "MzAsYmFzaWMsdHJ1ZQo0MCxwcm8sZmFsc2UK", "BASE64"), 0),
        (text("", '[[30, "basic", true], [40, "pro", false]]'), 0),
    ],
)  # fmt: skip
def test_requests_are_read_as_the_server_reads_them(part: dict[str, str], refused: int) -> None:
    assert bodies.inputs(part, FEATURES) == (READ, refused)


def test_columns_that_a_capture_leaves_out_are_not_compared() -> None:
    part = text("application/jsonlines", '{"plan": "basic"}\n{"plan": "pro"}\n')
    assert bodies.inputs(part, FEATURES) == ({"plan": ["basic", "pro"]}, 0)


@pytest.mark.parametrize("data", ["30,basic\n", "x,basic,true\n", "", "30,best,true\n"])
def test_what_the_model_refuses_is_not_read(data: str) -> None:
    with pytest.raises((RequestError, ValueError)):
        bodies.inputs(text("text/csv", data, "CSV"), FEATURES)


ANSWER = {"label": {"kind": "text", "shape": []}, "score": {"kind": "number", "shape": []}}


@pytest.mark.parametrize(
    ("part", "names", "found"),
    [
        (text("text/csv; charset=utf-8", "yes\nno\n", "CSV"), [], {"label": ["yes", "no"]}),
        (text("text/csv", "yes,0.5\nERROR,ERROR\n", "CSV"), [], {"label": ["yes"], "score": [0.5]}),
        (text("text/csv", "0.5\n0.25\n", "CSV"), ["score"], {"score": [0.5, 0.25]}),
        (text("text/csv", "0.5,1,2\n", "CSV"), [], {}),
        (text("application/json", '{"predictions":[{"label":"yes"},{"label":"ERROR"}]}'), [], {"label": ["yes"]}),
        (text("application/jsonlines", '{"label":"no","vector":[1,2]}\n'), [], {"label": ["no"]}),
        (text("image/png", "aGVsbG8=", "BASE64"), [], {}),
        (text("application/json", '"a text of its own"'), [], {}),
    ],
)
def test_answers_are_read_in_each_format(part: dict[str, str], names: list[str], found: dict[str, Any]) -> None:
    assert bodies.answers(part, ANSWER, names) == found


def test_a_row_of_the_database_is_read_as_a_request_is() -> None:
    """In which a text of digits has become a number."""
    features = [Feature("zip", str), Feature("age"), Feature("member", bool, missing=True)]
    for cells in ([1234, 30, None], {"age": 30, "zip": "1234", "member": "", "other": 1}):
        found = bodies.row(cells, features)
        assert np.isnan(found.pop("member"))
        assert found == {"zip": ["1234"], "age": [30.0]}
    for bad in ([1, 2], ["a", "b", True], None):
        with pytest.raises(ValueError):
            bodies.row(bad, features)


def test_the_tests_are_those_of_scipy() -> None:
    before, after = np.array([50.0, 30, 20]), np.array([30.0, 30, 40])
    assert drift._chi_square(before, after) == pytest.approx(stats.chi2_contingency([before, after]).pvalue)
    random = np.random.default_rng(0)
    sample, window = random.normal(size=5000), random.normal(0.1, 1, 2000)
    about = learn("x", sample)
    p = drift._ks(np.array(about["rows"], float), np.array(count(about, window)["rows"], float))
    assert stats.ks_2samp(sample, window).pvalue <= p < 0.01
    assert drift._chi_square(np.array([5.0, 0]), np.array([5.0, 0])) == 1


def test_many_columns_make_no_false_alarm_and_a_shift_does() -> None:
    """Of 200 windows without a shift at most 1 in 100 alarms; of 20 with one in one of 50 columns all do."""
    random, alarms = np.random.default_rng(0), 0
    for number in range(220):
        if number % 20 == 0:
            baseline = [learn(f"x{place}", random.normal(size=1000)) for place in range(50)]
        values = random.normal(size=(50, 500))
        values[0] += 0.5 * (number >= 200)
        window = {each["name"]: count(each, values[place]) for place, each in enumerate(baseline)}
        found = [test.name for test in drift.adjusted(drift.columns("feature", baseline, window, 0.1)) if test.shifted]
        if number < 200:
            alarms += bool(found)
        else:
            assert found == ["x0"]
    assert alarms <= 2


def test_a_difference_that_does_not_matter_is_no_alarm() -> None:
    """However many rows there are to prove it."""
    random = np.random.default_rng(0)
    about = learn("x", random.normal(size=50_000))
    window = {"x": count(about, random.normal(0.05, 1, 10**6))}
    [test] = drift.adjusted(drift.columns("feature", [about], window, 0.1))
    assert (test.p < 1e-9, test.shifted) == (True, False)


def test_a_model_is_not_judged_by_answers_that_it_was_fitted_on() -> None:
    """A forest is surer of them than of others."""
    about = {"name": "p", "kind": "number", "choices": [0, 1], "rows": [500, 500, 0], "gaps": 0}
    counts = {"p": {"rows": [0, 0, 1000], "gaps": 0}}
    window: Any = SimpleNamespace(rows=1000, requests=1000, refused=0, refused_rows=0, features={}, answers=counts,
                                  evaluated=lambda kind: {})  # fmt: skip
    limits: Any = SimpleNamespace(least=100, psi=0.1, growth=0.2, refused=0.05)
    for fitted, expected in ((True, []), (False, ["p"])):
        baseline = {"features": [], "answers": [about], "fitted": fitted, "evaluation": {}}
        assert [test.name for test in drift.compared(baseline, window, limits) if test.shifted] == expected


AMOUNTS = {"kind": "numbers", "rows": 500, "mae": 1, "rmse": 1.5}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"kind": "classes", "rows": 1000, "accuracy": 0.9}, {"kind": "classes", "rows": 500, "accuracy": 0.8}, True),
        ({"kind": "classes", "rows": 1000, "accuracy": 0.9}, {"kind": "classes", "rows": 500, "accuracy": 0.89}, False),
        ({"kind": "classes", "rows": 20, "accuracy": 1.0}, {"kind": "classes", "rows": 20, "accuracy": 0.95}, False),
        (AMOUNTS, {"kind": "numbers", "rows": 500, "mae": 2, "rmse": 3}, True),
        (AMOUNTS, {"kind": "numbers", "rows": 9, "mae": 1.3, "rmse": 3}, False),
        ({}, {"kind": "classes", "rows": 500, "accuracy": 0.1}, False),
    ],
)  # fmt: skip
def test_a_model_that_errs_more_is_found(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    [test] = drift.quality(before, after, 0.2)
    assert test.shifted is expected


@pytest.mark.slow
def test_the_page_shows_no_texts(monitored: Monitored, tmp_path: Path) -> None:
    """Evidently compares the rows with those of training; it is installed where the page is asked for."""
    environments.part("report")
    rows = [row | {"mean_radius": row["mean_radius"]} for row in monitored.rows]
    monitored.keep(monitored.event(shifted(rows)))
    done = monitored.run(f"--html {tmp_path}/page.html")
    assert status(done) == SHIFTED, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "mean_radius" in page
    given = {"rows": [{"name": "Ada Lovelace", "age": 36}] * 30, "kinds": {"name": "length", "age": "number"},
             "reference": "", "page": str(tmp_path / "texts.html")}  # fmt: skip
    command = [str(environments.part("report")), "-m", "stack.report"]
    subprocess.run(command, input=json.dumps(given), cwd=monitored.project, text=True, check=True)
    assert "Lovelace" not in (tmp_path / "texts.html").read_text(encoding="utf-8")
