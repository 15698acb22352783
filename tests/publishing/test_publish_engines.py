"""Both ``build_and_push`` scripts with a newer engine: images in containerd's store, and TLS on the way there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from engines import Engine, need_buildx
from publishing import BOTH, Script, check_page
from registry import DOCKER_SCHEMA_2, FAULTY_REGION, Registry, gate, host, immutable, in_the_way, listed


@pytest.fixture
def modern(publish: Script, newer: Engine) -> Script:
    """Each script, where that engine is the one that docker asks, through buildx."""
    need_buildx()
    publish.environment |= {"DOCKER_HOST": newer.address}
    return publish


python = pytest.mark.parametrize("script", ["build_and_push.py"], indirect=True)


# What is built


@pytest.mark.parametrize("buildkit", ["0", None], ids=["classic", "default"])
def test_containerds_store_holds_an_image_that_sagemaker_takes(
    modern: Script, registry: Registry, small: Path, name: str, buildkit: str | None
) -> None:
    """E-07, E-08, E-09: down to the layers; the old builder would write OCI's form there, so it is not used."""
    digest = modern(small, "--name", name, "--tag", "1", DOCKER_BUILDKIT=buildkit).reference.partition("@")[2]
    assert registry.manifest(name, "1") == (DOCKER_SCHEMA_2, digest, "amd64")
    manifest = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    layers = {layer["mediaType"] for layer in manifest["layers"]}
    assert layers == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}


@python
def test_an_image_in_containerds_store_is_described_for_programs(
    modern: Script, registry: Registry, small: Path, name: str
) -> None:
    about = json.loads(modern(small, "--name", name, "--tag", "1", "--json").reference)
    manifest = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    assert about["image"] == manifest["config"]["digest"]
    assert about["labels"] == registry.configuration(name, "1")["config"]["Labels"]


def test_containerds_store_without_buildx_is_told_before_all_else(
    modern: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-08."""
    without_buildx(modern)
    with gate(registry.aws) as aws:
        run = modern(small, "--name", name, "--tag", "2", AWS_ENDPOINT_URL=aws.address)
    assert run.error.startswith("Docker cannot build an image that SageMaker accepts (")
    assert run.error.endswith("): install buildx, see https://docs.docker.com/go/buildx")
    assert aws.asked == []
    assert registry.tag_names(name) == []


def without_buildx(modern: Script) -> None:
    """Give the user a plugin that is none, which goes before one that the machine's docker may have."""
    plugin = modern.home / ".docker" / "cli-plugins" / "docker-buildx"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.unlink(missing_ok=True)
    plugin.write_text("no program")


@python
def test_what_is_in_the_registry_is_verified_without_buildx(modern: Script, small: Path, name: str) -> None:
    reference = modern(small, "--name", name, "--tag", "1").reference
    without_buildx(modern)
    assert modern(small, "--name", name, "--tag", "1", "--verify").reference == reference


@python
def test_containerds_store_holds_an_image_for_each_platform(
    modern: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-07, P-56: with docker's own form of a list, too."""
    run = modern(small, "--name", name, "--tag", "1", *BOTH)
    digest, images = listed(registry, name, "1")
    assert run.reference == f"{host('us-west-2')}/{name}@{digest}"
    assert set(images) == {"linux/amd64", "linux/arm64"}
    assert registry.tag_names(name) == ["1", "1-amd64", "1-arm64"]


def test_layers_in_the_registry_are_used_again_in_containerds_store(
    modern: Script, registry: Registry, newer: Engine, small: Path, name: str
) -> None:
    """As in CI, where the engine knows nothing from before: the build itself asks the registry, with the password."""
    (small / "container" / "program" / "new.py").write_text(name)
    first = modern(small, "--name", name, "--tag", "cache", "--cache-from", ":cache").reference
    newer("image", "rm", "--force", f"{host('us-west-2')}/{name}:cache", first)
    newer("builder", "prune", "--force", "--all")
    again = modern(small, "--name", name, "--tag", "1", "--cache-from", ":cache")
    assert again.reference.partition("@")[2] in registry.tags(name).values()
    assert "CACHED" in again.stderr
    assert "warning" not in again.stderr


# What is pushed


def test_an_immutable_tag_is_not_overwritten_from_containerds_store(
    modern: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-12: the engine asks before it sends, and says in its own words what was refused."""
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
    with in_the_way(registry, immutable(registry, name)):
        first = modern(small, *options)
        again = modern(small, *options)
        (small / "container" / "program" / "new.py").touch()
        other = modern(small, *options)
    assert again.reference == first.reference
    address = f"{host(FAULTY_REGION)}/{name}:1"
    assert other.error == f"{address} is another image and may not be overwritten: pass another --tag"


# How the engine is reached


def reach(engine: Engine, script: Script, way: str) -> dict[str, str]:
    """Have what ``docker`` needs to reach ``engine`` by TLS in the user's folder; the variables for it are returned."""
    there, certificates = f"tcp://localhost:{engine.port}", script.home / ".docker"
    certificates.mkdir(exist_ok=True)
    for file, source in {"ca.pem": "tls.crt", "cert.pem": "tls.crt", "key.pem": "tls.key"}.items():
        shutil.copy(engine.folder / source, certificates / file)
    if way == "variables":
        return {"DOCKER_HOST": there, "DOCKER_TLS_VERIFY": "1"}
    keys = ",".join(f"{key}={certificates}/{key}.pem" for key in ("ca", "cert", "key"))
    home = {**script.environment, "COMMANDS": os.devnull}
    for verb in (["create", "--docker", f"host={there},{keys}", "far"], ["use", "far"]):
        subprocess.run(["docker", "context", *verb], env=home, check=True, capture_output=True)
    return {"DOCKER_HOST": ""}


@pytest.mark.parametrize("way", ["context", "variables"])
def test_an_engine_behind_tls_is_used_throughout(
    modern: Script, registry: Registry, newer: Engine, small: Path, name: str, way: str
) -> None:
    """A docker context, or the certificates in docker's folder, are part of the user's configuration."""
    modern.environment |= reach(newer, modern, way)
    run = modern(small, "--name", name, "--tag", "1")
    assert registry.tags(name) == {"1": run.reference.partition("@")[2]}
    assert newer("image", "inspect", "--format", "{{.Id}}", f"{host('us-west-2')}/{name}:1")
    assert not list(modern.scratch.iterdir())


@python
def test_pull_gets_an_image_to_the_engine_of_the_context(
    modern: Script, registry: Registry, newer: Engine, small: Path, name: str
) -> None:
    modern.environment |= {"AWS_CA_BUNDLE": str(registry.directory / "tls.crt")}
    pushed = modern(small, "--name", name, "--tag", "1").reference
    newer("image", "rm", "--force", f"{host('us-west-2')}/{name}:1", pushed)
    modern.environment |= reach(newer, modern, "context")
    assert modern(small, "pull", "1", "--name", name).reference == pushed
    assert newer("image", "inspect", "--format", "{{.Id}}", f"{host('us-west-2')}/{name}:1")


@pytest.mark.page
def test_both_scripts_end_alike_with_a_newer_engine_as_the_page_shows() -> None:
    """Each test above is a case. WRITE_PAGE=1 writes the page's table again."""
    check_page()
