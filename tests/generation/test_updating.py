"""`make update`: what a newer version of the template changes comes to a project, and the user's files stay theirs."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from projects import TEMPLATE_VENV, copy_template, run
from repositories import commit, git, run_cookiecutter

FOLDER = "{{cookiecutter.algorithm_name}}"
SMALL = {
    # Few packages, and a test: what is updated is the same, in less time.
    "requirements-dev.txt": "# Template\npytest\nuv\n",
    "container/requirements.txt": "# Yours\norjson\n",
    "container/requirements-serving.txt": "# Template\nitsdangerous\n",
    "container/requirements-training.txt": "# Yours\n",
    "tests/conftest.py": '"""Template: nothing."""\n',
    "tests/test_programs.py": '"""Template: a test."""\n\n\ndef test_template() -> None:\n    pass\n',
    "tests/test_algorithm.py": '"""Yours: a test."""\n\n\ndef test_mine() -> None:\n    pass\n',
}
YOURS = (
    "README.md",
    "container/apt.txt",
    "container/build-args.txt",
    "container/program/algorithm.py",
    "container/requirements-training.txt",
    "data/predict.csv",
    "data/training/breast_cancer.csv",
    "tests/test_algorithm.py",
)
HEAD = "## Unreleased"


@dataclass(frozen=True)
class Template:
    """A repository with the versions 1.0.0, 1.0.1, 1.1.0 and 1.2.0 of the template, each with its tag."""

    address: str
    venv: Path
    """Where projects install their packages: one for all, with whatever the last one needed."""

    def project(self, directory: Path, version: str = "v1.0.0", **answers: str) -> Path:
        """A project of that version, committed."""
        words = [f"{name}={answer}" for name, answer in answers.items()]
        done = run_cookiecutter(directory, "--no-input", "--checkout", version, self.address, *words)
        assert done.returncode == 0, done.stderr
        project = directory / answers.get("algorithm_name", "my-algorithm")
        os.utime(project / "requirements-dev.lock", (0, 0))  # what is installed is enough for the tests
        commit(project)
        return project

    def make(self, project: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run make in a project, with a Python that has cookiecutter."""
        command = ["make", "--silent", *words, f"VENV={self.venv}", f"PYTHON={sys.executable}"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(
            command, cwd=project, env=inherited, input=stdin, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder = copy_template(tmp_path_factory.mktemp("versions") / "template.git")
    found = Template(f"file://{folder}", tmp_path_factory.mktemp("environment") / "venv")
    project = folder / FOLDER
    for name, text in SMALL.items():
        (project / name).write_text(text, encoding="utf-8")
    for lock in project.glob("**/requirements*.lock"):
        if "rehearsal" not in lock.parts:
            lock.unlink()
    release(folder, "1.0.0")
    pin(project)
    commit(folder, "v1.0.0")

    append(project / "container/program/nginx.conf", "# 1.0.1\n")
    release(folder, "1.0.1")
    commit(folder, "v1.0.1")

    for name in (*YOURS, "container/requirements.txt"):
        append(project / name, "# 1.1.0\n")
    append(project / "container/program/nginx.conf", "# 1.1.0\n")
    edit(project / "container/Dockerfile", 'CMD ["train"]\n', 'CMD ["train"]\n# 1.1.0\n')
    (project / "local/added.py").write_text('"""Template: 1.1.0"""\n' + "# a line\n" * 9, encoding="utf-8")
    (project / "rehearsal/added.py").write_text('"""Template: 1.1.0"""\n', encoding="utf-8")
    append(project / "rehearsal/alarms.py", "# 1.1.0\n")
    (project / "local/watching.py").unlink()
    append(project / "container/requirements-serving.txt", "blinker\n")
    pin(project)
    release(folder, "1.1.0", "- Look at nginx.conf.")
    commit(folder, "v1.1.0")

    for name in YOURS:
        append(project / name, "# 1.2.0\n")
    edit(project / "container/Dockerfile", "# 1.1.0\n", "# 1.2.0 for {{ cookiecutter.team }}\n")
    (project / "local/added.py").rename(project / "local/moved.py")
    questions = json.loads((folder / "cookiecutter.json").read_text(encoding="utf-8"))
    (folder / "cookiecutter.json").write_text(json.dumps({"team": ["research", "sales"]} | questions), encoding="utf-8")
    release(folder, "1.2.0", "- Look at the Dockerfile.")
    commit(folder, "v1.2.0")
    return found


def pin(project: Path) -> None:
    """What `make lock` does before it installs."""
    done = run(project, sys.executable, "-m", "local.lock", VENV=str(TEMPLATE_VENV))
    assert done.returncode == 0, done.stderr


def release(folder: Path, version: str, note: str = "") -> None:
    pyproject = folder / FOLDER / "pyproject.toml"
    text = re.sub(
        r"(?m)^template-version = .*$", f'template-version = "{version}"', pyproject.read_text(encoding="utf-8")
    )
    pyproject.write_text(text, encoding="utf-8")
    changelog = folder / "CHANGELOG.md"
    said = changelog.read_text(encoding="utf-8").partition("\n## ")
    upgrade = f"### Upgrade\n\n{note}\n\n" if note else ""
    changelog.write_text(
        f"{said[0]}\n## {version} - 2026-12-01\n\n{upgrade}### Added\n\n- x\n\n## {said[2]}", encoding="utf-8"
    )


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), encoding="utf-8")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def state(project: Path) -> tuple[str, dict[str, bytes]]:
    """What git says of a project, and what is in its files."""
    files = [
        path
        for path in project.rglob("*")
        if path.is_file() and not {".git", "__pycache__", ".pytest_cache"} & {*path.parts}
    ]
    return git(project, "status", "--porcelain"), {str(path): path.read_bytes() for path in files}


