"""What the tests share: a generated project, an image built from it, and a word when Docker is missing."""

import fcntl
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import Engine, a_newer_engine
from projects import IMAGES, Bake, bake_into, build_image, copy_template, leave_out

pytest.register_assert_rewrite("publishing")  # it asserts for tests

# A shell starts what runs in its background with SIGINT ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest come first, so that no worker waits for another one at the end; the second needs the image
# late, so that no worker waits for the other's build.
LONGEST: tuple[str, ...] = (
    "container",
    "publish",
    "local_mode",
    "publish_engines",
    "hosts",
    "publish_push",
    "limits",
    "faults",
)
LONGEST += (
    "build",
    "generated",
    "workflow",
    "apptainer",
    "python_platforms",
    "python_verbs",
    "python_registries",
    "python_options",
)
LONGEST += ("examples", "http", "mistakes", "variables", "publish_faults", "interruption")
FIRST = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}


# What a fixture needs, the tests that use it need too; and some fixtures take long to make.
MARKS = {"docker_answers": pytest.mark.docker, "registry": pytest.mark.registry}
MARKS |= dict.fromkeys(["newer", "caller", "cluster_image", "demo_here", "first"], pytest.mark.slow)

# The shell script calls the AWS CLI, which takes a second a call. Where both scripts make the same claims `make test`
# tries the one in Python, and `make test-long` the other.
PYTHON_FIRST = {"test_publish_push.py", "test_publish_faults.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into this order, those of a file as they are, and mark what they need."""
    items.sort(key=lambda item: FIRST.get(item.path.name, len(FIRST)))
    for item in items:
        assert isinstance(item, pytest.Function)
        for fixture, mark in MARKS.items():
            if fixture in item.fixturenames:
                item.add_marker(mark)
        if hasattr(item, "callspec") and {"container", "nginx"} & set(map(str, item.callspec.params.values())):
            item.add_marker(pytest.mark.docker)  # a fixture then asks for the image
        if item.path.name in PYTHON_FIRST and "build_and_push.sh" in item.name:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, one line for each reason."""
    left_out = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in left_out.items():
        terminalreporter.write_line(f"{count} tests left out: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a stranger gets it, uncommitted changes included."""
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def bake(template: Path, tmp_path: Path) -> Bake:
    """Generate a project into the test's own folder: ``bake(algorithm_name="churn")``."""
    return lambda **prompts: bake_into(template, tmp_path, **prompts)


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers. Shared: tests do not change it."""
    return bake_into(template, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def docker_answers() -> None:
    """Leave the test out where no Docker answers, and say how to get one."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        leave_out("no Docker answers: `make docker` starts one on Debian")


@pytest.fixture(scope="session")
def image(docker_answers: None, project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of ``project``, for the default Python: one worker of pytest-xdist builds it, the others wait."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    built = tmp_path_factory.getbasetemp().parent / f"image-{run}"
    with built.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if built.stat().st_size == 0:
            file.write(build_image(project, f"{IMAGES}:default"))
    return built.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def newer(docker_answers: None) -> Iterator[Engine]:
    """A newer engine, with images in containerd's store. It remembers the certificate of a registry that it asked."""
    with a_newer_engine() as engine:
        yield engine
