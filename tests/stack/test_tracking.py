"""MLflow: runs are logged to a real server after the job, and a model that was registered there is served."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from answering import Handler, served
from deploying import TRAIN, Deploy, at, last_line, started
from environments import part
from mlflow_server import Mlflow, server_python, serving_mlflow, values
from programs import free_port
from projects import TEMPLATE_VENV, make, run
from rehearsal.simulator import Simulator

FEW_TREES = "n_estimators=5"
NOBODY = "http://127.0.0.1:9"
APP = "arn:aws:sagemaker:us-west-2:123456789012:mlflow-app/app-ABCDEFGHIJKL"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with serving_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run, which nothing was told of."""
    part("tracking")
    folder = Path(shutil.copytree(project, tmp_path_factory.mktemp("trained") / "mine"))
    os.utime(folder / "requirements-dev.lock", (0, 0))  # older than .venv: nothing is installed into it
    done = make(folder, "train", DOCKER="no", HYPERPARAMETERS=FEW_TREES)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def mine(trained: Path, tmp_path: Path) -> Path:
    """A project with one run, to work in. The tests' folder names the experiment."""
    return Path(shutil.copytree(trained, tmp_path / "mine"))


@pytest.fixture
def untrained(mine: Path) -> Iterator[Path]:
    """A project without a run."""
    shutil.rmtree(mine / "opt_ml")
    yield mine
    assert make(mine, "stop", DOCKER="no").returncode == 0


