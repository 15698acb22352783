"""What is installed in the image: it imports, more can be added, and a Windows checkout gives the same image."""

import hashlib
import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from index import gateway
from programs import docker, inspect, lay_out, saved, serving
from projects import IMAGES, build_image

PROGRAM = "/opt/program"
SITE_PACKAGES = "/opt/venv/lib/python3.12/site-packages"
WHEEL = "selftested-1.0-py3-none-any.whl"

IMPORT_ALL = """
import importlib, importlib.metadata, json, sys
failed = {}
names = sorted(name for name in importlib.metadata.packages_distributions() if name.isidentifier())
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = repr(error)
json.dump({"imported": names, "failed": failed}, sys.stdout)
"""

FIND_IMPORTS_OF_MISSING_TESTS = r"""
import pathlib, re, sysconfig
root = pathlib.Path(sysconfig.get_path("purelib"))
statement = re.compile(r"^ *(?:from|import) +([.\w]*\btests\b[.\w]*)", re.MULTILINE)
for file in (path for path in root.rglob("*.py") if "tests" not in path.parts):
    for name in statement.findall(file.read_text(encoding="utf-8", errors="replace")):
        level = len(name) - len(name.lstrip("."))
        start = file.parents[level - 1] if level else root
        module = start.joinpath(*name.strip(".").split("."))
        if not (module.exists() or module.with_suffix(".py").exists()):
            print(file.relative_to(root), name)
"""


