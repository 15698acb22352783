"""The project's GitHub workflow: what its steps run is run here, in their order, as GitHub runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from projects import IMAGES
from publishing import git
from registry import DOCKER_SCHEMA_2, FAULTY_REGION, Registry, host, immutable, in_the_way

WORKFLOW, AUDIT = ".github/workflows/image.yml", ".github/workflows/audit.yml"
VARIABLES = {"AWS_ROLE": "arn:aws:iam::123456789012:role/push", "AWS_REGION": "us-west-2"}
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def workflow(project: Path) -> dict[str, Any]:
    """What the file says, each word as it is written: to others `on` would be true."""
    return dict(yaml.load((project / WORKFLOW).read_text(encoding="utf-8"), yaml.BaseLoader))


class Runner:
    """One of GitHub's machines, with a checkout of the project and without credentials."""

    def __init__(self, checkout: Path, folder: Path, variables: dict[str, str], **environment: str) -> None:
        (folder / "home").mkdir(parents=True)
        self.checkout, self.variables = checkout, variables
        self.output, self.summary, self.script = (folder / name for name in ("output", "summary", "script"))
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": os.environ["PATH"],
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **{name: value for name, value in os.environ.items() if name.startswith(("DOCKER_", "PIP_"))},
            **environment,
        }

    def run(self, job: str, **given: dict[str, str]) -> list[subprocess.CompletedProcess[str]]:
        """Run a job to its first step that fails.

        An action sets what is ``given`` under the last word of its name.
        """
        definition = workflow(self.checkout)["jobs"][job]
        environment = dict(self.environment)
        for name, value in definition.get("env", {}).items():
            (variable,) = re.findall(r"^\$\{\{ vars\.(\w+) \}\}$", value)
            environment[name] = self.variables.get(variable, "")
        ran: list[subprocess.CompletedProcess[str]] = []
        for step in definition["steps"]:
            if "uses" in step:
                environment |= given.get(step["uses"].partition("@")[0].rpartition("-")[2], {})
            elif not ran or ran[-1].returncode == 0:
                self.script.write_text(step["run"])
                ran += [bash(self.script, self.checkout, environment)]
        return ran


