"""Template: builds the image with the project's build arguments, and with secrets for private indexes of packages."""

import functools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.progress import follow
from local.project import IMAGE, ROOT, LocalError

CONTEXT = ROOT / "container"
ARGUMENTS = CONTEXT / "build-args.txt"
SECRETS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
INDEX = re.compile(r"^\s*(-i|--index-url|--extra-index-url|-f|--find-links)[\s=]", re.MULTILINE)


def build() -> bool:
    """Build the image; Docker builds again only what has changed. Return whether any step took time.

    Raises ``LocalError`` if the build fails.
    """
    started = time.monotonic()
    with _dockerfile() as file:
        # SageMaker trains on this platform only, whatever this machine is (P-56).
        command = ["docker", "build", "--platform", "linux/amd64", "--file", str(file), "--tag", IMAGE, *options()]
        command += ["--progress=plain"] if buildkit() else []
        done = follow([*command, str(CONTEXT)])
    if done.status != 0:
        sys.stderr.write(done.log)
        raise LocalError("`docker build` failed: the lines above say why.")
    if done.told:
        print(f"{IMAGE} is built, in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return done.told


@functools.cache
def buildkit() -> bool:
    """Whether `docker build` is BuildKit's, which has caches and secrets, and not the classic builder's."""
    asked = subprocess.run(["docker", "build", "--help"], capture_output=True, text=True, check=False)
    return "--secret" in asked.stdout


def options() -> list[str]:
    """The options of the build: the arguments in build-args.txt, and the secrets of indexes (docs/packages.md)."""
    found = [word for line in arguments().items() for word in ("--build-arg", "=".join(line))]
    secrets = {name: f"id={name},env={name}" for name in SECRETS if os.environ.get(name)}
    if not buildkit():
        for name in secrets:
            sentence = f"Docker's classic builder does not support secrets, so {name} is not used: install buildx."
            print(sentence, file=sys.stderr)
        return found
    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    files = [path.read_text(encoding="utf-8") for path in CONTEXT.glob("requirements*.txt")]
    if netrc.is_file() and (secrets or INDEX.search("\n".join(files))):
        secrets["netrc"] = f"id=netrc,src={netrc}"
    return found + [word for secret in secrets.values() for word in ("--secret", secret)]


def arguments() -> dict[str, str]:
    """The build arguments in build-args.txt, by name. An environment variable overrides its line."""
    found = {}
    lines = ARGUMENTS.read_text(encoding="utf-8").splitlines() if ARGUMENTS.exists() else []
    for number, line in enumerate(lines, start=1):
        name, is_one, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not (is_one and name.isidentifier()):
            raise LocalError(f"container/build-args.txt, line {number}: {line.strip()!r} is not NAME=VALUE.")
        found[name] = value
    found |= {name: os.environ[name] for name in ("BASE_IMAGE", "GPU") if os.environ.get(name)}
    gpu = found.pop("GPU", "no")
    if gpu not in ("yes", "no"):
        raise LocalError(f"GPU is {gpu!r}: write yes or no.")
    if gpu == "yes" and _has_packages_for_gpu():
        found["GPU"] = "yes"
    return found


def remember(given: list[str]) -> None:
    """Write build arguments, each ``NAME=VALUE``, to build-args.txt; one without a value is removed.

    Raises ``LocalError`` for a GPU if there is no list of packages for it.
    """
    if "GPU=yes" in given and not _has_packages_for_gpu():
        raise LocalError(
            "GPU=yes needs container/requirements-gpu.txt: list there the packages that algorithm.py needs on a "
            "GPU, such as onnxruntime-gpu[cuda,cudnn] or torch, and run `make lock`."
        )
    for argument in given:
        name, _, value = argument.removesuffix("=no").partition("=")
        lines = ARGUMENTS.read_text(encoding="utf-8").splitlines() if ARGUMENTS.exists() else []
        kept = [line for line in lines if not line.strip().startswith(f"{name}=")] + [f"{name}={value}"] * bool(value)
        if kept != lines:
            ARGUMENTS.write_text("\n".join(kept) + "\n", encoding="utf-8")
            print(f"container/build-args.txt {'now' if value else 'no longer'} sets {name}", file=sys.stderr)


def _has_packages_for_gpu() -> bool:
    return all((CONTEXT / f"requirements-gpu.{suffix}").exists() for suffix in ("txt", "lock"))


@contextmanager
def _dockerfile() -> Iterator[Path]:
    """The Dockerfile, without what the classic builder does not support."""
    original = CONTEXT / "Dockerfile"
    if buildkit():
        yield original
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "Dockerfile")
        plain.write_text(re.sub(r"--mount=\S+ ", "", original.read_text(encoding="utf-8")), encoding="utf-8")
        yield plain
