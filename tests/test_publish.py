"""Both ``build_and_push`` scripts, against a real registry under ECR's host name: what lands there, what is said."""

import json
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from mypy_boto3_ecr import ECRClient

from conftest import TEMPLATE, leave_out
from registry import (
    ACCOUNT,
    CUT,
    FAULTY_REGION,
    PASSWORD,
    Fault,
    Hold,
    Refusal,
    Registry,
    docker_login,
    gate,
    host,
    in_the_way,
    password_line,
    running,
    unavailable,
)

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
    runs: list[Run] = field(default_factory=list)
    landed: list[str] = field(default_factory=lambda: ["-"])

    def __call__(self, project: Path, *options: str, cwd: Path | None = None, **environment: str | None) -> Run:
        """Run it in ``project``. A variable that is None in ``environment`` is not set."""
        with self.started(project, *options, cwd=cwd, **environment) as process:
            return self.ended(process)

    @contextmanager
    def started(
        self, project: Path, *options: str, cwd: Path | None = None, **environment: str | None
    ) -> Iterator["subprocess.Popen[str]"]:
        """Start it, as a shell would: in a process group of its own."""
        self.log.write_text("")
        chosen = {**self.environment, "COMMANDS": str(self.log), **environment}
        command = [*self.command[:-1], str(project / "container" / self.command[-1]), *options]
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={name: value for name, value in chosen.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            yield process

    def ended(self, process: "subprocess.Popen[str]") -> Run:
        """Wait for its end, and note what it was."""
        stdout, stderr = process.communicate(timeout=300)
        self.runs.append(Run(process.returncode, stdout, stderr, self.log.read_text().splitlines()))
        return self.runs[-1]

    @property
    def log(self) -> Path:
        """The file with the commands that it runs."""
        return self.scratch.with_name("commands")


@pytest.fixture(scope="module")
def registry(docker_answers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry, shared: a test uses a repository of its own."""
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
    """A project whose image is built at once, in a folder with a space in its name."""
    copy = tmp_path / "a folder" / "my-algorithm"
    shutil.copytree(project, copy)
    (copy / "container" / "Dockerfile").write_text(SMALL)
    return copy


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A repository's name that no other test uses."""
    return name_for(tmp_path)


def name_for(tmp_path: Path) -> str:
    return tmp_path.name.replace("_", "-").lower()


class Outcome(NamedTuple):
    """How a case ended: the exit codes of its runs, the tags that landed, and the last line of the last run."""

    codes: str
    tags: str
    last_line: str


OUTCOMES: defaultdict[str, dict[str, Outcome]] = defaultdict(dict)  # case → script → outcome


def outcome(script: Script, tmp_path: Path) -> Outcome:
    """The outcome, without what differs from run to run, and without what docker and the AWS clients complain of."""
    codes = ", ".join(str(run.status) for run in script.runs)
    stdout, stderr = next(((run.stdout, run.stderr) for run in script.runs[-1:]), ("", ""))
    said = [line for line in stderr.splitlines() if line.startswith(("==> ", "error: "))]
    last = "".join((stdout.splitlines() or said)[-1:])
    if script.runs[-1:] and script.runs[-1].status == 2:
        last = "error: ...: see --help"
    if script.runs[-1:] and script.runs[-1].status > 128:
        last = "interrupted in mid-line"  # docker's lines and the script's may stand in any order then
    if last.startswith("{"):
        last = f"JSON: {', '.join(json.loads(last))}"
    seen = [text.replace(str(tmp_path), "...").replace(name_for(tmp_path), "NAME") for text in (*script.landed, last)]
    for pattern, word in (
        (r"[0-9]+[0-9a-z.-]+amazonaws.com", "HOST"),
        (r"[0-9a-f]{64}", "..."),
        (r"\b[0-9a-f]{12}\b", "COMMIT"),
        (r"\b20\d{6}T\d{6}Z", "TIME"),
        (r" \(.*\)", " (...)"),
        (r"only [0-9]+ kB", "only ... kB"),
    ):
        seen = [re.sub(pattern, word, text) for text in seen]
    return Outcome(codes, ", ".join(sorted(seen[:-1])), seen[-1])


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
    """E-04, E-07, E-11, P-56; and the image knows the commit, for the manifests of models."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    commit = committed(mine)
    reference = publish(mine, "--name", name, "--tag", "1.0").reference

    address, digest = reference.split("@")
    (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert address == f"{host('us-west-2')}/{name}" == repository["repositoryUri"]
    assert registry.manifest(name, digest) == (DOCKER_SCHEMA_2, digest, "amd64")
    assert registry.tags(name) == {"1.0": digest, commit[:12]: digest}

    local = [f"{address}:1.0", f"{address}:{commit[:12]}", reference]
    subprocess.run(["docker", "image", "rm", "--force", *local], check=True, capture_output=True)
    docker_login(tmp_path, host("us-west-2"))
    subprocess.run(["docker", "--config", str(tmp_path), "pull", "--quiet", reference], check=True)
    ask = ["docker", "run", "--rm", reference, "sh", "-c", "which serve && echo $IMAGE_REVISION"]
    answer = subprocess.run(ask, check=True, capture_output=True, text=True)
    assert answer.stdout == f"/opt/program/serve\n{commit}\n"


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
    assert steps[:-1] == ["Asking", "Asking", "Looking", "Creating", "Logging", "Building", "Pushing", "Reading"]
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
    commit = git(small, "rev-parse", "HEAD")[:12]
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
    assert "warning: no region is set, so us-west-2 is used: --region or AWS_REGION set another\n" in run.stderr


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
    assert "no region is set" not in run.stderr


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_printed_at_once(script: Script, small: Path, option: str) -> None:
    run = script(small, option)
    assert (run.status, run.stderr, run.commands) == (0, "", [])
    assert all(word in run.stdout for word in ("--name", "--tag", "--region", "--help", "us-west-2"))


def test_both_scripts_have_the_same_help(project: Path) -> None:
    words = []
    for interpreter, script in (("bash", "build_and_push.sh"), (sys.executable, "build_and_push.py")):
        command = [interpreter, str(project / "container" / script), "--help"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words.append(printed.replace(script, "build_and_push").split())
    assert words[0] == words[1]


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


DENIED = {
    "PutLifecyclePolicy": r"the new repository {name} keeps untagged images .*\({}\): ask for ecr:PutLifecyclePolicy",
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
    script.runs.clear()  # what is missing differs, so this is no case of both


def path_without(program: str, path: str, tmp_path: Path) -> str:
    """A folder with all the programs of ``path`` but one."""
    folder = tmp_path / "others"
    folder.mkdir()
    for directory in map(Path, path.split(":")):
        for file in directory.iterdir() if directory.is_dir() else ():
            if file.name != program and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return str(folder)


# Docker's disk


@contextmanager
def engine_with_little_room() -> Iterator[Path]:
    """Run an engine of its own on a disk of 0.5 GB; its address is a socket in the folder that is yielded.

    It has a network namespace of its own: an engine without a bridge removes ``docker0``, which is another engine's.
    """
    if not (shutil.which("dockerd") and shutil.which("unshare")):
        leave_out("a full disk needs an engine of its own, and there is no dockerd or no unshare here")
    folder = tempfile.mkdtemp()  # with a short name, as sockets need it
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", folder], check=True)
    command = ["unshare", "--net", "dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--host", f"unix://{folder}/socket", "--bridge", "none"]
    try:
        with subprocess.Popen(
            [*command, "--iptables=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as dockerd:
            ask = ["docker", "--host", f"unix://{folder}/socket", "info"]
            try:
                wait_until(lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0)
                yield Path(folder)
            finally:
                dockerd.terminate()
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        Path(folder).rmdir()


def test_a_full_disk_is_told_before_the_build(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with engine_with_little_room() as disk:
        run = publish(small, "--name", name, "--tag", "1", DOCKER_HOST=f"unix://{disk}/socket")
    pattern = r"only [0-9]+ kB are free where Docker keeps images \(.*/data\): 'docker system prune' makes room"
    assert re.fullmatch(pattern, run.error)
    assert "Asking AWS" not in run.stderr
    assert registry.tags(name) == {}


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
    if not engine().startswith("unix://"):
        pytest.skip("Docker is not on this machine, so it cannot be given a second address")
    other = tmp_path / "engine.sock"
    other.symlink_to(engine().removeprefix("unix://"))
    home = {**publish.environment, "COMMANDS": os.devnull}
    create = ["docker", "context", "create", "other", "--docker", f"host=unix://{other}"]
    subprocess.run(create, env=home, check=True, capture_output=True)
    subprocess.run(["docker", "context", "use", "other"], env=home, check=True, capture_output=True)
    run = publish(small, "--name", name, "--tag", "1", DOCKER_HOST=None)
    assert run.reference
    apart = [command for command in run.commands if " login " in command or " push " in command]
    assert len(apart) == 2
    assert all(f"--host unix://{other} " in command for command in apart)


# What is built


def committed(project: Path) -> str:
    """Make ``project`` a git repository and return its commit."""
    git(project, "init", "--quiet")
    git(project, "remote", "add", "origin", "https://me:secret@example.com/team/algorithm.git")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "first", "--date", "2001-02-03T04:05:06Z")
    return git(project, "rev-parse", "HEAD")


@pytest.mark.parametrize("builder", ["classic", "buildx"])
def test_the_image_tells_where_it_comes_from(
    publish: Script, registry: Registry, small: Path, name: str, builder: str
) -> None:
    """E-07, E-10: the same commit gives the same labels, and no password of git's gets into them."""
    choose(publish, builder)
    commit = committed(small)
    before = git(small, "log", "-1", "--format=%ct")
    reference = publish(small, "--name", name, "--tag", "1.0").reference
    built = registry.configuration(name, "1.0")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(before)))
    about = {"version": "0.1.0", "revision": commit, "created": created}
    about["source"] = "https://example.com/team/algorithm.git"
    assert built["config"]["Labels"] == {f"org.opencontainers.image.{key}": value for key, value in about.items()}
    digest = reference.partition("@")[2]
    assert registry.tags(name) == {"1.0": digest, commit[:12]: digest}
    assert publish(small, "--name", name, "--tag", "1.1").reference == reference


