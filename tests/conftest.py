"""What the tests share: a generated project, an image built from it, and a word when Docker is missing."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
Bake = Callable[..., Path]


def bake_into(directory: Path, **prompts: str) -> Path:
    """Generate a project below ``directory`` with the answers ``prompts`` and return its folder."""
    generated = cookiecutter(
        str(TEMPLATE), no_input=True, extra_context=prompts, output_dir=str(directory), default_config=True
    )
    return Path(generated)


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Generate a project into the test's own folder: ``bake(algorithm_name="churn")``."""
    return lambda **prompts: bake_into(tmp_path, **prompts)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers. Shared: tests do not change it."""
    return bake_into(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip where no Docker answers, and say how to get one; with REQUIRE_DOCKER=1 fail instead."""
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        say = pytest.fail if os.environ.get("REQUIRE_DOCKER") == "1" else pytest.skip
        say("no Docker answers: `make docker` starts one on Debian")


@pytest.fixture(scope="session")
def image(docker: None, project: Path) -> str:
    """The image of ``project``, for the default Python."""
    return build_image(project, "cookiecutter-sagemaker-test:default")


def build_image(project: Path, tag: str) -> str:
    """Build the container of ``project`` unmodified and return its tag."""
    subprocess.run(
        ["docker", "build", "--quiet", "--platform", "linux/amd64", "--tag", tag, str(project / "container")],
        check=True,
    )
    return tag
