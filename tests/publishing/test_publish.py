"""Both ``build_and_push`` scripts, against a real registry under ECR's host name: what lands there, what is said."""

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_ecr import ECRClient

from forms import long_after
from projects import need_base_image
from publishing import (
    INDEX,
    Script,
    asked_of_helper,
    check_page,
    choose,
    committed,
    git,
    path_without,
    prepare_secrets,
    settle,
    size_of_secrets,
)
from registry import (
    ACCOUNT,
    DOCKER_SCHEMA_2,
    FAULTY_REGION,
    PASSWORD,
    RIGHTS,
    Registry,
    docker_login,
    gate,
    host,
    in_the_way,
    suffix,
)

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
    subprocess.run(["docker", "image", "rm", "--no-prune", "--force", *local], check=True, capture_output=True)
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


def test_build_arguments_of_the_project_and_secrets_reach_the_build(
    publish: Script, project: Path, small: Path, name: str, tmp_path: Path
) -> None:
    need_base_image(project)
    choose(publish, "buildx")
    prepare_secrets(publish, small)
    run = publish(small, "--name", name, "--tag", "1", PIP_INDEX_URL=INDEX)
    assert "GPU" not in "".join(run.commands)
    assert size_of_secrets(run.reference, tmp_path) == len(INDEX) + (publish.home / ".netrc").stat().st_size
    assert "open-sesame" not in run.stdout + run.stderr + "".join(run.commands)


def test_a_netrc_is_left_out_where_the_project_names_no_index(publish: Script, small: Path, name: str) -> None:
    choose(publish, "buildx")
    prepare_secrets(publish, small)
    (small / "container/build-args.txt").unlink()  # from scratch there is nothing to run, so the build fails
    run = publish(small, "--name", name, "--tag", "1")
    assert "--secret" not in "".join(run.commands)
    (small / "container/requirements.txt").write_text("--extra-index-url https://pypi.example.com/simple\n")
    run = publish(small, "--name", name, "--tag", "1")
    assert f"--secret id=netrc,src={publish.home}/.netrc" in "".join(run.commands)
    assert run.error.startswith("the build failed")


def test_a_line_that_is_no_build_argument_is_refused(publish: Script, small: Path, name: str) -> None:
    (small / "container/build-args.txt").write_text("# one\nBASE_IMAGE python:3.12\n")
    run = publish(small, "--name", name, "--tag", "1")
    assert run.error == "container/build-args.txt, line 2: 'BASE_IMAGE python:3.12' is not NAME=VALUE"


def test_only_the_reference_is_printed_on_stdout_and_each_step_on_stderr(
    publish: Script, small: Path, name: str
) -> None:
    run = publish(small, "--name", name, "--tag", "1", DOCKER_BUILDKIT="0")  # this builder writes to stdout
    assert re.fullmatch(rf"{ACCOUNT}\.dkr\.ecr\.us-west-2\.amazonaws\.com/{name}@sha256:[0-9a-f]{{64}}\n", run.stdout)
    steps = [line.split()[1] for line in run.stderr.splitlines() if line.startswith("==> ")]
    assert steps[:-1] == ["Checking", "Checking", "Looking", "Creating", "Logging", "Building", "Pushing", "Reading"]
    assert f"arn:aws:sts::{ACCOUNT}:user/moto" in run.stderr


def on_a_terminal(script: Script, project: Path, *options: str) -> str:
    """Run it on a terminal and return what is seen there."""
    screen, terminal = os.openpty()
    environment = {**script.environment, "COMMANDS": os.devnull, "TERM": "xterm"}
    command = [*script.command[:-1], str(project / "container" / script.command[-1]), *options]
    seen = b""
    with subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal):
        os.close(terminal)
        with suppress(OSError):  # where nobody has the terminal open any more
            while part := os.read(screen, 65536):
                seen += part
    os.close(screen)
    return seen.decode()


def test_progress_moves_on_a_terminal_and_is_plain_lines_elsewhere(publish: Script, small: Path, name: str) -> None:
    """As docker shows it: a log in CI has no bars."""
    (small / "container" / "program" / "new.py").write_text(f"{name} {publish.command}")
    seen = on_a_terminal(publish, small, "--name", name, "--tag", "1")
    assert "\x1b[1A" in seen, "docker goes up a line to write it again"
    assert f"/{name}@sha256:" in seen.splitlines()[-1]
    (small / "container" / "program" / "new.py").write_text(f"{name} {publish.command} again")
    run = publish(small, "--name", name, "--tag", "2")
    assert "Pushed" in run.stderr
    assert "\x1b" not in run.stderr
    assert "\r" not in run.stderr


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


