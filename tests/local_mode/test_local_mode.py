"""The image in the SageMaker SDKs' local mode: the real SDKs, each in a virtual environment of its own, without AWS."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from environments import python_with
from programs import docker, free_port, lay_out, serving, train_here
from projects import IMAGES, TEMPLATE, Bake, build_image, leave_out
from rehearsal.simulator import Simulator, running

DRIVERS = Path(__file__).resolve().parent
FEW_TREES: dict[str, object] = {"n_estimators": 5}
LEFT_BY_THE_SDKS = {"baseline.json", "manifest.json", "model.onnx", "signature.json", "model.tar.gz", "output.tar.gz"}


@pytest.fixture(scope="module")
def compose_answers(docker_answers: None) -> Iterator[None]:
    """Leave the test out where no Docker Compose answers, and say how to get it."""
    if docker("compose", "version").returncode != 0:
        leave_out("no Docker Compose answers: `make docker` adds it on Debian")
    network = "sagemaker-local"  # the SDKs make it and leave it
    was_there = docker("network", "inspect", network).returncode == 0
    yield
    if not was_there:
        docker("network", "rm", network)


def as_somebody() -> list[str]:
    """The start of a command that is not to run as root, as local mode seldom does; it may read root's Python."""
    if os.geteuid() != 0:
        return []
    group = Path("/var/run/docker.sock").stat().st_gid
    read = "+dac_read_search"
    user = ["--reuid=65534", "--regid=65534", f"--groups={group}"]
    return ["setpriv", *user, f"--inh-caps={read}", f"--ambient-caps={read}"]


