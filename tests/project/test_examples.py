"""Each algorithm below examples/ trains and serves, with and without a container, and predicts as its estimator."""

import ast
import csv
import importlib
import importlib.util
import io
import json
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
from projects import EXAMPLES, made

NAMES = ["joblib", "dataframe", "streaming", "checkpoints", "cluster"]
CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
joblib: Any = importlib.import_module("joblib")  # which has no types
skl2onnx: Any = importlib.import_module("skl2onnx")


def module(path: Path) -> ModuleType:
    """A Python file, under a name that no other has."""
    name = "_".join(path.parts[-2:]).removesuffix(".py")
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
        done = train_here(mine, tree)
        assert done.returncode == 0, done.stderr
        with serving_here(mine, tree, folder / "serve.log") as server:
            yield Served(server, mine, tree / "model", done.stdout)
        return
    image = request.getfixturevalue("image")
    mount = algorithm_of(mine)
    done = docker("run", "--rm", mount, f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    with serving(image, tree / "model", mount) as server:
        yield Served(server, mine, tree / "model", done.stdout)


BOTH = pytest.fixture(scope="module", params=["here", "container"])
HERE_FIRST = pytest.fixture(scope="module", params=long_after(1, ["here", "container"]))


@BOTH
def splines(
    request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from serve("joblib", request, project, tmp_path_factory)


@HERE_FIRST
def rents(request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve("dataframe", request, project, tmp_path_factory)


@HERE_FIRST
def stream(request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve("streaming", request, project, tmp_path_factory)


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
    source = (EXAMPLES / name / "algorithm.py").read_text(encoding="utf-8")
    assert source.startswith('"""Yours: the algorithm, ')
    assert len(source.splitlines()) < 100
    functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert functions[:4] == ["train", "save", "load", "predict"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_requires_what_it_imports(name: str) -> None:
    imports = [node for node in ast.walk(ast.parse((EXAMPLES / name / "algorithm.py").read_text(encoding="utf-8")))
               if isinstance(node, ast.Import | ast.ImportFrom)]  # fmt: skip
    modules = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in imports if isinstance(node, ast.ImportFrom)}
    packages = {module.split(".")[0].replace("sklearn", "scikit-learn") for module in modules}
    lines = (EXAMPLES / name / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Yours: ")
    assert lines[1:] == sorted(packages - set(sys.stdlib_module_names) - {"contract"})


def test_the_page_lists_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/algorithm.py")) == sorted(NAMES)
    assert [name for name in NAMES if f"({name}/algorithm.py)" not in page] == []


# joblib


def test_the_joblib_example_predicts_as_its_pipeline(splines: Served, text: str, tumours: Any) -> None:
    """H-58; the label is the likeliest class, as scikit-learn has it."""
    pipeline = splines.estimator()
    answer = columns(splines.server.predict(text.encode(), Accept=f"{JSON_LINES}; columns=all"))
    assert answer["label"] == list(pipeline.predict(tumours))
    probabilities = [answer[f"probability_{name}"] for name in pipeline.classes_]
    assert np.allclose(np.transpose(probabilities), pipeline.predict_proba(tumours), rtol=1e-9, atol=0)
    assert "validation_accuracy=0.9" in splines.log


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
    example = module(EXAMPLES / "joblib/algorithm.py")
    _, pipeline = joblib.load(splines.model / "model.joblib")
    joblib.dump(("0.1", pipeline), tmp_path / "model.joblib")
    with pytest.raises(UserError, match=r"^The model is of scikit-learn 0\.1, this is .*: train it again\.$"):
        example.load(tmp_path)


def test_a_loaded_pipeline_uses_one_thread(tmp_path: Path) -> None:
    """P-52, S-05: whatever it was trained with."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import make_pipeline

    example = module(EXAMPLES / "joblib/algorithm.py")
    forest = make_pipeline(ExtraTreesClassifier(2, n_jobs=-1)).fit([[0.0], [1.0]], ["a", "b"])
    example.save(forest, tmp_path)
    assert example.load(tmp_path)[-1].n_jobs == 1


@pytest.mark.parametrize("name", long_after(1, ["joblib", "checkpoints"]))
def test_the_projects_own_tests_hold_for_an_example(project: Path, tmp_path: Path, name: str) -> None:
    mine = made(project, name, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_algorithm.py"]
    done = subprocess.run(command, cwd=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


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
        ({"city": "Rome"}, f"row 2, column 'city' is none of {CITIES}"),
        ({"city": "oslo"}, f"row 2, column 'city' is none of {CITIES}"),
        ({"city": ""}, "row 2, column 'city' is empty, and "), ({"city": None}, "row 2, column 'city' is empty, and "),
        ({"heating": "coal"}, "row 2, column 'heating' is none of the 3 values "), ({"heating": None}, ""),
        ({"area": None}, "row 2, column 'area' is empty, and the model needs a value there"), ({"year": None}, ""),
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
    assert (answer.status, answer.message) == (400, "row 1, column 'city' is not a text")


def test_the_description_tells_what_a_flat_may_hold(rents: Served) -> None:
    content = json.loads(rents.server.ask("/openapi.json").body)["paths"]["/invocations"]["post"]["requestBody"][
        "content"
    ]
    [_, _, named] = content[JSON]["schema"]["properties"]["instances"]["items"]["anyOf"]
    assert named["properties"]["heating"]["enum"] == ["district", "gas", "heat pump", None]
    assert named["properties"]["year"]["type"] == ["number", "null"]
    assert named["properties"]["area"]["type"] == ["number"]
    for content_type in (CSV, JSON):
        example = content[content_type]["example"]
        body = example if isinstance(example, str) else json.dumps(example)
        assert rents.server.predict(body.encode(), content_type).status == 200


def test_the_same_flats_are_made_each_time() -> None:
    command = [sys.executable, str(EXAMPLES / "dataframe/make_data.py"), "50"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second
    assert first.count("\n") == 51


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


def test_a_mistake_in_a_streamed_request_is_a_400(stream: Served, text: str) -> None:
    """H-42."""
    answer = stream.server.predict(text.encode() + b"1,2\n")
    assert (answer.status, answer.message) == (400, "row 53 has 2 columns, the model expects 30")
