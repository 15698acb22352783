"""What a training job tells about its model: figures for programs, and a page for people."""

import base64
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd
import pytest
import sklearn.calibration
import sklearn.metrics
from contract.api import TrainingJob, UserError
from contract.paths import Paths
from contract.training.evaluation import evaluate
from hypothesis import given, strategies

from programs import lay_out, saved, train_here
from projects import made

VOID = {"meta", "img"}
ELSEWHERE = {"src", "href", "srcset", "action", "poster", "data", "background", "xlink:href"}


class Page(HTMLParser):
    """A page as a reader finds it: its text, its tables, and how often each element stands in it.

    Refuses elements that are not closed where they should be.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.images: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open += [tag] * (tag not in VOID)
        if tag == "img":
            given = {name: value or "" for name, value in attrs}
            self.images[given["alt"]] = given["src"]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open and self._open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data

    def table(self, corner: str) -> list[list[str]]:
        """The table whose first cell is ``corner``."""
        [found] = [table for table in self.tables if table[0][0] == corner]
        return found


@dataclass(frozen=True)
class Hyperparameters:
    """What a job in this module has."""

    word: str = "<script>alert('hyperparameter')</script>"
    depth: int | None = None


Job = TrainingJob[Hyperparameters]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return TrainingJob(Hyperparameters(), Paths(tmp_path / "opt_ml"))


def reported(job: Job) -> tuple[Page, dict[str, Any]]:
    """What a job that has logged enough says in the end."""
    job.report(job.describe())
    return Page(job.output / "report.html"), json.loads((job.output / "evaluation.json").read_bytes())


def outputs(tree: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tree / "output/data").iterdir()}


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of a job of the real ``train``."""
    tree = lay_out(tmp_path_factory.mktemp("report") / "tree", project)
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr
    return tree


# The page of the project as it comes


def test_the_page_and_its_file_for_programs_say_what_scikit_learn_says(trained: Path) -> None:
    """T-42."""
    session = importlib.import_module("onnxruntime").InferenceSession(trained / "model/model.onnx")
    table = pd.read_csv(trained / "input/data/validation/breast_cancer.csv")
    actual = table.pop("diagnosis")
    predicted, probabilities = session.run(None, {"X": table.to_numpy(np.float32)})
    matrix = sklearn.metrics.confusion_matrix(actual, predicted, labels=["benign", "malignant"]).tolist()
    judged = sklearn.metrics.classification_report(actual, predicted, output_dict=True)
    page = Page(trained / "output/data/report.html")
    assert page.table("actual \\ predicted") == [
        ["actual \\ predicted", "benign", "malignant"],
        ["benign", *map(str, matrix[0])],
        ["malignant", *map(str, matrix[1])],
    ]
    figures = ("precision", "recall", "f1-score")
    shares = [
        (
            sklearn.metrics.roc_auc_score(actual == name, column),
            sklearn.metrics.average_precision_score(actual == name, column),
        )
        for name, column in zip(("benign", "malignant"), probabilities.T, strict=True)
    ]
    assert page.table("class")[1:] == [
        [
            name,
            *(f"{judged[name][figure]:.3f}" for figure in figures),
            *(f"{share:.3f}" for share in of_class),
            f"{judged[name]['support']:.0f}",
        ]
        for name, of_class in zip(("benign", "malignant"), shares, strict=True)
    ]
    found = json.loads((trained / "output/data/evaluation.json").read_bytes())
    assert found["predictions"]["validation"]["accuracy"] == judged["accuracy"]
    assert found["predictions"]["validation"]["log_loss"] == pytest.approx(
        sklearn.metrics.log_loss(actual, probabilities), rel=1e-5
    )
    assert found["predictions"]["validation"]["roc_auc"] == pytest.approx(shares[1][0])
    metrics = json.loads((trained / "output/data/metrics.json").read_bytes())
    assert {name: values[-1] for name, values in metrics.items()} == {
        f"validation_{name}": found["predictions"]["validation"][name] for name in ("accuracy", "log_loss", "roc_auc")
    }
    assert found["predictions"]["validation"]["confusion"]["malignant"] == dict(
        zip(("benign", "malignant"), matrix[1], strict=True)
    )
    assert sum(found["importances"].values()) == pytest.approx(1)
    assert list(found["importances"].values()) == sorted(found["importances"].values(), reverse=True)


