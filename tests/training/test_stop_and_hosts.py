"""A job that is told to stop keeps what it has; hosts wait for a cluster that starts; a script is not passed over."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import changed, output_of, stop, until
from programs import free_port, lay_out, saved, train_here, training, with_train

PLATFORM_SECONDS = 120  # from SIGTERM to SIGKILL (P-21)
# Native code that no signal interrupts. It prints "begun" itself, so a signal after that finds the call running.
HANG = "__import__('ctypes').CDLL(None).system(b'echo begun; exec sleep 60 >/dev/null 2>&1')"


# SIGTERM


def test_a_loop_that_looks_between_long_epochs_keeps_its_model(project: Path, tmp_path: Path) -> None:
    """P-21, P-27: of the platform's 120 seconds an epoch of nine is no large part."""
    loop = "import time; print('begun', flush=True)\n    while not job.stopping: time.sleep(0.1)\n    time.sleep(9)"
    mine = with_train(project, tmp_path, *loop.split("\n    "))
    tree = lay_out(tmp_path / "tree", mine)
    with training(mine, tree) as process:
        until(process, "begun")
        output = stop(process, PLATFORM_SECONDS)
    assert process.returncode == 0, output
    assert "SIGTERM: stopping; the model is saved if train() returns it within 88 seconds" in output
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]


