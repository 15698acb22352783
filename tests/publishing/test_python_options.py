"""The options that ``build_and_push.py`` alone has, against a real registry under ECR's host name."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines import an_engine
from forms import long_after
from projects import leave_out, need_base_image
from publishing import BROKEN, INDEX, Script, choose, committed, prepare_secrets, size_of_secrets
from registry import DOCKER_SCHEMA_2, Registry, as_oci, gate, host

# Of the two scripts only this one has these options.
pytestmark = pytest.mark.parametrize("script", ["build_and_push.py"], indirect=True)


@pytest.mark.parametrize("epoch", ["yesterday", "-1", "1.5", "9" * 13])
def test_a_date_that_is_none_is_refused(script: Script, small: Path, epoch: str) -> None:
    run = script(small, SOURCE_DATE_EPOCH=epoch)
    assert run.error == f"SOURCE_DATE_EPOCH is '{epoch}': set it to seconds since 1970, or unset it"
    assert run.commands == []


def test_an_account_that_is_none_is_refused(script: Script, small: Path) -> None:
    assert script(small, "--account", "1234").error == "'1234' is not an account: use its 12 digits"


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
    assert "absent.txt" in run.stderr


def test_scripts_get_json(publish: Script, registry: Registry, small: Path, name: str) -> None:
    commit = committed(small)
    run = publish(small, "--name", name, "--tag", "1", "--json")
    about = json.loads(run.reference)
    assert about.pop("reference") == f"{host('us-west-2')}/{name}@{registry.tags(name)['1']}"
    assert about.pop("tags") == [commit[:12], "1"]
    assert about == registry.about(name, "1")
    assert (about["media_type"], about["platform"]) == (DOCKER_SCHEMA_2, "linux/amd64")
    assert run.stdout.count("\n") == 1


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


def test_a_word_that_is_no_command_is_refused(script: Script, small: Path) -> None:
    """It may be a mistyped `inspect`, so no repository is named by it."""
    run = script(small, "inspct")
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    assert "unrecognized arguments: inspct" in run.stderr


def test_the_classic_builder_gets_a_dockerfile_without_secrets(
    publish: Script, project: Path, small: Path, name: str, tmp_path: Path
) -> None:
    """It has none, which is said."""
    need_base_image(project)
    choose(publish, "classic")
    prepare_secrets(publish, small)
    run = publish(small, "--name", name, "--tag", "1", PIP_INDEX_URL=INDEX)
    warning = "warning: Docker's classic builder does not support secrets, so PIP_INDEX_URL is not used: install buildx"
    assert warning in run.stderr.splitlines()
    assert size_of_secrets(run.reference, tmp_path) == 0


# What is told before the build, and what is read back


@contextmanager
def engine_with_little_room() -> Iterator[str]:
    """Run an engine of its own on a disk of 0.5 GB.

    It has a network namespace of its own: an engine without a bridge removes ``docker0``, which is another engine's.
    """
    if not (shutil.which("dockerd") and shutil.which("unshare")):
        leave_out("a full disk needs an engine of its own, and there is no dockerd or no unshare here")
    folder = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", folder], check=True)
    try:
        with an_engine(folder, "unshare", "--net", "dockerd", "--bridge", "none") as address:
            yield address
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def test_a_full_disk_is_told_before_the_build(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with engine_with_little_room() as address:
        run = publish(small, "--name", name, "--tag", "1", DOCKER_HOST=address)
    pattern = r"only [0-9]+ kB are free where Docker keeps images \(.*/data\): 'docker system prune' frees space"
    assert re.fullmatch(pattern, run.error)
    assert "Asking AWS" not in run.stderr
    assert registry.tags(name) == {}


@pytest.mark.parametrize("kind", long_after(1, ["manifest", "index"]))
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
    remedy = "build and push it with this script"
    assert error == f"SageMaker does not accept {host('us-west-2')}/{name}:1 ({named}): {remedy}"


def test_another_platform_is_told(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """P-56: before the push, where the base is for another one, and when read back."""
    address = f"{host('us-west-2')}/{name}:1"
    (small / "container" / "Dockerfile").write_text("FROM scratch\nCOPY program/train /\n")
    assert publish(small, "--name", name, "--tag", "1", "--platform", "linux/arm64").reference
    error = publish(small, "--name", name, "--tag", "1", "--verify").error
    assert error == f"{address} is for linux/arm64: pass --platform, or push an image for linux/amd64"
