"""stack/swarm.yaml on a real Swarm of one node. Health checks ask its containers: without IPVS no port leads there."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import eventually
from programs import docker, lay_out, train_here
from projects import IMAGES, run

NAME = f"swarm-{IMAGES[-8:]}"


@pytest.fixture
def swarm(docker_answers: None) -> Iterator[None]:
    """The engine is a node of a Swarm; of its own, if it was in none."""
    was_one = docker("info", "--format={{.Swarm.LocalNodeState}}").stdout.strip() == "active"
    if not was_one:
        made = docker("swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1")
        assert made.returncode == 0, made.stderr
    try:
        yield
    finally:
        docker("stack", "rm", NAME)
        eventually(lambda: not containers("--all"), 120)
        if not was_one:
            docker("swarm", "leave", "--force")
            docker("network", "rm", "docker_gwbridge")


def containers(*options: str) -> list[str]:
    """The stack's containers that the options choose."""
    return docker("ps", "--quiet", *options, f"--filter=label=com.docker.stack.namespace={NAME}").stdout.split()


def healthy() -> list[str]:
    return containers("--filter=health=healthy")


def deploy(project: Path, image: str, model: Path) -> None:
    command = ["docker", "stack", "deploy", "--compose-file=stack/swarm.yaml", NAME]
    done = run(project, *command, IMAGE=image, MODEL=str(model))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_swarm_replaces_a_model_with_two_healthy_containers_at_every_moment(
    swarm: None, image: str, project: Path, tmp_path: Path
) -> None:
    """P-20, P-41, P-42: as nobody, on a read-only root, without capabilities."""
    tree = lay_out(tmp_path / "tree", project, {"n_estimators": 1})
    assert train_here(project, tree).returncode == 0
    new = Path(shutil.copytree(tree / "model", tmp_path / "new"))
    (new / "new").touch()
    for path in (tmp_path, *new.iterdir()):
        path.chmod(0o755)
    deploy(project, image, tree / "model")
    eventually(lambda: len(healthy()) == 2, 180)
    old = set(healthy())
    deploy(project, image, new)
    deadline = time.monotonic() + 180
    while old & set(containers()):
        assert len(healthy()) >= 2
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for container in healthy():
        assert docker("exec", container, "test", "-e", "/opt/ml/model/new").returncode == 0
