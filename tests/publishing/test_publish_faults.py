"""What is missing, refused or full before there is something to push: both ``build_and_push`` scripts say it."""

import re
from pathlib import Path

import pytest

from forms import long_after
from publishing import BROKEN, Script, check_page, path_without
from registry import Registry, gate, host, password_line

# What is told before the build


def test_missing_docker_is_told(script: Script, small: Path, tmp_path: Path) -> None:
    path = path_without("docker", script.path, tmp_path)
    assert script(small, PATH=path).error == "docker is not installed: see https://docs.docker.com/get-docker"


def test_a_missing_client_for_aws_is_told(script: Script, small: Path, tmp_path: Path) -> None:
    if script.command[-1].endswith(".sh"):
        error = script(small, PATH=path_without("aws", script.path, tmp_path)).error
        assert error == "the aws command is not installed: see https://aws.amazon.com/cli or use build_and_push.py"
    else:
        script.command.insert(1, "-S")  # without installed packages
        error = script(small).error
        assert error == "Python has no boto3: run 'make setup' and use .venv/bin/python, or build_and_push.sh"
    script.runs.clear()  # what is missing differs, so this is no case of both


def test_an_engine_that_is_stopped_is_told(script: Script, small: Path) -> None:
    run = script(small, DOCKER_HOST="unix:///nonexistent")
    assert re.fullmatch(r"Docker does not answer \(.*unix:///nonexistent.*\): start it", run.error)
    assert not [command for command in run.commands if " aws " in command]


def test_someone_without_credentials_is_told_how_to_get_them(publish: Script, small: Path) -> None:
    error = publish(small, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None).error
    pattern = r"cannot check your AWS credentials \(.*Unable to locate .*\): run 'aws configure' or set AWS_PROFILE"
    assert re.fullmatch(pattern, error)


def test_a_profile_that_does_not_exist_is_named(publish: Script, small: Path) -> None:
    error = publish(small, AWS_PROFILE="nobody", AWS_REGION=None).error
    pattern = (
        r"cannot check your AWS credentials \(.*profile \(nobody\) could not be found\): run 'aws configure' or .*"
    )
    assert re.fullmatch(pattern, error)


def test_a_wrong_password_is_told_before_the_build(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-10."""
    with registry.passwords_put_back() as passwords:
        passwords.write_text(password_line("another"))
        run = publish(small, "--name", name)
    assert re.fullmatch(
        rf"cannot log in to {host('us-west-2')} \(.*401 Unauthorized.*\): ask .* ecr:GetAuthorizationToken", run.error
    )
    assert "Building" not in run.stderr
    assert registry.tags(name) == {}


# What AWS says


DENIED = {
    "PutLifecyclePolicy": r"the new repository {name} keeps untagged .*\({}\): ask for .* ecr:PutLifecyclePolicy",
    "GetCallerIdentity": r"cannot check your AWS credentials \({}\): run 'aws configure' or set AWS_PROFILE",
    "DescribeRepositories": r"cannot look up the repository {name} \({}\): ask for .* ecr:DescribeRepositories",
    "CreateRepository": r"cannot create the repository {name} \({}\): ask for the permission ecr:CreateRepository",
    "GetAuthorizationToken": r"cannot log in to {host} \({}.*\): ask for the permission ecr:GetAuthorizationToken",
}


@pytest.mark.parametrize("action", long_after(2, DENIED))
def test_access_denied_is_told_and_nothing_is_made_in_its_place(
    publish: Script, registry: Registry, small: Path, name: str, action: str
) -> None:
    """E-11."""
    with gate(registry.aws, **{action: "AccessDeniedException"}) as aws:
        run = publish(small, "--name", name, AWS_ENDPOINT_URL=aws.address)
    cause = rf".*\(AccessDeniedException\) when calling the {action} operation: the test says no"
    assert re.fullmatch(DENIED[action].format(cause, name=name, host=host("us-west-2")), run.error)
    assert aws.asked[-1] == action
    assert registry.tags(name) == {}


def test_a_busy_aws_is_asked_again(publish: Script, registry: Registry, small: Path, name: str) -> None:
    busy = dict.fromkeys(["DescribeRepositories", "CreateRepository", "GetAuthorizationToken"], "ThrottlingException")
    with gate(registry.aws, **busy) as aws:
        assert publish(small, "--name", name, "--tag", "1", AWS_ENDPOINT_URL=aws.address).reference
    assert aws.asked.count("CreateRepository") == 2


@pytest.mark.parametrize("action", long_after(1, ["CreateRepository", "GetCallerIdentity", "DescribeRepositories"]))
def test_an_aws_that_stays_busy_is_told(
    publish: Script, registry: Registry, small: Path, name: str, action: str
) -> None:
    """E-11."""
    with gate(registry.aws, True, **{action: "ThrottlingException"}) as aws:
        run = publish(small, "--name", name, AWS_ENDPOINT_URL=aws.address, AWS_MAX_ATTEMPTS="1")
    assert run.error.endswith("): wait a minute and run this again")
    assert aws.asked[-1] == action


@pytest.mark.parametrize("action", long_after(1, ["GetAuthorizationToken", "GetCallerIdentity"]))
def test_expired_credentials_are_told(publish: Script, registry: Registry, small: Path, name: str, action: str) -> None:
    with gate(registry.aws, **{action: "ExpiredTokenException"}) as aws:
        run = publish(small, "--name", name, AWS_ENDPOINT_URL=aws.address)
    assert run.error.endswith("): renew your credentials, for instance with 'aws sso login'")


@pytest.mark.usefixtures("docker_answers")
def test_an_aws_out_of_reach_is_told(script: Script, small: Path) -> None:
    """A region that does not exist looks like this, too."""
    error = script(small, AWS_MAX_ATTEMPTS="1").error
    pattern = r"cannot check your AWS credentials \(.*endpoint URL.*\): check the network and that the region exists"
    assert re.fullmatch(pattern, error)


# The build


def test_a_failed_build_pushes_nothing_not_even_an_older_image(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    publish(small, "--name", name, "--tag", "1")
    before = registry.tags(name)
    (small / "container" / "Dockerfile").write_text(BROKEN)
    run = publish(small, "--name", name, "--tag", "1")
    assert run.error == "the build failed and nothing was pushed: fix the error above"
    assert "absent.txt" in run.stderr
    assert registry.tags(name) == before
    assert not list(publish.scratch.iterdir()), "the folder with the password should be gone (E-10)"
    assert not [command for command in run.commands if " push " in command or " tag " in command]


def test_a_disk_that_fills_up_in_mid_build_is_told(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """The disk is the shared memory of the build's step, which has 64 MB."""
    fill = "FROM python:3.12-slim-bookworm\nRUN cat /dev/zero >/dev/shm/fill\n"
    (small / "container" / "Dockerfile").write_text(fill)
    run = publish(small, "--name", name, "--tag", "1")
    assert run.error == "the build failed and nothing was pushed: fix the error above"
    assert "No space left on device" in run.stderr
    assert registry.tags(name) == {}


# Both scripts


@pytest.mark.page
def test_both_scripts_end_alike_in_each_case_as_the_page_shows() -> None:
    """Each test above is a case; WRITE_PAGE=1 writes its row."""
    check_page()
