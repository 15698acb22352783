"""A training job on several hosts: containers on one network, under the names that the platform gives them."""

import importlib
import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

import pytest

from faults import eventually
from programs import algorithm_of, docker, lay_out, saved, started, train_here, with_train
from projects import IMAGES, TEMPLATE

CLUSTER = TEMPLATE / "examples/cluster/container"
NAMES = ["algo-1", "algo-2", "algo-3"]
FEW: dict[str, object] = {"candidates": 4}


def told(tree: Path, current: str, names: list[str]) -> Path:
    """A tree whose host has been told who the others are. All of the data is the first one's share."""
    about = {"current_host": current, "hosts": names[::-1], "network_interface_name": "eth0", "topology": {}}
    (tree / "input/config/resourceconfig.json").write_text(json.dumps(about), encoding="utf-8")
    shares = {"training": {"S3DistributionType": "ShardedByS3Key"}}
    (tree / "input/config/inputdataconfig.json").write_text(json.dumps(shares), encoding="utf-8")
    if current != names[0]:
        shutil.rmtree(tree / "input/data/training")
    return tree


@dataclass(frozen=True)
class Job:
    """The containers of a job, by the names of their hosts, and the ``/opt/ml`` of each."""

    trees: dict[str, Path]
    containers: dict[str, str]

    def logged(self, host: str) -> str:
        logs = docker("logs", self.containers[host])
        return logs.stdout + logs.stderr

    def ends(self) -> dict[str, int]:
        """The exit status of each host."""
        return {host: int(docker("wait", name).stdout) for host, name in self.containers.items()}

    def failure(self, host: str) -> str:
        return (self.trees[host] / "output/failure").read_text(encoding="utf-8")


@pytest.fixture
def network(docker_answers: None) -> Iterator[str]:
    name = f"cookiecutter-sagemaker-test-{uuid.uuid4().hex[:8]}"
    assert docker("network", "create", "--internal", name).returncode == 0
    yield name
    docker("network", "rm", name)


def begun(
    stack: ExitStack,
    image: str,
    network: str,
    project: Path,
    folder: Path,
    given: dict[str, object] | None = None,
    order: Sequence[str] = NAMES,
) -> Job:
    """A job on three hosts of one CPU, which start in this order."""
    trees = {name: told(lay_out(folder / name, project, given), name, NAMES) for name in NAMES}
    containers = {}
    for name in order:
        place = [f"--network={network}", f"--network-alias={name}", f"--volume={trees[name]}:/opt/ml", "--cpus=1"]
        containers[name] = stack.enter_context(started(image, *place, algorithm_of(project), command="train"))
    return Job(trees, containers)


def test_the_leader_alone_trains_and_the_others_end_with_it(
    image: str, network: str, project: Path, tmp_path: Path
) -> None:
    """T-02, T-05, T-06, T-26, T-48, L-02; V-12, V-13: an algorithm that knows of one host succeeds on three."""
    with ExitStack() as stack:
        job = begun(stack, image, network, project, tmp_path, order=NAMES[::-1])
        assert job.ends() == dict.fromkeys(NAMES, 0), job.logged("algo-1")
        assert "algo-2: algo-1 trains, waiting for it" in job.logged("algo-2")
        assert "training: this host has only its share of the files, due to ShardedByS3Key" in job.logged("algo-1")
    assert [saved(tree) for tree in job.trees.values()] == [
        ["baseline.json", "manifest.json", "model.onnx", "signature.json"],
        [],
        [],
    ]


def test_all_hosts_fail_with_the_leaders_reason(image: str, network: str, project: Path, tmp_path: Path) -> None:
    """T-43, T-48, P-23."""
    mine = with_train(project, tmp_path, "raise UserError('There are too few rows: give 100 or more.')")
    with ExitStack() as stack:
        job = begun(stack, image, network, mine, tmp_path)
        assert job.ends() == dict.fromkeys(NAMES, 1)
    assert job.failure("algo-1") == "There are too few rows: give 100 or more."
    assert job.failure("algo-2") == job.failure("algo-3") == f"algo-1 failed: {job.failure('algo-1')}"


