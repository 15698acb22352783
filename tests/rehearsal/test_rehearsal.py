"""``make rehearse``: the life of a model on this machine, in a transcript that a stranger can read."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import IMAGES, TEMPLATE_VENV, run

# A user's own settings, any of which would lead a command to AWS, or to somebody else's account.
OF_THE_USER = {"AWS_PROFILE": "prod", "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1"}


def rehearse(project: Path, *step: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    variables = {"VENV": str(TEMPLATE_VENV), "IMAGE": f"{IMAGES}:rehearsal"} | variables
    return run(project, sys.executable, "-B", "-m", "rehearsal", *step, **variables)


def commands(transcript: str) -> list[str]:
    return re.findall(r"^\$ python -m deploy (\w+)", transcript, re.MULTILINE)


@pytest.fixture
def mine(image: str, project: Path, tmp_path: Path) -> Path:
    """A project of the test's own, whose image is built but for what the test changes."""
    return Path(shutil.copytree(project, tmp_path / "mine"))


def test_the_whole_life_is_rehearsed_and_nothing_reaches_aws(mine: Path) -> None:
    """P-41, H-04, E-05: the real image, the platform's rules, and the permissions of deploy/policies."""
    (mine / "deploy.toml").write_text('region = "eu-west-1"\n')
    ended = rehearse(mine, **OF_THE_USER)
    assert ended.returncode == 0, ended.stderr
    assert commands(ended.stdout) == [
        *("train", "deploy", "invoke", "update", "releases", "rollback", "status"),
        *("batch", "deploy", "invoke", "register", "cost", "delete"),
    ]
    assert re.search(r"^s3://rehearsal/my-algorithm/.*/output/model\.tar\.gz$", ended.stdout, re.MULTILINE)
    assert ended.stdout.count("\nbenign\n") > 1
    predictions = (mine / "opt_ml/rehearsal/batch.csv").read_text(encoding="utf-8")
    assert ended.stdout.count(predictions) == 2  # of the endpoint, and of the asynchronous one
    last = ended.stdout.splitlines()[-1]
    assert last.startswith("Went well, with the permissions of deploy/policies: train, deploy, invoke, update, ")
    assert last.endswith("register, cost, delete. Nothing was sent to AWS.")


def test_what_fails_in_the_rehearsal_is_told_with_the_log_and_a_command(mine: Path) -> None:
    algorithm = mine / "container/program/algorithm.py"
    text = algorithm.read_text(encoding="utf-8")
    algorithm.write_text(re.sub(r"(?m)^(def load\(.*\n)", r'\1    raise ValueError("no such weights")\n', text))
    ended = rehearse(mine, "train")  # which tries to load the model
    assert (ended.returncode, commands(ended.stdout)) == (1, ["train"])
    assert "no such weights" in ended.stderr
    assert "The end of the log:" in ended.stderr
    command = re.search(r"The same without the rehearsal:\n +(docker run .*)", ended.stderr)
    assert command
    again = subprocess.run(shlex.split(command[1]), capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert "no such weights" in again.stdout + again.stderr
    assert ended.stderr.splitlines()[-1] == "The rehearsal failed at `python -m deploy train`."


def test_a_step_is_chosen_by_name(project: Path) -> None:
    unknown = rehearse(project, "tidy")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("There is no step 'tidy': VERB is one of train, deploy")


def test_without_docker_the_rehearsal_says_so(project: Path, tmp_path: Path) -> None:
    ended = rehearse(project, PATH=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (1, "The rehearsal runs the image in Docker. Docker is not installed.\n")
