"""The variables of `make`: known ones mean the same with and without Docker, unknown ones are refused."""

import os
import shutil
from pathlib import Path

import pytest

from programs import free_port
from projects import IMAGES, make, run

DOCKER = {"IMAGE": f"{IMAGES}:variables", "CONTAINER": f"{IMAGES}-variables"}


@pytest.fixture(params=["no", pytest.param("yes", marks=pytest.mark.docker)])
def where(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that have make work in .venv, and in the container."""
    if request.param == "yes":
        request.getfixturevalue("docker_answers")
    return {"DOCKER": request.param, "PORT": str(free_port()), **DOCKER}


def edit(project: Path, old: str, new: str) -> None:
    source = project / "container/program/algorithm.py"
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), encoding="utf-8")


def test_an_unknown_variable_is_refused_and_the_known_ones_are_named(mine: Path) -> None:
    done = make(mine, "train", "DATE=elsewhere", DOCKER="no")
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "There is no variable DATE: the variables are HYPERPARAMETERS DATA FILE MODEL OPT_ML " in line
    assert not (mine / "opt_ml").exists()


@pytest.mark.parametrize(
    "words",
    [["DATA=elsewhere", "-j2"], ["MAKEFLAGS=-s"], ["MODEL_SERVER_WORKERS=1"], ["SHELL=/bin/bash"], ["UPGRADE="]],
)
def test_known_variables_options_and_the_environment_are_accepted(project: Path, words: list[str]) -> None:
    done = run(project, "make", "--dry-run", "train", *words, CI="1", DATE="today")
    assert (done.returncode, done.stderr) == (0, "")


def test_make_alone_lists_every_known_variable(project: Path) -> None:
    refused = make(project, "train", "DATE=elsewhere").stderr
    names = refused.partition("the variables are ")[2].partition(".  Stop")[0].split()
    assert len(names) > 10
    listed = run(project, "make").stdout
    assert [name for name in names if f"\n{name}=" not in listed] == []


def test_other_folders_and_another_file_are_used(mine: Path, tmp_path: Path, where: dict[str, str]) -> None:
    """Messages name the files of this machine."""
    data, opt_ml = tmp_path / "my data", tmp_path / "my opt_ml"
    (mine / "data").rename(data)
    (data / "predict.csv").rename(data / "two.csv")
    (data / "two.csv").write_text("\n".join((data / "two.csv").read_text(encoding="utf-8").splitlines()[:3]))
    where |= {"DATA": str(data), "OPT_ML": str(opt_ml)}
    trained = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", **where)
    assert trained.returncode == 0, trained.stderr
    [folder] = (opt_ml / "runs").iterdir()
    assert f"model saved in {folder}/model" in trained.stdout
    assert "/opt/ml" not in trained.stdout + trained.stderr
    try:
        served = make(mine, "serve", **where)
        assert served.returncode == 0, served.stdout + served.stderr
        asked = make(mine, "predict", FILE=str(data / "two.csv"), **where)
        assert len(asked.stdout.splitlines()) == 2
    finally:
        assert make(mine, "stop", **where).returncode == 0
    assert f"There is no file {data}/predict.csv." in make(mine, "predict", **where).stderr


def test_a_failure_names_the_files_of_this_machine(mine: Path, where: dict[str, str]) -> None:
    (mine / "data/training/breast_cancer.csv").write_text("", encoding="utf-8")
    done = make(mine, "train", **where)
    assert done.returncode != 0
    [folder] = (mine / "opt_ml/runs").iterdir()
    place = f"{folder}/input/data/training holds breast_cancer.csv"
    assert place in done.stderr
    assert place in (folder / "output/failure").read_text(encoding="utf-8")
    (mine / "opt_ml/model").mkdir()
    (mine / "opt_ml/model/other.bin").touch()
    done = make(mine, "serve", **where)
    assert make(mine, "stop", **where).returncode == 0
    assert "The model cannot be loaded" in done.stdout + done.stderr
    assert f"{mine}/opt_ml/model" in done.stdout + done.stderr
    assert "/opt/ml" not in done.stdout + done.stderr


def test_a_model_is_kept_without_the_check(mine: Path, where: dict[str, str]) -> None:
    edit(mine, "    return Model((directory", '    raise UserError("not today")\n    return Model((directory')
    assert "not today" in make(mine, "train", "HYPERPARAMETERS=n_estimators=5", **where).stderr
    done = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", "TRAINING_CHECK=off", **where)
    assert done.returncode == 0, done.stderr
    assert (mine / "opt_ml/model/model.onnx").exists()


def test_settings_of_the_server_are_handed_on(mine: Path, where: dict[str, str]) -> None:
    (mine / "opt_ml/model").mkdir(parents=True)
    (mine / "opt_ml/model/other.bin").touch()
    done = make(mine, "serve", "MODEL_SERVER_WORKERS=many", **where)
    assert make(mine, "stop", **where).returncode == 0
    assert "MODEL_SERVER_WORKERS is 'many'" in done.stdout + done.stderr


def test_links_in_a_channel_lead_where_they_do_here(mine: Path, tmp_path: Path, where: dict[str, str]) -> None:
    """To files and folders, by other links, and in a channel that is a link itself."""
    training, lake = mine / "data/training", tmp_path / "lake"
    (lake / "deep").mkdir(parents=True)
    lines = (training / "breast_cancer.csv").read_text(encoding="utf-8").splitlines()
    (training / "breast_cancer.csv").unlink()
    for number, name in enumerate(["a.csv", "b.csv", "deep/c.csv", "d.csv"]):
        part = [lines[0], *lines[1 + number * 90 : 91 + number * 90]]
        (lake / name).write_text("\n".join(part) + "\n", encoding="utf-8")
    (lake / "link.csv").symlink_to("b.csv")
    (lake / "deep/d.csv").symlink_to("../d.csv")
    (training / "a.csv").symlink_to(lake / "a.csv")
    (training / "b.csv").symlink_to(os.path.relpath(lake / "link.csv", training))
    (training / "deep").symlink_to(lake / "deep")
    shutil.move(mine / "data/validation", lake / "validation")
    (lake / "validation/more.csv").symlink_to(lake / "a.csv")
    (mine / "data/validation").symlink_to(lake / "validation")
    first = "    settings = job.hyperparameters\n"
    look = "found = glob.glob(f\"{job.channel('training').directory}/**/*.csv\", recursive=True)"
    show = "print(sorted(Path(path).name for path in found if Path(path).read_bytes()))"
    edit(mine, first, f"    import glob\n\n    {look}\n    {show}\n{first}")
    done = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", **where)
    assert done.returncode == 0, done.stderr
    assert "training: 2 files" in done.stdout  # of a linked folder only the algorithm itself knows
    assert "validation: 2 files" in done.stdout
    assert "['a.csv', 'b.csv', 'c.csv', 'd.csv']" in done.stdout


def test_more_links_than_docker_can_be_told_of_are_refused(mine: Path, tmp_path: Path, docker_answers: None) -> None:
    name = "a-name-that-takes-room-on-the-command-line" * 4
    for number in range(8000):
        (tmp_path / f"{number}-{name}").touch()
        (mine / f"data/training/{number}").symlink_to(tmp_path / f"{number}-{name}")
    done = make(mine, "train", DOCKER="yes", **DOCKER)
    sentence, _ = done.stderr.splitlines()
    assert sentence.startswith("The channels have too many linked files for `docker run`: ")


def test_gpus_that_are_not_there_are_told_in_a_sentence(mine: Path, where: dict[str, str]) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has GPUs")
    done = make(mine, "train", "GPU=yes", **where)
    assert done.returncode != 0
    sentence, _ = done.stderr.splitlines()  # and what make says
    assert sentence.startswith("GPU=yes needs a GPU")
    assert not (mine / "opt_ml").exists()
    assert "GPU is 'maybe': write yes or no." in make(mine, "train", "GPU=maybe", **where).stderr


def test_the_container_is_given_the_gpus(mine: Path, tmp_path: Path, docker_answers: None) -> None:
    """As far as a machine without one can show: its docker gets the option, and goes on without it."""
    real, asked = shutil.which("docker"), tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/docker"
    wrapper.write_text(
        "#!/bin/bash\n"
        f'for word; do shift; [[ $word = --gpus=all ]] && gpus=yes || set -- "$@" "$word"; done\n'
        f'[[ $gpus ]] && echo "$*" >>{asked}; exec {real} "$@"\n',
        encoding="utf-8",
    )
    wrapper.chmod(0o755)
    settings = {"DOCKER": "yes", "PATH": f"{wrapper.parent}:{os.environ['PATH']}", **DOCKER}
    done = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", "GPU=yes", **settings)
    assert done.returncode == 0, done.stderr
    tried, trained = asked.read_text(encoding="utf-8").splitlines()
    assert tried.endswith(" true")
    assert trained.endswith(" train")


def test_requests_are_captured_to_a_folder_of_this_machine(mine: Path, where: dict[str, str]) -> None:
    trained = make(mine, "train", "HYPERPARAMETERS=n_estimators=5", **where)
    assert trained.returncode == 0, trained.stderr
    try:
        assert make(mine, "serve", "MODEL_SERVER_CAPTURE=opt_ml/captured", **where).returncode == 0
        assert make(mine, "predict", **where).returncode == 0
    finally:
        assert make(mine, "stop", **where).returncode == 0
    [file] = [path for path in (mine / "opt_ml/captured").rglob("*.jsonl") if path.stat().st_size]
    assert b'"encoding":"CSV"' in file.read_bytes()
    assert file.stat().st_uid == os.getuid()
