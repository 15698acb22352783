""".cruft.json: what a project knows of the template that it was made from, however cookiecutter was given it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repositories import commit, git, run_cookiecutter

FOLDER = "{{cookiecutter.algorithm_name}}"
ANSWERS = {
    "algorithm_name": "my-algorithm",
    "description": "A SageMaker algorithm in a container of its own",
    "python_version": "3.12",
}
CRUFT = str(Path(sys.executable).with_name("cruft"))


def made(directory: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The record of a project that cookiecutter makes in ``directory``, and the last lines that it prints."""
    done = run_cookiecutter(directory, "--no-input", "--output-dir", str(directory / "made"), *arguments)
    assert done.returncode == 0, done.stderr
    record = json.loads((directory / "made/my-algorithm/.cruft.json").read_text(encoding="utf-8"))
    return record, done.stdout.partition("lists all commands.\n")[2]


def test_a_git_address_is_recorded_with_the_commit_and_the_answers(tmp_path: Path, repository: Path) -> None:
    record, said = made(tmp_path, f"file://{repository}")
    assert record == {
        "template": f"file://{repository}",
        "commit": git(repository, "rev-parse", "HEAD"),
        "checkout": None,
        "context": {"cookiecutter": ANSWERS},
        "directory": None,
    }
    assert said == f"file://{repository} is where `make update` looks for later versions of the template.\n"


def test_a_tag_is_recorded_with_its_commit(tmp_path: Path, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v0.9")
    (repository / "more.txt").touch()
    commit(repository)
    record, _ = made(tmp_path, "--checkout", "v0.9", f"file://{repository}")
    assert (record["commit"], record["checkout"]) == (first, "v0.9")


def test_a_clone_is_known_by_the_address_that_it_came_from_without_its_password(
    tmp_path: Path, repository: Path
) -> None:
    """As `git clone ADDRESS; cd FOLDER; cookiecutter .` has it."""
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    git(tmp_path / "clone", "remote", "set-url", "origin", "https://kim:secret@example.com/team/template.git")
    record, said = made(tmp_path / "clone", ".")
    assert record["template"] == "https://example.com/team/template.git"
    assert record["commit"] == git(repository, "rev-parse", "HEAD")
    assert "secret" not in said


def test_a_relative_folder_is_found_where_the_shell_does_not_say_where_it_is(tmp_path: Path, repository: Path) -> None:
    """As those of Windows do not."""
    command = ["env", "--unset=PWD", f"HOME={tmp_path}", sys.executable, "-m", "cookiecutter", "--no-input"]
    subprocess.run([*command, repository.name], cwd=repository.parent, check=True, capture_output=True)
    record = json.loads((repository.parent / "my-algorithm/.cruft.json").read_text(encoding="utf-8"))
    assert (record["template"], record["commit"]) == (str(repository), git(repository, "rev-parse", "HEAD"))


def test_a_clone_with_a_commit_of_its_own_is_known_by_its_folder(tmp_path: Path, repository: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    (tmp_path / "clone/more.txt").touch()
    own = commit(tmp_path / "clone")
    record, said = made(tmp_path, "clone")
    assert (record["template"], record["commit"]) == (str(tmp_path / "clone"), own)
    assert 'If that folder will not stay there, write the address of its git repository to "template"' in said


def test_changes_that_no_commit_has_are_told(tmp_path: Path, repository: Path) -> None:
    (repository / "more.txt").touch()
    _, said = made(tmp_path, str(repository))
    assert said.startswith(
        f"{repository} has uncommitted changes, which `make update` would treat as yours:\ncommit them"
    )


def test_a_part_of_a_repository_is_recorded_with_its_folder(tmp_path: Path, template: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(template, whole / "templates/sagemaker")
    (whole / "templates/sagemaker/.gitattributes").unlink()
    head = commit(whole)
    for arguments in (["whole/templates/sagemaker"], ["--directory", "templates/sagemaker", "whole"]):
        record, _ = made(tmp_path, *arguments)
        assert (record["template"], record["commit"]) == (str(whole), head)
        assert record["directory"] == "templates/sagemaker"
        shutil.rmtree(tmp_path / "made")


def test_an_archive_that_git_packed_knows_the_commit_and_asks_for_the_address(tmp_path: Path, repository: Path) -> None:
    """As GitHub packs them."""
    archive = tmp_path / "template.zip"
    git(repository, "archive", "--prefix=template-main/", f"--output={archive}", "HEAD")
    record, said = made(tmp_path, "template.zip")
    assert (record["template"], record["commit"]) == (str(archive), git(repository, "rev-parse", "HEAD"))
    assert said == (
        f"{archive} is not a git repository, which `make update` needs:\n"
        'write the address of the template\'s git repository to "template" in .cruft.json.\n'
    )


def test_a_folder_within_another_repository_does_not_take_that_ones_commit(tmp_path: Path, template: Path) -> None:
    (tmp_path / "other.txt").touch()
    commit(tmp_path)
    shutil.copytree(template, tmp_path / "template")
    record, said = made(tmp_path, "template")
    assert (record["template"], record["commit"]) == (str(tmp_path / "template"), None)
    assert "is not a git repository" in said


def test_without_git_a_project_is_made_all_the_same(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    record, said = made(tmp_path, str(repository))
    assert (record["template"], record["commit"]) == (str(repository), None)
    assert "is not a git repository" in said


def test_git_which_runs_cookiecutter_in_a_hook_of_another_repository_changes_nothing(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    other = commit(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    record, _ = made(tmp_path, str(repository))
    monkeypatch.delenv("GIT_DIR")
    assert record["commit"] == git(repository, "rev-parse", "HEAD") != other


@pytest.mark.parametrize("maker", ["cruft", "cookiecutter"])
def test_cruft_brings_the_templates_changes_and_keeps_the_users_files(
    tmp_path: Path, repository: Path, maker: str
) -> None:
    """Whichever of the two made the project."""
    if maker == "cruft":
        subprocess.run([CRUFT, "create", "--no-input", f"file://{repository}"], cwd=tmp_path, check=True)
    else:
        assert run_cookiecutter(tmp_path, "--no-input", f"file://{repository}").returncode == 0
    project = tmp_path / "my-algorithm"
    mine = project / "container/program/algorithm.py"
    mine.write_text(mine.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    commit(project)
    for changed in ("container/program/nginx.conf", "container/program/algorithm.py"):
        path = repository / FOLDER / changed
        path.write_text(path.read_text(encoding="utf-8") + "# theirs\n", encoding="utf-8")
    newer = commit(repository)
    environment = os.environ | {"HOME": str(tmp_path)}
    subprocess.run([CRUFT, "update", "--skip-apply-ask"], cwd=project, env=environment, check=True)
    assert (project / "container/program/nginx.conf").read_text(encoding="utf-8").endswith("# theirs\n")
    assert mine.read_text(encoding="utf-8").endswith("# mine\n")
    assert "# theirs" not in mine.read_text(encoding="utf-8")
    assert json.loads((project / ".cruft.json").read_text(encoding="utf-8"))["commit"] == newer