def test_hosts_whose_leader_is_killed_fail_and_say_so(image: str, network: str, project: Path, tmp_path: Path) -> None:
    """P-23, T-45: as by the kernel, when its memory runs out."""
    mine = with_train(project, tmp_path, "import time; print('begun', flush=True); time.sleep(600)")
    with ExitStack() as stack:
        job = begun(stack, image, network, mine, tmp_path)
        eventually(lambda: "begun" in job.logged("algo-1"))
        eventually(lambda: all("waiting for it" in job.logged(name) for name in NAMES[1:]))
        docker("kill", job.containers["algo-1"])
        assert job.ends() == {"algo-1": 137, "algo-2": 1, "algo-3": 1}
    assert job.failure("algo-3") == "algo-1 ended without a message, perhaps because its memory ran out: see its log."


# A cluster


@pytest.fixture(scope="module")
def searching(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the example that asks for a cluster, and with Dask among its packages as `make lock` puts it."""
    mine = Path(shutil.copytree(project, tmp_path_factory.mktemp("searching") / "mine"))
    shutil.copy(CLUSTER / "program/algorithm.py", mine / "container/program/algorithm.py")
    for kind in ("", "-training"):
        text = (CLUSTER / f"requirements{kind}.txt").read_text(encoding="utf-8")
        (mine / f"container/requirements{kind}.txt").write_text(text, encoding="utf-8")
        command = [
            str(Path(sys.executable).with_name("uv")),
            "pip",
            "compile",
            "--quiet",
            "--system-certs",
            "--universal",
        ]
        options = ["--python-version=3.11", "--generate-hashes", f"--constraints={TEMPLATE}/requirements-dev.lock"]
        files = [f"requirements{kind}.txt", f"--output-file=requirements{kind}.lock"]
        run([*command, *options, *files], cwd=mine / "container", check=True)
    return mine


@pytest.fixture(scope="module")
def cluster_image(image: str, searching: Path) -> str:
    """The image with what the locks add to it: to install all packages again takes minutes."""
    install = "RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements"
    dockerfile = f"FROM {image}\nCOPY *.lock /tmp/\n{install}.lock\n{install}-training.lock\n"
    (searching / "container/Dockerfile").write_text(dockerfile, encoding="utf-8")
    built = docker("build", "--tag", f"{IMAGES}:cluster", str(searching / "container"))
    assert built.returncode == 0, built.stdout + built.stderr
    return f"{IMAGES}:cluster"


@pytest.fixture(scope="module")
def alone(searching: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """What one host learns, which needs no container."""
    tree = lay_out(tmp_path_factory.mktemp("alone") / "tree", searching, FEW)
    done = train_here(searching, tree)
    assert done.returncode == 0, done.stderr
    assert "cluster: 1 of 1 host, " in done.stdout
    return learnt(tree)


def learnt(tree: Path) -> tuple[object, ...]:
    """The best candidate, and each tree of its forest."""
    _, forest = importlib.import_module("joblib").load(tree / "model/model.joblib")
    return (
        forest.get_params(),
        *((tree.tree_.threshold.tolist(), tree.tree_.value.tolist()) for tree in forest),
    )


def test_three_hosts_learn_what_one_learns(
    cluster_image: str, network: str, searching: Path, alone: tuple[object, ...], tmp_path: Path
) -> None:
    """T-05, T-06, T-48: with the work of all; the cluster ends with the job."""
    with ExitStack() as stack:
        job = begun(stack, cluster_image, network, searching, tmp_path, FEW)
        assert job.ends() == dict.fromkeys(NAMES, 0), job.logged("algo-1")
        assert "cluster: 3 of 3 hosts, 3 CPUs" in job.logged("algo-1")
    assert learnt(job.trees["algo-1"]) == alone


def test_a_host_that_is_lost_does_not_end_the_work(
    cluster_image: str, network: str, searching: Path, alone: tuple[object, ...], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        job = begun(stack, cluster_image, network, searching, tmp_path, FEW)
        eventually(lambda: "cluster: 3 of 3 hosts" in job.logged("algo-1"), seconds=120)
        docker("kill", job.containers["algo-2"])
        assert job.ends() == {"algo-1": 0, "algo-2": 137, "algo-3": 0}, job.logged("algo-1")
    assert learnt(job.trees["algo-1"]) == alone


def test_an_algorithm_that_asks_for_a_cluster_without_dask_is_told_what_to_install(
    image: str, searching: Path, tmp_path: Path
) -> None:
    """T-44."""
    tree = lay_out(tmp_path / "tree", searching, FEW)
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", algorithm_of(searching), image, "train")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "job.cluster needs Dask: add 'distributed' to container/requirements-training.txt and run `make lock`."
    )
