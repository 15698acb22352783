"""Both ``build_and_push`` scripts, each in the shell of a user, and what they talk to."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mypy_boto3_ecr import ECRClient

from projects import leave_out
from publishing import OUTCOMES, SMALL, Script, name_for, outcome
from registry import ACCOUNT, Registry, running, unavailable


@pytest.fixture(scope="session")
def registry(docker_answers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry, shared by all tests: each uses a repository of its own."""
    if reason := unavailable():
        leave_out(reason)
    with running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(params=["build_and_push.sh", "build_and_push.py"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Script]:
    """Each script, where there is no AWS to talk to."""
    for folder in ("home", "scratch", "bin"):
        (tmp_path / folder).mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for program in ("docker", "aws"):  # the real ones, and a note of how they were called
        wrapper = tmp_path / "bin" / program
        note = f'echo "$BUILDX_NO_DEFAULT_ATTESTATIONS {program} $*" >>"$COMMANDS"\neval "$BEFORE"\n'
        wrapper.write_text(f'#!/bin/sh\n{note}exec {shutil.which(program, path=path)} "$@"\n')
        wrapper.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{path}",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "scratch"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-west-2",
        **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
    }
    # BASH names another one, such as the 3.2 of macOS.
    shell = [os.environ.get("BASH_TO_TEST", "bash")] if request.param.endswith(".sh") else [sys.executable]
    script = Script([*shell, request.param], tmp_path / "home", tmp_path / "scratch", path, environment)
    yield script
    case = request.node.name.replace(request.param, "").replace("[-", "[").replace("-]", "]").replace("[]", "")
    OUTCOMES[case.removeprefix("test_").replace("_", " ")][request.param] = outcome(script, tmp_path)


@pytest.fixture
def publish(script: Script, registry: Registry, name: str) -> Iterator[Script]:
    """Each script, with the registry and AWS within reach."""
    script.environment["AWS_ENDPOINT_URL"] = registry.aws
    yield script
    script.landed = registry.tag_names(name) or ["nothing"]


@pytest.fixture
def small(project: Path, tmp_path: Path) -> Path:
    """A project whose image is built at once, in a folder with a space in its name.

    No other process makes the same image: it could remove one that is in use here.
    """
    copy = tmp_path / "a folder" / "my-algorithm"
    shutil.copytree(project, copy)
    (copy / "container" / "Dockerfile").write_text(SMALL)
    (copy / "container" / "program" / "account").write_text(ACCOUNT)
    return copy


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A repository's name that no other test uses."""
    return name_for(tmp_path)


@pytest.fixture
def ecr(registry: Registry) -> ECRClient:
    """AWS as its console would show it."""
    return boto3.client(
        "ecr", "us-west-2", endpoint_url=registry.aws, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
