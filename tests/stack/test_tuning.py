"""`make tune`: Optuna's own studies, of real trainings, without Docker."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploying import TRAIN, at, started
from environments import part
from mlflow_server import serving_mlflow, values
from projects import TEMPLATE_VENV, make, run

FAST = '''"""Yours: an algorithm that trains at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from contract.api import Predictions, Range, Rows, TrainingJob, UserError


@dataclass(frozen=True)
class Hyperparameters:
    depth: Annotated[int, Range(1, 9)] = 2
    rate: Annotated[float, Range(0.0001, 1)] = 0.5
    kind: Literal["good", "bad"] = "good"
    seed: Annotated[int, Range(0, 9)] = 0
    free: str = ""


def train(job: TrainingJob[Hyperparameters]) -> int:
    given = job.hyperparameters
    if given.kind == "bad":
        raise UserError("The kind is bad.")
    job.log_metric("width", 1)
    job.log_metric("score", given.depth - given.rate)
    job.log_metric("loss", given.rate)
    return given.depth


def save(model: int, directory: Path) -> None:
    (directory / "model.txt").write_text(str(model))


def load(directory: Path) -> int:
    return int((directory / "model.txt").read_text())


def features(model: int) -> list[str]:
    return ["x"]


def predict(model: int, rows: Rows) -> Predictions:
    return {"prediction": [model] * len(rows)}
