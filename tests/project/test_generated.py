"""The generated project in a user's hands: its linters, its own tests, its Makefile, and the demo."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from string import Template

import pytest

from forms import long_after
from programs import free_port
from projects import BIN, TEMPLATE, TEMPLATE_VENV, make, run


@pytest.mark.parametrize(
    "command",
    [
        "ruff check --no-cache .",
        "ruff format --no-cache --check .",
        "mypy --cache-dir=/dev/null",
        "shellcheck container/build_and_push.sh",
        "shfmt -d -i 2 -ci container/build_and_push.sh",
        "hadolint container/Dockerfile",
    ],
)
def test_the_generated_files_pass_the_linters(project: Path, command: str) -> None:
    program, *arguments = command.split()
    done = run(project, str(BIN / program), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gixy_finds_nothing_in_nginx_conf(project: Path, tmp_path: Path) -> None:
    text = Template((project / "container/program/nginx.conf").read_text(encoding="utf-8"))
    config = tmp_path / "nginx.conf"
    values = {"PORT": 8080, "TIMEOUT": 60, "BODY_LIMIT": 6, "SCRATCH": "/tmp", "LOG": "off"}
    values["SERVERS"] = "server unix:/tmp/worker-0.sock; server unix:/tmp/worker-1.sock;"
    values["FREE"] = "server unix:/tmp/worker-0.sock max_conns=1 weight=2;"
    config.write_text(text.safe_substitute(values), encoding="utf-8")
    done = run(tmp_path, str(BIN / "gixy"), str(config))
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout


@pytest.mark.slow
def test_the_locks_hold_what_the_requirements_ask_for(mine: Path) -> None:
    """`make lock` changes nothing where nothing was edited."""
    before = {path: path.read_bytes() for path in mine.rglob("*.lock")}
    done = make(mine, "lock")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in mine.rglob("*.lock")} == before


@pytest.mark.slow
def test_without_docker_the_projects_tests_say_what_they_left_out(mine: Path) -> None:
    done = make(mine, "test", DOCKER_HOST="unix:///nowhere", REQUIRE_DOCKER="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not tested in the container: Docker does not answer" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    long_after(2, [
        ("def load(", "def load(directory) ->", "algorithm.py has a syntax error on line "),
        ("import onnxruntime\n", "import onnxruntime\nimport xgboost\n", "algorithm.py imports 'xgboost', which "),
        ("def load(", "def read(", "algorithm.py has no function load(directory): add it."),
        ("    return model\n", "", "train() in algorithm.py returned None: return the model for save() to write."),
        ('"diagnosis"', '"outcome"', "The channel 'training' has no column 'outcome': it has diagnosis, "),
    ]),
)  # fmt: skip
def test_a_mistake_in_algorithm_py_ends_the_projects_tests_with_its_sentence(
    mine: Path, old: str, new: str, sentence: str
) -> None:
    algorithm = mine / "container/program/algorithm.py"
    algorithm.write_text(algorithm.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    done = make(mine, "test", DOCKER_HOST="unix:///nowhere", REQUIRE_DOCKER="0")
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count(sentence) == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_git_keeps_the_examples_data_and_no_other(mine: Path) -> None:
    """Your data may be large or secret; a sample can be added by force."""
    for name in ("data/training/more.csv", "data/test/rows.parquet", "data/notes.txt"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).touch()
    assert run(mine, "git", "init", "--quiet").returncode == 0
    assert run(mine, "git", "add", "--all").returncode == 0
    kept = ["data/predict.csv", "data/training/breast_cancer.csv", "data/validation/breast_cancer.csv"]
    assert run(mine, "git", "ls-files", "data").stdout.splitlines() == kept
    assert run(mine, "git", "add", "--force", "data/training/more.csv").returncode == 0
    assert "data/training/more.csv" in run(mine, "git", "ls-files", "data").stdout


def test_make_alone_lists_every_target_in_a_line(project: Path) -> None:
    targets = [
        "help",
        "setup",
        "train",
        "runs",
        "report",
        "serve",
        "watch",
        "predict",
        "hyperparameters",
        "tune",
        "test",
        "stack",
        "stack-down",
        "stack-clean",
        "rehearse",
        "monitor",
        "retrain",
        "image",
        "archive",
        "shell",
        "logs",
        "stop",
        "clean",
        "load",
        "truth",
        "lock",
        "format",
        "update",
        "check",
    ]
    listed = run(project, "make").stdout.partition("\n\n")[0].splitlines()
    assert [line.split()[1] for line in listed] == targets
    assert all(len(line.split(maxsplit=2)) == 3 for line in listed)


def test_a_day_without_docker(mine: Path) -> None:
    """train, serve, predict, logs, stop, clean; P-44."""
    port = {"PORT": str(free_port()), "DOCKER": "no"}
    trained = make(mine, "train", HYPERPARAMETERS="n_estimators=20 max_depth=4", **port)
    assert trained.returncode == 0, trained.stderr
    assert "n_estimators=20, max_depth=4" in trained.stdout
    assert make(mine, "serve", **port).returncode == 0
    predicted = make(mine, "predict", **port).stdout.splitlines()
    assert len(predicted) == 52
    assert {line.split(",")[0] for line in predicted} == {"benign", "malignant"}
    assert '"status":200,"bytes":' in make(mine, "logs", **port).stdout
    assert make(mine, "stop", **port).returncode == 0
    again = make(mine, "predict", **port)
    assert again.returncode != 0
    assert f"Nothing answers on port {port['PORT']}: run `make serve` first." in again.stderr
    venv = mine / "unused"
    assert run(mine, "make", "clean", VENV=str(venv)).returncode == 0
    assert not (mine / "opt_ml").exists()


@pytest.mark.parametrize(
    ("target", "environment", "sentence"),
    [
        (
            "serve",
            {"DOCKER": "no"},
            "There is no model in {opt_ml}/model: run `make train` first, or name one in MODEL.",
        ),
        ("train", {"DOCKER": "maybe"}, "DOCKER is 'maybe': write yes, no or auto."),
        ("train", {"DOCKER": "no", "HYPERPARAMETERS": "5"}, "The hyperparameter '5' has no value: write name=value."),
        ("train", {"DOCKER": "no", "HYPERPARAMETERS": "n_estimator=5"}, "did you mean 'n_estimators'?"),
        ("train", {"DOCKER": "yes", "DOCKER_HOST": "unix:///nowhere"}, "Docker does not answer: start it"),
        ("shell", {"DOCKER_HOST": "unix:///nowhere"}, "Docker does not answer: start it"),
        ("image", {"PATH": "{bin}"}, "Docker is not installed."),
        ("predict", {"FILE": "data/none.csv"}, "There is no file data/none.csv."),
        (
            "predict",
            {"FILE": "Makefile"},
            "Makefile cannot be sent: its name must end in one of .csv, .json, .jsonl, .npy, .parquet, or in a "
            "known suffix such as .png.",
        ),
        ("predict", {"PORT": "99999"}, "PORT is '99999': give a whole number from 1 to 65535."),
    ],
)
def test_a_step_that_cannot_be_done_says_why_in_one_sentence(
    mine: Path, tmp_path: Path, target: str, environment: dict[str, str], sentence: str
) -> None:
    """A machine without Docker is made of links to the few programs that are needed."""
    (tmp_path / "bin").mkdir()
    for program in ("make", "bash", "sh", "env"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "")
    done = make(mine, target, **{key: value.format(bin=tmp_path / "bin") for key, value in environment.items()})
    assert done.returncode != 0
    assert sentence.format(opt_ml=mine / "opt_ml") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(mine: Path) -> None:
    assert make(mine, "train", "HYPERPARAMETERS=n_estimators=5", DOCKER="no").returncode == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = make(mine, "serve", DOCKER="no", PORT=str(port))
    assert done.returncode != 0
    assert f"Port {port} is in use: choose another, such as PORT={port + 1}." in done.stderr


def test_a_server_that_cannot_start_shows_its_log(mine: Path) -> None:
    (mine / "opt_ml/model").mkdir(parents=True)
    (mine / "opt_ml/model/other.bin").touch()
    done = make(mine, "serve", DOCKER="no")
    assert done.returncode != 0
    assert "The model cannot be loaded: load() in algorithm.py" in done.stdout
    assert "The server did not become ready: the lines above say why." in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "import onnxruntime\n",
            "import onnxruntime, ctypes\n\nctypes.CDLL('libwave.so.7')\n",
            "algorithm.py needs the library libwave.so.7, which is not installed: add the package that has it",
        ),
        (
            "    return Model((directory",
            "    import ctypes\n\n    ctypes.CDLL('libwave.so.7')\n    return Model((directory",
            "libwave.so.7: cannot open shared object file: No such file or directory. Add the package that has it",
        ),
    ],
)
def test_a_server_that_lacks_a_system_library_names_the_file_to_add_it_to(
    mine: Path, old: str, new: str, sentence: str
) -> None:
    algorithm = mine / "container/program/algorithm.py"
    algorithm.write_text(algorithm.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    (mine / "opt_ml/model").mkdir(parents=True)
    (mine / "opt_ml/model/model.onnx").touch()
    (mine / "opt_ml/model/manifest.json").touch()
    done = make(mine, "serve", DOCKER="no")
    assert done.returncode != 0
    where = "(packages.debian.org or `apt-file search libwave.so.7` finds it) to container/apt.txt"
    assert f"{sentence} {where}" in done.stdout


@pytest.fixture(scope="module")
def demo_here(template: Path) -> str:
    return demo(template, "no")


def demo(template: Path, docker: str) -> str:
    """What `make demo` prints, run with nothing of this environment but HOME and PATH."""
    bare = {"HOME": os.environ["HOME"], "PATH": os.environ["PATH"], "DOCKER": docker}
    if not (template / ".venv").exists():
        (template / ".venv").symlink_to(TEMPLATE_VENV)
    done = subprocess.run(["make", "demo"], cwd=template, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def predictions(printed: str) -> str:
    return printed.partition("== make predict")[2]


def test_the_demo_goes_from_nothing_to_predictions(demo_here: str) -> None:
    steps = re.findall(r"^== (.*?)(?::.*)?$", demo_here, re.MULTILINE)
    assert steps == ["cookiecutter . algorithm_name=tumours", "make train", "make serve", "make predict", "done"]
    assert "52 predictions, sha256 " in predictions(demo_here)


def test_the_demo_prints_the_same_predictions_in_the_container(
    docker_answers: None, template: Path, demo_here: str
) -> None:
    assert predictions(demo(template, "yes")) == predictions(demo_here)


def test_the_demo_leaves_nothing_behind(template: Path, demo_here: str) -> None:
    status = run(TEMPLATE, "git", "status", "--porcelain", "--ignored", "--", "{{cookiecutter.algorithm_name}}")
    assert "opt_ml" not in status.stdout
    assert not list(template.rglob("opt_ml"))