def train(mine: Path, mlflow: str, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make train`, without Docker, logged to the experiment that is named as the test's folder."""
    given = {"DOCKER": "no", "HYPERPARAMETERS": FEW_TREES, "MLFLOW_EXPERIMENT_NAME": mine.parent.name, **environment}
    return make(mine, "train", f"MLFLOW={mlflow}", *variables, **given)


def tracking(mine: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    more = {"VENV": str(TEMPLATE_VENV), "MLFLOW_EXPERIMENT_NAME": mine.parent.name}
    return run(mine, sys.executable, "-m", "stack.tracking", *arguments, **more | environment)


def name_of(mine: Path) -> str:
    """The name of the only run."""
    [folder] = (mine / "opt_ml/runs").iterdir()
    return folder.name


def only_run(mlflow: Mlflow, mine: Path) -> Any:
    [found] = mlflow.runs(mine.parent.name)
    return found


def test_a_run_is_logged_after_the_training_and_its_model_is_served_from_the_registry(
    mlflow: Mlflow, untrained: Path, tmp_path: Path
) -> None:
    done = train(untrained, mlflow.uri, "REGISTER=tumours")
    assert done.returncode == 0, done.stderr
    assert "registered in MLflow: models:/tumours/1\n" in done.stderr
    folder = untrained / "opt_ml/runs" / name_of(untrained)
    logged = only_run(mlflow, untrained)
    assert (logged["info"]["run_name"], logged["info"]["status"]) == (f"my-algorithm-{folder.name}", "FINISHED")
    parameters = {"target": "diagnosis", "n_estimators": "5", "max_depth": "none", "seed": "0"}
    assert values(logged["data"]["params"]) == parameters
    metrics = json.loads((folder / "output/data/metrics.json").read_text(encoding="utf-8"))
    assert values(logged["data"]["metrics"]) == {name: each[-1] for name, each in metrics.items()}
    files = {"evaluation.json", "metrics.json", "report.html", "manifest.json"}
    assert mlflow.artifacts(logged["info"]["run_id"]) == files

    again = tracking(untrained, "log", folder.name, "--mlflow", mlflow.uri, "--register", "tumours")
    assert again.returncode == 0, again.stderr
    assert only_run(mlflow, untrained)["info"]["run_id"] == logged["info"]["run_id"]
    assert mlflow.versions("tumours") == ["1"]

    def predicted(**model: str) -> str:
        port = {"DOCKER": "no", "PORT": str(free_port())}
        served = make(untrained, "serve", **port, **model)
        assert served.returncode == 0, served.stderr
        return make(untrained, "predict", **port).stdout

    here = predicted()
    shutil.rmtree(untrained / "opt_ml/model")
    assert predicted(MODEL="models:/tumours/1", MLFLOW=mlflow.uri) == here
    mlflow.ask("registered-models/alias", {"name": "tumours", "alias": "champion", "version": "1"})
    assert predicted(MODEL="models:/tumours@champion", MLFLOW_TRACKING_URI=mlflow.uri) == here
    assert len(list((untrained / "opt_ml/mlflow").iterdir())) == 1
    assert len(here.splitlines()) == 52


def test_mlflow_reads_the_models_signature_and_says_that_it_cannot_run_it(mlflow: Mlflow, mine: Path) -> None:
    """The types of the columns, as MLflow's own library reads them; there is no flavor that it could load."""
    assert tracking(mine, "log", name_of(mine), "--mlflow", mlflow.uri, "--register", "signed").returncode == 0
    program = f"""
import mlflow, json
mlflow.set_tracking_uri({mlflow.uri!r})
found = mlflow.models.get_model_info("models:/signed/1").signature
print(json.dumps([found.inputs.to_dict()[0], found.outputs.to_dict()]))
try:
    mlflow.pyfunc.load_model("models:/signed/1")
except mlflow.exceptions.MlflowException as error:
    print(error)
"""
    done = subprocess.run([server_python(), "-c", program], cwd=mine, capture_output=True, text=True, check=True)
    signature, refusal = done.stdout.splitlines()
    answer = [("string", "label"), ("double", "probability_benign"), ("double", "probability_malignant")]
    first, outputs = json.loads(signature)
    assert first == {"type": "double", "name": "mean_radius", "required": True}
    assert [(each["type"], each["name"]) for each in outputs] == answer
    assert 'does not have the "python_function" flavor' in refusal


def test_without_mlflow_the_model_is_there_and_a_command_logs_it_later(mlflow: Mlflow, untrained: Path) -> None:
    options = {"MLFLOW": NOBODY, "DOCKER": "no", "VENV": str(TEMPLATE_VENV)}
    trained = run(untrained, sys.executable, "-m", "local", "train", FEW_TREES, **options)
    assert trained.returncode == 3
    assert (untrained / "opt_ml/model/manifest.json").exists()
    said = trained.stderr.splitlines()[-1]
    assert said.startswith(
        f"MLflow does not answer at {NOBODY} (Connection refused). The result of the training is kept"
    )
    later = re.findall("`(.*?)`", said)[0]
    program, *arguments = shlex.split(later.replace(NOBODY, mlflow.uri))
    assert program == "python3"
    done = run(
        untrained, sys.executable, *arguments, MLFLOW_EXPERIMENT_NAME=untrained.parent.name, VENV=str(TEMPLATE_VENV)
    )
    assert done.returncode == 0, done.stderr
    assert only_run(mlflow, untrained)["info"]["status"] == "FINISHED"


@pytest.mark.slow
def test_a_server_that_fails_midway_has_the_run_once_at_the_end(mlflow: Mlflow, mine: Path) -> None:
    """Each request in turn is the one that fails; the last attempt completes what the others have begun."""
    for number in (1, 3, 5, 7, 9, 11):
        with recording(mlflow, fail_from=number) as (uri, _):
            log = ("log", name_of(mine), "--mlflow", uri, "--register", "halves")
            failed = tracking(mine, *log, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
            assert (failed.returncode, "Traceback" in failed.stderr) == (1, False)
            assert "The result of the training is kept" in failed.stderr
    assert tracking(mine, *log[:3], mlflow.uri, *log[4:]).returncode == 0
    logged = only_run(mlflow, mine)
    assert len(logged["data"]["metrics"]) == 3
    assert logged["info"]["status"] == "FINISHED"
    assert mlflow.versions("halves") == ["1"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"MLFLOW": "localhost:5000"}, "The address of MLflow is 'localhost:5000': give http://HOST:PORT, or the ARN"),
        (
            {"MLFLOW": "http://me:secret@localhost"},
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead.",
        ),
        ({"REGISTER": "churn"}, "REGISTER names a model in MLflow, so set its server too: MLFLOW=http://HOST:PORT."),
    ],
)
def test_a_mistake_is_told_before_the_training(untrained: Path, given: dict[str, str], sentence: str) -> None:
    done = make(untrained, "train", DOCKER="no", **given)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "secret" not in done.stderr
    assert not (untrained / "opt_ml/runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("log", "yesterday"), "There is no run 'yesterday': give a folder in opt_ml/runs, or job:NAME."),
        (("download", "models:/nothing/1"), "Model Version (name=nothing, version=1) not found"),
        (("download", "models:/nothing"), "'models:/nothing' is not a model in MLflow: give models:/NAME/VERSION"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(
    mlflow: Mlflow, mine: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = tracking(mine, *arguments, "--mlflow", mlflow.uri)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_that_failed_is_logged_with_its_reason(mlflow: Mlflow, untrained: Path) -> None:
    done = train(untrained, mlflow.uri, HYPERPARAMETERS="n_estimators=0")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-2] == "Training failed: the lines above say why."
    logged = only_run(mlflow, untrained)
    assert logged["info"]["status"] == "FAILED"
    assert values(logged["data"]["params"]) == {"n_estimators": "0"}
    assert "n_estimators" in values(logged["data"]["tags"])["failure"]


@pytest.mark.parametrize("answers", [True, False])
def test_metrics_may_be_logged_while_the_job_trains(mlflow: Mlflow, untrained: Path, answers: bool) -> None:
    """As docs/tracking.md shows it. The run is the one that is logged afterwards, each value once."""
    page = (untrained / "docs/tracking.md").read_text(encoding="utf-8")
    live = page.partition("def train(job):\n")[2].partition("    ...")[0]
    losses = "    for loss in (3, 2, 1):\n        job.log_metric('loss', loss)\n"
    algorithm, first = untrained / "container/program/algorithm.py", "    settings = job.hyperparameters\n"
    text = algorithm.read_text(encoding="utf-8")
    algorithm.write_text(text.replace(first, live + losses + first), encoding="utf-8")
    [packages] = (TEMPLATE_VENV / "tracking/lib").glob("python*/site-packages")  # as if they were in requirements.txt
    there = {"MLFLOW_TRACKING_URI": mlflow.uri if answers else NOBODY, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = train(untrained, mlflow.uri, PYTHONPATH=str(packages), **there)
    assert done.returncode == 0, done.stderr
    assert ("A metrics listener failed and is not called again" in done.stderr) is not answers
    logged = only_run(mlflow, untrained)
    history = mlflow.ask("metrics/get-history", run_id=logged["info"]["run_id"], metric_key="loss")["metrics"]
    assert [(each["step"], each["value"]) for each in history] == [(0, 3), (1, 2), (2, 1)]
    assert len(logged["data"]["metrics"]) == 4


@contextmanager
def recording(mlflow: Mlflow, fail_from: int = 0) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A proxy before a server, and the headers that it saw. From request ``fail_from`` on it hangs up."""
    seen: list[dict[str, str]] = []

    class Proxy(Handler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            if fail_from and len(seen) >= fail_from:
                self.connection.close()
                return
            body = self.body()
            headers = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
            request = urllib.request.Request(mlflow.uri + self.path, body or None, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                self.answer(answer.status, answer.read(), {"Content-Type": answer.headers.get("Content-Type", "")})

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    with served(Proxy) as address:
        yield address, seen


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Simulator]:
    with started(tmp_path, None) as platform:
        yield platform


def test_requests_to_an_mlflow_app_are_signed(mlflow: Mlflow, mine: Path, platform: Simulator) -> None:
    """The ARN is the address; SageMaker's plugin signs, and says which App is meant. An App keeps files on S3."""
    mlflow.ask("experiments/create", {"name": mine.parent.name, "artifact_location": "s3://bucket/app"})
    keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    with recording(mlflow) as (uri, seen):
        aws = {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": uri, "AWS_ENDPOINT_URL": platform.url, **keys}
        done = tracking(mine, "log", name_of(mine), "--mlflow", APP, "--register", "signed-for", **aws)
        assert done.returncode == 0, done.stderr
        downloaded = tracking(mine, "download", "models:/signed-for/1", "--mlflow", APP, **aws)
    assert {each["x-sm-mlflow-app-arn"] for each in seen} == {APP}
    scope = re.compile(r"AWS4-HMAC-SHA256 Credential=user/\d{8}/us-west-2/sagemaker/aws4_request, ")
    assert all(scope.match(each["authorization"]) for each in seen)
    assert only_run(mlflow, mine)["info"]["status"] == "FINISHED"
    model = Path(downloaded.stdout.strip(), "model.onnx")
    assert model.read_bytes() == (mine / "opt_ml/model/model.onnx").read_bytes()


@pytest.fixture
def deploy(platform: Simulator, mine: Path, tmp_path: Path) -> Deploy:
    return at(platform, mine, tmp_path)


def finished(platform: Simulator, mine: Path, model: str) -> None:
    """Put what a run of `make train` has left where a job would have."""
    [folder] = (mine / "opt_ml/runs").iterdir()
    for name, path in (("model", folder / "model"), ("output", folder / "output/data")):
        file = mine / f"{name}.tar.gz"
        with tarfile.open(file, "w:gz") as archive:
            for each in path.iterdir():
                archive.add(each, each.name)
        key = model.removeprefix("s3://bucket/").replace("model.tar.gz", file.name)
        platform.s3.upload_file(str(file), "bucket", key)


def test_a_job_on_sagemaker_is_logged_after_its_end(
    platform: Simulator, deploy: Deploy, mine: Path, mlflow: Mlflow
) -> None:
    """From outside: the job has no network, and its image nothing of MLflow's."""
    more = {"VENV": str(TEMPLATE_VENV), "MLFLOW_EXPERIMENT_NAME": mine.parent.name}
    ended = deploy(*TRAIN, "--network-isolation", "--mlflow", NOBODY, "--register", "away", **more)
    assert ended.returncode == 3
    model = ended.stdout.splitlines()[-1]
    assert re.fullmatch(r"s3://bucket/.*/output/model\.tar\.gz", model)
    assert "MlflowTrackingServer" not in json.dumps(platform.request("CreateTrainingJob"))
    finished(platform, mine, model)
    job = platform.request("CreateTrainingJob")["TrainingJobName"]
    aws = {"AWS_ENDPOINT_URL": platform.url, "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret"}
    aws["AWS_REGION"] = "us-west-2"
    down = tracking(mine, "log", f"job:{job}", "--mlflow", NOBODY, **aws)
    assert (
        f"To log it later: `AWS_REGION=us-west-2 python3 -m stack.tracking log job:{job} --mlflow {NOBODY}`."
        in down.stderr
    )
    done = tracking(mine, "log", f"job:{job}", "--mlflow", mlflow.uri, "--register", "away", **aws)
    assert done.returncode == 0, done.stderr
    logged = only_run(mlflow, mine)
    assert (logged["info"]["run_name"], logged["info"]["status"]) == (job, "FINISHED")
    assert values(logged["data"]["tags"])["training_job"].endswith(f":training-job/{job}")
    assert "validation_accuracy" in values(logged["data"]["metrics"])
    assert mlflow.versions("away") == ["1"]


def test_a_job_that_is_not_waited_for_is_logged_by_a_command(deploy: Deploy) -> None:
    ended = deploy(*TRAIN, "--mlflow", NOBODY, "--detach", VENV=str(TEMPLATE_VENV))
    assert ended.returncode == 0, ended.stderr
    job = last_line(ended)
    assert f"`python -m stack.tracking log job:{job} --mlflow {NOBODY}` logs it when it has ended." in ended.stderr


def test_the_stack_may_be_deleted(untrained: Path) -> None:
    shutil.rmtree(untrained / "stack")
    assert train(untrained, "").returncode == 0
    done = train(untrained, NOBODY)
    assert done.returncode != 0
    sentence = "MLflow needs stack/tracking/, which this project does not have: leave MLFLOW out."
    assert done.stderr.splitlines()[0] == sentence
    checked = make(untrained, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
