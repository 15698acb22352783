"""`make stack`: serving, MLflow and PostgreSQL under Docker Compose, all of them real, started once for these tests."""

import hashlib
import json
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from contract.settings import NAMES

from programs import Answer, Server, docker, free_port, inspect
from projects import IMAGES, Bake, bake_into, leave_out, make, need_image, run

MINE = f"stack-{IMAGES[-8:]}"  # two checkouts on one machine do not share data
POSTGRES = "postgres:17-trixie"
PORTS = ("SERVING_PORT", "MLFLOW_PORT", "POSTGRES_PORT")
FEW_TREES = "n_estimators=5"


class Stack:
    """A project, its stack, and the image that it serves with."""

    def __init__(self, folder: Path, image: str = "none") -> None:
        self.folder, self.image, self.file = folder, image, folder / "stack/.env"
        self.printed = ""

    def make(self, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return make(self.folder, target, IMAGE=self.image, **variables)

    def start(self, **variables: str) -> str:
        """`make stack`; what it prints."""
        done = self.make("stack", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def set(self, **settings: object) -> None:
        """Change lines of stack/.env, or add them."""
        text = self.file.read_text(encoding="utf-8")
        for name, value in settings.items():
            line = f"{name}={value}\n"
            text, found = re.subn(rf"^{name}=.*\n", line, text, flags=re.MULTILINE)
            text += "" if found else line
        self.file.write_text(text, encoding="utf-8")

    def setting(self, name: str) -> str:
        """What a shell has that has read stack/.env."""
        return run(self.folder, "bash", "-c", f"set -a; . stack/.env; printenv {name}").stdout.strip()

    def compose(self, *arguments: str) -> str:
        done = run(self.folder, "docker", "compose", "--file=stack/compose.yaml", *arguments, IMAGE=self.image)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def running(self) -> dict[str, str]:
        """Service → container."""
        lines = self.compose("ps", "--format", "{{.Service}} {{.ID}}").splitlines()
        return dict(line.split() for line in lines)

    def sql(self, statement: str) -> str:
        """What PostgreSQL answers to a program on this machine."""
        psql = ["psql", self.setting("DATABASE_URL"), "--tuples-only", "--no-align", f"--command={statement}"]
        done = docker("run", "--rm", "--network=host", POSTGRES, *psql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mlflow(self, path: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Answer:
        """What MLflow answers to a program on this machine."""
        return Server(self.setting("MLFLOW_TRACKING_URI")).ask(path, body, method, **headers)

    def predictions(self) -> bytes:
        server = Server(f"http://127.0.0.1:{self.setting('SERVING_PORT')}")
        answer = server.predict((self.folder / "data/predict.csv").read_bytes(), "text/csv; header=present")
        assert answer.status == 200
        return answer.body


@pytest.fixture(scope="module")
def compose_answers(docker_answers: None) -> None:
    """Leave the test out where no Docker Compose answers, or PostgreSQL's image is missing."""
    if docker("compose", "version").returncode != 0:
        leave_out("no Docker Compose answers: `make docker` adds it on Debian")
    need_image(POSTGRES)


@pytest.fixture(scope="module")
def first(
    compose_answers: None, image: str, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, subprocess.CompletedProcess[str]]]:
    """A stack whose first start met a port that is in use, and what was said."""
    stack = Stack(bake_into(template, tmp_path_factory.mktemp("stack"), algorithm_name=MINE), image)
    assert stack.make("stack-clean").returncode == 0  # what a run that was killed has left
    with socket.socket() as other:
        with suppress(OSError):  # another program may have it already
            other.bind(("127.0.0.1", 8080))
            other.listen()
        refused = stack.make("stack")
    try:
        yield stack, refused
    finally:
        assert stack.make("stack-clean").returncode == 0


@pytest.fixture(scope="module")
def stack(first: tuple[Stack, subprocess.CompletedProcess[str]]) -> Stack:
    """The stack, started with nothing there but the image."""
    stack, _ = first
    stack.set(**{name: free_port() for name in PORTS}, MODEL_SERVER_METRICS="true")
    stack.printed = stack.start(HYPERPARAMETERS=FEW_TREES)
    return stack


def test_a_port_in_use_is_named_and_can_be_set(first: tuple[Stack, subprocess.CompletedProcess[str]]) -> None:
    _, refused = first
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == "Port 8080 is in use: set SERVING_PORT in stack/.env to another."


def test_the_model_that_was_trained_in_the_stack_is_served(stack: Stack) -> None:
    [run] = (stack.folder / "opt_ml/runs").iterdir()
    trained = (run / "model/model.onnx").read_bytes()
    served = docker("exec", stack.running()["serving"], "sha256sum", "/opt/ml/model/model.onnx").stdout
    assert hashlib.sha256(trained).hexdigest() == served.split()[0]
    assert json.loads((run / "input/config/hyperparameters.json").read_text()) == {"n_estimators": "5"}
    asked = make(stack.folder, "predict", PORT=stack.setting("SERVING_PORT"))
    assert asked.stdout.encode() == stack.predictions()
    assert len(asked.stdout.splitlines()) == 52


def test_the_addresses_are_printed_and_answer(stack: Stack) -> None:
    for name in PORTS:
        assert f"localhost:{stack.setting(name)}" in stack.printed
    assert stack.mlflow("/health").status == 200
    assert stack.sql("select current_database()") == "predictions"
    assert not any(stack.setting(name) in stack.printed for name in ("POSTGRES_PASSWORD", "MLFLOW_PASSWORD"))


def test_nothing_is_published_beyond_this_machine(stack: Stack) -> None:
    running = stack.running()
    assert set(running) == {"serving", "mlflow", "postgres"}
    for container in running.values():
        ports = json.loads(inspect(container, "{{json .NetworkSettings.Ports}}"))
        assert {binding["HostIp"] for bindings in ports.values() for binding in bindings or ()} == {"127.0.0.1"}


def test_each_service_has_what_it_needs_and_no_more(stack: Stack) -> None:
    """P-20, P-41, P-42, P-57: a read-only root, no capabilities, no way to another service's data."""
    for container in stack.running().values():
        host = json.loads(inspect(container, "{{json .HostConfig}}"))
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
    serving = stack.running()["serving"]
    mounts = {mount["Destination"]: mount["RW"] for mount in json.loads(inspect(serving, "{{json .Mounts}}"))}
    assert mounts == {"/opt/ml/model": False, "/captures": True}
    for other in ("mlflow", "postgres"):
        find = f"import socket; socket.getaddrinfo('{other}', 80)"
        assert "gaierror" in docker("exec", serving, "python", "-c", find).stderr
    login = f"postgresql://mlflow:{stack.setting('MLFLOW_PASSWORD')}@127.0.0.1/predictions"
    refused = docker("exec", stack.running()["postgres"], "psql", login)
    assert 'permission denied for database "predictions"' in refused.stderr


def test_mlflow_answers_to_its_own_names_alone(stack: Stack) -> None:
    """A page in a browser that resolves its own name to 127.0.0.1 gets nothing."""
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    ports = {"localhost": stack.setting("MLFLOW_PORT"), "mlflow": "5000"}
    for name, port in ports.items():
        assert stack.mlflow(path, Host=f"{name}:{port}").status == 200
    assert stack.mlflow(path, Host="evil.example").status == 403


def test_a_setting_of_the_server_reaches_it(stack: Stack) -> None:
    """P-35: those in compose.yaml are all that the server knows; the port in the container is Compose's."""
    server = Server(f"http://127.0.0.1:{stack.setting('SERVING_PORT')}")
    assert server.ask("/metrics").status == 200
    config = json.loads(stack.compose("config", "--format=json"))
    assert set(config["services"]["serving"]["environment"]) == set(NAMES) - {"SAGEMAKER_BIND_TO_PORT"}


def test_a_stop_and_a_start_keep_the_data(stack: Stack) -> None:
    before = stack.predictions()
    stack.sql("create table kept (value text); insert into kept values ('here')")
    name = json.dumps({"name": "kept"}).encode()
    made = stack.mlflow("/api/2.0/mlflow/experiments/create", name, Content_Type="application/json")
    assert made.status == 200
    artifact = "/api/2.0/mlflow-artifacts/artifacts/kept/file.txt"
    assert stack.mlflow(artifact, b"here", "PUT").status == 200
    env = stack.file.read_bytes()
    assert stack.make("stack-down").returncode == 0
    assert stack.running() == {}
    stack.start()
    assert stack.sql("select value from kept") == "here"
    found = stack.mlflow("/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept")
    assert json.loads(found.body)["experiment"]["experiment_id"] == json.loads(made.body)["experiment_id"]
    assert stack.mlflow(artifact).body == b"here"
    assert stack.predictions() == before
    assert stack.file.read_bytes() == env


def test_a_new_model_replaces_serving_alone(stack: Stack) -> None:
    before = stack.running()
    stack.start()
    assert stack.running() == before
    refused = stack.make("stack", HYPERPARAMETERS=FEW_TREES)
    sentence = "There is a model, so HYPERPARAMETERS would not be used: add TRAIN=yes to train again."
    assert refused.stderr.splitlines()[0] == sentence
    stack.start(TRAIN="yes", HYPERPARAMETERS="n_estimators=1 max_depth=1")
    after = stack.running()
    assert {service for service in after if after[service] != before[service]} == {"serving"}
    newest = max((stack.folder / "opt_ml/runs").iterdir()) / "model/model.onnx"
    served = docker("exec", after["serving"], "sha256sum", "/opt/ml/model/model.onnx").stdout
    assert hashlib.sha256(newest.read_bytes()).hexdigest() == served.split()[0]


def test_without_its_neighbors_serving_goes_on_and_a_job_is_not_lost(stack: Stack) -> None:
    before, runs = stack.predictions(), set((stack.folder / "opt_ml/runs").iterdir())
    stack.compose("kill", "postgres", "mlflow")
    assert stack.predictions() == before
    override = stack.folder / "stack/compose.override.yaml"
    override.write_text("services: {mlflow: {command: 'false', restart: 'no'}}")
    ended = stack.make("stack", TRAIN="yes", HYPERPARAMETERS=FEW_TREES)
    override.unlink()
    assert ended.returncode != 0
    assert "The stack did not become healthy: the lines above say why." in ended.stderr
    [run] = set((stack.folder / "opt_ml/runs").iterdir()) - runs
    assert (run / "model/model.onnx").exists()
    stack.start()
    assert stack.mlflow("/health").status == 200


def test_a_clean_removes_the_data_and_keeps_the_passwords(stack: Stack) -> None:
    (stack.folder / "opt_ml/captured/kept").mkdir()
    assert stack.make("stack-clean").returncode == 0
    label = f"--filter=label=com.docker.compose.project={MINE}"
    for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        assert docker(*kind, "--quiet", label).stdout == ""
    assert not (stack.folder / "opt_ml/captured").exists()
    assert (stack.folder / "opt_ml/model").exists()
    assert stack.file.exists()


# What needs no service to run.


@pytest.fixture
def small(bake: Bake) -> Stack:
    """A project whose stack is not started, with a stack/.env."""
    stack = Stack(bake(algorithm_name=f"{MINE}-small"))
    made = "from stack import dotenv; dotenv.make()"
    assert run(stack.folder, sys.executable, "-c", made).returncode == 0
    return stack


def test_passwords_are_made_once_for_one_person(small: Stack, project: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(small.file.stat().st_mode) == 0o600
    assert run(small.folder, "git", "init", "--quiet").returncode == 0
    assert run(small.folder, "git", "check-ignore", "stack/.env").returncode == 0
    before = small.file.read_bytes()
    again = run(small.folder, sys.executable, "-c", "from stack import dotenv; dotenv.make()")
    assert "FileExistsError" in again.stderr
    assert small.file.read_bytes() == before
    other = Stack(Path(shutil.copytree(project, tmp_path / "other")))
    run(other.folder, sys.executable, "-c", "from stack import dotenv; dotenv.make()")
    passwords = [stack.setting(name) for stack in (small, other) for name in ("POSTGRES_PASSWORD", "MLFLOW_PASSWORD")]
    assert len(set(passwords)) == 4
    assert all(len(password) == 40 for password in passwords)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MLFLOW_PORT": ""}, "stack/.env does not set MLFLOW_PORT: add that line again, such as MLFLOW_PORT=5000."),
        ({"POSTGRES_PASSWORD": ""}, "stack/.env does not set POSTGRES_PASSWORD: add that line again."),
        ({"SERVING_PORT": "x"}, "SERVING_PORT in stack/.env is 'x': give a whole number from 1 to 65535."),
        (
            {"SERVING_PORT": "5000"},
            "SERVING_PORT and MLFLOW_PORT in stack/.env are both 5000: give each its own port.",
        ),
    ],
)
def test_a_bad_line_of_the_file_is_named(
    compose_answers: None, small: Stack, settings: dict[str, str], sentence: str
) -> None:
    small.set(**settings)
    for target in ("stack", "stack-down"):
        assert small.make(target).stderr.splitlines()[0] == sentence


def test_a_lost_file_is_not_made_again_beside_its_data(compose_answers: None, small: Stack) -> None:
    name = small.setting("STACK_NAME")
    small.file.unlink()
    docker("volume", "create", f"--label=com.docker.compose.project={name}", f"{name}_database")
    try:
        refused = small.make("stack")
    finally:
        docker("volume", "rm", f"{name}_database")
    assert refused.stderr.splitlines()[0] == (
        f"The volumes of a stack {name} are here ({name}_database), but stack/.env with their passwords is not: "
        "bring that file back, or remove the volumes with `make stack-clean`."
    )
    assert not small.file.exists()


@pytest.mark.parametrize("target", ["stack", "stack-down", "stack-clean"])
@pytest.mark.parametrize(
    ("docker", "sentence"),
    [
        ("", "The stack runs in Docker. Docker is not installed."),
        ("[ $1 = info ]", "The stack needs Docker Compose: install its plugin, such as docker-compose-plugin."),
    ],
)
def test_without_docker_or_compose_one_sentence_says_so(
    small: Stack, tmp_path: Path, target: str, docker: str, sentence: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("make", "bash", "sh", "env"):
        (programs / program).symlink_to(shutil.which(program) or "")
    if docker:
        (programs / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (programs / "docker").chmod(0o755)
    done = small.make(target, PATH=str(programs))
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == sentence


def test_gpus_are_asked_for_where_they_are_wanted(compose_answers: None, small: Stack) -> None:
    files = ["--file=stack/compose.yaml", "--file=stack/compose.gpu.yaml", "--profile=training"]
    done = run(small.folder, "docker", "compose", *files, "config", "--format=json")
    services = json.loads(done.stdout)["services"]
    asked = {name: service["deploy"]["resources"] for name, service in services.items() if "deploy" in service}
    gpus = {"reservations": {"devices": [{"capabilities": ["gpu"], "driver": "nvidia", "count": -1}]}}
    assert asked == {"serving": gpus, "training": gpus}