def bash(script: Path, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As GitHub runs a step that names no shell."""
    command = ["bash", "-e", str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def checked_out(project: Path) -> str:
    """Make ``project`` what GitHub checks out: a commit without a branch. Return the commit."""
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "a state")
    git(project, "checkout", "--quiet", "--detach")
    return git(project, "rev-parse", "HEAD")


@pytest.mark.slow
def test_a_pull_request_is_checked_built_and_tested_with_no_secret(
    docker_answers: None, project: Path, tmp_path: Path
) -> None:
    """In .venv and in the container, with the project's own set-up; and nothing is left that git would see."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    checked_out(mine)
    image = f"{IMAGES}:generated"
    check, build, test = Runner(mine, tmp_path / "runner", {}, IMAGE=image, REQUIRE_DOCKER="1").run("test")
    for done in (check, build, test):
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", test.stdout)
    assert "skipped" not in test.stdout
    assert git(mine, "status", "--porcelain") == ""


def rename(project: Path, name: str) -> None:
    """Give the project the name of its test's repository."""
    about = project / "pyproject.toml"
    about.write_text(about.read_text().replace("my-algorithm", name))


def credentials(registry: Registry) -> dict[str, str]:
    """What GitHub's step that signs in leaves for the later ones."""
    return {"AWS_ENDPOINT_URL": registry.aws, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


def test_a_tag_is_pushed_under_its_name_with_the_layers_of_the_one_before(
    registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    """E-07: the later steps, which describe the image and sign that, get its name and digest."""
    rename(small, name)
    aws = credentials(registry)
    commits, digests = [], []
    for tag in ("v1.0", "v1.1"):
        (small / "container/program/new.py").write_text(f"# {tag}\n")
        commits += [checked_out(small)]
        runner = Runner(small, tmp_path / tag, VARIABLES, PATH=PATH, GITHUB_REF_NAME=tag)
        pushed = runner.run("push", credentials=aws)[-1]
        assert pushed.returncode == 0, pushed.stderr
        assert ("warning: cannot get the layers" in pushed.stderr) == (tag == "v1.0")
        output = dict(line.split("=", 1) for line in runner.output.read_text().splitlines())
        assert output["reference"] == f"{output['name']}@{output['digest']}"
        assert output["name"] == f"{host('us-west-2')}/{name}"
        assert output["reference"] in runner.summary.read_text()
        assert registry.manifest(name, tag).media_type == DOCKER_SCHEMA_2
        digests += [output["digest"]]
        assert set(re.findall(r"steps\.image\.outputs\.(\w+)", (small / WORKFLOW).read_text())) == set(output)
    one, two = (commit[:12] for commit in commits)
    (first, second) = digests
    assert registry.tags(name) == {one: first, "v1.0": first, two: second, "v1.1": second, "cache": second}


def test_a_second_tag_is_pushed_where_tags_may_not_be_overwritten(
    registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    """E-12: the tag `cache` stays at the first image, and the later steps get the second one."""
    rename(small, name)
    aws = credentials(registry)
    with in_the_way(registry, immutable(registry, name)):
        for tag in ("v1.0", "v1.1"):
            (small / "container/program/new.py").write_text(f"# {tag}\n")
            checked_out(small)
            variables = {**VARIABLES, "AWS_REGION": FAULTY_REGION}
            runner = Runner(small, tmp_path / tag, variables, PATH=PATH, GITHUB_REF_NAME=tag)
            pushed = runner.run("push", credentials=aws)[-1]
            assert pushed.returncode == 0, pushed.stderr
    tags = registry.tags(name)
    assert tags["cache"] == tags["v1.0"] != tags["v1.1"]
    assert f"digest={tags['v1.1']}" in runner.output.read_text().splitlines()


@pytest.mark.parametrize("missing", VARIABLES)
def test_a_variable_that_is_not_set_is_named_before_anything_else(project: Path, tmp_path: Path, missing: str) -> None:
    variables = {name: value for name, value in VARIABLES.items() if name != missing}
    (told,) = Runner(project, tmp_path / "runner", variables).run("push")
    assert told.returncode == 1
    assert told.stdout == f"::error::The repository has no variable {missing}: docs/github.md says what to set it to.\n"


def test_only_a_tag_can_become_the_role_and_each_action_is_pinned(project: Path) -> None:
    jobs = workflow(project)["jobs"]
    assert workflow(project)["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "permissions" in job] == ["push"]
    assert jobs["push"]["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert jobs["push"]["if"] == "github.ref_type == 'tag'"
    page = (project / "docs/github.md").read_text(encoding="utf-8")
    (policy,) = json.loads(re.findall(r"^ *(\{\"Version\".*?)^ *```", page, re.MULTILINE | re.DOTALL)[0])["Statement"]
    (pattern,) = workflow(project)["on"]["push"]["tags"]
    conditions = {key.rpartition(":")[2]: value for each in policy["Condition"].values() for key, value in each.items()}
    assert conditions == {"aud": "sts.amazonaws.com", "sub": f"repo:OWNER/REPOSITORY:ref:refs/tags/{pattern}"}
    text = (project / WORKFLOW).read_text(encoding="utf-8")
    assert "secrets" not in text
    used = re.findall(r"uses: (.*)", text)
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_the_audit_reads_each_lock_of_the_image_and_may_do_nothing_else(project: Path) -> None:
    text = (project / AUDIT).read_text(encoding="utf-8")
    audit = dict(yaml.load(text, yaml.BaseLoader))
    assert audit["permissions"] == {"contents": "read"}
    assert not [job for job in audit["jobs"].values() if "permissions" in job]
    used = re.findall(r"uses: (.*)", text)
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []
    assert "container/*.lock" in audit["jobs"]["audit"]["steps"][-1]["run"]


@pytest.mark.parametrize("vulnerable", [False, True], ids=["none", "one"])
def test_the_audit_fails_if_one_lock_of_several_has_a_vulnerable_package(
    project: Path, tmp_path: Path, vulnerable: bool
) -> None:
    """pip-audit asks PyPI, so a program of that name stands in for it here and notes what it was given."""
    script = yaml.load((project / AUDIT).read_text(encoding="utf-8"), yaml.BaseLoader)["jobs"]["audit"]["steps"][-1]
    (tmp_path / "script").write_text(script["run"])
    fake = tmp_path / "bin" / "pipx"
    fake.parent.mkdir()
    bad = "container/requirements-serving.lock" if vulnerable else "-"
    fake.write_text(f'#!/bin/sh\necho "$*" >>"{tmp_path}/asked"\ncase "$*" in *{bad}) exit 1 ;; esac\n')
    fake.chmod(0o755)
    done = bash(tmp_path / "script", project, {"PATH": f"{fake.parent}:{os.environ['PATH']}"})
    assert done.returncode == int(vulnerable)
    asked = [line.rpartition(" ")[2] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == sorted(f"container/{path.name}" for path in (project / "container").glob("*.lock"))