@pytest.mark.parametrize(
    ("phase", "changes", "said"),
    [
        (
            "import",
            [("import onnxruntime\n", "import onnxruntime\n\n{hang}\n")],
            "algorithm.py cannot be interrupted: ending without a model, checkpoints are kept",
        ),
        (
            "train",
            [("    settings = job", "    {hang}\n    settings = job")],
            "train() cannot be interrupted: ending without a model, checkpoints are kept",
        ),
        (
            "save",
            [("(model.onnx)\n", "(model.onnx)\n    {hang}\n")],
            "The model was not saved in time: ending without a model, checkpoints are kept",
        ),
        (
            "check",
            [("    return Model((", "    {hang}\n    return Model((")],
            "The model was not saved in time: ending without a model, checkpoints are kept",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_the_process_ends_by_itself_in_every_phase(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    changes: list[tuple[str, str]],
    said: str,
) -> None:
    """P-21, P-27, T-46: native code that never returns is ended before the platform kills, and leaves no part."""
    monkeypatch.setenv("TRAINING_STOP_SECONDS", "2")
    mine = changed(with_train(project, tmp_path), *[(old, new.format(hang=HANG)) for old, new in changes])
    tree = lay_out(tmp_path / "tree", mine)
    with training(mine, tree) as process:
        until(process, "begun")
        output = stop(process)
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == said
    assert saved(tree) == []
    assert not (tree / "output/failure").exists()


def test_a_model_that_is_in_place_is_kept_whatever_hangs_then(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-21, P-27: as a thread of a library that does not end."""
    monkeypatch.setenv("TRAINING_STOP_SECONDS", "2")
    mine = with_train(project, tmp_path, "import threading", "threading.Thread(target=threading.Event().wait).start()")
    tree = lay_out(tmp_path / "tree", mine)
    with training(mine, tree) as process:
        until(process, "model saved in")
        output = stop(process)
    assert process.returncode == 0, output
    assert output.splitlines()[-1] == "The process did not end by itself: ending, the model is saved"
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]


# Several hosts


@pytest.fixture
def port() -> int:
    return free_port()


def host(project: Path, folder: Path, port: int, name: str, names: list[str], *statements: str) -> tuple[Path, Path]:
    """A project and a tree of a host of a job, which uses ``port`` instead of the job's."""
    constants = ["from contract.training import hosts", f"hosts.PORT = {port}", *statements]
    mine = changed(
        with_train(project, folder), ("import onnxruntime\n", "import onnxruntime\n" + "\n".join(constants) + "\n")
    )
    tree = lay_out(folder / "tree", mine)
    about = {"current_host": name, "hosts": names}
    (tree / "input/config/resourceconfig.json").write_text(json.dumps(about), encoding="utf-8")
    return mine, tree


# Looks each name up in vain for many times, as while a cluster starts; waiting takes no time.
STARTING_CLUSTER = """
import socket, time, itertools
connect, lookups, sleep = socket.create_connection, itertools.count(), time.sleep
time.sleep = lambda seconds: sleep(seconds / 100)
def create_connection(*arguments, **options):
    count = next(lookups)
    if count == 500:
        print('looked up often', flush=True)
    if count < 1000:
        raise socket.gaierror(-2, 'Name or service not known')
    return connect(*arguments, **options)
socket.create_connection = create_connection
"""


def test_a_host_waits_for_its_leader_as_long_as_a_cluster_takes_to_start(
    project: Path, tmp_path: Path, port: int
) -> None:
    """T-06, T-48: AWS's own toolkit looks names up for 15 minutes."""
    names = ["127.0.0.1", "algo-2"]  # the first leads
    follower = host(project, tmp_path / "follower", port, "algo-2", names, STARTING_CLUSTER)
    leader = host(project, tmp_path / "leader", port, "127.0.0.1", names)
    with training(*follower) as waiting:
        until(waiting, "looked up often")
        done = train_here(*leader)
        output = output_of(waiting, 30)
    assert done.returncode == waiting.returncode == 0, output
    assert "algo-2: 127.0.0.1 trains, waiting for it" in output
    assert [saved(leader[1]), saved(follower[1])] == [
        ["baseline.json", "manifest.json", "model.onnx", "signature.json"],
        [],
    ]


def test_a_host_that_never_finds_its_leader_succeeds_and_says_why_it_may_be(
    project: Path, tmp_path: Path, port: int
) -> None:
    """T-06, T-48: the job's end is the leader's to say, and its model stands."""
    mine, tree = host(
        project, tmp_path, port, "b.invalid", ["a.invalid", "b.invalid"], "hosts.SECONDS_TO_FIND_THE_LEADER = 1"
    )
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "b.invalid: a.invalid does not answer, so this host does nothing. If the job runs in a VPC, its security group "
        "must let the hosts reach each other."
    )


def test_a_host_that_looks_for_its_leader_stops_at_once(project: Path, tmp_path: Path, port: int) -> None:
    """P-21, T-06."""
    mine, tree = host(project, tmp_path, port, "b.invalid", ["a.invalid", "b.invalid"])
    with training(mine, tree) as process:
        until(process, "looking for a.invalid")
        output = stop(process)
    assert process.returncode == 0, output
    assert "KILLED" not in output


def test_hosts_of_a_job_that_is_stopped_succeed_although_the_leader_is_cut_off(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    """P-21, P-27, T-48: a leader that does not heed the stop ends without a word, which is no failure then."""
    monkeypatch.setenv("TRAINING_STOP_SECONDS", "2")
    names = ["127.0.0.1", "algo-2"]
    mine, tree = host(project, tmp_path / "leader", port, "127.0.0.1", names)
    changed(mine, ("    settings = job", f"    {HANG}\n    settings = job"))
    with training(mine, tree) as leader, follower(project, tmp_path, port, names) as waiting:
        until(waiting, "waiting for it")
        until(leader, "begun")
        leader.send_signal(signal.SIGTERM)
        output = stop(waiting)
        assert leader.wait() == 0
    assert waiting.returncode == 0, output


@contextlib.contextmanager
def follower(project: Path, tmp_path: Path, port: int, names: list[str]) -> Iterator[subprocess.Popen[str]]:
    with training(*host(project, tmp_path / "follower", port, names[1], names)) as process:
        yield process


# A job that asks for a script


@pytest.mark.parametrize(
    ("given", "variables", "named"),
    [
        ({"sagemaker_program": '"my_train.py"'}, {}, "sagemaker_program=my_train.py"),
        (
            {"sagemaker_program": "a.py", "sagemaker_submit_directory": '"s3://bucket/sourcedir.tar.gz"'},
            {},
            "sagemaker_program=a.py, sagemaker_submit_directory=s3://bucket/sourcedir.tar.gz",
        ),
        ({}, {"SAGEMAKER_PROGRAM": "b.py"}, "SAGEMAKER_PROGRAM=b.py"),
        ({}, {"SAGEMAKER_TRAINING_MODULE": "mine:main"}, "SAGEMAKER_TRAINING_MODULE=mine:main"),
    ],
    ids=["program", "program and directory", "variable", "module"],
)
def test_a_job_that_asks_for_a_script_is_told_that_it_does_not_run(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    variables: dict[str, str],
    named: str,
) -> None:
    """T-11: the SDKs' estimators take a script, and AWS's toolkit would run it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = train_here(project, lay_out(tmp_path / "tree", project, {"n_estimators": "3", **given}))
    assert done.returncode == 0, done.stderr
    assert (
        f"The job asks for a script ({named}), which does not run: this image runs algorithm.py, so put your "
        "code there."
    ) in done.stdout.splitlines()


def test_a_tuning_job_of_a_plain_estimator_asks_for_no_script(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-11: SDK v2's tuner names the estimator's class in each job, also where there is no script."""
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "")
    names = {"sagemaker_estimator_class_name": '"Estimator"', "sagemaker_estimator_module": '"sagemaker.estimator"'}
    tuned = {"n_estimators": "3", "_tuning_objective_metric": "validation_accuracy", "sagemaker_program": "null"}
    done = train_here(project, lay_out(tmp_path / "tree", project, {**tuned, **names}))
    assert done.returncode == 0, done.stderr
    assert "script" not in done.stdout
