"""A data scientist's day: `make train` again and again, its past runs, and what is never lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from programs import free_port
from projects import IMAGES, TEMPLATE_VENV, make, run


def trained(project: Path, hyperparameters: str = "n_estimators=5") -> Path:
    """Train without Docker, and return the folder of the run."""
    done = make(project, "train", f"HYPERPARAMETERS={hyperparameters}", DOCKER="no")
    assert done.returncode == 0, done.stderr
    return runs_of(project)[-1]


def runs_of(project: Path) -> list[Path]:
    return sorted((project / "opt_ml/runs").iterdir())


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_each_training_is_kept_and_the_newest_is_in_use(mine: Path) -> None:
    first = trained(mine)
    assert contents(mine / "opt_ml/model") == contents(first / "model")
    second = trained(mine, "n_estimators=6")
    assert contents(mine / "opt_ml/model") == contents(second / "model") != contents(first / "model")
    assert runs_of(mine) == [first, second]
    assert all((folder / "output/data/report.html").exists() for folder in (first, second))


def test_a_training_that_fails_leaves_the_model_as_it_was(mine: Path) -> None:
    trained(mine)
    before = contents(mine / "opt_ml/model")
    done = make(mine, "train", "HYPERPARAMETERS=n_estimator=6", DOCKER="no")
    assert done.returncode != 0
    assert contents(mine / "opt_ml/model") == before
    assert make(mine, "train", "HYPERPARAMETERS=6", DOCKER="no").returncode != 0  # which is no run at all
    assert [(folder / "output/failure").exists() for folder in runs_of(mine)] == [False, True]


def test_a_model_of_ones_own_is_set_aside(mine: Path) -> None:
    """It came from elsewhere, so no run has it."""
    own = mine / "opt_ml/model/deep"
    own.mkdir(parents=True)
    (own / "weights.bin").write_bytes(b"dear")
    done = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", DOCKER="no")
    assert not (mine / "opt_ml/model/deep").exists()
    kept, new = sorted(runs_of(mine), key=lambda folder: not folder.name.endswith("-before"))
    assert (kept / "model/deep/weights.bin").read_bytes() == b"dear"
    assert f"The model that was in {mine}/opt_ml/model is now in {kept}/model." in done.stderr
    shutil.rmtree(new)
    trained(mine)  # the model in use was in that run alone
    assert len([folder for folder in runs_of(mine) if folder.name.endswith("-before")]) == 2


def test_past_runs_are_listed_with_their_metrics_side_by_side(mine: Path) -> None:
    assert f"There are no runs in {mine}/opt_ml/runs: run `make train` first." in make(mine, "runs").stderr
    good = trained(mine, "n_estimators=5 max_depth=2")
    make(mine, "train", "HYPERPARAMETERS=seed=-one", DOCKER="no")
    metrics = json.loads((good / "output/data/metrics.json").read_text(encoding="utf-8"))
    header, first, second = make(mine, "runs").stdout.splitlines()
    assert header.split() == ["run", *metrics, "hyperparameters"]
    assert "validation_accuracy" in metrics
    figures = [f"{value:.6g}" for [value] in metrics.values()]
    assert first.split() == [good.name, *figures, "n_estimators=5", "max_depth=2"]
    sentence = "The hyperparameter 'seed' is '-one': give a whole number from 0 to 4294967295."
    assert f"seed=-one (failed: {sentence})" in second


def test_the_newest_report_is_opened(mine: Path, tmp_path: Path) -> None:
    assert f"There is no report in {mine}/opt_ml/runs: run `make train` first." in make(mine, "report").stderr
    page = trained(mine) / "output/data/report.html"
    run_of_page = f"my-algorithm-{page.parents[2].name}"
    assert f"<h1>Training report: {run_of_page}</h1>" in page.read_text(encoding="utf-8")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    done = make(mine, "report", BROWSER=f"{browser} %s")
    assert done.stdout.splitlines() == [str(page)]
    assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == page.as_uri()


def test_checkpoints_are_the_runs_in_common(mine: Path) -> None:
    """Where the folder exists, as on the platform."""
    (mine / "opt_ml/checkpoints").mkdir(parents=True)
    source = mine / "container/program/algorithm.py"
    text = source.read_text(encoding="utf-8")
    first = "    settings = job.hyperparameters\n"
    more = '    job.checkpoints.write(lambda path: path.write_text("so far"))\n'
    source.write_text(text.replace(first, first + more, 1), encoding="utf-8")
    trained(mine)
    again = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", DOCKER="no")
    assert f"continuing from the checkpoint {mine}/opt_ml/checkpoints/host-0-00000001" in again.stdout


def test_clean_removes_runs_and_model(mine: Path) -> None:
    trained(mine)
    assert run(mine, "make", "clean", VENV=str(mine / "unused")).returncode == 0
    assert not (mine / "opt_ml").exists()


@contextmanager
def ended_if_the_test_fails(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill its group then: it would be waited for without end."""
    try:
        yield
    except BaseException:  # the failure of a test is none of Exception's
        os.killpg(process.pid, signal.SIGKILL)
        raise


