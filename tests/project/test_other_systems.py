"""Windows and macOS, as far as Linux can show them; docs/systems.md says what that leaves untested."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from projects import BIN, TEMPLATE, run
from repositories import git

WINDOWS = [sys.executable, str(TEMPLATE / "tests/helpers/without_posix.py")]
NOTEBOOK = """
import pathlib, pkgutil, importlib, tempfile
import deploy, local
for package in (deploy, local):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

from local import job, predict
import algorithm
model = algorithm.train(job(n_estimators="5"))
folder = pathlib.Path(tempfile.mkdtemp())
algorithm.save(model, folder)
rows = job().channel("validation").split("diagnosis", "classes")[0]
print(len(predict(rows, algorithm.load(folder))), "predictions")
"""
# What bash has since 4.0, and options of GNU's programs that macOS's do not have.
TOO_NEW = re.compile(
    r"\b(mapfile|readarray|coproc)\b|\b(declare|local|typeset) -[a-z]*[Agn]|\|&|&>>|;;&|\$\{\w+\[-\d|\[\[ -v |\bwait -n"
    r"|\$\{\w+(\[[@*]\])?(,,?|\^\^?|@[A-Za-z])|printf '?%\(|\bEPOCH(SECONDS|REALTIME)\b|shopt -s (globstar|lastpipe)"
    r"|\bsed (-\w*[ir]|--)|\breadlink -f|\brealpath\b|\bmktemp --|\bstat -c|\bgrep -\w*P|\bsort -\w*V|\bbase64 -w"
    r"|\bxargs -\w*r|\bdate -d|\btimeout \d|\btac\b|\bnproc\b|\bhead -n -|\bcp --"
)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("-m deploy --help", "Put a new image, model or settings into service"),
        ("-m deploy train --help", "--instance-type"),
        ("-m local runs", r"There are no runs in \S+: run `make train` first\."),
        ("container/build_and_push.py --help", "print a JSON object instead of the reference"),
        ("container/build_and_push.py inspect --help", "--json"),
    ],
)
def test_what_needs_no_posix_starts_without_it(project: Path, command: str, says: str) -> None:
    done = run(project, *WINDOWS, *command.split())
    assert "Traceback" not in done.stderr
    assert re.search(says, done.stdout + done.stderr), done.stdout + done.stderr


def test_a_notebook_trains_and_predicts_without_posix(project: Path, tmp_path: Path) -> None:
    done = run(project, *WINDOWS, "-c", NOTEBOOK, OPT_ML=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "119 predictions"


@pytest.mark.parametrize("system", ["windows", "aarch64-apple-darwin", "aarch64-unknown-linux-gnu"])
@pytest.mark.parametrize("lock", ["requirements-dev.lock", "rehearsal/requirements.lock"])
def test_the_locks_can_be_installed_on_other_systems(project: Path, tmp_path: Path, system: str, lock: str) -> None:
    """Each package has a wheel there, with a hash that the lock knows. ONNX Runtime asks for macOS 14."""
    command = ["uv", "pip", "install", "--quiet", "--system-certs", "--dry-run", "--no-deps", "--only-binary=:all:"]
    command += [f"--python-platform={system}", "--python-version=3.12", "--require-hashes", f"--target={tmp_path}"]
    done = run(project, str(BIN / command[0]), *command[1:], "-r", lock, MACOSX_DEPLOYMENT_TARGET="14.0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.eol=crlf"])
def test_a_checkout_on_windows_has_lf_line_endings(project: Path, template: Path, tmp_path: Path, setting: str) -> None:
    """With git's settings as its installer for Windows makes them."""
    for number, folder in enumerate((project, template)):
        work = tmp_path / str(number)
        git(
            tmp_path,
            "clone",
            "--quiet",
            "--config",
            setting,
            str(committed(folder, tmp_path / f"{number}.git")),
            str(work),
        )
        files = [path for path in work.rglob("*") if path.is_file() and ".git" not in path.parts]
        assert len(files) > 150
        assert [path for path in files if b"\r" in path.read_bytes()] == []


def committed(folder: Path, bare: Path) -> Path:
    """A repository with the files of a folder, which stays as it is."""
    git(bare.parent, "init", "--quiet", "--bare", str(bare))
    variables = {"GIT_DIR": str(bare), "GIT_WORK_TREE": str(folder)}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "core.bare=false"]
    for words in (["add", "--all"], ["commit", "--quiet", "--message", "A state"]):
        subprocess.run(["git", *identity, *words], cwd=folder, env=os.environ | variables, check=True)
    return bare


@pytest.mark.parametrize("script", ["Makefile", "container/build_and_push.sh", "demo.sh", "template's Makefile"])
def test_scripts_use_what_macos_has(project: Path, script: str) -> None:
    """Its bash is 3.2, and its programs are BSD's."""
    path = {"demo.sh": TEMPLATE / "demo.sh", "template's Makefile": TEMPLATE / "Makefile"}.get(script, project / script)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if TOO_NEW.search(line)] == []
    summed = [line for line in lines if "sha256sum" in line and "shasum -a 256" not in line]
    assert summed == []


def test_two_files_never_differ_in_case_alone(template: Path) -> None:
    """Disks of Windows and macOS would keep one of them."""
    names = [path.relative_to(template).as_posix() for path in template.rglob("*")]
    assert len({name.lower() for name in names}) == len(names)
