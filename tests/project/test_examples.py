"""Each algorithm below examples/ trains and serves, with and without a container, and predicts as its estimator."""

import ast
import csv
import importlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contract.errors import UserError

from forms import long_after
from programs import Answer, Server, algorithm_of, docker, lay_out, serving, serving_here, train_here
from projects import EXAMPLES, IMAGES, TEMPLATE, TEMPLATE_VENV, algorithm_of_example, build_image, made, run

NAMES = [
    "text",
    "forecast",
    "pickle",
    "joblib",
    "dataframe",
    "lightgbm",
    "image",
    "streaming",
    "checkpoints",
    "cluster",
]
OWN_IMAGES = ["lightgbm", "image"]  # which import packages that the image of a new project lacks
INTERFACE = ["train", "save", "load", "features", "example", "predict"]
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}  # named otherwise than the modules
CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
joblib: Any = importlib.import_module("joblib")  # which has no types
skl2onnx: Any = importlib.import_module("skl2onnx")


def module(path: Path) -> ModuleType:
    """A Python file, under a name that no other has."""
    name = "_".join(path.parts[-4:]).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@dataclass(frozen=True)
class Served:
    """An example that has been trained and is being served."""

    server: Server
    project: Path
    model: Path
    log: str

    def estimator(self) -> Any:
        found = joblib.load(self.model / "model.joblib")
        return found[-1] if isinstance(found, tuple) else found