def test_a_checkout_without_a_branch_is_named_by_its_commit(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """As CI makes it. E-03."""
    commit = committed(small)
    git(small, "checkout", "--quiet", "--detach")
    assert publish(small, "--name", name).reference
    assert list(registry.tags(name)) == [commit[:12]]
    labels = registry.configuration(name, commit[:12])["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == commit


@pytest.mark.parametrize("git_is", long_after(1, ["not used", "missing", "without a commit"]))
def test_without_a_commit_the_tag_is_the_time(
    publish: Script, registry: Registry, small: Path, name: str, tmp_path: Path, git_is: str
) -> None:
    """E-03: never `latest`."""
    if git_is != "not used":
        git(small, "init", "--quiet")
    path = path_without("git", publish.path, tmp_path) if git_is == "missing" else publish.environment["PATH"]
    assert publish(small, "--name", name, PATH=path).reference
    (tag,) = registry.tags(name)
    assert re.fullmatch(r"20\d{6}T\d{6}Z", tag)
    labels = registry.configuration(name, tag)["config"].get("Labels") or {}
    assert "org.opencontainers.image.revision" not in labels


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
    assert f"==> Checking your AWS credentials in {region}\n" in run.stderr
    assert "no region is set" not in run.stderr


@pytest.mark.parametrize("region", long_after(1, ["cn-north-1", "us-gov-west-1", "eusc-de-east-1"]))
def test_the_address_ends_as_aws_says_in_each_partition(
    publish: Script,
    registry: Registry,
    small: Path,
    name: str,
    region: str,
) -> None:
    """E-05."""
    with gate(registry.aws, False, None, suffix(region)) as aws:
        run = publish(small, "--name", name, "--tag", "1", "--region", region, AWS_ENDPOINT_URL=aws.address)
    assert run.reference == f"{host(region)}/{name}@{registry.tags(name)['1']}"
    assert aws.regions == {region}


# Options


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_printed_at_once(script: Script, small: Path, option: str) -> None:
    run = script(small, option)
    assert (run.status, run.stderr, run.commands) == (0, "", [])
    assert all(word in run.stdout for word in ("--name", "--tag", "--region", "--help", "us-west-2"))


@pytest.mark.parametrize("options", [["--stray"], ["--name"], ["--tag", "--region", "a"], ["--na=ab"]])
def test_a_mistyped_option_is_named(script: Script, small: Path, options: list[str]) -> None:
    run = script(small, *options)
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    assert options[0].partition("=")[0] in run.stderr


def test_a_profile_brings_its_own_keys(publish: Script, registry: Registry, small: Path) -> None:
    """Those of the environment step back, as with the AWS CLI."""
    (publish.home / ".aws").mkdir()
    keys = "[work]\naws_access_key_id = WORK\naws_secret_access_key = secret\n"
    (publish.home / ".aws" / "credentials").write_text(keys)
    (publish.home / ".aws" / "config").write_text("[profile work]\nregion = ca-central-1\n")
    with gate(registry.aws, GetCallerIdentity="AccessDenied") as aws:
        assert publish(small, "--profile=work", AWS_REGION=None, AWS_ENDPOINT_URL=aws.address).status == 1
    assert (aws.keys, aws.regions) == ({"WORK"}, {"ca-central-1"})


# What is built


@pytest.mark.parametrize("builder", long_after(1, ["buildx", "classic"]))
def test_the_image_tells_where_it_comes_from(
    publish: Script, registry: Registry, small: Path, name: str, builder: str
) -> None:
    """E-07, E-10: the same commit gives the same labels, and no password of git's gets into them.

    The shell script has the commit alone.
    """
    choose(publish, builder)
    commit = committed(small)
    before = git(small, "log", "-1", "--format=%ct")
    reference = publish(small, "--name", name, "--tag", "1.0").reference
    built = registry.configuration(name, "1.0")
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(before)))
    about = {"revision": commit}
    if publish.command[-1].endswith(".py"):
        about |= {"version": "0.1.0", "created": created, "source": "https://example.com/team/algorithm.git"}
    assert built["config"]["Labels"] == {f"org.opencontainers.image.{key}": value for key, value in about.items()}
    digest = reference.partition("@")[2]
    assert registry.tags(name) == {"1.0": digest, commit[:12]: digest}
    assert publish(small, "--name", name, "--tag", "1.1").reference == reference