'''


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """A project whose trainings take a second."""
    part("tuning")
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    os.utime(folder / "requirements-dev.lock", (0, 0))  # older than .venv: nothing is installed into it
    (folder / "container/program/algorithm.py").write_text(FAST, encoding="utf-8")
    return folder


def tune(mine: Path, trials: int, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return make(mine, "tune", f"TRIALS={trials}", *variables, DOCKER="no", **environment)


def trials(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines about trials, without how long each took."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("trial ")]
    return [line.rpartition(", ")[0] for line in lines]


def model_of(done: subprocess.CompletedProcess[str], mine: Path) -> Path:
    """The folder of the best trial's model, which is the last line."""
    assert done.returncode == 0, done.stderr
    return mine / done.stdout.splitlines()[-1]


def space(mine: Path, **given: Any) -> Any:
    nothing: dict[str, Any] = {"objective": None, "maximize": None, "metrics": [], "ranges": [], "logged": []}
    asked = json.dumps(nothing | {"hyperparameters": {}} | given)
    return run(mine, sys.executable, "-m", "stack.tuning.space", asked)


def test_the_best_trials_model_is_kept_and_in_use(mine: Path) -> None:
    done = tune(mine, 6, "OBJECTIVE=score", "HYPERPARAMETERS=kind=good")
    best = model_of(done, mine)
    told = trials(done)
    assert len(told) == 6
    assert told[0] == "trial 0: the defaults: score=1.5, the best so far"
    scores = [float(line.partition("score=")[2].partition(",")[0]) for line in told]
    assert max(scores) > 1.5
    kept = [path for path in (mine / "opt_ml/runs").glob("*/model") if (path / "model.txt").exists()]
    assert kept == [best]
    assert len(list((mine / "opt_ml/runs").glob("*/model/manifest.json"))) == 6
    manifest = json.loads((best / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["metrics"]["score"] == pytest.approx(max(scores), abs=1e-4)
    for name in ("model.txt", "manifest.json"):
        assert (mine / "opt_ml/model" / name).read_bytes() == (best / name).read_bytes()
    assert manifest["hyperparameters"]["kind"] == "good"


def test_without_an_objective_the_first_metric_whose_name_says_more_or_less_decides(mine: Path) -> None:
    """``width`` is logged first, and nobody knows whether much of it is good."""
    done = tune(mine, 2, "HYPERPARAMETERS=kind=good")
    assert trials(done)[0] == "trial 0: the defaults: score=1.5, the best so far"
    less = tune(mine, 5, "OBJECTIVE=loss", "HYPERPARAMETERS=kind=good", "OPTIONS=--study less")
    manifest = json.loads((model_of(less, mine) / "manifest.json").read_text(encoding="utf-8"))
    losses = [float(line.partition("loss=")[2].partition(",")[0]) for line in trials(less)]
    assert manifest["metrics"]["loss"] == pytest.approx(min(losses), abs=1e-4)


def test_a_study_goes_on_where_it_ended(mine: Path) -> None:
    first = tune(mine, 2, "OBJECTIVE=score")
    more = tune(mine, 4, "OBJECTIVE=score")
    assert [line.split(":")[0] for line in trials(first) + trials(more)] == ["trial 0", "trial 1", "trial 2", "trial 3"]
    again = tune(mine, 4, "OBJECTIVE=score")
    assert trials(again) == []
    assert model_of(again, mine) == model_of(more, mine)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_was_ended_in_a_trial_goes_on(mine: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "stack.tuning", "--trials", "200", "--objective", "score", "kind=good"]
    variables = {**os.environ, "VENV": str(TEMPLATE_VENV), "DOCKER": "no"}
    with subprocess.Popen(
        command, cwd=mine, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("trial 2:"):
                break
        runs = len(list((mine / "opt_ml/runs").iterdir()))
        while len(list((mine / "opt_ml/runs").iterdir())) == runs:  # until the next trial trains
            time.sleep(0.01)
        os.killpg(process.pid, how)
        said = process.stderr.read()
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted: finished trials are kept, and the same command continues." in said
        assert "best of 3 trials is trial " in said
    done = tune(mine, 5, "OBJECTIVE=score", "HYPERPARAMETERS=kind=good")
    assert len(trials(done)) == 2  # the one that was cut off does not count
    assert "best of 5 trials is trial " in done.stderr
    assert (model_of(done, mine) / "model.txt").exists()


def test_a_trial_that_fails_is_shown_and_the_study_goes_on(mine: Path) -> None:
    done = tune(mine, 6, "OBJECTIVE=score", "OPTIONS=--range kind=good,bad --range depth=1:9")
    assert (model_of(done, mine) / "model.txt").exists()
    failed = [line for line in trials(done) if "failed" in line]
    assert 0 < len(failed) < 6
    assert all("kind=bad: failed: The kind is bad. (opt_ml/runs/" in line for line in failed)
    log = mine / failed[0].partition("(")[2].partition(")")[0]
    assert "The kind is bad." in log.read_text(encoding="utf-8")


def test_a_study_without_any_model_fails(mine: Path) -> None:
    done = tune(mine, 2, "OBJECTIVE=score", "HYPERPARAMETERS=kind=bad")
    assert done.returncode != 0
    assert "None of 2 trials has a model: the lines above say why." in done.stderr
    unknown = tune(mine, 2, "HYPERPARAMETERS=kind=bad", "OPTIONS=--study other")
    assert unknown.returncode != 0
    assert "Name the metric to compare, OBJECTIVE=NAME: no trial shows it (The kind is bad.)." in unknown.stderr


def test_what_is_varied_is_what_deploy_tune_varies(mine: Path, project: Path, tmp_path: Path) -> None:
    """The schema's ranges and choices, and no seed; the same as in `make hyperparameters`."""
    for folder, objective in ((mine, "score"), (project, "validation_accuracy")):
        here = json.loads(space(folder, objective=objective).stdout)
        with started(tmp_path, None) as platform:
            there = at(platform, folder, tmp_path)("tune", *TRAIN[1:], "--objective", objective, "--dry-run")
        requests = {name: request for each in json.loads(there.stdout) for name, request in each.items()}
        config = requests["CreateHyperParameterTuningJob"]["HyperParameterTuningJobConfig"]
        assert here["ranges"] == config["ParameterRanges"]
        assert here["objective"] == config["HyperParameterTuningJobObjective"]
        printed = make(folder, "hyperparameters").stdout.partition("ParameterRanges of a tuning job:\n")[2]
        schema = [each for found in json.loads(printed).values() for each in found if each["Name"] != "seed"]
        varied = [each for found in here["ranges"].values() for each in found]
        assert sorted(map(str, varied)) == sorted(map(str, schema))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (["OBJECTIVE=scores"], "algorithm.py does not log --objective 'scores': give score, or --metric for another."),
        (["OBJECTIVE=width"], "The name 'width' does not say whether more is better: give --maximize or --minimize."),
        (["OPTIONS=--range depth=9:1"], "--range 'depth=9:1': give two numbers, the lower first, as in depth=1:10."),
        (["HYPERPARAMETERS=depht=3"], "There is no hyperparameter 'depht': did you mean 'depth'?"),
        (["HYPERPARAMETERS=depth"], "The hyperparameter 'depth' has no value: write name=value."),
        (["OPTIONS=--study a/b"], "--study is 'a/b': give letters, digits, - and _."),
        (["REGISTER=best"], "REGISTER names a model in MLflow, so set its server too: MLFLOW=http://HOST:PORT."),
        (["TRIALS=none"], "argument --trials: 'none' is not a whole number of 1 or more"),
    ],
)
def test_a_mistake_is_told_before_any_trial(mine: Path, variables: list[str], sentence: str) -> None:
    done = make(mine, "tune", *variables, DOCKER="no")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (mine / "opt_ml/runs").exists()


def test_trials_that_cannot_be_compared_are_not_mixed(mine: Path) -> None:
    assert tune(mine, 1, "OBJECTIVE=score").returncode == 0
    with (mine / "data/training/breast_cancer.csv").open("a") as data:
        data.write("\n")
    changed = tune(mine, 2, "OBJECTIVE=score")
    assert changed.returncode != 0
    assert "The study 'study' was started with other ranges, hyperparameters, data, packages or code" in changed.stderr
    assert tune(mine, 1, "OBJECTIVE=score", "OPTIONS=--study another").returncode == 0


def test_a_study_is_worked_on_by_one_command_at_a_time(mine: Path) -> None:
    folder = mine / "opt_ml/tuning"
    folder.mkdir(parents=True)
    with (folder / "study.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = tune(mine, 1, "OBJECTIVE=score")
    assert done.returncode != 0
    assert "Another `make tune` is running the study 'study': wait until it ends." in done.stderr


@pytest.fixture
def real(project: Path, tmp_path: Path) -> Iterator[Path]:
    """A project with the template's own algorithm."""
    part("tuning")
    part("tracking")
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    os.utime(folder / "requirements-dev.lock", (0, 0))
    yield folder


def test_the_trials_are_in_mlflow_and_the_best_in_its_registry(real: Path, tmp_path: Path) -> None:
    with serving_mlflow(tmp_path) as mlflow:
        where = [f"MLFLOW={mlflow.uri}", "REGISTER=tuned", "OPTIONS=--range n_estimators=1:20 --range max_depth=1:100"]
        done = tune(real, 3, "HYPERPARAMETERS=seed=1", *where)
        best = model_of(done, real)
        logged = mlflow.runs()
        [version] = mlflow.ask("model-versions/search", filter="name='tuned'")["model_versions"]
    assert [each["info"]["status"] for each in logged] == ["FINISHED"] * 3
    tags = [values(each["data"]["tags"]) for each in logged]
    assert [(each["study"], each["trial"]) for each in tags] == [("study", "0"), ("study", "1"), ("study", "2")]
    assert {"n_estimators", "max_depth", "seed"} <= values(logged[1]["data"]["params"]).keys()
    [winner] = [each["info"]["run_name"] for each in logged if each["info"]["run_id"] == version["run_id"]]
    assert winner == f"my-algorithm-{best.parent.name}"


def test_a_study_goes_on_while_mlflow_is_down(mine: Path) -> None:
    part("tracking")
    nobody = {"MLFLOW": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    variables = {**nobody, "VENV": str(TEMPLATE_VENV), "DOCKER": "no"}
    arguments = ["--trials", "2", "--objective", "score", "kind=good"]
    done = run(mine, sys.executable, "-m", "stack.tuning", *arguments, **variables)
    assert done.returncode == 3
    assert len(trials(done)) == 2
    assert done.stderr.count("is kept. To log it later: `python3 -m stack.tracking log ") == 2
    assert (mine / done.stdout.splitlines()[-1] / "model.txt").exists()
