"""Both ``build_and_push`` scripts with a newer engine: images in containerd's store, and TLS on the way there."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import leave_out
from programs import free_port
from publishing import DOCKER_SCHEMA_2, Script, an_engine, check_page, choose
from registry import FAULTY_REGION, WORKER, Registry, gate, host, in_the_way, make_certificate
from test_publish_platforms import BOTH, listed
from test_publish_push import immutable

pytest_plugins = ["publishing"]

NEWER = Path("/usr/local/lib/docker/newer-engine")


class Engine:
    """The engine while it runs."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self.folder, self.address, self.port = folder, address, port

    def __call__(self, *arguments: str) -> str:
        """Run docker's command and return what it prints."""
        command = ["docker", "--host", self.address, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def newer(registry: Registry) -> Iterator[Engine]:
    """The engine, once for all tests: it trusts the registry's certificate as it was when it was first asked for."""
    if not (NEWER / "dockerd").exists():
        leave_out("there is no newer engine beside Docker's own: `make docker` installs one on Debian")
    folder, port, bridge = Path(tempfile.mkdtemp()), free_port(), f"newer{WORKER}"
    make_certificate(folder, ["localhost"])
    (folder / "daemon.json").write_text('{"features": {"containerd-snapshotter": true}}')
    command = ["env", f"PATH={NEWER}:{os.environ['PATH']}", str(NEWER / "dockerd"), "--bridge", bridge]
    command += ["--config-file", f"{folder}/daemon.json", "--ip6tables=false", "--host", f"tcp://localhost:{port}"]
    command += ["--tlsverify", f"--tlscacert={folder}/tls.crt", f"--tlscert={folder}/tls.crt"]
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        with an_engine(folder, *command, f"--tlskey={folder}/tls.key") as address:
            yield Engine(folder, address, port)
    finally:
        subprocess.run(["ip", "link", "delete", bridge], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def modern(publish: Script, newer: Engine) -> Script:
    """Each script, where that engine is the one that docker asks, through buildx."""
    choose(publish, "buildx")
    publish.environment |= {"DOCKER_HOST": newer.address}
    del publish.environment["DOCKER_BUILDKIT"]
    return publish


# What is built


@pytest.mark.parametrize("buildkit", ["0", None], ids=["classic", "default"])
def test_containerds_store_holds_an_image_that_sagemaker_takes(
    modern: Script, registry: Registry, small: Path, name: str, buildkit: str | None
) -> None:
    """E-07, E-08: down to the layers; the old builder would write OCI's form there, so it is not used."""
    run = modern(small, "--name", name, "--tag", "1", "--json", DOCKER_BUILDKIT=buildkit)
    about = json.loads(run.reference)
    assert registry.manifest(name, "1") == (DOCKER_SCHEMA_2, about["digest"], "amd64")
    manifest = json.loads(registry.fetch(f"{name}/manifests/1")[0])
    assert manifest["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    layers = {layer["mediaType"] for layer in manifest["layers"]}
    assert layers == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}  # E-09
    assert about["image"] == manifest["config"]["digest"]
    assert about["labels"] == registry.configuration(name, "1")["config"]["Labels"]


def test_containerds_store_without_buildx_is_told_before_all_else(
    modern: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-08. What is in the registry can be verified all the same."""
    assert modern(small, "--name", name, "--tag", "1").reference
    (modern.home / ".docker" / "cli-plugins" / "docker-buildx").unlink()
    with gate(registry.aws) as aws:
        run = modern(small, "--name", name, "--tag", "2", AWS_ENDPOINT_URL=aws.address)
    assert run.error.startswith("Docker cannot build what SageMaker takes (")
    assert run.error.endswith("): install buildx, see https://docs.docker.com/go/buildx")
    assert aws.asked == []
    assert modern(small, "--name", name, "--tag", "1", "--verify").reference
    assert registry.tag_names(name) == ["1"]


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
    """E-12: the same image under the same tag is a success, though."""
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


@pytest.mark.parametrize("way", ["context", "variables"])
def test_an_engine_behind_tls_is_used_throughout(
    modern: Script, registry: Registry, newer: Engine, small: Path, name: str, way: str
) -> None:
    """A docker context, or the certificates in docker's folder, are part of the user's configuration."""
    there, certificates = f"tcp://localhost:{newer.port}", modern.home / ".docker"
    for file, source in {"ca.pem": "tls.crt", "cert.pem": "tls.crt", "key.pem": "tls.key"}.items():
        shutil.copy(newer.folder / source, certificates / file)
    if way == "context":
        keys = ",".join(f"{key}={certificates}/{key}.pem" for key in ("ca", "cert", "key"))
        for verb in (["create", "--docker", f"host={there},{keys}", "far"], ["use", "far"]):
            subprocess.run(
                ["docker", "context", *verb],
                env={**modern.environment, "COMMANDS": os.devnull},
                check=True,
                capture_output=True,
            )
        run = modern(small, "--name", name, "--tag", "1", DOCKER_HOST=None)
    else:
        run = modern(small, "--name", name, "--tag", "1", DOCKER_HOST=there, DOCKER_TLS_VERIFY="1")
    assert registry.tags(name) == {"1": run.reference.partition("@")[2]}
    assert newer("image", "inspect", "--format", "{{.Id}}", f"{host('us-west-2')}/{name}:1")
    assert not list(modern.scratch.iterdir())


def test_both_scripts_end_alike_with_a_newer_engine_as_the_page_shows() -> None:
    """Each test above is a case. WRITE_PAGE=1 writes the page's table anew."""
    check_page()
