"""`make lock` where packages come from other indexes than PyPI, some of which ask for a password, and after a merge.

And what `make check` says of locks that no longer fit.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import PASSWORD, USER, Index, an_index, make_wheel
from projects import TEMPLATE_VENV, make, run

PACKAGE = "wheelhouse-of-kim"  # a name that PyPI does not have


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    make_wheel(folder / "simple" / PACKAGE, PACKAGE.replace("-", "_"), "1.0+cpu")
    with an_index(folder, "127.0.0.1") as index:
        yield index


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """A project with few requirements, which are quickly pinned."""
    folder = Path(shutil.copytree(project, tmp_path / "mine"))
    for path in folder.rglob("requirements*.txt"):
        path.write_text("orjson\n")
    for path in folder.rglob("*.lock"):
        path.unlink()
    return folder


def lock(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make lock` does before it installs."""
    own = {"VENV": str(TEMPLATE_VENV), "HOME": str(project), "UV_CACHE_DIR": str(project.parent / "cache")}
    return run(project, sys.executable, "-m", "local.lock", **own | environment)


def locks(project: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in project.rglob("*.lock")}


def require(project: Path, *lines: str) -> None:
    (project / "container/requirements.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_an_extra_index_is_in_every_lock_once_and_pip_finds_its_packages(
    mine: Path, index: Index, tmp_path: Path
) -> None:
    """However many requirements files name it."""
    require(mine, f"--extra-index-url {index.url}", PACKAGE, "orjson")
    training = mine / "container/requirements-training.txt"
    training.write_text(f"--extra-index-url {index.url}\norjson\n", encoding="utf-8")
    netrc = str(index.netrc(tmp_path))
    for _ in range(2):  # the second time the locks are there
        done = lock(mine, NETRC=netrc)
        assert done.returncode == 0, done.stderr
        written = locks(mine)
        assert len(written) == 4
        assert {text.count("--extra-index-url") for text in written.values()} == {1}
    assert re.search(rf"^{PACKAGE}==1\.0\+cpu ", written["requirements.lock"], re.MULTILINE)
    assert f"{PACKAGE}==" not in written["requirements-serving.lock"]
    pip = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--target", str(tmp_path / "there")]
    done = run(mine, *pip, "-r", "container/requirements.lock", NETRC=netrc)
    assert done.returncode == 0, done.stdout + done.stderr
    require(mine, "orjson")
    training.write_text("orjson\n", encoding="utf-8")
    assert lock(mine).returncode == 0
    assert "--extra-index-url" not in "".join(locks(mine).values())


def test_the_locks_for_a_gpu_know_no_index_of_the_others_and_agree_with_the_server(
    mine: Path, index: Index, tmp_path: Path
) -> None:
    """PyTorch for the CPU is in an index that would hide the one for CUDA."""
    require(mine, f"--extra-index-url {index.url}", PACKAGE)
    (mine / "container/requirements-gpu.txt").write_text("flatbuffers\norjson<999\n")
    (mine / "container/requirements-training.txt").write_text("packaging\n")
    (mine / "container/requirements-serving.txt").write_text("orjson<3.11\n")
    done = lock(mine, NETRC=str(index.netrc(tmp_path)))
    assert done.returncode == 0, done.stderr
    written = locks(mine)
    pins = {name: dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE)) for name, text in written.items()}
    assert set(pins["requirements-gpu.lock"]) == {"flatbuffers", "orjson"}
    assert set(pins["requirements-gpu-training.lock"]) == {"flatbuffers", "orjson", "packaging"}
    assert pins["requirements-gpu.lock"]["orjson"] == pins["requirements-serving.lock"]["orjson"]
    assert index.url not in written["requirements-gpu.lock"] + written["requirements-gpu-training.lock"]


@pytest.mark.parametrize("variable", ["PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"])
def test_an_index_of_the_environment_is_asked_and_its_password_is_in_no_lock_or_output(
    mine: Path, index: Index, variable: str
) -> None:
    require(mine, PACKAGE)
    only = [path for path in mine.rglob("requirements*.txt") if path.name != "requirements.txt"]
    for path in only:
        path.write_text("")
    done = lock(mine, **{variable: index.with_password})
    assert done.returncode == 0, done.stderr
    texts = locks(mine)
    assert f"{PACKAGE}==1.0+cpu" in texts["requirements.lock"]
    assert PASSWORD not in "".join([*texts.values(), done.stdout, done.stderr])
    wrong = lock(mine, **{variable: index.with_password.replace(USER, "lee"), "UV_CACHE_DIR": str(mine / "cache")})
    assert wrong.returncode == 1
    assert PASSWORD not in wrong.stdout + wrong.stderr
    assert wrong.stderr.splitlines()[-1].endswith("cannot be pinned: the lines above say why.")


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://kim:secret@pypi.example.com/simple",
        "--index-url=https://token@pypi.example.com/simple",
        "  -i https://${USER}:${TOKEN}@pypi.example.com/simple",
        "--find-links https://pypi.example.com/${TOKEN}/wheels",
    ],
)
def test_a_password_in_a_requirements_file_is_refused_and_not_repeated(mine: Path, line: str) -> None:
    require(mine, "orjson", line)
    done = lock(mine)
    assert done.returncode == 1
    assert re.fullmatch(r"container/requirements\.txt, line 2: the user or variable in .*\n", done.stderr)
    assert "example" not in done.stderr
    assert locks(mine) == {}


