"""A training job that is stopped, killed and started again, in the real program."""

import importlib
import itertools
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faults import SOAK, eventually
from forms import long_after
from jobs import until
from programs import algorithm_of, docker, lay_out, saved, serving_here, started, train_here, training, with_train
from projects import algorithm_of_example

LONG = {"trees": "10000", "trees_a_round": "5"}
SHORT = {"trees": "30", "trees_a_round": "3"}


@pytest.fixture(scope="module")
def rounds(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose algorithm works in rounds."""
    mine = Path(shutil.copytree(project, tmp_path_factory.mktemp("rounds") / "mine"))
    shutil.copy(algorithm_of_example("checkpoints"), mine / "container/program/algorithm.py")
    return mine


# SIGTERM


@pytest.mark.parametrize("rest", long_after(1, [[signal.SIGTERM], []]), ids=["twice", "once"])
def test_a_stopped_job_saves_the_model_so_far(rounds: Path, tmp_path: Path, rest: list[signal.Signals]) -> None:
    """P-21, P-27, T-46, T-56; V-14: the log tells at once what has been reached."""
    tree = lay_out(tmp_path / "tree", rounds, LONG)
    with training(rounds, tree) as process:
        until(process, "trees=15")
        for number in (signal.SIGTERM, *rest):
            process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "SIGTERM: stopping; the model is saved if train() returns it within 88 seconds" in output
    assert f"model saved in {tree / 'model'}" in output
    assert saved(tree) == ["baseline.json", "manifest.json", "model.joblib", "signature.json"]
    assert not (tree / "output/failure").exists()
    with serving_here(rounds, tree, tmp_path / "serve.log") as server:
        row = (rounds / "data/predict.csv").read_text(encoding="utf-8").splitlines()[1]
        assert server.predict(row.encode()).body in (b"benign\n", b"malignant\n")


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (
            "while True: sum(range(1000))",
            "stopped before train() returned a model: no model is saved, checkpoints are kept",
        ),
        (
            "import hashlib; hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)",  # native, for minutes
            "train() cannot be interrupted: ending without a model, checkpoints are kept",
        ),
    ],
    ids=["Python", "native code"],
)
def test_a_train_that_does_not_heed_the_stop_is_ended(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str, said: str
) -> None:
    """P-21, P-27; V-14: in time, and without a model that is none."""
    monkeypatch.setenv("TRAINING_STOP_SECONDS", "3")
    mine = with_train(project, tmp_path, "print('begun', flush=True)", train)
    tree = lay_out(tmp_path / "tree", mine)
    with training(mine, tree) as process:
        until(process, "begun")
        process.terminate()
        output, _ = process.communicate(timeout=25)
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == said
    assert list((tree / "model").glob("*")) == []
    assert not (tree / "output/failure").exists()


def test_a_child_that_train_terminates_does_not_stop_the_job(project: Path, tmp_path: Path) -> None:
    """P-21: as libraries do with their own."""
    start = "import multiprocessing as m, time; p = m.get_context('fork').Process(target=time.sleep, args=[60])"
    wait = "p.start(); time.sleep(0.2); p.terminate(); p.join(); time.sleep(1)"
    mine = with_train(project, tmp_path, start, wait)
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    assert "SIGTERM" not in done.stdout
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]


def test_a_stop_in_the_container_keeps_the_model_so_far(image: str, rounds: Path, tmp_path: Path) -> None:
    """P-21, P-27; V-14: as PID 1 too."""
    tree = lay_out(tmp_path / "tree", rounds, LONG)
    mount = algorithm_of(rounds)
    with started(image, f"--volume={tree}:/opt/ml", mount, command="train") as name:
        eventually(lambda: "trees=15" in docker("logs", name).stdout)
        docker("stop", "--time=30", name)
        assert docker("wait", name).stdout.strip() == "0"
    assert saved(tree) == ["baseline.json", "manifest.json", "model.joblib", "signature.json"]


# Checkpoints


def rules(tree: Path) -> list[str]:
    """All that a boosted model has learnt; a pickle's bytes also tell which of its parts were one object."""
    _, estimator = importlib.import_module("joblib").load(tree / "model/model.joblib")
    trees = [tree for round_ in estimator.estimators_ for tree in round_]
    return [*(f"{tree.tree_.threshold.tolist()} {tree.tree_.value.tolist()}" for tree in trees)]


@pytest.mark.slow
def test_a_killed_job_goes_on_from_its_checkpoint_to_the_same_model(rounds: Path, tmp_path: Path) -> None:
    """T-46, T-50, T-52; V-15: killed at any moment; where the algorithm is deterministic nothing shows that it was."""
    whole = lay_out(tmp_path / "whole", rounds, SHORT)
    begun = time.monotonic()
    assert train_here(rounds, whole).returncode == 0
    seconds = time.monotonic() - begun
    wanted = rules(whole)
    kills, resumed, trials = 0, 0, 200 if SOAK else 5
    chance = random.Random(1)
    for trial in itertools.count():
        if trial >= trials and (resumed or trial >= 40):  # on a busy machine few are killed between two checkpoints
            break
        tree = lay_out(tmp_path / str(trial), rounds, SHORT)
        (tree / "checkpoints").mkdir()
        while True:
            with training(rounds, tree) as process:
                try:
                    output, _ = process.communicate(timeout=chance.uniform(0.3, 1.2) * seconds)
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                    process.wait()
                    assert not list((tree / "model").glob("[!.]*")) or rules(tree) == wanted
                    continue
            assert process.returncode == 0, output
            resumed += "continuing from the checkpoint" in output
            break
        assert saved(tree) == ["baseline.json", "manifest.json", "model.joblib", "signature.json"]
        assert rules(tree) == wanted
        shutil.rmtree(tree)
    print(f"{trial} trials, {kills} kills, {resumed} went on from a checkpoint")
    assert resumed


def test_without_a_directory_there_are_no_checkpoints(rounds: Path, tmp_path: Path) -> None:
    """T-51; V-15."""
    tree = lay_out(tmp_path / "tree", rounds, SHORT)
    assert train_here(rounds, tree).returncode == 0
    assert not (tree / "checkpoints").exists()


def test_two_checkpoints_are_kept_whole_and_under_the_hosts_number(rounds: Path, tmp_path: Path) -> None:
    """T-51: a name that tells the hosts apart and stays when the job starts again."""
    tree = lay_out(tmp_path / "tree", rounds, SHORT)
    (tree / "checkpoints").mkdir()
    (tree / "checkpoints/.half-host-0-1").write_text("what a killed job left")
    assert train_here(rounds, tree).returncode == 0
    names = sorted(path.name for path in (tree / "checkpoints").iterdir())
    assert names == ["host-0-00000009", "host-0-00000010"]


# What is saved can be served


def test_a_model_that_cannot_be_served_is_a_failure_of_training(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-23, T-40: and leaves no model; a variable turns the check off."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    source = mine / "container/program/algorithm.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("write_bytes(model.onnx)", "write_bytes(model.onnx[:99])"), encoding="utf-8")
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 1
    assert done.stderr.startswith("The saved model cannot be served: load() in algorithm.py, line ")
    assert list((tree / "model").iterdir()) == []
    monkeypatch.setenv("TRAINING_CHECK", "off")
    assert train_here(mine, tree).returncode == 0
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]


def test_a_model_that_answers_a_row_at_a_time_can_be_served(project: Path, tmp_path: Path) -> None:
    """P-23, H-60: the check counts the values of all pieces."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    source = mine / "container/program/algorithm.py"
    text = source.read_text(encoding="utf-8").replace(" predict(", " predict_all(")
    text += "\n\ndef predict(model, rows):\n    for row in rows:\n        yield predict_all(model, row[None])\n"
    source.write_text(text, encoding="utf-8")
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