@dataclass(frozen=True)
class Sdk:
    """One of the SDKs, in a folder that anybody may write in and with nobody's AWS account."""

    name: str
    folder: Path

    address: str = "http://127.0.0.1:9"
    """Where AWS is: nowhere, so that a call to it would fail."""

    def run(self, command: str, **arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a function of the SDK's driver; what it and the containers print is in ``stdout``."""
        python = python_with(DRIVERS / f"requirements-{self.name}.lock", TEMPLATE / f".venv-sagemaker-{self.name}")
        driver = [str(python), str(DRIVERS / f"{self.name}.py"), command, json.dumps(arguments)]
        environment = {
            "DOCKER_CONFIG": str(Path.home() / ".docker"),  # plugins may be there
            **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(self.folder / "defaults.yaml"),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self.folder / "defaults.yaml"),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-west-2",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.address,
        }
        return subprocess.run(
            [*as_somebody(), *driver],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    def __call__(self, command: str, **arguments: object) -> Any:
        """What a function of the SDK's driver returns."""
        done = self.run(command, **arguments)
        assert done.returncode == 0, done.stdout
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["v2", "v3"])
def sdk(request: pytest.FixtureRequest, compose_answers: None) -> Iterator[Sdk]:
    # not in pytest's folder, which is for its user alone; Compose names what v3 starts after this one
    with TemporaryDirectory(prefix="local-mode-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        with no_containers_left(folder):
            yield prepared(request.param, folder)


def prepared(name: str, folder: Path) -> Sdk:
    (folder / "bin").mkdir()
    no_telemetry = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    (folder / "defaults.yaml").write_text(json.dumps(no_telemetry))
    compose = folder / "bin/docker-compose"
    compose.write_text('#!/bin/sh\nexec docker compose "$@"\n')  # L-14: v2 takes no `docker compose` without "v2"
    compose.chmod(0o755)
    return Sdk(name, folder)


@contextmanager
def no_containers_left(folder: Path) -> Iterator[None]:
    """The SDKs leave their stopped containers: remove those whose Compose file is in a folder."""
    yield
    label = "com.docker.compose.project.working_dir"
    listed = docker("ps", "--all", "--filter", f"label={label}", "--format", f'{{{{.ID}}}} {{{{.Label "{label}"}}}}')
    mine = [line.split()[0] for line in listed.stdout.splitlines() if str(folder) in line]
    if mine:
        docker("rm", "--force", *mine)


only_v3 = pytest.mark.parametrize("sdk", ["v3"], indirect=True)


@pytest.fixture(scope="module")
def model(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained without a container."""
    tree = lay_out(tmp_path_factory.mktemp("trained"), project, FEW_TREES)
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr
    return tree / "model"


@pytest.fixture
def archive(model: Path, sdk: Sdk) -> Path:
    """That model as local mode leaves one: beside another archive, in a folder that the SDK mounts as it is."""
    folder = sdk.folder / "artifacts"
    folder.mkdir()
    folder.chmod(0o777)
    for name, content in (("model", [*model.iterdir()]), ("output", [])):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as tar:
            for path in content:
                tar.add(path, path.name)
    return folder / "model.tar.gz"


@pytest.fixture(scope="module")
def rows(project: Path) -> list[str]:
    """The held-out rows."""
    return (project / "data/predict.csv").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture(scope="module")
def requests(rows: list[str]) -> list[tuple[str, str]]:
    """A request in each format."""
    instances = [[float(cell) for cell in row.split(",")] for row in rows]
    return [("text/csv", "\n".join(rows)), ("application/json", json.dumps({"instances": instances}))]


@pytest.fixture(scope="module")
def over_http(image: str, model: Path, requests: list[tuple[str, str]]) -> list[str]:
    """What the same image answers without an SDK."""
    with serving(image, model) as server:
        answers = [server.predict(body.encode(), kind) for kind, body in requests]
    assert [answer.status for answer in answers] == [200, 200]
    return [answer.body.decode() for answer in answers]


def channels(project: Path) -> dict[str, str]:
    return {name: str(project / "data" / name) for name in ("training", "validation")}


@pytest.mark.slow
def test_a_model_is_served_as_without_an_sdk(
    sdk: Sdk, image: str, archive: Path, requests: list[tuple[str, str]], over_http: list[str]
) -> None:
    """L-06, L-08, L-33; V-45: the model's folder also holds the archives."""
    answers = sdk("serve", image=image, archive=str(archive), port=free_port(), requests=requests)
    assert answers == over_http
    assert {path.name for path in archive.parent.iterdir()} == LEFT_BY_THE_SDKS


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.slow
def test_a_batch_transform_gives_a_line_for_each_row(
    sdk: Sdk, image: str, archive: Path, rows: list[str], over_http: list[str], strategy: str
) -> None:
    """B-02, B-08, B-09, L-13; V-45: lines that are blank do not count, since ``AssembleWith="Line"`` adds them here."""
    data, output = sdk.folder / "rows", sdk.folder / "output"
    data.mkdir()
    (data / "rows.csv").write_text("\n".join(rows))
    paths = {"archive": str(archive), "rows": str(data), "output": str(output)}
    sdk("transform", image=image, port=free_port(), strategy=strategy, **paths)
    lines = [line for line in (output / "rows.csv.out").read_text().splitlines() if line]
    assert len(lines) == len(rows)
    assert lines == over_http[0].splitlines()


def test_a_model_is_trained_and_served(
    sdk: Sdk, image: str, project: Path, requests: list[tuple[str, str]], over_http: list[str]
) -> None:
    """L-01, L-05, L-06, L-12, L-20, L-21, L-24; V-45, V-46."""
    job = {"image": image, "channels": channels(project), "hyperparameters": FEW_TREES}
    assert sdk("train_and_serve", **job, port=free_port(), requests=requests) == over_http
    [artifacts] = sdk.folder.rglob("compressed_artifacts")
    assert {path.name for path in artifacts.iterdir()} == LEFT_BY_THE_SDKS


@pytest.mark.slow
def test_two_instances_train_one_model(sdk: Sdk, image: str, project: Path, model: Path) -> None:
    """L-02, L-05, T-48; V-45, V-46: Compose stops all containers when the first ends, which is not the leader."""
    job = {"image": image, "channels": channels(project), "hyperparameters": FEW_TREES}
    done = sdk.run("train", **job, instances=2)
    assert done.returncode == 0, done.stdout
    assert re.search(r"algo-2\S*: algo-1\S* trains, waiting for it", done.stdout)
    assert "SIGTERM" not in done.stdout
    [archive] = sdk.folder.rglob("compressed_artifacts/model.tar.gz")
    with tarfile.open(archive) as tar:
        file = tar.extractfile("model.onnx")
        assert file is not None
        assert file.read() == (model / "model.onnx").read_bytes()


@only_v3
@pytest.mark.slow
def test_what_a_training_leaves_can_be_removed_by_its_caller(sdk: Sdk, image: str, project: Path) -> None:
    """L-20, L-22; V-46: the caller is not root, and the image's ``chmod`` gives it the files that root wrote."""
    sdk("train", image=image, channels=channels(project), hyperparameters=FEW_TREES)
    with tarfile.open(sdk.folder / "compressed_artifacts/model.tar.gz") as tar:
        assert sorted(tar.getnames()) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    assert [name for name in ("algo-1", "input", "shared") if (sdk.folder / name).exists()] == []


@pytest.mark.slow
def test_hyperparameters_arrive_with_their_types(sdk: Sdk, bake: Bake, project: Path) -> None:
    """T-10: a whole number, a number, a text, a truth value, nothing and a list, as each SDK writes them."""
    typed = bake()
    algorithm = typed / "container/program/algorithm.py"
    seed = "    seed: Annotated[int, Range(0, 2**32 - 1)] = 0\n"
    more = ["rate: float = 0", "name: str = ''", "flag: bool = False", "sizes: list[int] | None = None"]
    fields = seed + "".join(f"    {field}\n" for field in more)
    algorithm.write_text(algorithm.read_text(encoding="utf-8").replace(seed, fields), encoding="utf-8")
    image = build_image(typed, f"{IMAGES}:typed")
    given = {"n_estimators": 5, "max_depth": None, "rate": 0.5, "name": "1", "flag": True, "sizes": [1, 2]}
    done = sdk.run("train", image=image, channels=channels(project), hyperparameters=given)
    assert done.returncode == 0, done.stdout
    assert "n_estimators=5, max_depth=None, seed=0, rate=0.5, name='1', flag=True, sizes=[1, 2])" in done.stdout


@pytest.mark.slow
def test_a_failed_job_says_why(sdk: Sdk, image: str, project: Path) -> None:
    """L-03, T-44: the failure file is not shown, so the sentence is in the log."""
    done = sdk.run("train", image=image, channels=channels(project), hyperparameters={"n_estimator": 5})
    assert done.returncode == 1
    assert "| There is no hyperparameter 'n_estimator': did you mean 'n_estimators'?" in done.stdout
    assert "Process exited with code: 1" in done.stdout


@only_v3
@pytest.mark.slow
def test_a_script_runs_in_the_place_of_train(sdk: Sdk, image: str, project: Path) -> None:
    """L-25, L-26; V-47: the image's packages are at hand, and the script's model is the job's."""
    code = sdk.folder / "code"
    code.mkdir()
    script = "import sys, onnx\nopen('/opt/ml/model/script.txt', 'w').write(' '.join(sys.argv[1:]))\n"
    (code / "script.py").write_text(script)
    sdk("train", image=image, channels=channels(project), hyperparameters=FEW_TREES, script=str(code))
    with tarfile.open(sdk.folder / "compressed_artifacts/model.tar.gz") as tar:
        file = tar.extractfile("script.txt")
        assert file is not None
        assert file.read() == b"--n_estimators 5"


# The notebook, and the SDKs against the rehearsal's SageMaker.

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IN_ECR = f"123456789012.dkr.ecr.us-west-2.amazonaws.com/my-algorithm@sha256:{'0' * 64}"


def notebook_of(project: Path, sdk: Sdk) -> str:
    """The notebook of a copy of the project that the SDK's user may write in."""
    copy = Path(shutil.copytree(project, sdk.folder / "project"))
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o777)
    return str(copy / "notebooks/sagemaker.ipynb")


@pytest.fixture
def simulated(sdk: Sdk, image: str, tmp_path: Path) -> Iterator[tuple[Sdk, Simulator]]:
    """The SDK where AWS is the simulator, with a bucket, and a role that SageMaker may assume."""
    principal = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    with running(tmp_path, image) as simulator:
        simulator.s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        trust = json.dumps({"Version": "2012-10-17", "Statement": [principal]})
        simulator.client("iam").create_role(RoleName="sagemaker", AssumeRolePolicyDocument=trust)
        yield replace(sdk, address=simulator.url), simulator


@only_v3
def test_the_notebook_trains_deploys_and_predicts_on_this_machine(
    sdk: Sdk, image: str, project: Path, rows: list[str]
) -> None:
    """L-20, L-33; V-46: only the image's name is given, which is that of a test here."""
    answer = sdk("notebook", file=notebook_of(project, sdk), settings={"IMAGE": repr(image)})
    assert len(answer) == len(rows)
    assert set(answer) == {"benign", "malignant"}


@only_v3
@pytest.mark.slow
def test_the_notebook_runs_on_sagemaker_when_its_first_cell_says_so(
    simulated: tuple[Sdk, Simulator], project: Path, rows: list[str]
) -> None:
    """C-26, L-30, L-34: SDK v3 as on AWS, and nothing is left."""
    sdk, simulator = simulated
    first = {"LOCAL": "False", "IMAGE": repr(IN_ECR), "ROLE": repr(ROLE), "BUCKET": "'bucket'"}
    answer = sdk("notebook", file=notebook_of(project, sdk), settings=first)
    assert len(answer) == len(rows)
    assert set(answer) == {"benign", "malignant"}
    assert simulator.operations() == [
        *("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "InvokeEndpoint"),
        *("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"),
    ]
    assert simulator.request("CreateTrainingJob")["AlgorithmSpecification"]["TrainingImage"] == IN_ECR


@pytest.mark.parametrize("sdk", ["v2"], indirect=True)
@pytest.mark.slow
def test_version_2_of_the_sdk_runs_the_same_image_on_sagemaker(
    simulated: tuple[Sdk, Simulator], project: Path, rows: list[str]
) -> None:
    """L-34: until its end in 2027."""
    sdk, simulator = simulated
    answer = sdk("on_sagemaker", image=IN_ECR, bucket="bucket", channels=channels(project), body="\n".join(rows))
    assert len(answer.split()) == len(rows)
    assert "InvokeEndpoint" in simulator.operations()