def one_round(watch: subprocess.Popen[str]) -> str:
    """What `make watch` prints until it waits for a save."""
    assert watch.stdout
    printed = ""
    for line in watch.stdout:
        if line.startswith("watching "):
            return printed
        printed += line
    pytest.fail(f"make watch ended:\n{printed}")


@pytest.mark.parametrize("docker", ["no", pytest.param("yes", marks=pytest.mark.docker)])
def test_what_is_saved_is_trained_and_served_until_ctrl_c(
    mine: Path, docker: str, request: pytest.FixtureRequest
) -> None:
    """A mistake is told, the last good model is served on."""
    if docker == "yes":
        request.getfixturevalue("docker_answers")
    port, source = str(free_port()), mine / "container/program/algorithm.py"
    settings = {"VENV": str(TEMPLATE_VENV), "DOCKER": docker, "PORT": port, "TRAIN": "yes", "PYTHON": sys.executable}
    settings |= {"IMAGE": f"{IMAGES}:watch", "CONTAINER": f"{IMAGES}-watch"}
    command = ["make", "--silent", "watch", "HYPERPARAMETERS=n_estimators=5"]
    with (
        subprocess.Popen(
            command,
            cwd=mine,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as watch,
        ended_if_the_test_fails(watch),
    ):
        assert f"serving on http://localhost:{port}" in one_round(watch)
        text = source.read_text(encoding="utf-8")
        better = text.replace('{"label": labels}', '{"so": [f"maybe {it}" for it in labels], "label": labels}')
        source.write_text(better, encoding="utf-8")
        assert f"serving on http://localhost:{port}" in one_round(watch)
        assert "maybe malignant" in make(mine, "predict", PORT=port).stdout
        source.write_text(better + "def more(\n", encoding="utf-8")
        assert "algorithm.py has a syntax error on line " in one_round(watch)
        assert "maybe malignant" in make(mine, "predict", PORT=port).stdout
        os.killpg(watch.pid, signal.SIGINT)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://localhost:{port}/ping")


def test_a_metric_that_is_no_number_leaves_its_place_empty(mine: Path) -> None:
    """Such as R² of a single row."""
    data = mine / "opt_ml/runs/one/output/data"
    data.mkdir(parents=True)
    (data / "metrics.json").write_text('{"validation_r2": [0.5, null], "validation_mae": [2.0]}', encoding="utf-8")
    done = make(mine, "runs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["one", "2", "(no", "model)"]


def test_watching_needs_a_model_or_trains_one(mine: Path) -> None:
    done = make(mine, "watch", DOCKER="no")
    assert (
        f"There is no model in {mine}/opt_ml/model: run `make watch TRAIN=yes` first, or name one in MODEL."
        in done.stderr
    )
    assert "TRAIN is 'maybe': write yes or no." in make(mine, "watch", DOCKER="no", TRAIN="maybe").stderr


def test_a_notebook_has_the_job_the_model_and_the_servers_predictions(mine: Path) -> None:
    trained(mine, "n_estimators=7")
    cells = """
import sys; sys.path.insert(0, "..")
from local import job, model, predict
import algorithm, pandas
table = pandas.read_csv("../data/predict.csv")
answers = predict(table)
assert answers.equals(predict(table, algorithm.train(job(n_estimators=7)))), "another model"
assert answers.iloc[3].equals(predict(table.values[3:4]).iloc[0]), "another answer"
assert type(model()) is algorithm.Model
assert job().channel("training").files(".csv")[0].samefile("../data/training/breast_cancer.csv")
print(answers["label"].to_csv(index=False, header=False))
try:
    predict(table.iloc[:, :3])
except Exception as error:
    print(error)
for answer in ([["benign"]] * 51, ["benign"] * 51):
    algorithm.predict = lambda model, rows: iter(answer) if isinstance(answer[0], list) else answer
    try:
        predict(table)
    except Exception as error:
        print(error)
"""
    done = run(mine / "notebooks", sys.executable, "-c", cells)
    assert done.returncode == 0, done.stderr
    *_, refused, yielded, returned = done.stdout.splitlines()
    assert refused == "the header lacks the column 'mean_area'"
    assert yielded == "predict() in algorithm.py yielded 51 values for 52 rows: yield one value for each row."
    assert returned.startswith("predict() in algorithm.py returned the column 'prediction' with shape (51,) for 52 ")
    port = str(free_port())
    assert make(mine, "serve", DOCKER="no", PORT=port).returncode == 0
    assert make(mine, "predict", PORT=port).stdout in done.stdout
