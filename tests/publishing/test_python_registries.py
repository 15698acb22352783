"""Both ``build_and_push`` scripts, with registries that are not Amazon's and with Amazon's in other partitions."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from answering import Handler, served
from forms import long_after
from publishing import Script, asked_of_helper, path_without, settle
from registry import (
    ACCOUNT,
    CUT,
    DOCKER_SCHEMA_2,
    FAULTY_REGION,
    PASSWORD,
    PRIVATE,
    Refusal,
    Registry,
    host,
    in_the_way,
    password_line,
    refusing,
)

# Of the two scripts only this one has these options.
pytestmark = pytest.mark.parametrize("script", ["build_and_push.py"], indirect=True)


@pytest.fixture
def elsewhere(publish: Script) -> Script:
    """Each script, with the registries within reach, and no AWS."""
    nobody = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"), "")
    publish.environment |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", **nobody}
    return publish


def password_on_stdin(publish: Script, password: str = PASSWORD) -> list[str]:
    """Let the script read ``password`` from stdin; what is returned are its options."""
    file = publish.home.parent / "password"
    file.write_text(f"{password}\n")
    publish.command[:0] = ["/bin/sh", "-c", 'exec "$@" <"$0"', str(file)]
    return ["--username", "AWS", "--password-stdin"]


# Where the password comes from


@pytest.mark.parametrize("login", long_after(1, ["file", "keychain", "helper"]))
def test_the_login_that_docker_has_is_used_for_another_registry(
    elsewhere: Script, registry: Registry, small: Path, name: str, login: str
) -> None:
    """E-07, E-10: helpers and keychains are asked as docker asks them, and nothing of the configuration changes."""
    config = settle(elsewhere, login)
    before = config.read_text()
    options = ["--registry", PRIVATE, "--name", name, "--tag", "1"]
    run = elsewhere(small, *options, cwd=elsewhere.home, DOCKER_CONFIG=".docker")
    address, digest = run.reference.split("@")
    assert address == f"{PRIVATE}/{name}"
    assert registry.manifest(name, "1") == (DOCKER_SCHEMA_2, digest, "amd64")
    assert not [command for command in run.commands if " aws " in command or " login " in command]
    assert not [text for text in (run.stdout, run.stderr, *run.commands) if PASSWORD in text]
    assert config.read_text() == before
    assert [path.name for path in config.parent.iterdir()] == ["config.json"]
    assert not list(elsewhere.scratch.iterdir())
    if login != "file":
        assert f"get {PRIVATE}" in asked_of_helper(elsewhere)


def test_neither_the_aws_command_nor_boto3_is_needed_for_another_registry(
    elsewhere: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    if elsewhere.command[-1].endswith(".py"):
        elsewhere.command.insert(1, "-S")  # without installed packages
    path = path_without("aws", elsewhere.path, tmp_path)
    options = ["--registry", f"{PRIVATE}/team", *password_on_stdin(elsewhere)]
    run = elsewhere(small, *options, "--name", name, "--tag", "1", PATH=path)
    assert run.reference == f"{PRIVATE}/team/{name}@{registry.tags(f'team/{name}')['1']}"


@contextmanager
def watching() -> Iterator[set[str]]:
    """Collect the command lines and the environments of all processes that there are meanwhile."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            for file in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
                with suppress(OSError):
                    seen.add(file.read_text(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_a_password_from_stdin_is_nowhere_to_be_found(
    elsewhere: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    """E-10: not in the output, on no command line, in no environment, in no file; not in docker's own form either."""
    options = ["--registry", PRIVATE, *password_on_stdin(elsewhere), "--name", name, "--tag", "1"]
    with watching() as seen:
        run = elsewhere(small, *options)
    assert run.reference.partition("@")[2] == registry.tags(name)["1"]
    assert [text for text in seen if "--password-stdin" in text], "this looks where docker's login is seen"
    forms = (PASSWORD, base64.b64encode(f"AWS:{PASSWORD}".encode()).decode())
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != tmp_path / "password"]
    places = [run.stdout, run.stderr, *run.commands, *seen, *(path.read_text(errors="replace") for path in files)]
    assert not [place for place in places if any(form in place for form in forms)]
    assert not list(elsewhere.scratch.iterdir())
    assert not (elsewhere.home / ".docker" / "config.json").exists()


class WelcomingEngine(Handler):
    """An engine that lets everybody log in, since Docker Hub is out of reach, and does nothing else."""

    def do_GET(self) -> None:
        self.say(200, {"Os": "linux", "Arch": "amd64", "DockerRootDir": "/nonexistent", "DriverStatus": []})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.body()
        if self.path.endswith("/auth"):
            self.say(200, {"Status": "Login Succeeded"})
        else:
            self.say(500, {"message": "this engine builds nothing"})

    def say(self, status: int, words: dict[str, Any]) -> None:
        headers = {"API-Version": "1.41", "Content-Type": "application/json"}
        self.answer(status, json.dumps(words).encode(), headers)


def test_docker_hubs_password_reaches_no_keychain(elsewhere: Script, small: Path) -> None:
    """E-10: docker knows Docker Hub under another name than its host's."""
    settle(elsewhere, "keychain")
    options = ["--registry", "docker.io/someone", *password_on_stdin(elsewhere), "--tag", "1"]
    with served(WelcomingEngine) as address:
        engine = address.replace("http", "tcp")
        run = elsewhere(small, *options, DOCKER_HOST=engine, DOCKER_BUILDKIT="0")
    assert run.error == "the build failed and nothing was pushed: fix the error above"
    assert [asked for asked in asked_of_helper(elsewhere) if asked.startswith("store")] == []


def test_a_wrong_password_for_another_registry_is_told_before_the_build(
    elsewhere: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-10."""
    run = elsewhere(small, "--registry", PRIVATE, *password_on_stdin(elsewhere, "another"), "--name", name)
    pattern = rf"cannot log in to {PRIVATE} \(.*401 Unauthorized.*\): check the user and the password"
    assert re.fullmatch(pattern, run.error)
    assert "Building" not in run.stderr
    assert registry.tags(name) == {}


def test_another_registry_that_is_out_of_reach_is_not_taken_for_a_wrong_password(
    elsewhere: Script, registry: Registry, small: Path
) -> None:
    run = elsewhere(small, "--registry", host(FAULTY_REGION), *password_on_stdin(elsewhere))
    assert run.error.startswith(f"cannot log in to {host(FAULTY_REGION)} (")
    assert run.error.endswith("): check the network and that the address is right")


def test_an_empty_stdin_is_told_before_the_build(elsewhere: Script, small: Path) -> None:
    run = elsewhere(small, "--registry", PRIVATE, "--username", "AWS", "--password-stdin")
    assert re.fullmatch(rf"cannot log in to {PRIVATE} \(.+\): check the user and the password", run.error)
    assert "Building" not in run.stderr


REMEDY = f"log in with 'docker login {PRIVATE}' as a user who can push there"


@pytest.mark.parametrize("login", ["none", "outdated"])
def test_someone_whom_the_registry_does_not_know_is_told_to_log_in(
    elsewhere: Script, registry: Registry, small: Path, name: str, login: str
) -> None:
    """At once, since a second attempt would be refused as well."""
    if login == "outdated":
        settle(elsewhere, "file")
    with registry.passwords_put_back() as passwords:
        passwords.write_text(password_line("another"))
        run = elsewhere(small, "--registry", PRIVATE, "--name", name, "--tag", "1")
        unread = elsewhere(small, "--registry", PRIVATE, "--name", name, "--tag", "1", "--verify")
    assert re.fullmatch(rf"the push was refused \(.+\): {REMEDY}", run.error)
    assert len([command for command in run.commands if " push " in command]) == 1
    assert re.fullmatch(rf"cannot read {PRIVATE}/{name}:1 back \(.+\): push it first, or {REMEDY}", unread.error)
    assert registry.tags(name) == {}


# What is pushed there


def test_another_registry_is_verified_and_described_as_ecr_is(
    elsewhere: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-07."""
    settle(elsewhere, "helper")
    options = ["--registry", PRIVATE, "--name", name, "--tag", "1", "--quiet"]
    about = json.loads(elsewhere(small, *options, "--json").reference)
    assert about["reference"] == f"{PRIVATE}/{name}@{registry.tags(name)['1']}"
    assert elsewhere(small, *options, "--verify").reference == about["reference"]
    missing = elsewhere(small, *options[:-2], "2", "--verify").error
    assert re.fullmatch(rf"cannot read {PRIVATE}/{name}:2 back \(no such manifest.*\): push it first, or .*", missing)


BUSY = Refusal(429, "TOOMANYREQUESTS", "pull rate limit")
DENIED = Refusal(403, "DENIED", "permission_denied: write_package")


@pytest.mark.parametrize("refusal", long_after(1, [BUSY, CUT]), ids=["throttled", "connection cut"])
def test_a_push_to_another_registry_that_fails_once_is_repeated(
    elsewhere: Script, registry: Registry, small: Path, name: str, refusal: Refusal
) -> None:
    """Without asking for the password again, which stdin gives once."""
    options = ["--registry", host(FAULTY_REGION), *password_on_stdin(elsewhere)]
    with in_the_way(registry, refusing(refusal, times=1)):
        run = elsewhere(small, *options, "--name", name, "--tag", "1")
    assert run.reference == f"{host(FAULTY_REGION)}/{name}@{registry.tags(name)['1']}"
    assert len([command for command in run.commands if " login " in command]) == 1


def test_a_push_that_another_registry_denies_is_told_at_once(
    elsewhere: Script, registry: Registry, small: Path, name: str
) -> None:
    options = ["--registry", host(FAULTY_REGION), *password_on_stdin(elsewhere)]
    with in_the_way(registry, refusing(DENIED)):
        run = elsewhere(small, *options, "--name", name, "--tag", "1")
    remedy = f"log in with 'docker login {host(FAULTY_REGION)}' as a user who can push there"
    assert re.fullmatch(rf"the push was refused \(denied: permission_denied: write_package\): {remedy}", run.error)
    assert len([command for command in run.commands if " push " in command]) == 1


# What is typed


@pytest.mark.parametrize(
    "address",
    [
        "docker.io/someone",
        "ghcr.io/someone",
        "europe-docker.pkg.dev/project/repository",
        "someone.azurecr.io",
        "localhost/someone",
        "registry:5000",
        "registry.example.com:5000/a/b",
    ],
)
@pytest.mark.usefixtures("docker_answers")
def test_the_image_would_go_to_the_registry_that_is_named(script: Script, small: Path, address: str) -> None:
    run = script(small, "--registry", address, "--name", "forest", "--tag", "1", "--dry-run", AWS_REGION=None)
    assert (run.status, run.stdout) == (0, "")
    assert run.stderr.endswith(f"==> Would push {address}/forest as 1\n")
    assert "AWS" not in run.stderr


@pytest.mark.parametrize(
    "address",
    [
        "someone",
        "someone/else",
        "https://ghcr.io",
        "ghcr.io/",
        "ghcr.io/Someone",
        "ghcr.io:port",
        "ghcr.io/a b",
        "-a.b/:1",
    ],
)
def test_an_address_that_docker_would_take_for_something_else_is_refused(
    script: Script, small: Path, address: str
) -> None:
    run = script(small, f"--registry={address}")
    assert run.error == f"'{address}' is not a registry: use HOST[:PORT][/path in lower case], docker.io for Docker Hub"
    assert run.commands == []


ONLY_AMAZON = (
    "--registry cannot be combined with --region, --profile, --account or --immutable, which are for Amazon ECR"
)
TOGETHER = "--username and --password-stdin need each other and --registry"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--registry=ghcr.io/a", "--region", "eu-west-1"], ONLY_AMAZON),
        (["--registry=ghcr.io/a", "--profile", "work"], ONLY_AMAZON),
        (["--registry=ghcr.io/a", "--account", ACCOUNT], ONLY_AMAZON),
        (["--registry=ghcr.io/a", "--immutable"], ONLY_AMAZON),
        (["--password-stdin"], TOGETHER),
        (["--username", "me"], TOGETHER),
        (["--username", "me", "--password-stdin"], TOGETHER),
        (["--registry=ghcr.io/a", "--username", "me"], TOGETHER),
        (["--registry=ghcr.io/a", "--password-stdin"], TOGETHER),
    ],
    ids=["region", "profile", "account", "immutable", "stdin", "user", "no registry", "no stdin", "no user"],
)
def test_options_that_make_no_sense_together_are_named(
    script: Script,
    small: Path,
    options: list[str],
    sentence: str,
) -> None:
    run = script(small, *options)
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    assert run.stderr == f"error: {sentence}: see --help\n"


# Amazon's other partitions
