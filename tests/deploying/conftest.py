"""The simulator, with and without the image behind it, and ``python -m deploy`` against it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploying import Deploy, Start, at, environment, started
from rehearsal.simulator import Simulator


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Simulator]:
    """The platform's records without anything behind them: no Docker is needed."""
    with started(tmp_path, None) as platform:
        yield platform


@pytest.fixture
def cloud(image: str, tmp_path: Path) -> Iterator[Simulator]:
    """The platform with the real image behind it."""
    with started(tmp_path, image) as platform:
        yield platform


@pytest.fixture
def deploy(platform: Simulator, project: Path, tmp_path: Path) -> Deploy:
    """Run a command of the generated project: ``deploy("delete", "--endpoint", "churn")``."""
    return at(platform, project, tmp_path)


@pytest.fixture
def start(platform: Simulator, project: Path, tmp_path: Path) -> Start:
    """Start a command without waiting for it."""

    def start(*arguments: str, folder: Path = project) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-B", "-m", "deploy", *arguments],
            cwd=folder,
            env=environment(tmp_path, AWS_ENDPOINT_URL=platform.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def deploy_really(cloud: Simulator, project: Path, tmp_path: Path) -> Deploy:
    """The same, where the image runs."""
    return at(cloud, project, tmp_path)