def test_the_page_tells_the_jobs_settings_data_and_metrics(trained: Path) -> None:
    """T-42, T-47: as the manifest does."""
    manifest = json.loads((trained / "model/manifest.json").read_bytes())
    page = Page(trained / "output/data/report.html")
    settings = [["target", "diagnosis"], ["n_estimators", "100"], ["max_depth", "none"], ["seed", "0"]]
    assert page.table("target") == settings
    logged = ["validation_accuracy", "validation_log_loss", "validation_roc_auc"]
    assert [row[0] for row in page.table("metric")] == ["metric", *logged]
    [_, *channels] = page.table("channel")
    assert [channel[0] for channel in channels] == ["training", "validation"]
    assert channels[0][-1] == manifest["channels"]["training"]["sha256"][:12]


def test_the_page_needs_nothing_but_itself(trained: Path) -> None:
    """P-57: it is opened in a browser, where a file of somebody else's would tell them so."""
    page = Page(trained / "output/data/report.html")
    assert page.attributes & ELSEWHERE == set()
    assert {"script", "link", "img", "iframe", "object", "embed", "base"} & set(page.elements) == set()
    assert [word for word in ("http:", "https:", "url(", "@import", "//") if word in page.source] == []
    assert "default-src 'none'" in page.source


def test_the_same_job_writes_the_same_report(project: Path, trained: Path, tmp_path: Path) -> None:
    """T-42: but for the line with its time."""
    again = lay_out(tmp_path / "tree", project)
    assert train_here(project, again).returncode == 0
    first, second = outputs(trained), outputs(again)
    for files in (first, second):
        head, text, rest = re.split(rb'<p class="time">(.+)</p>', files["report.html"])
        assert re.fullmatch(
            rb"Training started on \d{4}-\d\d-\d\d at \d\d:\d\d UTC and took \d+:\d\d:\d\d \(h:mm:ss\)\.", text
        )
        files["report.html"] = head + rest
    assert second == first
    assert second.keys() == {"metrics.json", "evaluation.json", "report.html"}