@pytest.fixture
def locked(mine: Path) -> Path:
    """The project with its locks."""
    assert lock(mine).returncode == 0
    return mine


def merge(path: Path, ours: str, theirs: str) -> None:
    """Put conflict marks into a file, as git does, before its last line but one."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[-2:-2] = ["<<<<<<< HEAD\n", ours, "=======\n", theirs, ">>>>>>> other\n"]
    path.write_text("".join(lines), encoding="utf-8")


def check(project: Path) -> str:
    """What `make check` says of the locks."""
    done = run(project, sys.executable, "-m", "local.pins")
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr.strip()


def test_locks_with_conflict_marks_are_written_anew_with_the_versions_that_they_had(locked: Path) -> None:
    require(locked, "orjson", "six")
    for path in locked.rglob("requirements*.lock"):
        if "rehearsal" not in path.parts:
            merge(
                path,
                f"six==1.15.0 \\\n    --hash=sha256:{'0' * 64}\n",
                f"flask==1.0 \\\n    --hash=sha256:{'1' * 64}\n",
            )
    assert check(locked) == "requirements-dev.lock has conflict marks: run `make lock`, which writes it again."
    done = lock(locked)
    assert done.returncode == 0, done.stderr
    texts = locks(locked)
    assert "<<<<<<<" not in "".join(texts.values())
    assert re.findall(r"^(?!orjson)([\w-]+==\S+)", texts["requirements.lock"], re.MULTILINE) == ["six==1.15.0"]
    assert "0" * 64 not in texts["requirements.lock"]
    assert check(locked) == ""


def test_a_virtual_environment_is_not_made_from_a_lock_with_conflict_marks(locked: Path, tmp_path: Path) -> None:
    merge(locked / "requirements-dev.lock", "six==1.15.0\n", "six==1.16.0\n")
    done = make(locked, "setup", VENV=str(tmp_path / "venv"))
    assert done.returncode != 0
    told = "requirements-dev.lock has conflict marks: run `make lock`, which writes it again."
    assert done.stderr.splitlines()[0] == told
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_make_lock_needs_no_virtual_environment_and_no_whole_lock(mine: Path, tmp_path: Path) -> None:
    (mine / "requirements-dev.txt").write_text("orjson\nuv\n", encoding="utf-8")
    assert lock(mine).returncode == 0
    developer = mine / "requirements-dev.lock"
    whole = developer.read_text(encoding="utf-8")
    first = re.search(r"^orjson==.*$", whole, re.MULTILINE)
    assert first
    marked = f"<<<<<<< HEAD\n{first[0]}\n=======\norjson==3.9.0 \\\n>>>>>>> other"
    developer.write_text(whole.replace(first[0], marked), encoding="utf-8")
    done = make(mine, "lock", VENV=str(tmp_path / "venv"))
    assert done.returncode == 0, done.stderr
    assert "<<<<<<<" not in developer.read_text(encoding="utf-8")
    assert (tmp_path / "venv/bin/uv").exists()


@pytest.mark.parametrize("name", ["requirements-dev.txt", "container/requirements.txt"])
def test_a_requirements_file_with_conflict_marks_is_refused_with_its_line(locked: Path, name: str) -> None:
    before = locks(locked)
    (locked / name).write_text("orjson\n<<<<<<< HEAD\nsix\n=======\nflask\n>>>>>>> other\n", encoding="utf-8")
    done = lock(locked)
    assert (done.returncode, done.stderr) == (
        1,
        f"{name}, line 2, is a conflict mark: keep what is right, then run `make lock`.\n",
    )
    assert locks(locked) == before


def test_requirements_that_were_edited_after_make_lock_fail_the_check(locked: Path) -> None:
    assert check(locked) == ""
    require(locked, "# only a comment", "orjson  # here too", "")
    assert check(locked) == ""
    require(locked, "orjson", "six")
    told = "requirements-dev.lock does not match the requirements files: run `make lock`."
    os.utime(locked / "requirements-dev.lock", (0, 0))  # older than the environment: nothing is installed into it
    done = make(locked, "check")
    assert (done.returncode != 0, done.stderr.splitlines()[0]) == (True, told)
    assert lock(locked).returncode == 0
    assert check(locked) == ""
    require(locked, "orjson")  # a package that is no longer asked for
    assert check(locked) == told


def test_a_lock_whose_versions_are_not_those_of_the_virtual_environment_fails_the_check(locked: Path) -> None:
    path = locked / "container/requirements.lock"
    path.write_text(re.sub(r"orjson==\S+", "orjson==3.9.0", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert re.fullmatch(
        r"container/requirements\.lock has orjson==3\.9\.0 and requirements-dev\.lock orjson==\S+, so the image and "
        r"\.venv would differ: run `make lock`\.",
        check(locked),
    )
    path.unlink()
    assert check(locked) == "container/requirements.lock is missing: run `make lock`."


def test_the_locks_of_the_template_fit_its_requirements(project: Path) -> None:
    done = run(project, sys.executable, "-m", "local.pins")
    assert (done.returncode, done.stderr) == (0, "")
