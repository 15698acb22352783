"""What a training job tells about its model: figures for programs, and a page for people."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from contract.api import TrainingJob, UserError
from contract.paths import Paths
from contract.training.evaluation import evaluate
from hypothesis import given, strategies

from programs import lay_out, saved, train_here
from projects import made

VOID = {"meta"}
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
    predicted, _ = session.run(None, {"X": table.to_numpy(np.float32)})
    matrix = sklearn.metrics.confusion_matrix(actual, predicted, labels=["benign", "malignant"]).tolist()
    judged = sklearn.metrics.classification_report(actual, predicted, output_dict=True)
    page = Page(trained / "output/data/report.html")
    assert page.table("actual \\ predicted") == [
        ["actual \\ predicted", "benign", "malignant"],
        ["benign", *map(str, matrix[0])],
        ["malignant", *map(str, matrix[1])],
    ]
    figures = ("precision", "recall", "f1-score")
    assert page.table("class")[1:] == [
        [name, *(f"{judged[name][figure]:.3f}" for figure in figures), f"{judged[name]['support']:.0f}"]
        for name in ("benign", "malignant")
    ]
    found = json.loads((trained / "output/data/evaluation.json").read_bytes())
    assert found["predictions"]["validation"]["accuracy"] == judged["accuracy"]
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
    assert [row[0] for row in page.table("metric")] == ["metric", "validation_accuracy"]
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
    """T-42."""
    again = lay_out(tmp_path / "tree", project)
    assert train_here(project, again).returncode == 0
    assert outputs(again) == outputs(trained)
    assert outputs(again).keys() == {"metrics.json", "evaluation.json", "report.html"}


def test_a_report_that_cannot_be_made_loses_no_model(project: Path, tmp_path: Path) -> None:
    """T-40, T-44."""
    tree = lay_out(tmp_path / "tree", project)
    (tree / "output/data/report.html").mkdir()
    done = train_here(project, tree)
    assert done.returncode == 0
    assert saved(tree) == ["manifest.json", "model.onnx", "signature.json"]
    assert not (tree / "output/failure").exists()
    [line] = done.stderr.splitlines()
    assert line.startswith("The report is left out, it cannot be made: IsADirectoryError: ")


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
    assert "are drawn" not in page.text
    for name in ("mae", "rmse", "r2"):
        assert f"validation_{name}={found[name]!r};\n" in done.stdout  # T-55


def test_of_many_points_some_are_drawn_and_the_page_says_so(job: Job) -> None:
    values = np.linspace(0, 1, 2500)
    job.log_predictions(values, values + 0.1)
    page, _ = reported(job)
    assert page.source.count('class="dot"') == 834
    assert "Of 2,500 rows 834 are drawn" in page.text


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
        (["a"], [0.5], "log_predictions() got actual values that are no numbers: give kind='classes'."),
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
        ([1.0, np.nan, 3.0, np.inf], "2 values are no finite numbers and are left out."),
        ([np.nan, np.nan], "2 values are no finite numbers and are left out."),
        ([7.0, 7.0], "times logged"),
        ([0.0, 0.0], "times logged"),
        ([1e300, -1e300, 1e-300], "times logged"),
        ([0.5] * 12_345, "One value in 13 is drawn."),
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
