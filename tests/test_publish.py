"""Both ``build_and_push`` scripts, against a real registry under ECR's host name: what lands there, what is said."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
from mypy_boto3_ecr import ECRClient

from conftest import leave_out
from registry import ACCOUNT, PASSWORD, Registry, docker_login, gate, host, password_line, running, unavailable

DOCKER_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
SMALL = "FROM scratch\nCOPY program /opt/program\n"
BROKEN = "FROM scratch\nCOPY program/nothing /opt/program\n"


class Run(NamedTuple):
    """What a user sees of a run, and which docker and aws commands it took."""

    status: int
    stdout: str
    stderr: str
    commands: list[str]

    @property
    def reference(self) -> str:
        """The last line, which other programs read."""
        assert self.status == 0, self.stderr
        return self.stdout.splitlines()[-1]

    @property
    def error(self) -> str:
        """The one sentence that a failed run ends with."""
        assert self.status == 1, self.stderr
        assert not self.stdout, "another program could take this for a reference"
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert errors == self.stderr.splitlines()[-1:], self.stderr
        assert "Traceback" not in self.stderr
        return errors[0].removeprefix("error: ")


@dataclass
class Script:
    """One of the two scripts, in the shell of a user whom AWS knows."""

    command: list[str]
    home: Path
    scratch: Path
    path: str
    environment: dict[str, str]

    def __call__(self, project: Path, *options: str, cwd: Path | None = None, **environment: str | None) -> Run:
        """Run it in ``project``. A variable that is None in ``environment`` is not set."""
        log = self.scratch.with_name("commands")
        log.write_text("")
        chosen = {**self.environment, "COMMANDS": str(log), **environment}
        command = [*self.command[:-1], str(project / "container" / self.command[-1]), *options]
        run = subprocess.run(
            command,
            cwd=cwd,
            env={name: value for name, value in chosen.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(run.returncode, run.stdout, run.stderr, log.read_text().splitlines())


@pytest.fixture(scope="module")
def registry(docker_answers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry, shared: a test uses a repository of its own."""
    if reason := unavailable():
        leave_out(reason)
    with running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(params=["build_and_push.sh", "build_and_push.py"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Script:
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
    command = [*(["bash"] if request.param.endswith(".sh") else [sys.executable]), request.param]
    return Script(command, tmp_path / "home", tmp_path / "scratch", path, environment)


@pytest.fixture
def publish(script: Script, registry: Registry) -> Script:
    """Each script, with the registry and AWS within reach."""
    script.environment["AWS_ENDPOINT_URL"] = registry.aws
    return script


@pytest.fixture
def small(project: Path, tmp_path: Path) -> Path:
    """A project whose image is built at once, in a folder with a space in its name."""
    copy = tmp_path / "a folder" / "my-algorithm"
    shutil.copytree(project, copy)
    (copy / "container" / "Dockerfile").write_text(SMALL)
    return copy


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A repository's name that no other test uses."""
    return tmp_path.name.replace("_", "-").lower()


@pytest.fixture
def ecr(registry: Registry) -> ECRClient:
    """AWS as its console would show it."""
    return boto3.client(
        "ecr", "us-west-2", endpoint_url=registry.aws, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def git(project: Path, *arguments: str) -> str:
    """Run git in ``project`` and return what it prints."""
    command = ["git", "-C", str(project), "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# What lands in the registry


def test_the_pushed_image_is_named_by_digest_and_runs(
    publish: Script, registry: Registry, ecr: ECRClient, image: str, project: Path, name: str, tmp_path: Path
) -> None:
    """E-04, E-07, E-11, P-56."""
    reference = publish(project, "--name", name, "--tag", "1.0").reference

    address, digest = reference.split("@")
    (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert address == f"{host('us-west-2')}/{name}" == repository["repositoryUri"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert registry.manifest(name, digest) == (DOCKER_SCHEMA_2, digest, "amd64")
    assert registry.tags(name) == {"1.0": digest}

    subprocess.run(["docker", "image", "rm", "--force", f"{address}:1.0", reference], check=True, capture_output=True)
    docker_login(tmp_path, host("us-west-2"))
    subprocess.run(["docker", "--config", str(tmp_path), "pull", "--quiet", reference], check=True)
    answer = subprocess.run(["docker", "run", "--rm", reference, "which", "serve"], check=True, capture_output=True)
    assert answer.stdout == b"/opt/program/serve\n"


def test_a_repository_that_exists_is_used_as_it_is(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-11."""
    first = publish(small, "--name", name, "--tag", "1").reference
    with gate(registry.aws) as aws:
        second = publish(small, "--name", name, "--tag", "2", AWS_ENDPOINT_URL=aws.address).reference
    assert first == second
    assert registry.tags(name) == dict.fromkeys(("1", "2"), first.partition("@")[2])
    assert "CreateRepository" not in aws.asked


def test_a_repository_that_someone_else_creates_meanwhile_is_used(
    publish: Script, registry: Registry, ecr: ECRClient, small: Path, name: str
) -> None:
    """E-11."""
    ecr.create_repository(repositoryName=name)
    with gate(registry.aws, DescribeRepositories="RepositoryNotFoundException") as aws:
        run = publish(small, "--name", name, "--tag", "1", AWS_ENDPOINT_URL=aws.address)
    assert run.reference.endswith(f"/{name}@{registry.tags(name)['1']}")
    assert aws.asked[1:4] == ["DescribeRepositories", "CreateRepository", "DescribeRepositories"]


@pytest.mark.parametrize("buildkit", ["0", None], ids=["classic", "default"])
def test_either_builder_makes_an_image_that_sagemaker_takes(
    publish: Script, registry: Registry, small: Path, name: str, buildkit: str | None
) -> None:
    """E-07, E-08, P-56: the platform is stated, and attestations, which newer builders add, are refused."""
    run = publish(small, "--name", name, "--tag", "1", DOCKER_BUILDKIT=buildkit)
    digest = run.reference.partition("@")[2]
    assert registry.manifest(name, digest) == (DOCKER_SCHEMA_2, digest, "amd64")
    assert [command for command in run.commands if command.startswith("1 docker build --platform linux/amd64 ")]


def test_only_the_reference_is_printed_on_stdout_and_each_step_on_stderr(
    publish: Script, small: Path, name: str
) -> None:
    run = publish(small, "--name", name, "--tag", "1", DOCKER_BUILDKIT="0")  # this builder writes to stdout
    assert re.fullmatch(rf"{ACCOUNT}\.dkr\.ecr\.us-west-2\.amazonaws\.com/{name}@sha256:[0-9a-f]{{64}}\n", run.stdout)
    steps = [line.split()[1] for line in run.stderr.splitlines() if line.startswith("==> ")]
    assert steps == ["Asking", "Asking", "Looking", "Creating", "Logging", "Building", "Pushing"]
    assert f"arn:aws:sts::{ACCOUNT}:user/moto" in run.stderr


# Names, tags and regions


def test_the_name_comes_from_the_project_and_the_place_does_not_matter(
    publish: Script, registry: Registry, small: Path, tmp_path: Path
) -> None:
    """From another folder, in a path with a space, through a link."""
    link = tmp_path / "a link"
    link.symlink_to(small)
    reference = publish(link, "--tag", f"from-{publish.command[-1][-2:]}", cwd=Path("/")).reference
    assert reference.startswith(f"{host('us-west-2')}/my-algorithm@sha256:")
    assert reference.partition("@")[2] == registry.tags("my-algorithm")[f"from-{publish.command[-1][-2:]}"]


def test_a_project_without_a_name_is_told_so(script: Script, small: Path) -> None:
    (small / "pyproject.toml").write_text('[project]\nversion = "1"\n\n[tool.other]\nname = "not-this"\n')
    assert script(small).error == "pyproject.toml has no name: add it to [project] or pass --name"
    (small / "pyproject.toml").unlink()
    assert script(small).error == "pyproject.toml has no name: add it to [project] or pass --name"


def test_the_tag_is_the_commit_and_says_when_files_changed(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-03: never `latest`."""
    git(small, "init", "--quiet")
    git(small, "add", ".")
    git(small, "commit", "--quiet", "--message", "first")
    commit = git(small, "rev-parse", "--short", "HEAD")
    clean = publish(small, "--name", name).reference.partition("@")[2]
    (small / "container" / "program" / "new.py").touch()
    dirty = publish(small, "--name", name).reference.partition("@")[2]
    assert registry.tags(name) == {commit: clean, f"{commit}-dirty": dirty}
    assert clean != dirty


def test_without_git_the_tag_is_the_time(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-03: never `latest`."""
    assert publish(small, "--name", name).reference
    (tag,) = registry.tags(name)
    assert re.fullmatch(r"20\d{6}T\d{6}Z", tag)


@pytest.mark.parametrize(
    "name", ["a", "My-Algorithm", "-a", "a.", "a___b", "a/", "/a", "a b", "a\n", "größe", "a" * 257]
)
def test_a_name_that_ecr_would_refuse_is_refused_at_once(script: Script, small: Path, name: str) -> None:
    """E-01."""
    run = script(small, f"--name={name}")
    assert run.stderr.startswith(f"error: '{name}' cannot name a repository: use 2 to 256 of a-z, 0-9 and, ")
    assert (run.status, run.stdout, run.commands) == (1, "", [])


@pytest.mark.parametrize("tag", ["-x", ".x", "a b", "a/b", "a\n", "größe", "a" * 129])
def test_a_tag_that_docker_would_refuse_is_refused_at_once(script: Script, small: Path, tag: str) -> None:
    """E-03."""
    run = script(small, f"--tag={tag}")
    assert run.stderr.startswith(f"error: '{tag}' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, ")
    assert (run.status, run.stdout, run.commands) == (1, "", [])


@pytest.mark.parametrize("name", ["0a", "team/a.b_c__d---e/v2", "a" * 256])
def test_a_name_that_ecr_takes_is_taken(script: Script, small: Path, name: str) -> None:
    """E-01: the next thing looked for is docker."""
    error = script(small, "--name", name, "--tag", "A" * 128, DOCKER_HOST="unix:///nonexistent").error
    assert error.startswith("Docker does not answer")


def test_where_no_region_is_set_us_west_2_is_used_and_said_aloud(
    publish: Script, registry: Registry, small: Path
) -> None:
    with gate(registry.aws, GetCallerIdentity="AccessDenied") as aws:
        run = publish(small, AWS_REGION=None, AWS_ENDPOINT_URL=aws.address)
    assert aws.regions == {"us-west-2"}
    assert "No region is set, so us-west-2 is used: --region or AWS_REGION set another\n" in run.stderr


def test_the_image_goes_to_the_region_of_the_option(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-05, E-06."""
    with gate(registry.aws) as aws:
        run = publish(small, "--name", name, "--tag", "1", "--region=eu-central-1", AWS_ENDPOINT_URL=aws.address)
    assert run.reference.startswith(f"{host('eu-central-1')}/")
    assert aws.regions == {"eu-central-1"}


@pytest.mark.parametrize(
    ("options", "environment", "region"),
    [
        (["--region", "eu-west-1"], {"AWS_REGION": "sa-east-1", "AWS_DEFAULT_REGION": "ap-south-1"}, "eu-west-1"),
        ([], {"AWS_REGION": "sa-east-1", "AWS_DEFAULT_REGION": "ap-south-1"}, "sa-east-1"),
        ([], {"AWS_REGION": "", "AWS_DEFAULT_REGION": "ap-south-1"}, "ap-south-1"),
        ([], {"AWS_REGION": ""}, "ca-central-1"),
    ],
    ids=["option", "AWS_REGION", "AWS_DEFAULT_REGION", "profile"],
)
def test_the_option_goes_before_the_environment_before_the_profile(
    publish: Script, registry: Registry, small: Path, options: list[str], environment: dict[str, str], region: str
) -> None:
    (publish.home / ".aws").mkdir()
    (publish.home / ".aws" / "config").write_text("[profile work]\nregion = ca-central-1\n")
    publish.environment |= {"AWS_PROFILE": "work", **environment}
    with gate(registry.aws, GetCallerIdentity="AccessDenied") as aws:
        run = publish(small, *options, AWS_ENDPOINT_URL=aws.address)
    assert aws.regions == {region}
    assert f"==> Asking AWS who you are, in {region}\n" in run.stderr
    assert "No region is set" not in run.stderr


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_options(script: Script, small: Path, option: str) -> None:
    run = script(small, option)
    assert (run.status, run.stderr, run.commands) == (0, "", [])
    assert all(word in run.stdout for word in ("--name", "--tag", "--region", "--help", "us-west-2"))


@pytest.mark.parametrize("options", [["stray"], ["--name"], ["--tag", "--region", "a"], ["--na=ab"]])
def test_a_mistyped_option_is_named(script: Script, small: Path, options: list[str]) -> None:
    run = script(small, *options)
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    assert options[0].partition("=")[0] in run.stderr


# What goes wrong


def test_a_failed_build_pushes_nothing_not_even_an_older_image(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    publish(small, "--name", name, "--tag", "1")
    before = registry.tags(name)
    (small / "container" / "Dockerfile").write_text(BROKEN)
    run = publish(small, "--name", name, "--tag", "1")
    assert run.error == "the build failed and nothing was pushed: mend what docker names above"
    assert "program/nothing" in run.stderr
    assert registry.tags(name) == before
    assert not list(publish.scratch.iterdir()), "the folder with the password should be gone (E-10)"
    assert not [command for command in run.commands if " push " in command or " tag " in command]


def test_a_wrong_password_is_told_before_the_build(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-10."""
    with registry.passwords_put_back() as passwords:
        passwords.write_text(password_line("another"))
        run = publish(small, "--name", name)
    assert re.fullmatch(
        rf"cannot log in to {host('us-west-2')} \(.*401 Unauthorized.*\): ask for ecr:GetAuthorizationToken", run.error
    )
    assert "Building" not in run.stderr
    assert registry.tags(name) == {}


def test_a_refused_push_is_told(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """The password stops working after the login, when the push begins."""
    with registry.passwords_put_back() as passwords:
        forget = f'case "$*" in *" push "*) : >{passwords} ;; esac'
        run = publish(small, "--name", name, BEFORE=forget)
    assert run.error == "the push failed: see above, then run this again"
    assert registry.tags(name) == {}


DENIED = {
    "GetCallerIdentity": r"AWS does not know you \({}\): run 'aws configure' or set AWS_PROFILE",
    "DescribeRepositories": r"cannot look up the repository {name} \({}\): ask for ecr:DescribeRepositories",
    "CreateRepository": r"cannot create the repository {name} \({}\): ask for ecr:CreateRepository",
    "GetAuthorizationToken": r"cannot log in to {host} \({}.*\): ask for ecr:GetAuthorizationToken",
}


@pytest.mark.parametrize("action", DENIED)
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


def test_someone_without_credentials_is_told_how_to_get_them(publish: Script, small: Path) -> None:
    error = publish(small, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None).error
    pattern = r"AWS does not know you \(.*Unable to locate credentials.*\): run 'aws configure' or set AWS_PROFILE"
    assert re.fullmatch(pattern, error)


def test_a_profile_that_does_not_exist_is_named(publish: Script, small: Path) -> None:
    error = publish(small, AWS_PROFILE="nobody", AWS_REGION=None).error
    pattern = (
        r"AWS does not know you \(.*profile \(nobody\) could not be found\): run 'aws configure' or set AWS_PROFILE"
    )
    assert re.fullmatch(pattern, error)


def test_an_engine_that_is_stopped_is_told(script: Script, small: Path) -> None:
    run = script(small, DOCKER_HOST="unix:///nonexistent")
    assert re.fullmatch(r"Docker does not answer \(.*unix:///nonexistent.*\): start it", run.error)
    assert not [command for command in run.commands if " aws " in command]


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


def path_without(program: str, path: str, tmp_path: Path) -> str:
    """A folder with all the programs of ``path`` but one."""
    folder = tmp_path / "others"
    folder.mkdir()
    for directory in map(Path, path.split(":")):
        for file in directory.iterdir() if directory.is_dir() else ():
            if file.name != program and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return str(folder)


# The password


def test_the_password_is_nowhere_to_be_found(publish: Script, small: Path, name: str) -> None:
    """E-10: not in the output, on no command line, in no file that was not there before."""
    settings = publish.home / ".docker" / "config.json"
    settings.parent.mkdir()
    settings.write_text('{"auths": {"example.com": {"auth": "bWU6bXk="}}}')
    run = publish(small, "--name", name, "--tag", "1")
    assert run.status == 0
    assert not [text for text in (run.stdout, run.stderr, *run.commands) if PASSWORD in text]
    assert settings.read_text() == '{"auths": {"example.com": {"auth": "bWU6bXk="}}}'
    assert not list(publish.scratch.iterdir())


def test_the_engine_that_the_user_chose_is_used_throughout(
    publish: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    """A docker context, as Docker Desktop and Colima make it, is part of the user's configuration."""
    inspect = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    engine = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    if not engine.startswith("unix://"):
        pytest.skip("Docker is not on this machine, so it cannot be given a second address")
    socket = tmp_path / "engine.sock"
    socket.symlink_to(engine.removeprefix("unix://"))
    home = {**publish.environment, "COMMANDS": os.devnull}
    create = ["docker", "context", "create", "other", "--docker", f"host=unix://{socket}"]
    subprocess.run(create, env=home, check=True, capture_output=True)
    subprocess.run(["docker", "context", "use", "other"], env=home, check=True, capture_output=True)
    run = publish(small, "--name", name, "--tag", "1", DOCKER_HOST=None)
    assert run.reference
    apart = [command for command in run.commands if " login " in command or " push " in command]
    assert len(apart) == 2
    assert all(f"--host unix://{socket} " in command for command in apart)