def test_the_page_begins_with_the_jobs_name_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-30: SageMaker, its local mode and `make train` give a job a name; it may have none."""
    monkeypatch.delenv("TRAINING_JOB_NAME", raising=False)
    began = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    job = TrainingJob(Hyperparameters(), Paths(tmp_path), started=began)
    about = job.describe()
    job.report(about, timedelta(hours=1, minutes=2, seconds=3.9))
    page = Page(job.output / "report.html")
    assert page.source.count("<h1>Training report</h1>") == page.source.count("<title>Training report</title>") == 1
    assert "Training started on 2026-01-31 at 23:59 UTC and took 1:02:03 (h:mm:ss)." in page.text
    monkeypatch.setenv("TRAINING_JOB_NAME", "<churn>-20260131")
    job.report(about)
    again = Page(job.output / "report.html")
    assert again.source.count("Training report: &lt;churn&gt;-20260131<") == 2
    assert job.describe() == about  # which is the manifest


def test_a_report_that_cannot_be_made_loses_no_model(project: Path, tmp_path: Path) -> None:
    """T-40, T-44."""
    tree = lay_out(tmp_path / "tree", project)
    (tree / "output/data/report.html").mkdir()
    done = train_here(project, tree)
    assert done.returncode == 0
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    assert not (tree / "output/failure").exists()
    [line] = done.stderr.splitlines()
    assert line.startswith("There is no report, because of an error: IsADirectoryError: ")


# Classes


@pytest.mark.filterwarnings("ignore:A single label was found")  # as scikit-learn does, where there is one
@given(
    pairs=strategies.lists(strategies.tuples(*[strategies.integers(0, 4)] * 2), min_size=1),
    form=strategies.sampled_from([str, int, "dog {}".format, lambda number: number > 1]),
    column=strategies.sampled_from([list, np.array, pd.Series, lambda values: np.array(values)[:, None]]),
)
def test_classes_are_judged_as_scikit_learn_judges_them(
    pairs: list[tuple[int, int]], form: Callable[[int], Any], column: Callable[[list[Any]], Any]
) -> None:
    actual, predicted = ([form(number) for number in numbers] for numbers in zip(*pairs, strict=True))
    found = evaluate(column(actual), column(predicted), None)
    labels = sorted(set(actual + predicted))
    assert list(found["classes"]) == [str(label) for label in labels]
    arguments: dict[str, Any] = {"labels": labels, "zero_division": 0}
    judged = sklearn.metrics.precision_recall_fscore_support(actual, predicted, **arguments)
    for i, figure in enumerate(("precision", "recall", "f1", "rows")):
        assert [each[figure] for each in found["classes"].values()] == pytest.approx(judged[i])
    assert found["mean"]["f1"] == pytest.approx(judged[2].mean())
    matrix = sklearn.metrics.confusion_matrix(actual, predicted, labels=labels)
    cells = [[found["confusion"].get(str(a), {}).get(str(p), 0) for p in labels] for a in labels]
    assert cells == matrix.tolist()


def test_a_thousand_classes_make_a_page_that_a_person_can_read(job: Job) -> None:
    actual = np.arange(20_000) % 1000
    predicted = np.where(np.arange(20_000) % 7 == 0, (actual + 1) % 1000, actual)
    predicted[actual == 123] = 321
    job.log_predictions(actual, predicted)
    page, evaluation = reported(job)
    assert len(page.source) < 20_000
    assert [table for table in page.tables if table[0][0].startswith("actual \\")] == []
    assert len(page.table("actual")) == len(page.table("class")) == 1 + 20
    assert page.table("actual")[1] == ["123", "321", "20"]
    assert page.table("class")[1][0] == "123"
    assert "20 of 1,000 pairs" in page.text
    assert len(evaluation["predictions"]["validation"]["classes"]) == 1000
    assert evaluation["predictions"]["validation"]["confusion"]["123"] == {"321": 20}


# Probabilities


def columns_of(probabilities: np.ndarray[Any, Any], classes: list[str]) -> dict[str, Any]:
    return dict(zip(classes, probabilities.T, strict=True))


@given(
    classes=strategies.sampled_from([["no", "yes"], ["yes", "no"], ["c", "a", "d", "b"], [f"k{i}" for i in range(9)]]),
    rows=strategies.integers(2, 150),
    digits=strategies.sampled_from([1, 2, 15]),  # few digits make many ties
    dtype=strategies.sampled_from([np.float32, np.float64]),
    seed=strategies.integers(0, 2**32 - 1),
)
def test_probabilities_are_judged_as_scikit_learn_judges_them(
    classes: list[str], rows: int, digits: int, dtype: Any, seed: int
) -> None:
    random = np.random.default_rng(seed)
    counts = random.dirichlet(np.ones(len(classes)), rows).round(digits) + 10.0**-digits
    probabilities = (counts / counts.sum(axis=1, keepdims=True)).astype(dtype)
    actual = np.array([*classes, *random.choice(classes, rows)][:rows])
    found = evaluate(actual, random.choice(classes, rows), None, columns_of(probabilities, classes))
    in_order = [classes.index(name) for name in sorted(classes)]
    loss = sklearn.metrics.log_loss(actual, probabilities[:, in_order], labels=sorted(classes))
    assert found["log_loss"] == pytest.approx(loss, rel=1e-5)
    areas = {}
    for name, column in columns_of(probabilities, classes).items():
        hits = actual == name
        if 0 < hits.sum() < rows:
            areas[name] = sklearn.metrics.roc_auc_score(hits, column)
            assert found["classes"][name]["roc_auc"] == pytest.approx(areas[name])
            judged = sklearn.metrics.average_precision_score(hits, column)
            assert found["classes"][name]["average_precision"] == pytest.approx(judged)
    if len(classes) == 2:
        areas = {classes[1]: areas[classes[1]]}
    assert found["roc_auc"] == pytest.approx(np.mean(list(areas.values())))
    drawn = list(found["curves"]["roc"])
    assert {areas[name] for name in drawn} == set(sorted(areas.values())[: len(drawn)])
    assert len(drawn) == min(4, len(areas))
    for name in drawn:
        hits, column = actual == name, columns_of(probabilities, classes)[name]
        judged = sklearn.metrics.roc_curve(hits, column, drop_intermediate=False)
        assert found["curves"]["roc"][name] == pytest.approx(np.column_stack(judged[:2]))
        precision, recall, _ = sklearn.metrics.precision_recall_curve(hits, column)
        assert found["curves"]["precision_recall"][name] == pytest.approx(np.column_stack([recall, precision])[::-1])
        share, mean = sklearn.calibration.calibration_curve(hits, column, n_bins=10)
        assert found["curves"]["calibration"][name] == pytest.approx(np.column_stack([mean, share]), rel=1e-5)


def test_probabilities_of_two_classes_are_drawn_for_the_second(job: Job) -> None:
    actual, yes = ["no", "no", "yes", "yes"], np.array([0.1, 0.4, 0.35, 0.8])
    job.log_predictions(actual, ["no", "no", "no", "yes"], "test", probabilities={"no": 1 - yes, "yes": yes})
    page, evaluation = reported(job)
    found = evaluation["predictions"]["test"]
    assert (found["roc_auc"], found["log_loss"]) == (0.75, pytest.approx(0.4722879))  # of scikit-learn's documentation
    assert found["curves"]["roc"] == {"yes": [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]}
    assert job.metrics.keys() == {"test_accuracy", "test_log_loss", "test_roc_auc"}
    headings = [heading for heading in ("ROC curve", "Precision and recall", "Calibration") if heading in page.text]
    assert len(headings) == page.source.count("</svg>yes</span>") == 3
    assert 'd="M0.0 1000.0h0L0.0 500.0L500.0 500.0L500.0 0.0L1000.0 0.0"' in page.source
    assert page.table("class")[2] == ["yes", "1.000", "0.500", "0.667", "0.750", "0.833", "2"]
    assert "0.472288" in page.text


def test_of_many_classes_those_that_are_told_apart_worst_are_drawn(job: Job) -> None:
    random = np.random.default_rng(0)
    actual = np.arange(900) % 30
    noise = random.dirichlet(np.ones(30), 900)
    certain = np.eye(30)[actual] * np.linspace(0.1, 3, 30)[actual, None]
    probabilities = (noise + certain) / (noise + certain).sum(axis=1, keepdims=True)
    job.log_predictions(actual, probabilities.argmax(axis=1), probabilities=dict(enumerate(probabilities.T)))
    page, evaluation = reported(job)
    found = evaluation["predictions"]["validation"]
    worst = sorted(found["classes"], key=lambda name: found["classes"][name]["roc_auc"])[:4]
    assert [list(found["curves"][kind]) for kind in ("roc", "precision_recall", "calibration")] == [worst] * 3
    assert "The curves are those of the four classes with the lowest ROC AUC." in page.text


def test_a_long_curve_is_thinned_where_it_says_least(job: Job) -> None:
    """One row in a hundred is of the class: at equal distances in rows its begin would be one line."""
    random = np.random.default_rng(0)
    hits = random.random(100_000) < 0.01
    yes = np.clip(random.normal(0.3 + 0.4 * hits, 0.1), 0, 1)
    job.log_predictions(hits, yes > 0.5, probabilities={False: 1 - yes, True: yes})
    page, evaluation = reported(job)
    found = evaluation["predictions"]["validation"]
    assert found["roc_auc"] == pytest.approx(sklearn.metrics.roc_auc_score(hits, yes))
    for kind in ("roc", "precision_recall"):
        points = np.array(found["curves"][kind]["True"])
        assert 100 < len(points) <= 200
        assert np.abs(np.diff(points[:, 1])).max() < 0.15
    assert len(page.source) < 30_000


def test_a_class_that_the_model_does_not_know_had_the_probability_0(job: Job) -> None:
    """A rare class among the validation data fails no job."""
    job.log_predictions(["a", "b", "c"], ["a", "b", "b"], probabilities={"a": [0.8, 0.4, 0.5], "b": [0.2, 0.6, 0.5]})
    _, evaluation = reported(job)
    found = evaluation["predictions"]["validation"]
    known = [[0.8, 0.2, 0], [0.4, 0.6, 0], [0.5, 0.5, 0]]
    assert found["log_loss"] == pytest.approx(sklearn.metrics.log_loss(["a", "b", "c"], known))
    assert found["classes"]["c"]["roc_auc"] is None


def test_where_one_class_alone_occurs_there_is_nothing_to_rank(job: Job) -> None:
    job.log_predictions(["a", "a"], ["a", "b"], probabilities={"a": [0.9, 0.4], "b": [0.1, 0.6]})
    page, evaluation = reported(job)
    assert evaluation["predictions"]["validation"]["roc_auc"] is None
    assert job.metrics.keys() == {"validation_accuracy", "validation_log_loss"}
    assert "ROC curve" not in page.text
    assert page.table("class")[1] == ["a", "1.000", "0.500", "0.667", "none", "none", "2"]


COUNT = "needs 2 probabilities for each class: give a number for each row."
SUM = "give numbers from 0 to 1 that add up to 1."
NONE = "got no probabilities of the actual classes: name columns after them."


@pytest.mark.parametrize(
    ("actual", "probabilities", "kind", "sentence"),
    [
        ("ab", np.eye(2), None, "got probabilities as ndarray: give a dict, as dict("),
        ("ab", pd.DataFrame(np.eye(2)), None, "got probabilities as DataFrame: give a dict, as dict("),
        ("ab", {}, None, COUNT),
        ("ab", {"a": [1], "b": [0]}, None, COUNT),
        ("ab", {"a": [1, 0], "b": [0]}, None, COUNT),
        ("ab", {"a": np.eye(2), "b": [0, 1]}, None, COUNT),
        ("ab", {"a": 1.0, "b": 0.0}, None, COUNT),
        ("ab", {"a": ["high", "low"], "b": [0, 1]}, None, COUNT),
        ("ab", {"a": [1, None], "b": [0, 1]}, None, f"got probabilities from nan to nan, sum nan, in row 2: {SUM}"),
        ("ab", {"a": [1, 0.2], "b": [0, 0.7]}, None, f"got probabilities from 0.2 to 0.7, sum 0.9, in row 2: {SUM}"),
        ("ab", {"a": [1.5, 0], "b": [-0.5, 1]}, None, f"got probabilities from -0.5 to 1.5, sum 1, in row 1: {SUM}"),
        (
            "ab",
            {"a": [np.nan, 0], "b": [1, 1]},
            None,
            f"got probabilities from nan to nan, sum nan, in row 1: {SUM}",
        ),
        ("ab", {"a": [np.inf, 0], "b": [1, 1]}, None, f"got probabilities from 1 to inf, sum inf, in row 1: {SUM}"),
        ("ab", {0: [1, 0], 1: [0, 1]}, None, NONE),
        ([0.0, 1.0], {0: [1, 0], 1: [0, 1]}, None, NONE),
        ([1, 2], {1: [1, 0], 2: [0, 1]}, "numbers", "got probabilities and kind='numbers': leave out "),
    ],
)
def test_what_are_no_probabilities_is_refused_with_one_sentence(
    job: Job, actual: Any, probabilities: Any, kind: Literal["classes", "numbers"] | None, sentence: str
) -> None:
    """T-44."""
    with pytest.raises(UserError) as mistake:
        job.log_predictions(list(actual), list(actual), kind=kind, probabilities=probabilities)
    assert str(mistake.value).startswith(f"log_predictions() {sentence}")
    assert len(str(mistake.value).splitlines()) == 1
    assert job.metrics == {}


def test_with_probabilities_floats_are_classes(job: Job) -> None:
    """And sums that float32 or rounding miss are no mistake."""
    job.log_predictions([0.0, 1.0], [0.0, 0.0], probabilities={0.0: [1.0000001, 0.3333], 1.0: [-1e-7, 0.6666]})
    _, evaluation = reported(job)
    assert evaluation["predictions"]["validation"]["kind"] == "classes"
    assert evaluation["predictions"]["validation"]["roc_auc"] == 1


# Numbers


def test_numbers_are_judged_as_scikit_learn_judges_them(project: Path, tmp_path: Path) -> None:
    """The example with rents, in the real ``train``."""
    mine = made(project, "dataframe", tmp_path)
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    regressor = importlib.import_module("joblib").load(tree / "model/model.joblib")
    table = pd.read_csv(tree / "input/data/validation/flats.csv")
    actual = table.pop("rent")
    types = {"city": "category", "area": float, "rooms": float, "year": float, "heating": "category"}
    predicted = regressor.predict(table.astype(types)).round(2)
    found = json.loads((tree / "output/data/evaluation.json").read_bytes())["predictions"]["validation"]
    assert found["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(actual, predicted))
    assert found["rmse"] == pytest.approx(sklearn.metrics.root_mean_squared_error(actual, predicted))
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(actual, predicted))
    assert found["mean_error"] == pytest.approx((predicted - actual).mean())
    assert sum(found["errors"]["rows"]) == len(actual) == 500
    page = Page(tree / "output/data/report.html")
    assert f"{found['rmse']:.6g}" in page.text
    assert page.source.count('class="dot"') == 500
    assert "The chart shows" not in page.text
    for name in ("mae", "rmse", "r2"):
        assert f"validation_{name}={found[name]!r};\n" in done.stdout  # T-55


def test_numbers_stand_beside_what_their_mean_or_median_would_give(job: Job) -> None:
    actual, predicted = np.array([1.0, 2.0, 3.0, 10.0]), np.array([1.5, 2.5, 3.5, 8.0])
    job.log_predictions(actual, predicted)
    page, evaluation = reported(job)
    found = evaluation["predictions"]["validation"]
    for name, value in (("mean", 4.0), ("median", 2.5)):
        answer = np.full(4, value)
        assert found["constants"][name] == {
            "value": value,
            "mae": pytest.approx(sklearn.metrics.mean_absolute_error(actual, answer)),
            "rmse": pytest.approx(sklearn.metrics.root_mean_squared_error(actual, answer)),
        }
    assert found["mae"] == 0.875
    assert (
        "Predicting the mean (4) for every row would give a mean absolute error of 3 and a root mean square error of "
        f"{12.5**0.5:.6g}. Predicting the median (2.5) for every row would give a mean absolute error of 2.5"
    ) in page.text


def test_of_many_points_some_are_drawn_and_the_page_says_so(job: Job) -> None:
    values = np.linspace(0, 1, 2500)
    job.log_predictions(values, values + 0.1)
    page, _ = reported(job)
    assert page.source.count('class="dot"') == 834
    assert "The chart shows 834 of 2,500 rows, at equal distances." in page.text


@pytest.mark.parametrize(
    ("actual", "predicted", "kind", "judged"),
    [
        (["a", "b"], ["a", "a"], None, "classes"),
        ([0, 1], [1, 1], None, "classes"),
        ([True, False], [1, 0], None, "classes"),
        (["0", "1"], [0, 1], None, "classes"),
        ([0.0, 1.0], [1.0, 1.0], None, "numbers"),
        ([1, 2], [1.5, 1.5], None, "numbers"),
        ([0.0, 1.0], [1.0, 1.0], "classes", "classes"),
        ([3, 4], [4, 4], "numbers", "numbers"),
        ([2.5, 2.5], [2.5, 2.5], None, "numbers"),
        ([0.1, 1e9], [0.2, 1e9 + 0.1], None, "numbers"),  # the same errors, but for rounding
    ],
)
def test_floats_are_numbers_and_all_else_are_classes_unless_told(
    job: Job, actual: list[Any], predicted: list[Any], kind: Literal["classes", "numbers"] | None, judged: str
) -> None:
    job.log_predictions(actual, predicted, kind=kind)
    page, evaluation = reported(job)
    assert evaluation["predictions"]["validation"]["kind"] == judged
    assert ("Confusion matrix" in page.text) == (judged == "classes")


@pytest.mark.parametrize(
    ("actual", "predicted", "sentence"),
    [
        (["a"], ["a", "b"], "log_predictions() got 1 actual and 2 predicted values: give pairs."),
        ([], [], "log_predictions() got 0 actual and 0 predicted values: give pairs."),
        (["a", None], ["a", "a"], "log_predictions() got no actual value in row 2: leave out rows without one."),
        (["a"], [float("nan")], "log_predictions() got no predicted value in row 1: leave out rows without one."),
        (pd.Series([1, None], dtype="Int64"), [1, 1], "log_predictions() got nan as actual value in row 2: give a n"),
        (np.array([1.0]), np.array([np.nan]), "log_predictions() got nan as predicted value in row 1: give a number."),
        (np.array([np.inf]), np.array([1.0]), "log_predictions() got inf as actual value in row 1: give a number."),
        (["a"], [0.5], "log_predictions() got actual values that are not numbers: give kind='classes'."),
        ([0, 1], np.eye(2), "log_predictions() got predicted values of shape (2, 2): give one value for each row."),
    ],
)
def test_what_are_no_pairs_of_values_is_refused_with_one_sentence(
    job: Job, actual: Any, predicted: Any, sentence: str
) -> None:
    """T-44."""
    with pytest.raises(UserError) as mistake:
        job.log_predictions(actual, predicted)
    assert str(mistake.value).startswith(sentence)
    assert len(str(mistake.value).splitlines()) == 1


# Importances, curves, and what else a page may meet


def test_the_thirty_weightiest_importances_are_shown_and_the_rest_added_up(job: Job) -> None:
    job.log_importances({f"f{i}": (-1) ** i * (40 - i) for i in range(40)})
    page, evaluation = reported(job)
    assert page.elements.count("i") == 30
    assert "f0" in page.text
    assert "f30" not in page.text
    assert "10 more add up to 5" in page.text
    assert list(evaluation["importances"])[:2] == ["f0", "f1"]
    with pytest.raises(UserError, match=r"^log_importances\(\) got nan for 'f1': give a number\.$"):
        job.log_importances({"f1": np.nan})


# Figures of the user's own

SMALL = {
    "png": b"\x89PNG\r\n\x1a\n and so on",
    "jpeg": b"\xff\xd8\xff\xe0 and so on",
    "gif": b"GIF89a and so on",
    "webp": b"RIFF\n\x00\x00\x00WEBPVP8 and so on",
    "svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
}
PROLOGUE = b"""\xef\xbb\xbf<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [
  <!ENTITY ns "http://ns.example.com/">
]>
<!-- drawn by hand -->
"""


class Drawing:
    """What is like a figure of matplotlib."""

    def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002 # matplotlib's name for it
        file.write(SMALL[format])


def inside(page: Page, name: str) -> tuple[str, bytes]:
    """The media type and the bytes of an image in a page."""
    media_type, content = page.images[name].removeprefix("data:").split(";base64,")
    return media_type, base64.b64decode(content)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("form", [str, Path])
def test_an_image_is_shown_from_the_page_itself(
    job: Job, tmp_path: Path, kind: str, form: Callable[[Path], Any]
) -> None:
    """P-57. An SVG file stands in <img>, where no browser runs scripts, and a policy allows none."""
    file = tmp_path / "image of any name"
    file.write_bytes(SMALL[kind])
    job.log_figure("<Loss>", form(file))
    page, _ = reported(job)
    assert inside(page, "<Loss>") == (f"image/{kind}", SMALL[kind])
    assert {"script", "object", "embed", "iframe"} & set(page.elements) == set()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page.source


def test_a_figure_is_drawn_at_once_and_the_last_of_a_name_counts(job: Job, tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    drawing.write_bytes(PROLOGUE + SMALL["svg+xml"])
    job.log_figure("residuals", Drawing())
    job.log_figure("map", Drawing())
    job.log_figure("residuals", drawing)
    drawing.unlink()
    page, _ = reported(job)
    assert list(page.images) == ["residuals", "map"]
    assert inside(page, "residuals") == ("image/svg+xml", PROLOGUE + SMALL["svg+xml"])
    assert inside(page, "map") == ("image/png", SMALL["png"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "log_figure() got no image for 'loss': give a PNG, JPEG, SVG, GIF or WebP file."),
        (b"%PDF-1.7", "log_figure() got no image for 'loss': give a PNG, JPEG, SVG, GIF or WebP file."),
        (b"<!DOCTYPE html><html><svg></svg></html>", "log_figure() got no image for 'loss': give a PNG, JPEG, SVG, GI"),
        (SMALL["png"].ljust(5_100_000), "log_figure() got 5.1 MB for 'loss': give at most 5 MB."),
        (None, "log_figure() cannot read '{file}': No such file or directory."),
    ],
)
def test_what_is_no_image_is_refused_with_one_sentence(
    job: Job, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """T-44."""
    file = tmp_path / "loss.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError) as mistake:
        job.log_figure("loss", file)
    assert str(mistake.value).startswith(sentence.format(file=file))


@pytest.mark.parametrize("given", [[1, 2], None, b"\x89PNG\r\n"])
def test_what_is_no_figure_is_refused_with_one_sentence(job: Job, given: Any) -> None:
    """T-44."""
    with pytest.raises(UserError) as mistake:
        job.log_figure("loss", given)
    kind = type(given).__name__
    assert str(mistake.value) == f"log_figure() got {kind} for 'loss': give a figure or an image's path."


def test_rounds_become_learning_curves(project: Path, tmp_path: Path) -> None:
    """The example with checkpoints, in the real ``train``: both losses in one chart."""
    mine = made(project, "checkpoints", tmp_path)
    tree = lay_out(tmp_path / "tree", mine, {"trees": "60", "trees_a_round": "20"})
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tree / "output/data/metrics.json").read_bytes())
    assert [len(metrics[name]) for name in ("training_loss", "validation_loss", "validation_accuracy")] == [3, 3, 1]
    assert metrics["training_loss"] == sorted(metrics["training_loss"], reverse=True)
    page = Page(tree / "output/data/report.html")
    curves = page.source.partition("<h2>Learning curves</h2>")[2].partition("</section>")[0]
    assert [line for line in curves.splitlines() if line.startswith("<h3>")] == ["<h3>trees</h3>", "<h3>loss</h3>"]
    for name in ("training_loss", "validation_loss"):
        assert f"</svg>{name}</span>" in curves
    assert curves.count('<path class="line1" d="M0.0 ') == 1


def test_predictions_that_are_logged_again_and_again_make_a_curve_and_the_last_are_shown(job: Job) -> None:
    for predicted in (["b", "b"], ["a", "b"], ["a", "a"]):
        job.log_predictions(["a", "a"], predicted)
    page, evaluation = reported(job)
    assert json.loads((job.output / "metrics.json").read_bytes()) == {"validation_accuracy": [0.0, 0.5, 1.0]}
    assert evaluation["predictions"]["validation"]["accuracy"] == 1
    assert "<h3>accuracy</h3>" in page.source


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, np.nan, 3.0, np.inf], "2 values are not finite numbers and are left out."),
        ([np.nan, np.nan], "2 values are not finite numbers and are left out."),
        ([7.0, 7.0], "times logged"),
        ([0.0, 0.0], "times logged"),
        ([1e300, -1e300, 1e-300], "times logged"),
        ([0.5] * 12_345, "The chart shows one value in 13."),
    ],
)
def test_a_curve_is_drawn_through_whatever_was_logged(job: Job, values: list[float], said: str) -> None:
    for value in values:
        job.log_metric("score", value)
    page, _ = reported(job)
    assert said in page.text
    assert len(page.source) < 30_000
    drawn = page.source.partition("<h2>Learning curves</h2>")[2].partition("</section>")[0]
    assert "nan" not in drawn
    assert "inf" not in drawn


NAMES = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}{% raw %}", "a & b", "Größe 模型"]


def test_names_from_the_data_are_shown_as_text(job: Job) -> None:
    job.log_predictions(NAMES, NAMES[1:] + NAMES[:1], NAMES[0])
    job.log_predictions(np.arange(40).astype(str), [NAMES[1]] * 40, NAMES[1])
    job.log_predictions([1.0, 2.0], [1.0, 3.0], NAMES[2])
    job.log_predictions(NAMES, NAMES, "probabilities", probabilities=dict(zip(NAMES, np.eye(5), strict=True)))
    job.log_importances(dict.fromkeys(NAMES, 1.0))
    for name in NAMES * 2:
        job.log_metric(name, 1)
    page, _ = reported(job)
    assert {"script", "img"} & set(page.elements) == set()
    assert [name for name in NAMES if page.text.count(name) < 5] == []
    assert "alert('hyperparameter')" in page.text


def test_a_job_that_logged_nothing_is_told_how(job: Job) -> None:
    page, evaluation = reported(job)
    assert evaluation == {"predictions": {}, "importances": {}}
    assert "job.log_predictions(actual, predicted)" in page.text
    assert "Learning curves" not in page.text


def test_training_starts_without_what_only_the_report_needs(project: Path) -> None:
    """The page is made at the end, and `serve` never makes one."""
    code = "import contract.api, algorithm, sys; sys.exit('jinja2' in sys.modules)"
    program = project / "container/program"
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