@pytest.fixture
def edited(template: Template, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A project with edits in all of the user's files, and some in the template's; and the contents of the user's."""
    project = template.project(tmp_path)
    for name in YOURS:
        append(project / name, "# mine\n")
    append(project / "container/requirements.txt", "markupsafe\n")
    for name in ("deploy.toml", "container/program/helpers.py", "data/training/more.csv"):
        (project / name).write_text("mine\n", encoding="utf-8")
    (project / "data/validation/breast_cancer.csv").unlink()
    shutil.rmtree(project / "rehearsal")
    edit(project / "container/Dockerfile", "EXPOSE 8080\n", "EXPOSE 8080\nLABEL team=mine\n")
    edit(project / "pyproject.toml", 'version = "0.1.0"', 'version = "7.0.0"')
    pin(project)
    commit(project)
    git(project, "add", "--force", "data")
    commit(project)
    mine = [
        *YOURS,
        "container/requirements.txt",
        "deploy.toml",
        "container/program/helpers.py",
        "data/training/more.csv",
    ]
    return project, {name: (project / name).read_bytes() for name in mine}


def test_three_versions_come_one_after_the_other_and_the_users_files_stay_as_they_are(
    template: Template, edited: tuple[Path, dict[str, bytes]]
) -> None:
    project, mine = edited
    for version in ("1.1.0", "1.2.0"):
        done = template.make(
            project, "update", "APPLY=yes", *(["TEMPLATE_VERSION=v1.1.0"] if version == "1.1.0" else [])
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout
        assert ("make lock" in done.stderr) == (version == "1.1.0")  # the template's new package, and the user's
        assert re.search(
            rf"The project now has version {version} \(\w{{7}}\) of the template, and its tests", done.stdout
        )
        assert {name: (project / name).read_bytes() for name in mine} == mine
        assert not (project / "rehearsal").exists()
        assert not (project / "data/validation/breast_cancer.csv").exists()
        assert not (project / "local/watching.py").exists()
        assert f'\ntemplate-version = "{version}"\n' in text(project / "pyproject.toml")
        assert '\nversion = "7.0.0"\n' in text(project / "pyproject.toml")
        assert "\nEXPOSE 8080\nLABEL team=mine\n" in text(project / "container/Dockerfile")
        assert f"\n# {version}" in text(project / "container/Dockerfile")
        assert text(project / "container/program/nginx.conf").endswith("# 1.1.0\n")
        assert run(project, sys.executable, "-m", "local.pins").returncode == 0
        pinned = set(re.findall(r"^([\w-]+)==", text(project / "container/requirements-serving.lock"), re.MULTILINE))
        assert pinned == {"blinker", "itsdangerous"}
        assert "\nmarkupsafe==" in text(project / "container/requirements.lock")
        record = json.loads(text(project / ".cruft.json"))
        assert record["commit"] == git(Path(template.address.removeprefix("file://")), "rev-parse", f"v{version}")
        append(project / "local/added.py", "# mine\n") if version == "1.1.0" else None
        commit(project)
    assert text(project / "local/moved.py").endswith("# mine\n")  # git follows the template's new name
    assert not (project / "local/added.py").exists()
    assert record["context"]["cookiecutter"]["team"] == "research"  # a new question has its first answer
    assert "# 1.2.0 for research\n" in text(project / "container/Dockerfile")
    last = template.make(project, "update")
    assert (last.returncode, last.stderr) == (0, "")
    assert re.fullmatch(r"The project is up to date with version 1\.2\.0 \(\w{7}\) of the template\.\n", last.stdout)


def test_the_changes_are_shown_and_nothing_is_changed_without_consent(template: Template, tmp_path: Path) -> None:
    project = template.project(tmp_path)
    shutil.rmtree(project / "rehearsal")
    commit(project)
    before = state(project)
    for words, stdin in ((["APPLY=no"], ""), ([], "n\n"), ([], "")):
        done = template.make(project, "update", *words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.match(r"From version 1\.0\.0 \(\w{7}\) of the template to 1\.2\.0 \(\w{7}\)\.\n", done.stdout)
        assert "\n+# 1.1.0\n" in done.stdout.partition("nginx.conf b/container/program/nginx.conf")[2]
        assert "\n--- a/local/watching.py\n+++ /dev/null\n" in done.stdout
        assert "algorithm.py" not in done.stdout
        assert re.search(r"^Packages: blinker 1\.\d+\S* \(new\)\.$", done.stdout, re.MULTILINE)
        assert "\nDeleted in this project, so left out: rehearsal.\n" in done.stdout
        assert "\nTo do by hand:\n- Look at the Dockerfile.\n- Look at nginx.conf.\n" in done.stdout
        assert done.stdout.endswith("Nothing was changed.\n")
        assert state(project) == before
    assert template.make(project, "update", "TEMPLATE_VERSION=v1.0.1", stdin="y\n").returncode == 0
    assert text(project / "container/program/nginx.conf").endswith("# 1.0.1\n")


def test_a_project_without_packages_of_its_own_gets_the_templates_locks_as_they_are(
    template: Template, tmp_path: Path
) -> None:
    """And git undoes the update."""
    project = template.project(tmp_path / "old", "v1.0.0")
    before = state(project)
    done = template.make(project, "update", "APPLY=yes")
    assert done.returncode == 0, done.stderr
    assert "make lock" not in done.stderr
    new = template.project(tmp_path / "new", "v1.2.0")
    for lock in ("requirements-dev.lock", "container/requirements-serving.lock", "container/requirements.lock"):
        assert text(project / lock) == text(new / lock)
    git(project, "reset", "--quiet", "--hard")
    assert state(project) == before


def test_conflicts_are_named_with_what_to_do_and_can_be_undone(template: Template, tmp_path: Path) -> None:
    project = template.project(tmp_path)
    edit(project / "container/Dockerfile", 'CMD ["train"]\n', 'CMD ["train"]\n# mine\n')
    append(project / "local/watching.py", "# mine\n")
    commit(project)
    before = state(project)
    done = template.make(project, "update", "APPLY=yes", "TEMPLATE_VERSION=v1.1.0")
    assert done.returncode != 0
    told = done.stderr.splitlines()
    assert told[:3] == [
        "You and the template have changed the same lines of these files:",
        "    container/Dockerfile",
        "    local/watching.py   the template has removed it: `git rm` it, or keep it",
    ]
    assert told[3].startswith("Your lines are between <<<<<<< and =======, the template's below: keep")
    assert told[4:6] == [
        "Then: make lock && make test && git add --all && git commit",
        "To undo the update: git reset --hard",
    ]
    assert "passed" not in done.stdout
    dockerfile = text(project / "container/Dockerfile")
    marked = r"<<<<<<< HEAD\n# mine\n=======\n# 1\.1\.0\n>>>>>>> \w+ \(Update the template to 1\.1\.0 \(\w+\)\)\n"
    assert re.search(marked, dockerfile)
    git(project, "reset", "--quiet", "--hard")
    assert state(project) == before
    template.make(project, "update", "APPLY=yes", "TEMPLATE_VERSION=v1.1.0")
    (project / "container/Dockerfile").write_text(re.sub(marked, "# both\n", dockerfile), encoding="utf-8")
    git(project, "rm", "--quiet", "local/watching.py")
    pin(project)
    commit(project)
    assert template.make(project, "update", "APPLY=no", "TEMPLATE_VERSION=v1.1.0").stdout.startswith(
        "The project is up"
    )


def test_tests_that_fail_are_told_and_the_update_can_be_undone(template: Template, tmp_path: Path) -> None:
    project = template.project(tmp_path)
    mine = project / "tests/test_algorithm.py"
    front = 'Path("container/program/nginx.conf").read_text()'
    mine.write_text(f'from pathlib import Path\n\ndef test_mine():\n    assert "1.0.1" not in {front}\n')
    commit(project)
    done = template.make(project, "update", "APPLY=yes", "TEMPLATE_VERSION=v1.0.1")
    assert done.returncode != 0
    assert "1 failed" in done.stdout
    assert re.search(
        r"^The update to 1\.0\.1 \(\w+\) is applied, but `make test` fails: the lines above say why\.\n"
        r"To undo the update: git reset --hard$",
        done.stderr,
        re.MULTILINE,
    )


def test_an_answer_that_looks_like_jinja_stays_as_it_is(template: Template, tmp_path: Path) -> None:
    project = template.project(tmp_path)
    record = json.loads(text(project / ".cruft.json"))
    record["context"]["cookiecutter"]["description"] = "{{ soon }} {% if"
    (project / ".cruft.json").write_text(json.dumps(record), encoding="utf-8")
    commit(project)
    assert template.make(project, "update", "APPLY=yes", "TEMPLATE_VERSION=v1.0.1").returncode == 0
    assert json.loads(text(project / ".cruft.json"))["context"]["cookiecutter"]["description"] == "{{ soon }} {% if"


def test_a_project_in_a_folder_of_a_larger_repository_is_updated_there(template: Template, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "other.txt").touch()
    commit(whole)
    project = template.project(whole / "algorithms", algorithm_name="churn")
    shutil.rmtree(project / ".git")
    commit(whole)
    done = template.make(project, "update", "APPLY=yes", "TEMPLATE_VERSION=v1.0.1")
    assert done.returncode == 0, done.stderr
    assert text(project / "container/program/nginx.conf").endswith("# 1.0.1\n")
    changed = git(whole, "status", "--porcelain").splitlines()
    assert changed
    assert [line for line in changed if " algorithms/churn/" not in line] == []


def test_without_a_commit_the_tag_of_the_version_is_where_the_project_began(template: Template, tmp_path: Path) -> None:
    """As for one that was made from an archive."""
    project = template.project(tmp_path)
    record = json.loads(text(project / ".cruft.json"))
    (project / ".cruft.json").write_text(json.dumps(record | {"commit": None}), encoding="utf-8")
    commit(project)
    done = template.make(project, "update", "APPLY=no")
    assert done.stdout.startswith(f"From version 1.0.0 ({record['commit'][:7]}) of the template to 1.2.0 ")


def test_a_project_that_is_newer_than_the_newest_tag_is_up_to_date(template: Template, tmp_path: Path) -> None:
    """It was made from the main branch."""
    folder = tmp_path / "template.git"
    git(tmp_path, "clone", "--quiet", template.address, str(folder))
    append(folder / FOLDER / "Makefile", "# later\n")
    commit(folder)
    project = Template(f"file://{folder}", template.venv).project(tmp_path, "main")
    assert template.make(project, "update").stdout.startswith("The project is up to date with version 1.2.0 (")
    back = template.make(project, "update", "APPLY=no", "TEMPLATE_VERSION=v1.2.0")
    assert "\n-# later\n" in back.stdout  # but an older one comes on demand


REFUSED = {
    "changes": (["touch new.txt"], r"new\.txt is not committed, so an update could not be undone: commit your .*"),
    "no git": (["rm -rf .git"], r"git has no commit of this project, and an update needs one: run `git add` and .*"),
    "no record": (
        ["git rm -q .cruft.json", "git commit -qm x"],
        r"\.cruft\.json is missing, which says where the template is: docs/updating\.md shows one\.",
    ),
    "damaged": (
        ["echo '<<<<<<<' >.cruft.json", "git commit -qam x"],
        r"\.cruft\.json is damaged: docs/updating\.md shows what it must hold\.",
    ),
    "gone": (
        ["sed -i 's|\"template\": .*|\"template\": \"/nowhere\",|' .cruft.json", "git commit -qam x"],
        r"git cannot read the template at /nowhere \(fatal: .*\): write the address of its git repository to .*",
    ),
    "other history": (
        ["sed -i 's|\"commit\": .*|\"commit\": \"0123abcd\",|' .cruft.json", "git commit -qam x"],
        r"The template at file://\S+ has no 0123abcd, from which this project was made: write the tag or the commit .*",
    ),
    "outside": (
        ["sed -i 's|^skip = .*|skip = [\"../data\"]|' pyproject.toml", "git commit -qam x"],
        r"pyproject\.toml, tool\.cruft\.skip: '\.\./data' is not a path in the project\.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_updated_is_told_in_one_sentence_and_left_as_it_is(
    template: Template, tmp_path: Path, case: str
) -> None:
    project = template.project(tmp_path)
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    commands, sentence = REFUSED[case]
    subprocess.run(" && ".join(commands), shell=True, cwd=project, check=True)
    before = text(project / "container/program/nginx.conf")
    done = template.make(project, "update", "APPLY=yes")
    assert done.returncode != 0
    assert re.fullmatch(sentence, done.stderr.splitlines()[0]), done.stderr
    assert "Traceback" not in done.stderr
    assert text(project / "container/program/nginx.conf") == before


@pytest.mark.parametrize("wanted", ["v9", "--upload-pack=x"])
def test_a_version_that_the_template_does_not_have_is_refused(template: Template, tmp_path: Path, wanted: str) -> None:
    done = template.make(template.project(tmp_path), "update", f"TEMPLATE_VERSION={wanted}")
    assert done.returncode != 0
    assert f"has no tag, branch or commit '{wanted}': correct TEMPLATE_VERSION." in done.stderr


@pytest.mark.slow
def test_cookiecutter_is_installed_from_the_templates_lock_where_it_is_not_there(
    template: Template, tmp_path: Path
) -> None:
    project = template.project(tmp_path)
    template.make(project, "setup")
    for installs in (True, False):
        done = run(
            project, "make", "update", "APPLY=no", f"VENV={tmp_path / 'venv'}", f"PYTHON={template.venv}/bin/python"
        )
        assert done.returncode == 0, done.stderr
        assert ("installing cookiecutter into" in done.stderr) == installs
        assert "\n+# 1.1.0\n" in done.stdout
