"""Updates of an endpoint that is being called: containers of the real image, alarms of real calls (C-20 to C-23)."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploying import DEPLOY, Deploy, at, last_line, started
from programs import lay_out, train_here
from projects import IMAGES
from rehearsal.containers import pack
from rehearsal.findings import Rules
from rehearsal.simulator import Simulator
from traffic import Traffic, flowing

# A release of this algorithm is as bad as its variable MISTAKE says.
MOODY = """

import os
import time

MISTAKE, good_load, good_predict = os.environ.get("MISTAKE"), load, predict
calls: list[int] = []


def load(directory: Path) -> Model:
    if MISTAKE == "load":
        raise ValueError("This model does not load.")
    return good_load(directory)


def predict(model: Model, rows: Rows) -> Predictions:
    calls.append(1)
    if MISTAKE == "answer" and len(calls) > 3:  # the server tries a model before it is ready
        raise RuntimeError("This model does not answer.")
    if MISTAKE == "slow":
        time.sleep(0.3)
    return good_predict(model, rows)
"""
QUICK = ("update", "--endpoint", "churn", "--bake", "2m", "--max-latency", "10000")


@pytest.fixture(scope="module")
def moody(image: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image with that algorithm."""
    folder = tmp_path_factory.mktemp("moody")
    algorithm = (project / "container/program/algorithm.py").read_text(encoding="utf-8")
    (folder / "algorithm.py").write_text(algorithm + MOODY, encoding="utf-8")
    (folder / "Dockerfile").write_text(f"FROM {image}\nCOPY algorithm.py /opt/program/\n", encoding="utf-8")
    subprocess.run(["docker", "build", "--quiet", "--tag", f"{IMAGES}:moody", str(folder)], check=True)
    return f"{IMAGES}:moody"


@pytest.fixture(scope="module")
def cloud(moody: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """The platform with a good release in service."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each of 10,000 calls
    folder = tmp_path_factory.mktemp("cloud")
    tree = lay_out(folder / "ml", project, {"n_estimators": 20})
    assert train_here(project, tree).returncode == 0
    with started(folder, moody) as cloud:
        cloud.rules = Rules(startup=30)
        cloud.s3.put_object(Bucket="bucket", Key="job/output/model.tar.gz", Body=pack(tree / "model"))
        last_line(at(cloud, project, folder)(*DEPLOY, "--endpoint", "churn"))
        yield cloud
    shutil.rmtree(folder)


@pytest.fixture
def deploy(cloud: Simulator, project: Path, tmp_path: Path) -> Deploy:
    return at(cloud, project, tmp_path)


@pytest.fixture
def traffic(cloud: Simulator, project: Path) -> Iterator[Traffic]:
    """One row after the other, from several callers at a time."""
    row = (project / "data/predict.csv").read_bytes().splitlines(keepends=True)[1]
    with flowing(cloud.url, "churn", row) as traffic:
        traffic.wait(200)
        yield traffic


@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        pytest.param((), 1_000, id="all at once"),
        pytest.param(("--canary", "10"), 10_000, id="canary", marks=pytest.mark.slow),
        pytest.param(("--linear", "25"), 1_000, id="linear", marks=pytest.mark.slow),
        pytest.param(("--rolling", "50"), 1_000, id="rolling", marks=pytest.mark.slow),
    ],
)
def test_an_update_loses_no_call(
    cloud: Simulator, deploy: Deploy, traffic: Traffic, flags: tuple[str, ...], calls: int
) -> None:
    old = cloud.endpoints["churn"].fleet
    assert last_line(deploy(*QUICK, *flags, "--force")) == "churn"
    new = cloud.endpoints["churn"].fleet
    traffic.wait(max(calls - len(traffic.calls), 200))
    assert len(traffic.calls) >= calls
    assert traffic.lost() == []
    assert new.container != old.container
    assert len(new.answered) >= 200, "the new release answers now"
    running = subprocess.run(["docker", "ps", "--no-trunc", "--quiet"], check=True, capture_output=True, text=True)
    assert new.container in running.stdout
    assert old.container not in running.stdout


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        pytest.param("answer", "the alarm churn-update-Invocation5XXErrors fired: Threshold Crossed"),
        pytest.param("slow", "the alarm churn-update-ModelLatency fired: Threshold Crossed", marks=pytest.mark.slow),
        pytest.param("load", "The container did not pass the ping health check", marks=pytest.mark.slow),
    ],
)
def test_a_bad_release_goes_back_by_itself(
    cloud: Simulator, deploy: Deploy, traffic: Traffic, mistake: str, said: str
) -> None:
    """H-08, C-22, C-23, X-33: the old release answers all the time, and the command fails."""
    endpoint = cloud.endpoints["churn"]
    old, before = endpoint.fleet, len(traffic.calls)
    canary = ("--canary", "20", "--bake", "10m", "--environment", f"MISTAKE={mistake}")
    ended = deploy("update", "--endpoint", "churn", *canary)
    traffic.wait(200)
    assert ended.returncode != 0
    assert "The update of churn was rolled back: " in ended.stderr
    assert said in ended.stderr
    assert endpoint.fleet is old
    assert {status for _, status, _ in old.answered} == {200}
    assert {call.status for call in traffic.lost()} <= {424}, "each call was answered, if by the new release"
    assert {call.status for call in traffic.calls[-50:]} == {200}
    assert len(traffic.calls) > before + 200
    names = [each["ModelName"] for each in cloud.sagemaker.list_models()["Models"]]
    assert cloud.request("CreateModel")["ModelName"] not in names
