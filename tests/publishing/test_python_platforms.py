"""Both ``build_and_push`` scripts, for several platforms: an image for each, and a list of them."""

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any, cast

import pytest

from forms import long_after
from projects import leave_out
from publishing import BOTH, BROKEN, Script, choose
from registry import (
    BUSY,
    DOCKER_SCHEMA_2,
    FAULTY_REGION,
    LIST,
    PRIVATE,
    RIGHTS,
    Refusal,
    Registry,
    docker_login,
    host,
    in_the_way,
    listed,
    refusing,
)

# Of the two scripts only this one has these options.
pytestmark = pytest.mark.parametrize("script", ["build_and_push.py"], indirect=True)


@pytest.fixture
def small_for_both(small: Path, name: str, publish: Script) -> Path:
    """A project whose image is built at once for any platform, and from no layer of another test's.

    With buildx, since the classic builder may take a layer upon scratch from its cache that is another platform's.
    """
    choose(publish, "buildx")
    (small / "container" / "program" / "new.py").write_text(f"{name} {publish.command[-1]}")
    return small


@pytest.mark.parametrize("builder", long_after(1, ["buildx", "classic"]))
def test_several_platforms_get_an_image_each_and_a_list(
    publish: Script, registry: Registry, small_for_both: Path, name: str, builder: str
) -> None:
    """E-07, P-56: SageMaker takes the images, whose digests and tags are told."""
    options = ["--name", name, "--tag", "1", "--tag", "2", *BOTH]
    if builder == "classic":
        publish.environment["DOCKER_BUILDKIT"] = "0"
        options += ["--no-cache"]
    run = publish(small_for_both, *options)
    assert run.reference
    digest, images = listed(registry, name, "1")
    address = f"{host('us-west-2')}/{name}"
    assert run.reference == f"{address}@{digest}"
    assert set(images) == {"linux/amd64", "linux/arm64"}
    assert registry.tag_names(name) == ["1", "1-amd64", "1-arm64", "2", "2-amd64", "2-arm64"]
    assert listed(registry, name, "2") == (digest, images)
    for tag in "12":
        assert registry.manifest(name, f"{tag}-amd64").digest == images["linux/amd64"]
        assert registry.manifest(name, f"{tag}-arm64").digest == images["linux/arm64"]
    single = " or ".join(f"{address}@{images[platform]} ({platform})" for platform in ("linux/amd64", "linux/arm64"))
    assert (
        f"warning: SageMaker does not accept lists of images, and trains only on linux/amd64: give it {single}\n"
        in run.stderr
    )


