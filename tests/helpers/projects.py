"""Projects generated from the template, their images, and a word where this machine cannot test something."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from programs import free_port

TEMPLATE = Path(__file__).resolve().parents[2]
EXAMPLES = TEMPLATE / "examples"
# Two checkouts on one machine do not test each other's images.
IMAGES = f"cookiecutter-sagemaker-test-{hashlib.sha256(bytes(TEMPLATE)).hexdigest()[:8]}"
Bake = Callable[..., Path]
BIN = Path(sys.executable).parent
TEMPLATE_VENV = BIN.parent


def copy_template(folder: Path) -> Path:
    """Copy what git would keep of the template to ``folder``: a linter's or an editor's litter must not get in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"]
    for name in subprocess.run(listed, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (TEMPLATE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)
    return folder


def bake_into(template: Path, directory: Path, **prompts: str) -> Path:
    """Generate a project below ``directory`` with the answers ``prompts`` and return its folder."""
    answers = {"no_input": True, "extra_context": prompts, "default_config": True}
    return Path(cookiecutter(str(template), output_dir=str(directory), **answers))


def made(project: Path, name: str, folder: Path) -> Path:
    """A copy of ``project`` with an example over it, and with what its EXAMPLE.md says to make before training."""
    mine = Path(shutil.copytree(project, folder / name))
    command = [sys.executable, str(EXAMPLES / "copy_example.py"), name, str(mine)]
    copied = subprocess.run(command, check=False, capture_output=True, text=True)
    assert copied.returncode == 0, copied.stderr
    for script in (*mine.glob("data/make_model.py"), *mine.glob("data/make_images.py")):
        subprocess.run([sys.executable, str(script)], check=True)
    return mine


def algorithm_of_example(name: str) -> Path:
    """The file that an example puts in the place of the project's."""
    return EXAMPLES / name / "container/program/algorithm.py"


def leave_out(reason: str) -> None:
    """Skip what this machine cannot test; with REQUIRE_DOCKER=1 fail instead."""
    say = pytest.fail if os.environ.get("REQUIRE_DOCKER") == "1" else pytest.skip
    say(reason)


def need_base_image(project: Path) -> None:
    """Leave the test out where the base image is neither here nor in a registry."""
    dockerfile = (project / "container/Dockerfile").read_text(encoding="utf-8")
    [version] = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", dockerfile, re.MULTILINE)
    need_image(f"python:{version}-slim-bookworm")


def need_image(name: str) -> None:
    """Leave the test out where an image is neither here nor in a registry."""
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0:
        return
    pull = ["docker", "pull", "--quiet", "--platform", "linux/amd64", name]
    pulled = subprocess.run(pull, capture_output=True, text=True, check=False)
    if pulled.returncode:
        cause = pulled.stderr.strip().splitlines()[-1]
        leave_out(f"{name} is not here and cannot be pulled ({cause}): `make docker` makes one on Debian")


def build_image(project: Path, tag: str) -> str:
    """Build the container of ``project`` unmodified and return its tag."""
    need_base_image(project)
    subprocess.run(
        ["docker", "build", "--quiet", "--platform", "linux/amd64", "--tag", tag, str(project / "container")],
        check=True,
    )
    return tag


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder. Make's own variables are left out: make may have started these tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False)


def make(project: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Make's targets, and variables for its command line, in the virtual environment of these tests."""
    shared = {"VENV": str(TEMPLATE_VENV), "PORT": str(free_port()), "PYTHON": sys.executable}
    return run(project, "make", "--silent", *targets, **shared | environment)


def make_image(project: Path, tag: str, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make image`, which makes ``{IMAGES}:{tag}``."""
    return make(project, "image", *variables, IMAGE=f"{IMAGES}:{tag}", **environment)
