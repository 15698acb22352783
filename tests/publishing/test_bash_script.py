"""What ``build_and_push.sh`` alone does: the AWS example's way of calling it, and a word about what it leaves out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import TEMPLATE
from publishing import INDEX, Script, choose, prepare_secrets
from registry import Registry, host

SCRIPT = "container/build_and_push.sh"
pytestmark = pytest.mark.parametrize("script", ["build_and_push.sh"], indirect=True)


def help_of(project: Path, *command: str) -> dict[str, str]:
    """Option → its words in the help that ``command`` prints."""
    command = (*command[:-1], str(project / "container" / command[-1]), "--help")
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    printed = printed.removesuffix("docs/publishing.md says more.\n")
    options = [" ".join(line.split()) for line in f"\n{printed}".split("\n  -")[1:]]
    return {f"-{option}".split()[0]: option for option in options}


@pytest.mark.parametrize("shell", ["bash", "dash", "bash --posix"])
def test_the_first_word_is_the_name_as_in_the_example_of_aws(
    publish: Script, registry: Registry, small: Path, name: str, shell: str
) -> None:
    """Notebooks call ``sh build_and_push.sh NAME``; sh may be a shell that is not bash, or bash as POSIX has it."""
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"there is no {shell} here")
    publish.command[:1] = shell.split()
    reference = publish(small, name, "--tag", "1").reference
    assert reference == f"{host('us-west-2')}/{name}@{registry.tags(name)['1']}"


@pytest.mark.parametrize(
    "options",
    [
        ["--registry", "docker.io/someone"],
        ["--platform=linux/amd64,linux/arm64"],
        ["--verify"],
        ["--json"],
        ["--dry-run"],
        ["inspect"],
        ["pull", "1.0"],
    ],
    ids=lambda options: options[0].partition("=")[0],
)
def test_what_only_the_python_script_does_is_told(script: Script, small: Path, options: list[str]) -> None:
    run = script(small, "--tag", "1", *options) if options[0].startswith("-") else script(small, *options)
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    told, way = options[0].partition("=")[0], "run 'make setup', then .venv/bin/python container/build_and_push.py"
    assert run.stderr == f"error: only build_and_push.py has {told}: {way}\n"


def test_a_second_name_is_refused(script: Script, small: Path) -> None:
    run = script(small, "one", "two")
    assert (run.status, run.stdout, run.commands) == (2, "", [])
    assert run.stderr == "error: two is not an option: see --help\n"


def test_a_dockerfile_that_needs_buildkit_is_not_built_without_it(publish: Script, small: Path, name: str) -> None:
    choose(publish, "classic")
    prepare_secrets(publish, small)
    run = publish(small, name, "--tag", "1", PIP_INDEX_URL=INDEX)
    assert run.error == "Docker has no BuildKit: install buildx, or use build_and_push.py"


@pytest.mark.usefixtures("script")
def test_each_of_its_options_is_one_of_the_python_script_too(project: Path) -> None:
    mine = help_of(project, "bash", "build_and_push.sh")
    theirs = help_of(project, sys.executable, "build_and_push.py")
    assert len(mine) > 7
    assert mine.items() <= theirs.items()


@pytest.mark.usefixtures("script")
def test_it_says_of_each_other_option_who_has_it(project: Path, script: Script, small: Path) -> None:
    others = set(help_of(project, sys.executable, "build_and_push.py")) - set(
        help_of(project, "bash", "build_and_push.sh")
    )
    assert [
        option for option in others if f"only build_and_push.py has {option}" not in script(small, option).stderr
    ] == []


@pytest.mark.usefixtures("script")
def test_it_can_be_read_at_a_sitting() -> None:
    lines = (TEMPLATE / "{{cookiecutter.algorithm_name}}" / SCRIPT).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