def choose(publish: Script, builder: str) -> None:
    """Let ``docker build`` use this builder."""
    publish.environment["DOCKER_BUILDKIT"] = "0" if builder == "classic" else "1"
    if builder == "buildx" and shutil.which("docker"):
        plugin = Path("/usr/local/lib/docker/unused-plugins/docker-buildx")
        if subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode:
            if not plugin.exists():
                leave_out("docker has no buildx: `make docker` installs it on Debian")
            (publish.home / ".docker" / "cli-plugins").mkdir(parents=True)
            (publish.home / ".docker" / "cli-plugins" / "docker-buildx").symlink_to(plugin)


def test_the_options_of_the_build_reach_docker(
    publish: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    context = tmp_path / "other context"
    context.mkdir()
    (context / "content").touch()
    stage = "FROM scratch AS first\nCOPY content /\nARG GREETING\nENV GREETING=$GREETING\n"
    (tmp_path / "other file").write_text(stage + "FROM first\nENV LAST=yes\n")
    options = ["--context", str(context), f"--file={tmp_path / 'other file'}", "--target", "first"]
    options += ["--build-arg", "GREETING=good day", "--build-arg=UNUSED=1", "--platform", "linux/arm64", "--no-cache"]
    run = publish(small, "--name", name, "--tag", "1", "--tag=2", *options)
    assert registry.tags(name) == dict.fromkeys("12", run.reference.partition("@")[2])
    built = registry.configuration(name, "1")
    assert "GREETING=good day" in built["config"]["Env"]
    assert "LAST=yes" not in built["config"]["Env"]
    assert built["architecture"] == "arm64"
    assert [command for command in run.commands if " build " in command and " --no-cache " in command]


@pytest.mark.parametrize("builder", ["classic", "buildx"])
def test_layers_of_an_image_in_the_registry_are_used_again(
    publish: Script, registry: Registry, small: Path, name: str, builder: str
) -> None:
    """As in CI, where the engine knows nothing from before."""
    choose(publish, builder)
    cache = f"{host('us-west-2')}/{name}:cache"
    missing = publish(small, "--name", name, "--tag", "cache", "--cache-from", cache)
    assert f"warning: cannot get the layers of {cache} (" in missing.stderr
    subprocess.run(["docker", "image", "rm", "--force", cache, missing.reference], check=True, capture_output=True)
    subprocess.run(["docker", "builder", "prune", "--force", "--all"], check=False, capture_output=True)
    again = publish(small, "--name", name, "--tag", "1", "--cache-from", cache)
    assert again.reference.partition("@")[2] in registry.tags(name).values()
    assert "Using cache" in again.stderr or "CACHED" in again.stderr
    assert "warning" not in again.stderr


# Options


def test_a_profile_brings_its_own_keys(publish: Script, registry: Registry, small: Path) -> None:
    """Those of the environment step back, as with the AWS CLI."""
    (publish.home / ".aws").mkdir()
    keys = "[work]\naws_access_key_id = WORK\naws_secret_access_key = secret\n"
    (publish.home / ".aws" / "credentials").write_text(keys)
    (publish.home / ".aws" / "config").write_text("[profile work]\nregion = ca-central-1\n")
    with gate(registry.aws, GetCallerIdentity="AccessDenied") as aws:
        assert publish(small, "--profile=work", AWS_REGION=None, AWS_ENDPOINT_URL=aws.address).status == 1
    assert (aws.keys, aws.regions) == ({"WORK"}, {"ca-central-1"})


def test_an_account_that_is_none_is_refused(script: Script, small: Path) -> None:
    assert script(small, "--account", "1234").error == "'1234' is no account: use its 12 digits"


def test_another_accounts_registry_is_asked(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with gate(registry.aws, CreateRepository="AccessDeniedException") as aws:
        run = publish(small, "--name", name, "--account", "210987654321", AWS_ENDPOINT_URL=aws.address)
    assert run.error.startswith(f"cannot create the repository {name} (")
    assert [body["registryId"] for body in aws.bodies if "registryId" in body] == ["210987654321"] * 2


def test_a_dry_run_changes_nothing(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with gate(registry.aws) as aws:
        run = publish(small, "--name", name, "--tag", "1", "--dry-run", "--no-cache", AWS_ENDPOINT_URL=aws.address)
    assert (run.status, run.stdout) == (0, "")
    assert f"==> Would create the repository {name} in us-west-2\n" in run.stderr
    assert re.search(rf"==> Would run docker build .* --no-cache .*\n==> Would push {name} as 1\n", run.stderr)
    assert aws.asked == ["GetCallerIdentity", "DescribeRepositories"]
    assert not [command for command in run.commands if re.search(" docker (build|tag|.* login|.* push) ", command)]


def test_what_the_registry_has_is_verified_without_a_push(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-07."""
    reference = publish(small, "--name", name, "--tag", "1").reference
    run = publish(small, "--name", name, "--tag", "1", "--verify")
    assert run.reference == reference
    assert not [command for command in run.commands if " build " in command or " push " in command]
    missing = publish(small, "--name", name, "--tag", "2", "--verify").error
    assert re.fullmatch(r"cannot read .*:2 back \(no such manifest: .*\): push it first, or ask for .*", missing)
    assert list(registry.tags(name)) == ["1"]


def test_a_repository_that_is_missing_is_not_created_to_be_verified(publish: Script, small: Path, name: str) -> None:
    error = publish(small, "--name", name, "--tag", "1", "--verify").error
    assert error == f"us-west-2 has no repository {name}: push an image first, or pass another --region"


def test_a_quiet_run_prints_the_reference_alone(publish: Script, small: Path, name: str) -> None:
    run = publish(small, "--name", name, "--tag", "1", "--quiet", DOCKER_BUILDKIT=None)
    assert run.reference == run.stdout.strip()
    assert [line for line in run.stderr.splitlines() if not re.match("DEPRECATED| |$", line)] == []


def test_a_quiet_run_still_says_why_a_build_failed(publish: Script, small: Path, name: str) -> None:
    (small / "container" / "Dockerfile").write_text(BROKEN)
    run = publish(small, "--name", name, "--tag", "1", "--quiet")
    assert run.error.startswith("the build failed")
    assert "program/nothing" in run.stderr


def test_scripts_get_json(publish: Script, registry: Registry, small: Path, name: str) -> None:
    commit = committed(small)
    run = publish(small, "--name", name, "--tag", "1", "--json")
    about = json.loads(run.reference)
    digest = registry.tags(name)["1"]
    labels = registry.configuration(name, "1")["config"]["Labels"]
    manifest = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    assert about == {
        "reference": f"{host('us-west-2')}/{name}@{digest}",
        "media_type": DOCKER_SCHEMA_2,
        "digest": digest,
        "platform": "linux/amd64",
        "image": manifest["config"]["digest"],
        "size": sum(part["size"] for part in [manifest["config"], *manifest["layers"]]),
        "tags": [commit[:12], "1"],
        "labels": labels,
    }
    assert run.stdout.count("\n") == 1


# How the repository is made


@pytest.mark.parametrize(
    ("options", "mutability"), [([], "MUTABLE"), (["--immutable"], "IMMUTABLE")], ids=["", "immutable"]
)
def test_a_new_repository_scans_encrypts_and_tidies(
    publish: Script, ecr: ECRClient, small: Path, name: str, options: list[str], mutability: str
) -> None:
    """E-12, E-13."""
    assert publish(small, "--name", name, "--tag", "1", *options).reference
    (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert repository["imageTagMutability"] == mutability
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
    (rule,) = policy["rules"]
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 365}
    assert rule == {"rulePriority": 1, "selection": untagged, "action": {"type": "expire"}}


def test_immutable_tags_are_not_promised_where_they_are_not(
    publish: Script, ecr: ECRClient, small: Path, name: str
) -> None:
    """E-12."""
    ecr.create_repository(repositoryName=name)
    error = publish(small, "--name", name, "--immutable").error
    assert error == f"tags of the repository {name} can be overwritten: leave out --immutable, or change the repository"


def test_a_repository_of_another_region_is_left_alone(
    publish: Script, registry: Registry, ecr: ECRClient, small: Path, name: str
) -> None:
    """E-06, E-11: the region in which one is made is said aloud."""
    ecr.create_repository(repositoryName=name)
    run = publish(small, "--name", name, "--tag", "1", "--region", "eu-central-1")
    assert run.reference.startswith(host("eu-central-1"))
    assert f"==> Creating the repository {name} in eu-central-1\n" in run.stderr


def test_a_busy_aws_is_asked_again(publish: Script, registry: Registry, small: Path, name: str) -> None:
    busy = dict.fromkeys(["DescribeRepositories", "CreateRepository", "GetAuthorizationToken"], "ThrottlingException")
    with gate(registry.aws, **busy) as aws:
        assert publish(small, "--name", name, "--tag", "1", AWS_ENDPOINT_URL=aws.address).reference
    assert aws.asked.count("CreateRepository") == 2


@pytest.mark.parametrize("action", ["GetCallerIdentity", "DescribeRepositories", "CreateRepository"])
def test_an_aws_that_stays_busy_is_told(
    publish: Script, registry: Registry, small: Path, name: str, action: str
) -> None:
    """E-11."""
    with gate(registry.aws, True, **{action: "ThrottlingException"}) as aws:
        run = publish(small, "--name", name, AWS_ENDPOINT_URL=aws.address, AWS_MAX_ATTEMPTS="1")
    assert run.error.endswith("): wait a minute and run this again")
    assert aws.asked[-1] == action


@pytest.mark.parametrize("action", ["GetCallerIdentity", "GetAuthorizationToken"])
def test_expired_credentials_are_told(publish: Script, registry: Registry, small: Path, name: str, action: str) -> None:
    with gate(registry.aws, **{action: "ExpiredTokenException"}) as aws:
        run = publish(small, "--name", name, AWS_ENDPOINT_URL=aws.address)
    assert run.error.endswith("): renew your credentials, for instance with 'aws sso login'")


def test_an_aws_out_of_reach_is_told(script: Script, small: Path) -> None:
    """A region that does not exist looks like this, too."""
    error = script(small, AWS_MAX_ATTEMPTS="1").error
    pattern = r"AWS does not know you \(.*endpoint URL.*\): see whether the network works and the region exists"
    assert re.fullmatch(pattern, error)


# The push


def refusing(refusal: Refusal, *, method: str = "PUT", part: str = "/manifests/", times: int = 1000) -> Fault:
    """Refuse the first requests of a kind."""
    left = [refusal] * times
    return lambda asked, path: left.pop() if left and asked == method and part in path else None


def immutable(registry: Registry, name: str) -> Fault:
    """Refuse as ECR does where tags may not be overwritten: the same image, too."""

    def fault(method: str, path: str) -> Refusal | None:
        tag = path.rpartition("/")[2]
        if method != "PUT" or "/manifests/" not in path or tag not in registry.tags(name):
            return None
        message = f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten"
        return Refusal(400, "TAG_INVALID", f"{message} because the tag is immutable.")

    return fault


BUSY = Refusal(429, "TOOMANYREQUESTS", "Rate exceeded")
EXPIRED = Refusal(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
NOT_ALLOWED = Refusal(403, "DENIED", "User: arn:aws:sts::1:user/moto is not authorized to perform: ecr:PutImage")
FAILING_ONCE = {
    "throttled": lambda: refusing(BUSY, times=1),
    "token expired": lambda: refusing(EXPIRED, times=1),
    "connection cut": lambda: refusing(CUT, times=1),
    "connection cut in a layer": lambda: refusing(CUT, times=1, method="PATCH", part="/uploads/"),
}


@pytest.mark.parametrize("fault", FAILING_ONCE)
def test_a_push_that_fails_once_is_repeated(
    publish: Script, registry: Registry, small: Path, name: str, fault: str
) -> None:
    """With a new token, and without a new build."""
    with in_the_way(registry, FAILING_ONCE[fault]()):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert registry.tags(name) == {"1": run.reference.partition("@")[2]}
    assert len([command for command in run.commands if " build " in command]) == 1


def test_a_registry_that_goes_down_in_mid_push_is_told(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    down: list[str] = []

    def fault(method: str, path: str) -> Refusal | None:
        down.extend([path] * (method == "PUT" and "/manifests/" in path))
        return CUT if down else None

    with in_the_way(registry, fault):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert re.fullmatch(r"the push failed \(.*\): run this again, and only what is missing is sent", run.error)
    assert run.stderr.count("warning: the push failed (") == 3
    assert registry.tags(name) == {}
    with in_the_way(registry) as asked:
        assert publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION).reference
    assert len([path for method, path in asked if method == "PATCH"]) <= 1, "the layer was there already"


def test_a_registry_that_is_down_is_told_before_the_build(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert run.error.startswith(f"cannot log in to {host(FAULTY_REGION)} (")
    assert "Building" not in run.stderr


def test_a_push_that_is_denied_is_told_at_once(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with in_the_way(registry, refusing(NOT_ALLOWED)):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    pattern = r"the push was refused \(.*not authorized.*\): ask for the rights in push-policy.json"
    assert re.fullmatch(pattern, run.error)
    assert len([command for command in run.commands if " push " in command]) == 1
    assert registry.tags(name) == {}


def test_an_immutable_tag_is_not_overwritten(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-12: the same image under the same tag is a success, though; ECR refuses that, too."""
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
    with in_the_way(registry, immutable(registry, name)):
        first = publish(small, *options)
        before = registry.tags(name)
        again = publish(small, *options)
        (small / "container" / "program" / "new.py").touch()
        other = publish(small, *options)
    assert again.reference == first.reference
    address = f"{host(FAULTY_REGION)}/{name}:1"
    assert other.error == f"{address} is another image and may not be overwritten: pass another --tag"
    assert registry.tags(name) == before


# What is read back


def test_an_image_that_someone_else_pushed_meanwhile_is_not_reported_as_ours(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-14."""
    assert publish(small, "--name", name, "--tag", "other").reference
    theirs = json.loads(registry.fetch(f"{name}/manifests/other")[0])
    (small / "container" / "program" / "new.py").touch()

    def fault(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/manifests/1"):
            registry.put_manifest(name, "1", DOCKER_SCHEMA_2, theirs)

    with in_the_way(registry, fault):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert run.error == f"{host(FAULTY_REGION)}/{name}:1 is another image: somebody else may have pushed it meanwhile"


def as_oci(manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    media_type = "application/vnd.oci.image.manifest.v1+json"
    layers = [{**layer, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"} for layer in manifest["layers"]]
    config = {**manifest["config"], "mediaType": "application/vnd.oci.image.config.v1+json"}
    return media_type, {**manifest, "mediaType": media_type, "config": config, "layers": layers}


@pytest.mark.parametrize("kind", ["manifest", "index"])
def test_what_sagemaker_would_refuse_is_refused(
    publish: Script, registry: Registry, small: Path, name: str, kind: str
) -> None:
    """E-07, E-08: as builders and engines make it that are set otherwise."""
    assert publish(small, "--name", name, "--tag", "1").reference
    media_type, manifest = as_oci(json.loads(registry.fetch(f"{name}/manifests/1")[0]))
    registry.put_manifest(name, "1", media_type, manifest)
    named = media_type
    if kind == "index":
        content, _ = registry.fetch(f"{name}/manifests/1")
        digest = registry.manifest(name, "1").digest
        platform = {"os": "linux", "architecture": "amd64"}
        one = {"mediaType": media_type, "digest": digest, "size": len(content), "platform": platform}
        index = "application/vnd.oci.image.index.v1+json"
        registry.put_manifest(name, "1", index, {"schemaVersion": 2, "mediaType": index, "manifests": [one]})
        named = "a list of images"
    error = publish(small, "--name", name, "--tag", "1", "--verify").error
    remedy = "set DOCKER_BUILDKIT=0, or turn off the containerd image store in Docker"
    assert error == f"SageMaker does not take {host('us-west-2')}/{name}:1 ({named}): {remedy}"


def test_another_platform_is_told(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """P-56: before the push, where the base is for another one, and when read back."""
    address = f"{host('us-west-2')}/{name}:1"
    (small / "container" / "Dockerfile").write_text("FROM scratch\nCOPY program/train /\n")
    assert publish(small, "--name", name, "--tag", "1", "--platform", "linux/arm64").reference
    error = publish(small, "--name", name, "--tag", "1", "--verify").error
    assert error == f"{address} is for linux/arm64: pass --platform, or push an image for linux/amd64"


# What breaks off


SLOW = "FROM python:3.12-slim-bookworm\nRUN sleep 300 # {}\n"


def sleeps(name: str) -> bool:
    """Whether the build's long step runs."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if process.read_text() == f"/bin/sh\0-c\0sleep 300 # {name}\0":
                return True
    return False


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


STAGES = ["GetCallerIdentity", "DescribeRepositories", "GetAuthorizationToken", "build", "push", "read back"]
SIGNALS = [(stage, signal.SIGINT) for stage in STAGES] + [(stage, signal.SIGTERM) for stage in ("build", "push")]


@pytest.mark.parametrize(("stage", "number"), SIGNALS, ids=lambda value: getattr(value, "name", value))
def test_an_interruption_ends_all_and_leaves_nothing(
    publish: Script, registry: Registry, small: Path, name: str, stage: str, number: signal.Signals
) -> None:
    """Ctrl-C reaches the whole process group, as a terminal sends it; SIGTERM the script alone, as CI sends it."""
    hold = Hold(stage)

    def fault(method: str, path: str) -> Refusal | None:
        if f"/{name}/manifests/" in path:
            hold.at({"PUT": "push", "GET": "read back"}.get(method, ""))
        return CUT if hold.reached.is_set() else None

    if stage == "build":
        (small / "container" / "Dockerfile").write_text(SLOW.format(name))
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
    with gate(registry.aws, False, hold) as aws, in_the_way(registry, fault):
        with publish.started(small, *options, AWS_ENDPOINT_URL=aws.address) as process:
            wait_until(lambda: sleeps(name) if stage == "build" else hold.reached.is_set())
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            run = publish.ended(process)
        hold.released.set()
    assert (run.status, run.stdout) == (128 + number, "")
    assert "Traceback" not in run.stderr
    assert "error:" not in run.stderr
    assert not list(publish.scratch.iterdir()), "the folder with the password should be gone (E-10)"
    wait_until(lambda: not sleeps(name))
    assert list(registry.tags(name)) == (["1"] if stage == "read back" else [])


def test_an_engine_that_stops_in_mid_build_is_told(
    publish: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    (small / "container" / "Dockerfile").write_text(SLOW.format(name))
    with engine_behind(tmp_path / "socket") as stop:
        options = ["--name", name, "--tag", "1"]
        with publish.started(small, *options, DOCKER_HOST=f"unix://{tmp_path}/socket") as process:
            wait_until(lambda: sleeps(name))
            stop()
            run = publish.ended(process)
    assert run.error == "the build failed and nothing was pushed: mend what docker names above"
    wait_until(lambda: not sleeps(name))
    assert registry.tags(name) == {}


def engine() -> str:
    """The address of Docker's engine."""
    inspect = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def engine_behind(address: Path) -> Iterator[Callable[[], None]]:
    """Reach Docker's engine through another socket; what is yielded closes it, as if the engine had stopped."""
    if not engine().startswith("unix://"):
        leave_out("Docker is not on this machine, so it cannot be given a second address")
    ends: list[socket.socket] = []

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engines:
                engines.connect(engine().removeprefix("unix://"))
                ends.extend((self.request, engines))
                back = threading.Thread(target=self.copy, args=(engines, self.request))
                back.start()
                self.copy(self.request, engines)
                back.join()

        @staticmethod
        def copy(source: socket.socket, to: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    to.sendall(data)
                to.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingUnixStreamServer(str(address), Relay) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            address.unlink(missing_ok=True)
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        try:
            yield stop
        finally:
            stop()
            thread.join()


# The rights


RIGHTS = {  # what ECR checks where docker's client asks its HTTP API
    ("HEAD", "blobs"): "BatchCheckLayerAvailability",
    ("POST", "uploads"): "InitiateLayerUpload",
    ("PATCH", "uploads"): "UploadLayerPart",
    ("PUT", "uploads"): "CompleteLayerUpload",
    ("PUT", "manifests"): "PutImage",
    ("HEAD", "manifests"): "BatchGetImage",
    ("GET", "manifests"): "BatchGetImage",
    ("GET", "blobs"): "GetDownloadUrlForLayer",
}


def test_the_policy_allows_what_is_used_and_nothing_else(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """Anybody may ask who they are, so GetCallerIdentity needs no right."""
    (small / "container" / "program" / "new.py").write_text(f"{name} {publish.command}")  # a layer that is new
    with gate(registry.aws) as aws, in_the_way(registry) as asked:
        options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
        assert publish(small, *options, AWS_ENDPOINT_URL=aws.address).reference
    used = set(aws.asked) - {"GetCallerIdentity"}
    for method, path in asked:
        if parts := [part for part in ("uploads", "blobs", "manifests") if f"/{part}/" in path]:
            used.add(RIGHTS[method, parts[0]])
    policy = json.loads((small / "container" / "push-policy.json").read_text())
    allowed = [action for statement in policy["Statement"] for action in [statement["Action"]]]
    flat = [action for actions in allowed for action in ([actions] if isinstance(actions, str) else actions)]
    assert sorted(flat) == sorted(f"ecr:{action}" for action in used)


# Both scripts


PAGE = TEMPLATE / "docs/publishing.md"


def listed() -> dict[str, list[str]]:
    """The rows of the page's table, by case."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    return {row[0]: row[1:] for row in (line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines)}


def test_both_scripts_end_alike_in_each_case_as_the_page_shows(request: pytest.FixtureRequest) -> None:
    """Each test above is a case. WRITE_PAGE=1 writes the page's table anew, from a run of this whole file."""
    for case, seen in OUTCOMES.items():
        assert len(set(seen.values())) == 1, f"{case}: {seen}"
    ran = {case: next(iter(seen.values())) for case, seen in OUTCOMES.items() if len(seen) == 2}
    rows = {case: row for case, row in ran.items() if row.codes}
    if os.environ.get("WRITE_PAGE"):
        head = PAGE.read_text(encoding="utf-8").partition("| case |")[0]
        cells = [[case, row.codes, row.codes, row.tags, row.last_line] for case, row in sorted(rows.items())]
        table = [["case", "`.sh`", "`.py`", "tags in the registry", "last line"], ["---"] * 5, *cells]
        PAGE.write_text(head + "".join(f"| {' | '.join(row)} |\n" for row in table), encoding="utf-8")
    page = listed()
    for case, row in rows.items():
        assert page.get(case) == [row.codes, row.codes, row.tags, row.last_line], f"{case}: WRITE_PAGE=1 writes it"
    functions = {name.removeprefix("test_").replace("_", " ") for name in globals()}
    assert {case for case in page if case.partition("[")[0] not in functions} == set()