def copied() -> set[str]:
    """The ids of the files that BuildKit has copied into images and keeps."""
    ask = ["docker", "buildx", "du", "--filter", 'description="fileop target"']
    listed = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^(\w{25})\b", listed, re.MULTILINE))


def forget_copied(known: set[str]) -> None:
    """Remove what BuildKit has copied since it kept only ``known``; what other builds have installed stays."""
    for record in copied() - known:
        prune = ["docker", "buildx", "prune", "--force", "--all", "--filter", f"id={record}"]
        subprocess.run(prune, check=True, capture_output=True)


@pytest.mark.parametrize("builder", ["classic", "buildx"])
@pytest.mark.slow
def test_layers_of_an_image_in_the_registry_are_used_again(
    publish: Script, registry: Registry, small: Path, name: str, builder: str
) -> None:
    """As in CI, where the engine knows nothing from before."""
    choose(publish, builder)
    (small / "container" / "program" / "new.py").write_text(name)  # no layer of another test's is removed
    cache = f"{host('us-west-2')}/{name}:cache"
    known = copied() if builder == "buildx" else set()
    missing = publish(small, "--name", name, "--tag", "cache", "--cache-from", ":cache")
    assert f"warning: cannot get the layers of {cache} (" in missing.stderr
    subprocess.run(["docker", "image", "rm", "--force", cache, missing.reference], check=True, capture_output=True)
    if builder == "buildx":
        forget_copied(known)
    again = publish(small, "--name", name, "--tag", "1", "--cache-from", cache)
    assert again.reference.partition("@")[2] in registry.tags(name).values()
    assert "Using cache" in again.stderr or "CACHED" in again.stderr
    assert "warning" not in again.stderr


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
    assert "keep it for a year" in rule.pop("description")
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


# The password and the rights


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON that has each name once."""
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


@pytest.mark.parametrize("login", long_after(1, ["helper", "keychain", "file", "nothing", "no JSON"]))
def test_docker_gets_a_configuration_that_names_each_helper_once(
    publish: Script, small: Path, name: str, login: str
) -> None:
    """E-10: the user's, but for the one password, which no helper keeps."""
    ecr = host("us-west-2")
    settings = settle(publish, login, ecr)
    if login == "helper":
        both = {ecr: "test", "registry.example.com": "other"}
        settings.write_text(json.dumps({"credHelpers": both, "HttpHeaders": {"X-Mine": "}, }"}}))
    seen = publish.home / "seen"
    before = '[ -z "$DOCKER_CONFIG" ] || cp "$DOCKER_CONFIG/config.json" "$HOME/seen" 2>/dev/null || true'
    assert publish(small, "--name", name, "--tag", "1", BEFORE=before).reference
    used = json.loads(seen.read_text(), object_pairs_hook=once)
    users = json.loads(settings.read_text() or "{}")
    assert used["credHelpers"].pop(ecr) == ""
    assert list(used.pop("auths")) == list(users.pop("auths", [ecr]))
    kept = users.pop("credHelpers", {})
    assert {key: value for key, value in kept.items() if key != ecr}.items() <= used.pop("credHelpers").items()
    assert used == users


@pytest.mark.parametrize("login", long_after(1, ["keychain", "file", "helper", "nothing", "no JSON"]))
def test_the_password_is_nowhere_to_be_found(publish: Script, small: Path, name: str, login: str) -> None:
    """E-10: not in the output, on no command line, in no keychain, in no file that was not there before."""
    settings = settle(publish, login, host("us-west-2"))
    before = settings.read_text()
    run = publish(small, "--name", name, "--tag", "1")
    assert run.status == 0
    assert not [text for text in (run.stdout, run.stderr, *run.commands) if PASSWORD in text]
    assert settings.read_text() == before
    assert not list(publish.scratch.iterdir())
    assert not [asked for asked in asked_of_helper(publish) if "amazonaws" in asked]


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


@pytest.mark.page
def test_both_scripts_end_alike_in_each_case_as_the_page_shows() -> None:
    """Each test above is a case; WRITE_PAGE=1 writes its row."""
    check_page()