def serve(
    name: str, request: pytest.FixtureRequest, project: Path, factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = factory.mktemp(name)
    mine = made(project, name, folder)
    tree = lay_out(folder / "opt_ml", mine)
    if request.param == "here":
        yield from served_here(mine, tree, folder / "serve.log")
        return
    own = name in OWN_IMAGES
    image = own_image(mine, name) if own else request.getfixturevalue("image")
    mounts = [] if own else [algorithm_of(mine)]
    done = docker("run", "--rm", *mounts, f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    with serving(image, tree / "model", *mounts) as server:
        yield Served(server, mine, tree / "model", done.stdout)


def own_image(mine: Path, name: str) -> str:
    """Pin the packages of an example, as `make lock` does, and build its image."""
    done = run(mine, sys.executable, "-m", "local.lock", VENV=str(TEMPLATE_VENV))
    assert done.returncode == 0, done.stderr
    return build_image(mine, f"{IMAGES}:{name}")


def served_here(mine: Path, tree: Path, log: Path) -> Iterator[Served]:
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    with serving_here(mine, tree, log) as server:
        yield Served(server, mine, tree / "model", done.stdout)


BOTH = ["here", "container"]
HERE_FIRST = long_after(1, BOTH)


def fixture_of(example: str, places: list[Any]) -> Any:
    """A fixture: the example as a project of its own, trained and served in each of the places."""

    @pytest.fixture(scope="module", params=places)
    def served(
        request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Served]:
        yield from serve(example, request, project, tmp_path_factory)

    return served


splines = fixture_of("joblib", BOTH)
rents = fixture_of("dataframe", HERE_FIRST)
stream = fixture_of("streaming", HERE_FIRST)
messages = fixture_of("text", HERE_FIRST)
months = fixture_of("forecast", HERE_FIRST)
customers = fixture_of("lightgbm", HERE_FIRST)
digits = fixture_of("image", HERE_FIRST)


@pytest.fixture(scope="module")
def wines(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model that was not trained here."""
    folder = tmp_path_factory.mktemp("pickle")
    mine = made(project, "pickle", folder)
    (folder / "opt_ml").mkdir()
    model = Path(shutil.copytree(mine / "data/model", folder / "opt_ml/model"))
    with serving_here(mine, folder / "opt_ml", folder / "serve.log") as server:
        yield Served(server, mine, model, "")


@pytest.fixture(scope="module")
def text(project: Path) -> str:
    """The held-out tumours as CSV, without a header."""
    return (project / "data/predict.csv").read_text(encoding="utf-8").split("\n", 1)[1]


@pytest.fixture(scope="module")
def tumours(text: str) -> Any:
    return np.loadtxt(io.StringIO(text), delimiter=",")


def columns(answer: Answer) -> dict[str, list[Any]]:
    """The columns of an answer in JSON Lines."""
    assert answer.status == 200, answer.body
    rows = [json.loads(line) for line in answer.body.splitlines()]
    return {name: [row[name] for row in rows] for name in rows[0]}


# All of them


@pytest.mark.parametrize("name", NAMES)
def test_an_example_reads_like_the_algorithm_it_replaces(name: str) -> None:
    source = algorithm_of_example(name).read_text(encoding="utf-8")
    assert source.startswith('"""Yours: ')
    assert len(source.splitlines()) < 80
    functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    interface = [function for function in INTERFACE if function in functions]
    assert functions[: len(interface)] == interface


def packages(path: Path) -> list[str]:
    """What a requirements file of an example names."""
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# Yours: ")
    return rest


@pytest.mark.parametrize("name", NAMES)
def test_an_example_requires_what_it_imports(name: str) -> None:
    files = list(algorithm_of_example(name).parent.glob("*.py"))
    imports = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
               if isinstance(node, ast.Import | ast.ImportFrom)]  # fmt: skip
    modules = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in imports if isinstance(node, ast.ImportFrom)}
    imported = {DISTRIBUTIONS.get(top, top) for top in (module.split(".")[0] for module in modules)}
    imported -= set(sys.stdlib_module_names) | {"contract", *(file.stem for file in files)}
    container = EXAMPLES / name / "container"
    serving, training = (packages(container / f"requirements{kind}.txt") for kind in ("", "-training"))
    assert sorted(serving) == serving
    assert set(serving) <= imported <= {*serving, *training}
    assert name in ("pickle", "image") or "pandas" in serving + training  # which reads the tables


@pytest.mark.parametrize("name", NAMES)
def test_an_example_explains_itself(name: str) -> None:
    page = (EXAMPLES / name / "EXAMPLE.md").read_text(encoding="utf-8")
    assert "```\nmake lock && " in page
    for path in re.findall(r"`((?:data|container|tests)/[^` ]*)`", page):
        made_by_a_script = path.startswith("data/") and list((EXAMPLES / name).glob("data/make_*.py"))
        shipped = TEMPLATE / "{{cookiecutter.algorithm_name}}" / path
        assert (EXAMPLES / name / path).exists() or shipped.exists() or made_by_a_script, path


def test_the_page_lists_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/EXAMPLE.md")) == sorted(NAMES)
    assert [name for name in NAMES if f"[{name}]({name}/EXAMPLE.md)" not in page] == []


@pytest.mark.parametrize("name", [name for name in NAMES if (EXAMPLES / name / "data/make_data.py").exists()])
def test_the_same_data_are_made_each_time(tmp_path: Path, name: str) -> None:
    kept = EXAMPLES / name / "data"
    script = shutil.copy(kept / "make_data.py", tmp_path)
    subprocess.run([sys.executable, str(script)], check=True)
    made_now = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.csv")}
    assert made_now == {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*.csv")}


@pytest.mark.parametrize("name", long_after(3, NAMES))
def test_the_projects_own_tests_hold_for_an_example(project: Path, tmp_path: Path, name: str) -> None:
    """Those of test_algorithm.py and of test_programs.py, as they are."""
    mine = made(project, name, tmp_path)
    os.utime(mine / "requirements-dev.lock", (0, 0))  # older than the environment: nothing is installed into it
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    done = run(mine, *command, DOCKER="no", VENV=str(TEMPLATE_VENV))
    assert done.returncode == 0, done.stdout
    for path in ("tests/test_algorithm.py", "tests/test_programs.py"):
        assert re.search(rf"^{path}::\S+ PASSED", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_projects_linters_find_nothing_in_an_example(project: Path, tmp_path: Path, name: str) -> None:
    done = run(made(project, name, tmp_path), sys.executable, "-m", "ruff", "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout


# Copying one


@pytest.mark.parametrize("name", ["text", "pickle"])
def test_an_example_is_copied_with_a_command(project: Path, tmp_path: Path, name: str) -> None:
    """The same as with `cp`, once `data` is away."""
    mine, other = (Path(shutil.copytree(project, tmp_path / folder)) for folder in ("a scientist's project", "other"))
    done = run(TEMPLATE, "make", "--silent", "example", f"NAME={name}", f"DIR={mine}", f"PYTHON={sys.executable}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{mine} is now the example {name}, which {mine}/EXAMPLE.md explains. Next: make lock\n"
    assert run(other, "sh", "-c", f"rm -r data && cp -R '{EXAMPLES / name}/.' .").returncode == 0
    assert contents(mine) == contents(other)
    assert not (mine / "data/training/breast_cancer.csv").exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "folder", "sentence"),
    [
        ("txt", "mine", "There is no example 'txt': choose one of checkpoints, cluster, dataframe, "),
        ("", "mine", "There is no example '': choose one of "), ("../docs", "mine", "There is no example '../docs': "),
        ("text", ".", "There is no generated project in '{}': name the folder of one, as in DIR=../my-project."),
        ("text", "absent", "There is no generated project in '{}': "),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_is_told_in_a_sentence(
    project: Path, tmp_path: Path, name: str, folder: str, sentence: str
) -> None:
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    done = run(EXAMPLES, sys.executable, "copy_example.py", name, str(tmp_path / folder))
    assert done.returncode == 1
    assert done.stderr.startswith(sentence.format(tmp_path / folder))
    assert done.stderr.count("\n") == 1
    assert contents(mine) == contents(project)


@pytest.mark.parametrize("path", ["container/program/algorithm.py", "data/training/mine.csv", "EXAMPLE.md"])
def test_no_file_of_the_user_is_lost(project: Path, tmp_path: Path, path: str) -> None:
    """Those of a new project, and of another example that was copied before, are no loss."""
    mine = made(project, "forecast", tmp_path)
    copy = [sys.executable, "copy_example.py", "text", str(mine)]
    assert run(EXAMPLES, *copy).returncode == 0
    (mine / path).write_text("work of a week", encoding="utf-8")
    done = run(EXAMPLES, *copy)
    assert done.returncode == 1
    assert done.stderr == (
        f"{mine / path} is not as in a new project, and would be lost: move it away, or take a new project.\n"
    )
    assert (mine / path).read_text(encoding="utf-8") == "work of a week"


# text


def test_the_text_example_predicts_as_its_pipeline(messages: Served) -> None:
    """H-23, H-58; commas, quotes and line ends in a text included."""
    texts = list(pd.read_csv(messages.project / "data/predict.csv")["text"])
    texts += ['my card, "the old one", is refused', "The lamp broke\nafter a day", "Où est mon colis?", "123"]
    pipeline = messages.estimator()
    file = io.StringIO()
    csv.writer(file).writerows([text] for text in texts)
    forms = {
        "text/csv; charset=utf-8": file.getvalue(),
        JSON: json.dumps({"instances": [{"text": text} for text in texts]}),
        JSON_LINES: "\n".join(json.dumps([text]) for text in texts),
    }
    for content_type, body in forms.items():
        answer = columns(messages.server.predict(body.encode(), content_type, Accept=f"{JSON_LINES}; columns=all"))
        assert answer["label"] == list(pipeline.predict(texts)), content_type
        probabilities = [answer[f"probability_{name}"] for name in pipeline.classes_]
        assert np.array_equal(np.transpose(probabilities), pipeline.predict_proba(texts))


def test_a_number_is_no_text(messages: Served) -> None:
    """H-42."""
    answer = messages.server.predict(b'[{"text": 5}]', JSON)
    assert (answer.status, answer.message) == (400, "row 1, column 'text' is not a string")


# forecast


def passengers(months: Served, channel: str) -> Any:
    return pd.read_csv(months.project / "data" / channel / "passengers.csv")["passengers"].to_numpy(float)


def test_the_forecast_example_answers_as_its_regression(months: Served) -> None:
    """H-21, H-58: as many months as are asked for, whoever asks at the same time."""
    from sklearn.linear_model import LinearRegression

    known = passengers(months, "training")
    dates = np.arange(len(known) + 36) - len(known)
    table = np.column_stack([dates, np.eye(12)[dates % 12]])
    line = LinearRegression(fit_intercept=False)
    line.fit(table[: len(known)], np.log(known), sample_weight=2 ** (dates[: len(known)] / 12))
    wanted = np.exp(line.predict(table[len(known) :]))

    def ask(horizon: int) -> list[float]:
        answer = months.server.predict(json.dumps({"horizon": horizon}).encode(), JSON)
        [prediction] = json.loads(answer.body)["predictions"]
        return list(prediction["forecast"])

    example = module(algorithm_of_example("forecast"))
    horizons = [12, 1, 36, 24] * 4
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(ask, horizons))
    assert [len(answer) for answer in answers] == horizons
    for answer in answers:
        assert answer == list(example.forecast(example.load(months.model), len(answer)))
        assert np.allclose(answer, wanted[: len(answer)])


def test_a_horizon_that_is_none_is_a_400(months: Served) -> None:
    """H-42."""
    sentence = 'the horizon is not a whole number from 1 to 120: send {"horizon": 12}, for example'
    for body in (b"{}", b"[12]", b'{"horizon": 121}', b'{"horizon": true}', b'{"horizon": 1.5}'):
        answer = months.server.predict(body, JSON)
        assert (answer.status, answer.message) == (400, sentence)
    assert months.server.predict(b"12", "text/csv").status == 415


@pytest.mark.parametrize("data", ["month,passengers\n1949-01,112\n", "passengers\n" + "0\n" * 40])
def test_a_series_without_seasons_fails_the_job(project: Path, tmp_path: Path, data: str) -> None:
    """T-44."""
    mine = made(project, "forecast", tmp_path)
    tree = lay_out(tmp_path / "opt_ml", mine)
    (tree / "input/data/training/passengers.csv").write_text(data, encoding="utf-8")
    assert train_here(mine, tree).returncode != 0
    failure = (tree / "output/failure").read_text(encoding="utf-8")
    assert "The column 'passengers' cannot be forecast: give 24 months or more, all above 0." in failure


# pickle


def test_the_model_of_a_notebook_predicts_as_there(wines: Served) -> None:
    """H-23, H-58."""
    table = pd.read_csv(wines.project / "data/predict.csv")
    pipeline = wines.estimator()
    for content_type, body in (
        ("text/csv; header=present", table[table.columns[::-1]].to_csv(index=False)),
        (CSV, table.to_csv(index=False, header=False)),
        (JSON, json.dumps(table.to_dict("records"))),
    ):
        answer = columns(wines.server.predict(body.encode(), content_type, Accept=f"{JSON_LINES}; columns=all"))
        assert answer["label"] == list(pipeline.predict(table))
        probabilities = [answer[f"probability_{name}"] for name in pipeline.classes_]
        assert np.array_equal(np.transpose(probabilities), pipeline.predict_proba(table))


def test_a_row_without_a_column_of_the_notebook_is_refused(wines: Served) -> None:
    """H-42."""
    answer = wines.server.predict(b'[{"alcohol": 13.0}]', JSON)
    assert answer.status == 400
    assert "'malic_acid'" in answer.message


def test_the_model_of_a_notebook_with_another_version_is_refused(
    wines: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-47."""
    pipeline = wines.estimator()
    with monkeypatch.context() as notebook:
        notebook.setattr("sklearn.base.__version__", "1.0.2")
        joblib.dump(pipeline, tmp_path / "model.joblib")
    sentence = r"^The model is of scikit-learn 1\.0\.2, this is .*: write scikit-learn==1\.0\.2 in container/req"
    with pytest.raises(UserError, match=sentence):
        module(algorithm_of_example("pickle")).load(tmp_path)


def test_the_model_of_a_notebook_cannot_be_trained(wines: Served, tmp_path: Path) -> None:
    """T-44."""
    done = train_here(wines.project, lay_out(tmp_path / "opt_ml", wines.project))
    assert done.returncode != 0
    assert "algorithm.py has no function train(job)" in (tmp_path / "opt_ml/output/failure").read_text(encoding="utf-8")


# image


def test_the_image_example_predicts_as_its_network(digits: Served) -> None:
    """H-21, H-58: the network once more, in NumPy."""
    onnx: Any = importlib.import_module("onnx")
    image: Any = importlib.import_module("PIL.Image")
    paths = sorted(digits.project.glob("data/validation/*/*.png"))[::20]
    pixels = np.array([np.asarray(image.open(path).resize((16, 16)), np.float32) / 255 for path in paths])
    graph = onnx.load(digits.model / "model.onnx").graph
    filters, thresholds, weights, biases = map(onnx.numpy_helper.to_array, graph.initializer)
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (5, 5), axis=(1, 2))
    maps = np.einsum("nhwij,fij->nfhw", patches, filters[:, 0]) + thresholds[:, None, None]
    pooled = np.maximum(maps, 0).reshape(len(paths), len(filters), 3, 4, 3, 4).max(axis=(3, 5))
    scores = np.exp(pooled.reshape(len(paths), -1) @ weights.T + biases)
    wanted = scores / scores.sum(axis=1, keepdims=True)

    answers = []
    for path in paths:
        body, accept = path.read_bytes(), f"{JSON_LINES}; columns=all"
        answers.append(columns(digits.server.predict(body, "image/png", Accept=accept)))
    found = np.array([[answer[f"probability_{digit}"][0] for digit in range(10)] for answer in answers])
    assert np.allclose(found, wanted, atol=1e-5)
    assert [answer["label"] for answer in answers] == [[str(place)] for place in wanted.argmax(axis=1)]
    assert "validation_accuracy=0.9" in digits.log


def test_an_image_may_be_a_jpeg_of_any_size_and_must_be_one(digits: Served) -> None:
    """H-42, H-43."""
    image: Any = importlib.import_module("PIL.Image")
    file = io.BytesIO()
    image.open(digits.project / "data/predict.png").resize((300, 200)).convert("RGB").save(file, "JPEG")
    assert digits.server.predict(file.getvalue(), "image/jpeg", Accept=CSV).body == b"0\n"
    for body in (b"", b"GIF89a", file.getvalue()[:500]):
        answer = digits.server.predict(body, "image/png")
        assert (answer.status, answer.message) == (400, "the body is not a PNG or JPEG image that can be read")
    assert digits.server.predict(file.getvalue(), "image/gif").status == 415


# lightgbm


def test_the_lightgbm_example_predicts_as_its_booster(customers: Served) -> None:
    """H-23, H-58; gaps and a comma in a text included."""
    lightgbm: Any = importlib.import_module("lightgbm")
    booster = lightgbm.Booster(model_file=customers.model / "model.txt")
    table = pd.read_csv(customers.project / "data/validation/customers.csv").drop(columns="churned").head(60)
    assert table["age"].isna().any()
    assert table["source"].isna().any()
    assert table["source"].eq("friend, family").any()
    types = {"plan": "category", "source": "category", "age": float, "months": float, "calls_to_support": float}
    wanted = booster.predict(table.astype(types))
    for content_type, body in ((CSV, table.to_csv(index=False, header=False)), (JSON, json.dumps(as_json(table)))):
        answer = columns(customers.server.predict(body.encode(), content_type, Accept=f"{JSON_LINES}; columns=all"))
        probabilities = np.transpose([answer["probability_no"], answer["probability_yes"]])
        assert np.array_equal(probabilities, wanted)
        assert answer["label"] == list(np.array(["no", "yes"])[wanted.argmax(axis=1)])
    for row, chances in list(zip(as_json(table), wanted, strict=True))[:10]:
        alone = columns(customers.server.predict(json.dumps([row]).encode(), JSON, Accept=f"{JSON_LINES}; columns=all"))
        assert [alone["probability_no"], alone["probability_yes"]] == [[chance] for chance in chances]


def test_lightgbm_stops_in_time_and_brings_its_library(customers: Served) -> None:
    lightgbm: Any = importlib.import_module("lightgbm")
    assert 1 < lightgbm.Booster(model_file=customers.model / "model.txt").current_iteration() < 300
    assert "validation_accuracy=0.8" in customers.log or "validation_accuracy=0.9" in customers.log
    assert packages(EXAMPLES / "lightgbm/container/apt.txt") == ["libgomp1"]


# joblib


def test_the_joblib_example_predicts_as_its_pipeline(splines: Served, text: str, tumours: Any) -> None:
    """H-58; the label is the likeliest class, as scikit-learn has it."""
    pipeline = splines.estimator()
    answer = columns(splines.server.predict(text.encode(), Accept=f"{JSON_LINES}; columns=all"))
    assert answer["label"] == list(pipeline.predict(tumours))
    probabilities = [answer[f"probability_{name}"] for name in pipeline.classes_]
    assert np.allclose(np.transpose(probabilities), pipeline.predict_proba(tumours), rtol=1e-9, atol=0)
    assert "validation_accuracy=0.9" in splines.log
    assert "validation_roc_auc=0.99" in splines.log


@pytest.mark.parametrize("name", ["checkpoints", "cluster"])
def test_an_example_with_classes_reports_on_its_probabilities(project: Path, tmp_path: Path, name: str) -> None:
    """T-55: its areas under curves, and the log loss."""
    mine = made(project, name, tmp_path)
    few = {"checkpoints": {"trees": "20"}, "cluster": {"candidates": "1"}}
    done = train_here(mine, lay_out(tmp_path / "opt_ml", mine, few[name]))
    assert done.returncode == 0, done.stderr
    assert "validation_roc_auc=0.9" in done.stdout


def test_requests_that_are_predicted_together_are_answered_apart(splines: Served, text: str) -> None:
    """H-16; V-51."""
    lines = text.splitlines()
    alone = [splines.server.predict(line.encode()).body for line in lines]
    assert len(set(alone)) == 2
    with ThreadPoolExecutor(16) as clients:
        together = list(clients.map(splines.server.predict, [line.encode() for line in lines * 4]))
    assert [answer.body for answer in together] == alone * 4


def test_the_joblib_example_is_for_what_onnx_cannot_hold(splines: Served, tumours: Any) -> None:
    with pytest.raises(skl2onnx.common.exceptions.MissingShapeCalculator):
        skl2onnx.to_onnx(splines.estimator(), tumours[:1].astype(np.float32))


def test_a_joblib_model_of_another_version_is_refused_with_one_sentence(splines: Served, tmp_path: Path) -> None:
    """T-47."""
    example = module(algorithm_of_example("joblib"))
    _, pipeline = joblib.load(splines.model / "model.joblib")
    joblib.dump(("0.1", pipeline), tmp_path / "model.joblib")
    with pytest.raises(UserError, match=r"^The model is of scikit-learn 0\.1, this is .*: train it again\.$"):
        example.load(tmp_path)


def test_a_loaded_pipeline_uses_one_thread(tmp_path: Path) -> None:
    """P-52, S-05: whatever it was trained with."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import make_pipeline

    example = module(algorithm_of_example("joblib"))
    forest = make_pipeline(ExtraTreesClassifier(2, n_jobs=-1)).fit([[0.0], [1.0]], ["a", "b"])
    example.save(forest, tmp_path)
    assert example.load(tmp_path)[-1].n_jobs == 1


# dataframe


@pytest.fixture
def flats(rents: Served) -> "pd.DataFrame":
    """Flats that the model has not seen, some with gaps, without their rents."""
    return pd.read_csv(rents.project / "data/validation/flats.csv").drop(columns="rent").head(60)


def asked(rents: Served, flats: "pd.DataFrame") -> list[float]:
    """The rents that the regressor itself predicts."""
    regressor = joblib.load(rents.model / "model.joblib")
    types = {"city": "category", "area": float, "rooms": float, "year": float, "heating": "category"}
    return [float(rent) for rent in regressor.predict(flats.astype(types)).round(2)]


def as_json(flats: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{name: None if pd.isna(cell) else cell for name, cell in row.items()} for row in flats.to_dict("records")]


def test_the_dataframe_example_predicts_as_its_regressor(rents: Served, flats: "pd.DataFrame") -> None:
    """H-23, H-58; gaps and a comma in a text included, in every form of body."""
    wanted = asked(rents, flats)
    assert flats["year"].isna().any()
    assert flats["heating"].isna().any()
    assert flats["city"].eq("Porto, Ribeira").any()
    rows = as_json(flats)
    forms = {
        "text/csv": flats.to_csv(index=False, header=False),
        "text/csv; header=present": flats.to_csv(index=False, quoting=csv.QUOTE_ALL),
        JSON: json.dumps({"instances": rows}),
        JSON_LINES: "\n".join(json.dumps(list(row.values())) for row in rows),
        "application/json; charset=utf-8": json.dumps({name: [row[name] for row in rows] for name in flats}),
    }
    for content_type, body in forms.items():
        answer = rents.server.predict(body.encode(), content_type, Accept=CSV)
        assert [float(line) for line in answer.body.splitlines()] == wanted, content_type


def test_a_flat_alone_is_predicted_as_among_others(rents: Served, flats: "pd.DataFrame") -> None:
    """A column of gaps alone has no type to go by."""
    wanted = asked(rents, flats)
    for row, rent in list(zip(as_json(flats), wanted, strict=True))[:20]:
        assert columns(rents.server.predict(json.dumps([row]).encode(), JSON, Accept=JSON_LINES)) == {"rent": [rent]}


GOOD = {"city": "Oslo", "area": 60, "rooms": 2, "year": 1990, "heating": "gas"}
CITIES = "the 5 values that the model knows: Lisbon, Lyon, Oslo, Porto, Ribeira, Zürich"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"city": "Rome"}, f"row 2, column 'city' is not one of {CITIES}"),
        ({"city": "oslo"}, f"row 2, column 'city' is not one of {CITIES}"),
        ({"city": ""}, "row 2, column 'city' has no value, "), ({"city": None}, "row 2, column 'city' has no value, "),
        ({"heating": "coal"}, "row 2, column 'heating' is not one of the 3 values "), ({"heating": None}, ""),
        ({"area": None}, "row 2, column 'area' has no value, but the model needs one"), ({"year": None}, ""),
        ({"area": "many"}, "row 2, column 'area' is not a finite number"), ({"rooms": ""}, "row 2, column 'rooms' "),
        ({"year": "old"}, "row 2, column 'year' is not a finite number"), ({"year": None, "heating": None}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content_type", [CSV, JSON])
def test_a_gap_or_a_text_is_taken_only_where_it_is_declared(
    rents: Served, change: dict[str, Any], sentence: str, content_type: str
) -> None:
    """H-42; V-30."""
    rows = [GOOD, GOOD | change, GOOD]
    if content_type == CSV:
        file = io.StringIO()
        csv.writer(file).writerows(row.values() for row in rows)
        body = file.getvalue()
    else:
        body = json.dumps(rows)
    answer = rents.server.predict(body.encode(), content_type, Accept=CSV)
    if sentence == "":
        assert (answer.status, answer.body.count(b"\n")) == (200, 3)
    else:
        assert answer.status == 400
        assert answer.message.startswith(sentence)


def test_numbers_alone_are_no_table_of_flats(rents: Served) -> None:
    """H-56: an array cannot hold texts, so it is a mistake in the request."""
    file = io.BytesIO()
    np.save(file, np.ones((1, 5)))
    answer = rents.server.predict(file.getvalue(), "application/x-npy")
    assert (answer.status, answer.message) == (400, "row 1, column 'city' is not a string")


def test_the_description_tells_what_a_flat_may_hold(rents: Served) -> None:
    content = json.loads(rents.server.ask("/openapi.json").body)["paths"]["/invocations"]["post"]["requestBody"][
        "content"
    ]
    [_, named] = content[JSON]["schema"]["properties"]["instances"]["items"]["anyOf"]
    gap = {"enum": [None, ""]}
    heating = {"type": "string", "enum": ["district", "gas", "heat pump"]}
    assert named["properties"]["heating"]["anyOf"] == [heating, gap]
    assert named["properties"]["year"]["anyOf"] == [{"type": "number"}, gap]
    assert named["properties"]["area"]["type"] == "number"
    for content_type in (CSV, JSON):
        example = content[content_type]["example"]
        body = example if isinstance(example, str) else json.dumps(example)
        assert rents.server.predict(body.encode(), content_type).status == 200


# streaming


def test_the_streaming_example_predicts_as_its_forest(stream: Served, text: str, tumours: Any) -> None:
    """H-58, H-60: 52 rows in 7 pieces, in their order."""
    forest = stream.estimator()
    answer = stream.server.predict(text.encode(), Accept=f"{JSON_LINES}; columns=all")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert columns(answer) == {
        "label": list(forest.predict(tumours)), "agreement": list(forest.predict_proba(tumours).max(axis=1)),
    }  # fmt: skip
    assert stream.server.predict(text.encode()).body.decode().splitlines() == list(forest.predict(tumours))


def test_rows_that_a_stream_leaves_out_fail_the_projects_tests(project: Path, tmp_path: Path) -> None:
    """H-58, H-60: here the last slice, where there are several."""
    mine = made(project, "streaming", tmp_path)
    algorithm = mine / "container/program/algorithm.py"
    text = algorithm.read_text(encoding="utf-8")
    assert text.count("range(0, len(rows), ") == 1
    text = text.replace("range(0, len(rows), ", "range(0, max(1, len(rows) - 7), ")
    algorithm.write_text(text, encoding="utf-8")
    os.utime(mine / "requirements-dev.lock", (0, 0))  # older than the environment: nothing is installed into it
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_programs.py", "-k", "the_file_to_predict"]
    done = run(mine, *command, DOCKER="no", VENV=str(TEMPLATE_VENV))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "predict() in algorithm.py yielded 48 values for 52 rows: yield one value for each row." in done.stdout
    assert "Traceback" not in done.stdout


def test_a_mistake_in_a_streamed_request_is_a_400(stream: Served, text: str) -> None:
    """H-42."""
    answer = stream.server.predict(text.encode() + b"1,2\n")
    assert (answer.status, answer.message) == (400, "row 53 has 2 columns, the model expects 30")
