"""Template: builds the image, with any of Docker's builders."""

import os
import re
import shutil
from argparse import Namespace
from pathlib import Path
from subprocess import CalledProcessError

from publishing import project
from publishing.commands import LOG, ask_docker, fail, failing, one_line, openly, platform_of, quietly
from publishing.project import Revision

LABEL = "org.opencontainers.image."
ROOM_KB = 1_000_000  # that the engine's disk should have
EMULATION = (
    "; an 'exec format error' means that this machine cannot run {}, which"
    " 'docker run --privileged --rm tonistiigi/binfmt --install all' or Debian's qemu-user-static fixes"
)


def check_engine(given: Namespace) -> list[str]:
    """Check that Docker answers, can build the image, and has disk space for it. Return the options for its build.

    A full disk is found only if it can be seen from here: Docker may run on another or a virtual machine.
    """
    if not shutil.which("docker"):
        fail("docker is not installed: see https://docs.docker.com/get-docker")
    LOG.info("Checking Docker")
    ask_docker("version")
    root, store = ask_docker("info", "--format", "{{.DockerRootDir}}{{println}}{{.DriverStatus}}").split("\n")
    engine, here = ask_docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}"), Path(root)
    if engine.startswith("unix:") and here.is_dir() and (free := shutil.disk_usage(here).free // 1024) < ROOM_KB:
        fail(f"only {free} kB are free where Docker keeps images ({root}): 'docker system prune' frees space")
    if given.verify or "io.containerd.snapshotter" not in store:
        return []
    # This store, the default of Docker 29, pushes what the builder wrote, and only buildx can write what SageMaker
    # accepts (E-08).
    remedy = "install buildx, see https://docs.docker.com/go/buildx"
    with failing("Docker cannot build an image that SageMaker accepts", remedy):
        quietly("docker", "buildx", "version")
    os.environ["DOCKER_BUILDKIT"] = "1"
    return ["--output", "type=docker,oci-mediatypes=false"]


def options_of(given: Namespace, revision: Revision) -> list[str]:
    """Return the options of the build besides the platform."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH") or revision.epoch:
        os.environ["SOURCE_DATE_EPOCH"] = epoch  # BuildKit dates the image so
    arguments = [f"REVISION={revision.name}", *project.build_arguments(given.context)]
    options = [word for argument in arguments for word in ("--build-arg", argument)] + secrets(given)
    for key, value in project.labels_of(revision).items():
        options += ["--label", f"{LABEL}{key}={value}"]
    for argument in given.build_arg:
        options += ["--build-arg", argument]
    for image in given.cache_from:
        options += ["--cache-from", image, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    for option in ("file", "target"):
        options += [f"--{option}", value] if (value := getattr(given, option)) else []
    return options + ["--no-cache"] * given.no_cache + ["--quiet"] * given.quiet


def secrets(given: Namespace) -> list[str]:
    """Return the options that give the build the secrets for private indexes, if the Dockerfile uses them."""
    if "--mount=type=secret" not in content_of(dockerfile_of(given)):
        return []
    variables = project.index_variables()
    if is_classic(dockerfile_of(given)):
        for name in variables:
            LOG.warning(f"Docker's classic builder does not support secrets, so {name} is not used: install buildx")
        return []
    found = [f"id={name},env={name}" for name in variables]
    if netrc := project.netrc(given.context):
        found.append(f"id=netrc,src={netrc}")
    return [word for secret in found for word in ("--secret", secret)]


def dockerfile_of(given: Namespace) -> Path:
    """Return the path of the Dockerfile."""
    return Path(given.file or given.context / "Dockerfile")


def content_of(dockerfile: Path) -> str:
    """Return what is in ``dockerfile``. If it does not exist, docker will say so."""
    return dockerfile.read_text(encoding="utf-8") if dockerfile.is_file() else ""


def is_classic(dockerfile: Path) -> bool:
    """Whether ``dockerfile`` uses features that Docker's classic builder lacks, and that builder would build it."""
    return "--mount=" in content_of(dockerfile) and "--secret" not in quietly("docker", "build", "--help")


def pull_layers(images: list[str]) -> None:
    """Pull the images whose layers the build can reuse."""
    for image in images:
        try:
            quietly("docker", "pull", "--quiet", image)
        except CalledProcessError as error:
            LOG.warning(f"cannot get the layers of {image} ({one_line(error.stderr)}): building without them")


def build(given: Namespace, options: list[str], scratch: Path, platform: str, address: str) -> str:
    """Build ``address`` and return the image's id: the tag may name another image later.

    SageMaker trains only on amd64, so the platform is always set (P-56).
    """
    remedy = "fix the error above"
    if not platform.startswith(ask_docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")):
        remedy += EMULATION.format(platform)
    LOG.info(f"Building {given.context} for {platform}")
    result = scratch / "image"
    command = ["docker", "build", "--platform", platform, *options, "--tag", address, "--iidfile", str(result)]
    dockerfile = dockerfile_of(given)
    if is_classic(dockerfile):  # it supports neither caches nor secrets, so they are removed from the Dockerfile
        plain = scratch / "Dockerfile"
        plain.write_text(re.sub(r"--mount=\S+ ", "", content_of(dockerfile)), encoding="utf-8")
        command += ["--file", str(plain)]
    with failing("the build failed and nothing was pushed", remedy):
        openly(*command, str(given.context))
    built = platform_of(address)
    if not platform.startswith(built):
        fail(f"the image is for {built} and nothing was pushed: its base may not be for {platform}")
    return result.read_text().strip()
