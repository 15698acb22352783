"""What the tests share: a generated project, an image built from it, and a word when Docker is missing."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

pytest.register_assert_rewrite("engines", "publishing")  # they assert for tests

TEMPLATE = Path(__file__).resolve().parent.parent
# Two checkouts on one machine do not test each other's images.
IMAGES = f"cookiecutter-sagemaker-test-{hashlib.sha256(bytes(TEMPLATE)).hexdigest()[:8]}"
Bake = Callable[..., Path]

# A shell starts what runs in its background with SIGINT ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest come first, so that no worker waits for another one at the end; the second needs no image,
# so that the first worker builds it for both.
LONGEST = ("local_mode", "publish_push", "container", "hosts", "generated", "workflow", "mistakes", "publish")
FIRST = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into this order; those of a file keep theirs."""
    items.sort(key=lambda item: FIRST.get(item.path.name, len(FIRST)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, one line for each reason."""
    left_out = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in left_out.items():
        terminalreporter.write_line(f"{count} tests left out: {reason.removeprefix('Skipped: ')}", yellow=True)


def copy_template(folder: Path) -> Path:
    """Copy what git would keep of the template to ``folder``: a linter's or an editor's litter must not get in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "-z"]
    for name in subprocess.run(listed, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (TEMPLATE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a stranger gets it, uncommitted changes included."""
    return copy_template(tmp_path_factory.mktemp("template"))


def bake_into(template: Path, directory: Path, **prompts: str) -> Path:
    """Generate a project below ``directory`` with the answers ``prompts`` and return its folder."""
    answers = {"no_input": True, "extra_context": prompts, "default_config": True}
    return Path(cookiecutter(str(template), output_dir=str(directory), **answers))


@pytest.fixture
def bake(template: Path, tmp_path: Path) -> Bake:
    """Generate a project into the test's own folder: ``bake(algorithm_name="churn")``."""
    return lambda **prompts: bake_into(template, tmp_path, **prompts)


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers. Shared: tests do not change it."""
    return bake_into(template, tmp_path_factory.mktemp("project"))


def leave_out(reason: str) -> None:
    """Skip what this machine cannot test; with REQUIRE_DOCKER=1 fail instead."""
    say = pytest.fail if os.environ.get("REQUIRE_DOCKER") == "1" else pytest.skip
    say(reason)


@pytest.fixture(scope="session")
def docker_answers() -> None:
    """Leave the test out where no Docker answers, and say how to get one."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        leave_out("no Docker answers: `make docker` starts one on Debian")


@pytest.fixture(scope="session")
def image(docker_answers: None, project: Path) -> str:
    """The image of ``project``, for the default Python."""
    return build_image(project, f"{IMAGES}:default")


def build_image(project: Path, tag: str) -> str:
    """Build the container of ``project`` unmodified and return its tag."""
    subprocess.run(
        ["docker", "build", "--quiet", "--platform", "linux/amd64", "--tag", tag, str(project / "container")],
        check=True,
    )
    return tag
