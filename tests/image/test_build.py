"""`make image`: other indexes and base images, passwords that nobody keeps, caches, and what is printed."""

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import eventually
from forms import long_after
from index import PASSWORD, Index, an_index, gateway, make_wheel
from programs import docker
from projects import IMAGES, TEMPLATE_VENV, make_image, run

STEP = re.compile(r"  .* \.\.\. \d+\.\d s")


@pytest.fixture(scope="module")
def index(docker_answers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index with three packages, which asks for a password."""
    folder = tmp_path_factory.mktemp("index")
    for name in ("firstofkim", "secondofkim", "thirdofkim"):
        make_wheel(folder / "simple" / name, name, "1.0+cpu")
    with an_index(folder, gateway()) as index:
        yield index


def require(project: Path, index: Index, names: list[str], environment: dict[str, str], address: bool = True) -> None:
    """Have the project need packages of the index, and pin them."""
    host = f"--trusted-host {index.host}\n"  # which by HTTP alone has to be said
    first = f"--extra-index-url {index.url}\n" if address else ""
    (project / "container/requirements.txt").write_text(first + host + "".join(f"{name}\n" for name in names))
    own = {"VENV": str(TEMPLATE_VENV), "UV_CACHE_DIR": str(project.parent / "cache")}
    done = run(project, sys.executable, "-m", "local.lock", **own | environment)
    assert done.returncode == 0, done.stderr


def inside(tag: str, *command: str) -> str:
    done = docker("run", "--rm", f"{IMAGES}:{tag}", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", long_after(1, ["netrc", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"]))
def test_a_private_index_is_reached_with_a_password_that_is_in_no_layer_lock_or_log(
    mine: Path, index: Index, tmp_path: Path, way: str
) -> None:
    value = str(index.netrc(tmp_path)) if way == "netrc" else index.with_password
    secret = {"NETRC" if way == "netrc" else way: value}
    require(mine, index, ["firstofkim"], secret, address=way == "netrc")
    built = make_image(mine, "private", DOCKER_BUILDKIT="1", **secret)
    assert built.returncode == 0, built.stderr
    assert inside("private", "python", "-c", "import firstofkim; print(firstofkim.VERSION)") == "1.0+cpu"
    built = docker("build", "--platform=linux/amd64", "--target=packages", f"--tag={IMAGES}:stage", f"{mine}/container")
    assert "firstofkim" in inside("stage", "ls", "/opt/venv/lib/python3.12/site-packages")  # its layers are those above
    seen = [built.stdout, built.stderr]
    for tag in ("private", "stage"):
        seen += [docker("history", "--no-trunc", f"{IMAGES}:{tag}").stdout]
        seen += [docker("image", "inspect", f"{IMAGES}:{tag}").stdout]
        assert inside(tag, "sh", "-c", f"find / -xdev -type f -exec grep -lsF {PASSWORD} {{}} + || true") == ""
    seen += [path.read_text(encoding="utf-8") for path in mine.rglob("*") if path.is_file() and path.suffix != ".csv"]
    lock = mine / "container/requirements.lock"
    lock.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", lock.read_text(encoding="utf-8")), encoding="utf-8")
    failed = make_image(mine, "private", DOCKER_BUILDKIT="1", **secret)  # which shows the builder's whole log
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in failed.stderr
    seen += [failed.stdout, failed.stderr]
    assert not [text for text in seen if PASSWORD in text]


@pytest.mark.parametrize("builder", long_after(1, ["1", "0"]))
def test_without_the_password_the_build_fails_and_says_which_lock_is_concerned(
    mine: Path, index: Index, tmp_path: Path, builder: str
) -> None:
    require(mine, index, ["secondofkim"], {"NETRC": str(index.netrc(tmp_path))})
    built = make_image(mine, "refused", DOCKER_BUILDKIT=builder, NETRC=str(tmp_path / "none"))
    assert built.returncode != 0
    assert "error: the packages of container/requirements.lock cannot be installed: the lines above say" in built.stderr
    assert "`docker build` failed: the lines above say why." in built.stderr
    assert "RUN apt-get update" in built.stderr  # the whole log


def test_the_classic_builder_leaves_secrets_out_and_says_so(mine: Path) -> None:
    built = make_image(mine, "classic", DOCKER_BUILDKIT="0", PIP_INDEX_URL="https://kim:secret@pypi.example.com/simple")
    assert built.returncode == 0, built.stderr
    sentence = "Docker's classic builder does not support secrets, so PIP_INDEX_URL is not used: install buildx."
    assert sentence in built.stderr.splitlines()


def test_one_more_package_downloads_no_other_again(mine: Path, index: Index, tmp_path: Path) -> None:
    """With BuildKit."""
    netrc = {"NETRC": str(index.netrc(tmp_path)), "DOCKER_BUILDKIT": "1"}
    require(mine, index, ["firstofkim"], netrc)
    assert make_image(mine, "cached", **netrc).returncode == 0
    require(mine, index, ["firstofkim", "secondofkim"], netrc)
    index.given.clear()
    assert make_image(mine, "cached", **netrc).returncode == 0
    wheels = {path.split("/")[2] for path in index.given if path.endswith(".whl")}
    assert "firstofkim" not in wheels
    assert inside("cached", "python", "-c", "import firstofkim, secondofkim; print(secondofkim.VERSION)") == "1.0+cpu"


def test_a_base_image_of_ones_own_is_remembered_until_it_is_taken_back(mine: Path, tmp_path: Path) -> None:
    base = f"{IMAGES}:own-base"
    (tmp_path / "Dockerfile").write_text("FROM python:3.12-slim-bookworm\nRUN touch /ours\n")
    assert docker("build", "--platform=linux/amd64", f"--tag={base}", str(tmp_path)).returncode == 0
    dockerfile = (mine / "container/Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)
    assert len(stages) == dockerfile.count("\nFROM ")
    assert {origin for origin, _ in stages} - {name for _, name in stages} == {"${BASE_IMAGE}"}
    arguments = "".join(dockerfile.partition("BASE_IMAGE=")[:2])
    quick = f"{arguments}python:3.12-slim-bookworm\nFROM ${{BASE_IMAGE}}\nCOPY program /opt/program\n"
    (mine / "container/Dockerfile").write_text(quick)
    built = make_image(mine, "based", f"BASE_IMAGE={base}")
    assert built.returncode == 0, built.stderr
    assert "container/build-args.txt now sets BASE_IMAGE" in built.stderr.splitlines()
    with (mine / "container/program/algorithm.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert make_image(mine, "based").returncode == 0
    assert inside("based", "ls", "/ours") == "/ours"
    assert "container/build-args.txt no longer sets BASE_IMAGE" in make_image(mine, "based", "BASE_IMAGE=").stderr
    assert inside("based", "sh", "-c", "ls /ours || true") == ""


def test_an_image_for_a_gpu_has_the_packages_of_its_own_file(mine: Path, index: Index, tmp_path: Path) -> None:
    """With GPU=yes, until GPU=no; what training needs is in both."""
    netrc = {"NETRC": str(index.netrc(tmp_path))}
    needed = make_image(mine, "gpu", "GPU=yes", **netrc)
    assert needed.returncode != 0
    assert "GPU=yes needs container/requirements-gpu.txt: list there the packages that" in needed.stderr
    assert "GPU is 'perhaps': write yes or no." in make_image(mine, "gpu", "GPU=perhaps").stderr.splitlines()
    for_gpu = (mine / "container/requirements-gpu.txt", mine / "container/requirements-training.txt")
    for path, name in zip(for_gpu, ("secondofkim", "thirdofkim"), strict=True):
        path.write_text(f"--extra-index-url {index.url}\n--trusted-host {index.host}\n{name}\n")
    require(mine, index, ["firstofkim"], netrc)
    listed = "import importlib.util as u; print(*(n for n in {} if u.find_spec(n)))".format(
        ["firstofkim", "secondofkim", "thirdofkim"]
    )
    built = make_image(mine, "gpu", "GPU=yes", **netrc)
    assert built.returncode == 0, built.stderr
    assert "container/build-args.txt now sets GPU" in built.stderr.splitlines()
    assert inside("gpu", "python", "-c", listed) == "secondofkim thirdofkim"
    with (mine / "container/program/algorithm.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert make_image(mine, "gpu", **netrc).returncode == 0
    assert inside("gpu", "python", "-c", listed) == "secondofkim thirdofkim"
    assert "container/build-args.txt no longer sets GPU" in make_image(mine, "gpu", "GPU=no", **netrc).stderr
    assert inside("gpu", "python", "-c", listed) == "firstofkim thirdofkim"


def test_a_line_of_the_build_arguments_that_is_none_is_named(mine: Path) -> None:
    (mine / "container/build-args.txt").write_text("# a comment\r\n\r\nBASE_IMAGE python:3.12\r\n")
    built = make_image(mine, "none")
    assert built.returncode != 0
    assert "container/build-args.txt, line 3: 'BASE_IMAGE python:3.12' is not NAME=VALUE." in built.stderr.splitlines()


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("echo '#5 DONE 9.9s'", r"\d+\.\d s\n"),
        ("exit 1", r"\n"),
        ("echo '#6 DONE 9.9s'; echo '#5 DONE 9.9s'", r"\d+\.\d s\n  \[packages 1/2\] RUN pip \.\.\. \d+\.\d s\n"),
        ("echo '#6 DONE 9.9s'; exit 1", r"\n  \[packages 1/2\] RUN pip \.\.\. \d+\.\d s\n"),
    ],
)
def test_a_step_is_named_while_it_runs_and_no_other_breaks_its_line(
    project: Path, tmp_path: Path, end: str, shown: str
) -> None:
    """Here of a builder that waits for the test, and may run two steps at a time."""
    steps = "echo '#5 [image 1/2] RUN make'; echo '#6 [packages 1/2] RUN pip'"
    builder = f"{steps}; until [ -e {tmp_path}/go ]; do sleep 0.05; done; {end}"
    follow = "import sys; from local.progress import follow; follow(sys.argv[1:])"
    told = tmp_path / "told"
    with (
        told.open("wb") as stderr,
        subprocess.Popen([sys.executable, "-c", follow, "sh", "-c", builder], cwd=project, stderr=stderr) as process,
    ):
        try:
            eventually(lambda: told.read_text() == "  [image 1/2] RUN make ... ")
        finally:
            (tmp_path / "go").touch()
        assert process.wait() == 0
    assert re.fullmatch(rf"  \[image 1/2\] RUN make \.\.\. {shown}", told.read_text())


@pytest.mark.parametrize("builder", long_after(1, ["1", "0"]))
def test_a_build_prints_a_line_for_each_step_that_takes_time_and_nothing_else(mine: Path, builder: str) -> None:
    own = {"DOCKER_BUILDKIT": builder}
    assert make_image(mine, "lines", **own).returncode == 0
    again = make_image(mine, "lines", **own)
    assert again.stderr.splitlines() == [f"{IMAGES}:lines is up to date"]
    (mine / "container/apt.txt").write_text(f"# {uuid.uuid4()}, which no layer is of\nlibnuma1\n")
    *steps, last = make_image(mine, "lines", **own).stderr.splitlines()
    assert [line for line in steps if not STEP.fullmatch(line)] == []
    assert any("sh /tmp/install.sh apt" in line for line in steps)
    assert len(steps) < 12
    assert max(map(len, steps)) < 110
    assert re.fullmatch(rf"{IMAGES}:lines is built, in \d+\.\d s", last)
    (mine / "container/apt.txt").write_text("libgmop1\n")
    failed = make_image(mine, "lines", **own).stderr
    assert "'libgmop1' cannot be installed" in failed
    assert "Unable to locate package libgmop1" in failed