def test_a_list_is_described_and_verified_with_its_images(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    """E-07; and the last line is alone on stdout where all else is quiet."""
    options = ["--name", name, "--tag", "1", "--quiet", *BOTH]
    about = json.loads(publish(small_for_both, *options, "--json").reference)
    digest, images = listed(registry, name, "1")
    assert {key: about[key] for key in about if key != "images"} == {
        "reference": f"{host('us-west-2')}/{name}@{digest}",
        "media_type": LIST,
        "digest": digest,
        "platform": "linux/amd64,linux/arm64",
        "tags": ["1"],
    }
    assert [(image["platform"], image["digest"], image["tags"]) for image in about["images"]] == [
        (f"linux/{architecture}", images[f"linux/{architecture}"], [f"1-{architecture}"])
        for architecture in ("amd64", "arm64")
    ]
    assert {label for image in about["images"] for label in image["labels"]} == {"org.opencontainers.image.version"}
    verified = publish(small_for_both, *options, "--verify")
    assert verified.reference == about["reference"]
    assert not [command for command in verified.commands if re.search(" (build|push|create) ", command)]


@pytest.mark.slow
def test_a_list_that_someone_else_replaced_is_told(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    """E-14: here by one that lacks a platform, by a single image, and by one with another digest."""
    options = ["--name", name, "--tag", "1", *BOTH]
    assert publish(small_for_both, *options).reference
    theirs = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    registry.put_manifest(name, "1", LIST, {**theirs, "manifests": theirs["manifests"][:1]})
    sentence = f"{host('us-west-2')}/{name}:1 is another image: someone else may have pushed it meanwhile"
    assert publish(small_for_both, *options, "--verify").error == sentence
    single = json.loads(registry.fetch(f"{name}/manifests/1-amd64")[0])
    registry.put_manifest(name, "1", DOCKER_SCHEMA_2, single)
    assert publish(small_for_both, *options, "--verify").error == sentence
    registry.put_manifest(name, "1", LIST, {**theirs, "manifests": theirs["manifests"][::-1]})
    unconfirmed = publish(small_for_both, *options, "--verify").error
    assert re.match(rf"cannot read {host('us-west-2')}/{name}@sha256:[0-9a-f]+ back \(no such manifest", unconfirmed)


def test_a_build_that_fails_for_one_platform_pushes_for_none(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """And this machine's own platform needs no advice."""
    (small / "container" / "Dockerfile").write_text(BROKEN)
    run = publish(small, "--name", name, *BOTH)
    assert run.error == "the build failed and nothing was pushed: fix the error above"
    assert registry.tags(name) == {}


@pytest.mark.slow
def test_each_step_of_a_build_runs_as_on_its_platform(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    """P-56: here in QEMU, as with Docker Desktop."""
    programs = Path("/usr/local/lib/docker/busybox")
    if not (programs / "arm64").exists():
        leave_out("there is no emulator for linux/arm64: `make docker` installs one on Debian")
    shutil.copytree(programs, small_for_both / "container" / "program" / "busybox")
    (small_for_both / "container" / "Dockerfile").write_text(
        "FROM scratch\nARG TARGETARCH\nCOPY program/busybox/$TARGETARCH/busybox /bin/sh\n"
        f"RUN uname -m >/machine # for {name}, {publish.command[-1]}, not from the cache\n"
    )
    assert publish(small_for_both, "--name", name, "--tag", "1", *BOTH).reference
    machines = {}
    for platform, digest in listed(registry, name, "1")[1].items():
        layer = json.loads(registry.fetch(f"{name}/manifests/{digest}")[0])["layers"][-1]["digest"]
        with tarfile.open(fileobj=io.BytesIO(registry.fetch(f"{name}/blobs/{layer}")[0])) as archive:
            machines[platform] = cast(IO[bytes], archive.extractfile("machine")).read().decode().strip()
    assert machines == {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.mark.parametrize("builder", ["classic", "buildx"])
def test_where_a_foreign_platform_cannot_run_the_way_to_emulation_is_told(
    publish: Script, registry: Registry, small: Path, name: str, builder: str
) -> None:
    choose(publish, builder)
    program = small / "container" / "program" / "foreign"
    program.write_bytes(b"\x7fELF of no machine")
    program.chmod(0o755)
    (small / "container" / "Dockerfile").write_text('FROM scratch\nCOPY program/foreign /\nRUN ["/foreign"]\n')
    run = publish(small, "--name", name, "--platform", "linux/arm64,linux/amd64")
    assert "exec format error" in run.stderr
    assert run.error == (
        "the build failed and nothing was pushed: fix the error above; an 'exec format error' means that this"
        " machine cannot run linux/arm64, which 'docker run --privileged --rm tonistiigi/binfmt --install all' or"
        " Debian's qemu-user-static fixes"
    )
    assert registry.tags(name) == {}


@pytest.mark.slow
def test_a_list_is_pushed_to_another_registry_too(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    """With docker's own login; what docker keeps of the list stays out of the user's configuration."""
    docker_login(publish.home / ".docker", PRIVATE)
    before = (publish.home / ".docker" / "config.json").read_text()
    run = publish(small_for_both, "--registry", PRIVATE, "--name", name, "--tag", "1", *BOTH, AWS_REGION=None)
    assert run.reference == f"{PRIVATE}/{name}@{listed(registry, name, '1')[0]}"
    assert not (publish.home / ".docker" / "manifests").exists()
    assert (publish.home / ".docker" / "config.json").read_text() == before


@pytest.mark.slow
def test_a_list_whose_push_fails_once_is_pushed_again(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    with in_the_way(registry, refusing(BUSY, part=f"/{name}/manifests/1", times=1)):
        run = publish(small_for_both, "--name", name, "--tag", "1", "--region", FAULTY_REGION, *BOTH)
    assert run.reference.endswith(listed(registry, name, "1")[0])
    assert run.stderr.count("warning: the push failed (") == 1


@pytest.mark.slow
def test_an_immutable_list_is_not_overwritten(
    publish: Script, registry: Registry, small_for_both: Path, name: str
) -> None:
    """E-12: the same images under the same tags are a success, though."""
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION, *BOTH]

    def fault(method: str, path: str) -> Refusal | None:
        if method == "PUT" and path.rpartition("/")[2] in registry.tag_names(name):
            return Refusal(400, "TAG_INVALID", "The image tag already exists because the tag is immutable.")
        return None

    with in_the_way(registry, fault):
        first = publish(small_for_both, *options)
        again = publish(small_for_both, *options)
    assert again.reference == first.reference
    address = f"{host(FAULTY_REGION)}/{name}:1"
    assert f"==> {address} is already there\n" in again.stderr
    theirs = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    registry.put_manifest(name, "1", LIST, {**theirs, "manifests": theirs["manifests"][:1]})
    with in_the_way(registry, fault):
        other = publish(small_for_both, *options)
    assert other.error == f"{address} is another image and may not be overwritten: pass another --tag"


@pytest.mark.slow
def test_a_list_needs_no_more_rights(publish: Script, registry: Registry, small_for_both: Path, name: str) -> None:
    """Those of push-policy.json suffice."""
    with in_the_way(registry) as asked:
        assert publish(small_for_both, "--name", name, "--tag", "1", "--region", FAULTY_REGION, *BOTH).reference
    used = {RIGHTS[method, part] for method, path in asked for part in ("uploads", "manifests") if f"/{part}/" in path}
    policy = json.loads((small_for_both / "container" / "push-policy.json").read_text())
    allowed: list[Any] = [statement["Action"] for statement in policy["Statement"]]
    flat = {action for actions in allowed for action in ([actions] if isinstance(actions, str) else actions)}
    assert {f"ecr:{action}" for action in used} <= flat


@pytest.mark.usefixtures("docker_answers")
def test_a_dry_run_names_each_image_and_the_list(script: Script, small: Path) -> None:
    run = script(small, "--registry", PRIVATE, "--name", "forest", "--tag", "1", "--dry-run", *BOTH)
    said = [line for line in run.stderr.splitlines() if "Would" in line]
    for line, platform in zip(said[::2], ("amd64", "arm64"), strict=False):
        assert line.startswith(f"==> Would run docker build --platform linux/{platform} ")
    pushes = [line.removeprefix(f"==> Would push {PRIVATE}/forest as ") for line in (said[1], said[3], said[4])]
    assert [words.split()[-1] for words in pushes[:2]] == ["1-amd64", "1-arm64"]
    assert pushes[2].endswith("1, for all")


@pytest.mark.parametrize(
    "platform", ["", "arm64", "linux/amd64,", "linux/amd64, linux/arm64", "Linux/amd64", "a/b/c/d"]
)
def test_what_is_no_platform_is_refused_at_once(script: Script, small: Path, platform: str) -> None:
    run = script(small, f"--platform={platform}")
    assert run.error.endswith("' is not a platform: use one such as linux/amd64, or several separated by commas")
    assert run.commands == []


def test_a_tag_that_has_no_room_for_a_platform_is_refused_at_once(script: Script, small: Path) -> None:
    """E-03."""
    run = script(small, "--tag", "a" * 125, *BOTH)
    assert run.error.startswith(f"'{'a' * 125}-amd64' cannot be a tag: use at most 128 of ")
    assert run.commands == []
