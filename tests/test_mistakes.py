"""What a user reads who made a typical mistake in algorithm.py: one sentence that names the file and the fix."""

import shutil
from pathlib import Path

import pytest

from programs import lay_out, serving_here, train_here

TRAIN = {
    "a syntax error": (
        "    settings = job.hyperparameters\n", "    settings = job.hyperparameters)\n",
        "algorithm.py has a syntax error in line ",
    ),
    "an uninstalled package": (
        "import onnxruntime\n", "import onnxruntime\nimport xgboost\n",
        "algorithm.py imports 'xgboost', which is not installed: "
        "add it to container/requirements.txt and run `make lock`.",
    ),
    "a missing function": (
        "def features(", "def columns(", "algorithm.py has no function features(model): add it.",
    ),
    "other arguments": (
        "def predict(model: Model, rows: Rows)", "def predict(model: Model, rows: Rows, threshold: float)",
        "predict() in algorithm.py takes other arguments than it is given: declare it as predict(model, rows).",
    ),
    "no dataclass": (
        "@dataclass(frozen=True)\nclass Hyperparameters", "class Hyperparameters",
        "algorithm.py needs a dataclass named Hyperparameters; it may be empty.",
    ),
    "a type that cannot be decoded": (
        "    seed: int = 0", "    seed: tuple[int, ...] = (0,)",
        "Hyperparameters.seed in algorithm.py is annotated tuple[int, ...]: "
        "use int, float, bool, str, list, dict or Literal[...], each also with '| None'.",
    ),
    "a forgotten return": (
        "    return model\n", "",
        "train() in algorithm.py returned None: return the model that save() is to write.",
    ),
    "nothing saved": (
        "    (directory / \"model.onnx\").write_bytes(model.onnx)", "    pass",
        "save() in algorithm.py wrote nothing: write the model into the directory it is given.",
    ),
    "an exception": (
        "    settings = job.hyperparameters\n", "    settings = job.hyperparameters\n    settings.depth\n",
        "train() in algorithm.py, line {line}, raised AttributeError: 'Hyperparameters' object has no ",
    ),
    "an exit": (
        "    settings = job.hyperparameters\n", "    settings = job.hyperparameters\n    raise SystemExit(0)\n",
        "train() in algorithm.py, line {line}, raised SystemExit: 0",
    ),
    "another channel": (
        'job.channel("training")', 'job.channel("train")',
        "The job has no channel 'train': ",
    ),
}  # fmt: skip

# Each with more than one row: what cannot predict the example of features() is not served at all.
SERVE = {
    "no dict": (
        '    return {"label": labels} |',
        '    if len(rows) > 1:\n        return labels\n    return {"label": labels} |',
        500, "predict() in algorithm.py returned ndarray: return a dict of named columns such as {\"label\": labels}.",
    ),
    "a row too few": (
        '    return {"label": labels} |', '    return {"label": labels[len(rows) > 1 :]} |',
        500, "predict() in algorithm.py returned the column 'label' with shape (51,) for 52 rows: "
        "return one value for each row.",
    ),
    "an exception": (
        "    labels, probabilities =",
        "    labels = rows.no_such_thing if len(rows) > 1 else 0\n    labels, probabilities =",
        500, "the algorithm failed; the log says why under ",
    ),
}  # fmt: skip


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """A project to make mistakes in."""
    return Path(shutil.copytree(project, tmp_path / "mine"))


def edit(project: Path, old: str, new: str) -> None:
    algorithm = project / "container/program/algorithm.py"
    text = algorithm.read_text(encoding="utf-8")
    assert old in text
    algorithm.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("mistake", TRAIN)
def test_a_mistake_in_training_is_named_first(mine: Path, tmp_path: Path, mistake: str) -> None:
    """T-43, T-44: a sentence; after it the traceback where it is not one of the known mistakes."""
    old, new, sentence = TRAIN[mistake]
    edit(mine, old, new)
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 1
    failure = (tree / "output/failure").read_text(encoding="utf-8")
    lines = (mine / "container/program/algorithm.py").read_text(encoding="utf-8").splitlines()
    after_settings = lines.index("    settings = job.hyperparameters") + 2 if "{line}" in sentence else 0
    assert failure.startswith(sentence.replace("{line}", str(after_settings)))
    assert done.stderr.strip() == failure.strip()
    assert ("Traceback" in failure) == mistake.startswith("an ex")


@pytest.mark.parametrize("mistake", SERVE)
def test_a_mistake_in_predict_is_named_to_the_client_or_in_the_log(mine: Path, tmp_path: Path, mistake: str) -> None:
    """H-46, H-55: no trace leaves the server, and the log has it under the id that the client got."""
    old, new, status, sentence = SERVE[mistake]
    tree = lay_out(tmp_path / "tree", mine)
    assert train_here(mine, tree).returncode == 0
    edit(mine, old, new)
    with serving_here(mine, tree, tmp_path / "serve.log") as server:
        answer = server.predict((mine / "data/predict.csv").read_bytes(), "text/csv; header=present")
        assert answer.status == status
        assert answer.message.startswith(sentence)
        if mistake == "an exception":
            identifier = answer.message.rsplit(" ", 1)[1]
            assert f"error {identifier}: predict() in algorithm.py, line " in server.logged()
            assert "AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing'" in server.logged()