def python(image: str, script: str) -> str:
    """What a Python script prints in a new container."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--interactive", image, "python", "-"],
        input=script, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package that imports its own tests, as astropy does, and the requirements file that names it."""
    folder = tmp_path_factory.mktemp("wheels")
    about = "selftested-1.0.dist-info"
    files = {
        "selftested/__init__.py": "from selftested.tests.runner import ANSWER\n",
        "selftested/tests/__init__.py": "",
        "selftested/tests/runner.py": "ANSWER = 42\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: selftested\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in {**files, f"{about}/RECORD": record}.items():
            wheel.writestr(name, text)
    (folder / "requirements.txt").write_text("selftested==1.0\n")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def index(wheels: Path, docker_answers: None) -> Iterator[str]:
    """The address at which a build finds the wheels."""
    host = gateway()
    with ThreadingHTTPServer((host, 0), partial(SimpleHTTPRequestHandler, directory=str(wheels))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://{host}:{server.server_port}/"
        server.shutdown()
        thread.join()


# What is removed from the packages


def test_every_installed_package_imports_in_the_image(image: str) -> None:
    """All top-level modules of all locked packages; none needs an extra."""
    done = json.loads(python(image, IMPORT_ALL))
    assert {"numpy", "onnxruntime", "pandas", "skl2onnx", "sklearn", "scipy", "flask"} <= set(done["imported"])
    assert done["failed"] == {}


def test_no_module_imports_tests_that_were_removed(image: str) -> None:
    """A renewed lock may bring a NumPy, pandas, SciPy or scikit-learn that imports its own tests."""
    found = python(image, FIND_IMPORTS_OF_MISSING_TESTS).splitlines()
    # This script writes a table for SciPy's developers and needs mpmath, which is not installed.
    assert found == ["scipy/special/_precompute/hyp2f1_data.py scipy.special.tests.test_hyp2f1"]


def test_a_package_that_imports_its_own_tests_works_in_the_image(
    project: Path, wheels: Path, index: str, tmp_path: Path
) -> None:
    """In the stage whose packages the image gets as they are."""
    container = Path(shutil.copytree(project / "container", tmp_path / "container"))
    digest = hashlib.sha256((wheels / WHEEL).read_bytes()).hexdigest()
    host = index.removeprefix("http://").partition(":")[0]
    options = f"--find-links {index}\n--trusted-host {host}\n"
    (container / "requirements.lock").write_text(f"{options}selftested==1.0 --hash=sha256:{digest}\n")
    shutil.copy(wheels / "requirements.txt", container)
    tag = f"{IMAGES}:selftested"
    built = docker("build", "--platform=linux/amd64", "--target=packages", "--tag", tag, str(container))
    assert built.returncode == 0, built.stderr
    done = docker("run", "--rm", tag, "/opt/venv/bin/python", "-c", "import selftested; print(selftested.ANSWER)")
    assert done.stdout == "42\n", done.stderr


# What a job adds


@pytest.mark.parametrize("pip", ["pip", "pip3", "python -m pip", "python3 -m pip"])
def test_a_job_can_install_packages_for_the_python_that_runs(image: str, wheels: Path, pip: str) -> None:
    """As the processors of SageMaker's SDK do with a requirements.txt."""
    install = f"{pip} install --no-index --find-links /wheels --requirement /wheels/requirements.txt"
    script = f"{install} >&2 && python -c 'import selftested; print(selftested.__file__)'"
    done = docker("run", "--rm", f"--volume={wheels}:/wheels:ro", image, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{SITE_PACKAGES}/selftested/__init__.py\n"


def test_another_user_than_root_can_install_packages_to_a_folder(image: str, wheels: Path) -> None:
    """/opt/venv is root's, and pip says so."""
    install = "python -m pip install --no-index --find-links /wheels selftested"
    options = ["--rm", "--user=65534:65534", f"--volume={wheels}:/wheels:ro"]
    refused = docker("run", *options, image, "sh", "-c", install)
    assert refused.returncode == 1
    assert "Permission denied" in refused.stderr
    script = f"{install} --target /tmp/packages >&2 && python -c 'import selftested; print(selftested.__file__)'"
    path = f"--env=PYTHONPATH={PROGRAM}:/tmp/packages"
    done = docker("run", *options, path, image, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/tmp/packages/selftested/__init__.py\n"


# A checkout with CRLF line endings


def with_crlf(folder: Path) -> None:
    """Change all text files below ``folder`` as git on Windows does without a .gitattributes."""
    for path in folder.rglob("*"):
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            path.write_bytes(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def digests(listing: str) -> dict[str, str]:
    """File → digest, from what ``sha256sum`` prints."""
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in listing.splitlines())}


def test_a_windows_checkout_gives_the_same_program_which_trains_and_serves(
    project: Path, docker_answers: None, tmp_path: Path
) -> None:
    """P-07. What is installed stays as it is here, so that it is not installed again: other tests have it."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    (mine / "container/program/weights.bin").write_bytes(b"\0\r\n\r\n")
    listing = "find . -type f -exec sha256sum {} +"
    before = subprocess.run(
        listing, shell=True, cwd=mine / "container/program", capture_output=True, text=True, check=True
    )
    installed = [*mine.glob("container/requirements*"), mine / "container/apt.txt", mine / "container/install.sh"]
    locks = {path: path.read_bytes() for path in installed}
    with_crlf(mine)
    for path, content in locks.items():
        path.write_bytes(content)
    image = build_image(mine, f"{IMAGES}:crlf")
    inside = docker("run", "--rm", f"--workdir={PROGRAM}", image, "sh", "-c", listing)
    assert digests(inside.stdout) == digests(before.stdout)
    tree = lay_out(tmp_path / "tree", mine)
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    with serving(image, tree / "model") as server:
        rows = (project / "data/predict.csv").read_bytes()
        assert server.predict(rows, "text/csv; header=present").status == 200
        docker("stop", "-t", "30", server.container)
        assert inspect(server.container, "{{.State.ExitCode}}") == "0"


@pytest.mark.slow
def test_locks_with_crlf_are_read_as_the_build_reads_them(image: str, project: Path, tmp_path: Path) -> None:
    """P-07. All that they pin is installed, so that pip has nothing to download."""
    files = Path(shutil.copytree(project / "container", tmp_path / "container"))
    with_crlf(files)
    install = "python -m pip install --no-index"
    script = " && ".join(
        f"{install} --require-hashes -r /files/{name}.lock && {install} -r /files/{name}.txt"
        for name in ("requirements-serving", "requirements", "requirements-training")
    )
    done = docker("run", "--rm", "--network=none", f"--volume={files}:/files:ro", image, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "Requirement already satisfied: scikit-learn==" in done.stdout
    assert "Collecting" not in done.stdout
