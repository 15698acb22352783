"""The image as a file, and under Apptainer itself: as its caller, read-only, in the host's network and environment."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines import Engine, need_buildx
from programs import Server, free_port, lay_out, saved, serving
from projects import IMAGES, leave_out

NAME = "my-algorithm"
IMAGE = f"{IMAGES}:archive"
SMALL = "FROM scratch\nCOPY program /opt/program\n"
NOBODY = 65534
QUICKLY = "-noI -noD -noF -noX"  # nothing is compressed


def archive(project: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `make archive`, or the command that it stands for."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    chosen = inherited | {"IMAGE": IMAGE, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.run(
        command or ("make", "--silent", "archive"), cwd=project, env=chosen, capture_output=True, text=True, check=False
    )


# The image as a file


@pytest.fixture
def small(docker_answers: None, project: Path, tmp_path: Path) -> Path:
    """A project whose image is built at once."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    (mine / "container" / "Dockerfile").write_text(SMALL)
    return mine


def test_the_archive_is_the_image(small: Path, tmp_path: Path) -> None:
    """It can be loaded where no registry is in reach."""
    done = archive(small, IMAGE=f"{IMAGE}-small")
    assert done.returncode == 0, done.stderr
    told = f"`apptainer build {NAME}.sif docker-archive:{NAME}.tar` converts it"
    assert done.stderr.splitlines()[-1] == f"{IMAGE}-small is in {small / NAME}.tar: {told}"
    ask = ["docker", "image", "inspect", "--format", "{{.Id}}", f"{IMAGE}-small"]
    built = subprocess.run(ask, capture_output=True, check=True).stdout
    subprocess.run(["docker", "image", "rm", f"{IMAGE}-small"], capture_output=True, check=True)
    subprocess.run(["docker", "load", "--quiet", "--input", small / f"{NAME}.tar"], capture_output=True, check=True)
    assert subprocess.run(ask, capture_output=True, check=True).stdout == built


def test_the_archive_of_an_image_in_containerds_store_can_be_read(small: Path, newer: Engine, tmp_path: Path) -> None:
    """Where a builder puts what it says of its build beside the image."""
    need_apptainer()
    need_buildx()
    done = archive(small, DOCKER_HOST=newer.address, DOCKER_CONFIG=str(tmp_path))
    assert done.returncode == 0, done.stderr
    command = ["apptainer", "build", "--sandbox", str(tmp_path / "unpacked"), f"docker-archive:{small / NAME}.tar"]
    subprocess.run(command, capture_output=True, check=True)
    assert (tmp_path / "unpacked" / "opt" / "program" / "train").is_file()


def with_docker(folder: Path, save: str) -> str:
    """A PATH on which `docker save IMAGE` does something else."""
    (folder / "bin").mkdir()
    script = f'#!/bin/sh\ndocker={shutil.which("docker")}\n[ "$1" = save ] || exec $docker "$@"\nshift\n{save}\n'
    (folder / "bin" / "docker").write_text(script)
    (folder / "bin" / "docker").chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    "save",
    ['$docker save "$1" | head -c 50000', '$docker save "$1" | sed "s/sys.exit/sys.exot/"', "echo nothing"],
    ids=["cut short", "changed on its way", "nothing"],
)
def test_an_archive_that_is_not_whole_is_told_and_an_older_one_is_kept(small: Path, tmp_path: Path, save: str) -> None:
    (small / f"{NAME}.tar").write_text("an older one")
    done = archive(small, PATH=with_docker(tmp_path, save))
    sentence = f"`docker save` did not write all of {IMAGE}: check the disk and try again."
    assert (done.returncode, done.stderr.splitlines()[-2]) == (2, sentence), done.stderr
    assert (small / f"{NAME}.tar").read_text() == "an older one"
    assert [path.name for path in small.glob("*.tar*")] == [f"{NAME}.tar"]


def test_an_archive_that_another_image_is_in_is_told(small: Path, tmp_path: Path) -> None:
    assert archive(small, IMAGE=f"{IMAGE}-small").returncode == 0
    done = archive(small, PATH=with_docker(tmp_path, f'$docker save "{IMAGE}-small"'))
    assert "did not write all of" in done.stderr


def test_a_full_disk_is_told_and_nothing_is_left(small: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("a full disk is made with mount: run the tests as root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        done = archive(small, sys.executable, "-m", "local", "archive", str(disk / "x.tar"))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert done.stderr.splitlines()[-1] == f"{disk / 'x.tar'} was not written: the lines above say why."


def test_a_folder_that_is_missing_is_told(small: Path) -> None:
    done = archive(small, sys.executable, "-m", "local", "archive", "none/x.tar")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "none/x.tar cannot be written: No such file or directory.",
    )


def test_an_interrupted_archive_leaves_nothing(small: Path, tmp_path: Path) -> None:
    path = with_docker(tmp_path, f"echo begun\ntouch {tmp_path}/begun\nexec sleep 60")
    with subprocess.Popen(
        [sys.executable, "-m", "local", "archive"],
        cwd=small,
        env={**os.environ, "PATH": path, "IMAGE": IMAGE},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in stderr) == (130, False)
    assert list(small.glob("*.tar*")) == []


# Under Apptainer


@dataclass
class Caller:
    """A user of a cluster who is not root, with a home and an environment of their own, both for other programs."""

    home: Path
    sif: Path

    @property
    def environment(self) -> dict[str, str]:
        """PYTHON... and LD_LIBRARY_PATH as modules set them, a language and a TMPDIR that the image does not have."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(self.home / "lib"),
            "PYTHONHOME": "/opt/modules/python",
            "LD_LIBRARY_PATH": str(self.home / "lib"),
            "LANG": "de_DE.UTF-8",
            "LC_ALL": "de_DE.UTF-8",
            "TMPDIR": "/scratch/job-1",
            "OMP_NUM_THREADS": "1",
            "APPTAINER_TMPDIR": str(self.home),
            "APPTAINER_CACHEDIR": str(self.home / "cache"),
        }

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start apptainer in the home, which it mounts."""
        nobody = NOBODY if os.geteuid() == 0 else None
        return subprocess.Popen(
            ["apptainer", *arguments],
            cwd=self.home,
            env=self.environment | environment,
            user=nobody,
            group=nobody,
            extra_groups=None if nobody is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: str, **environment: str) -> str:
        """Run apptainer and return what it prints."""
        with self.start(*arguments, **environment) as process:
            printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        return printed

    def inside(self, verb: str, *command: str, binds: str = "", **environment: str) -> list[str]:
        """The arguments that run ``command`` in the image."""
        options = ["--home", str(self.home), *(["--bind", binds] if binds else [])]
        for name, value in environment.items():
            options += ["--env", f"{name}={value}"]
        return [verb, *options, str(self.sif), *command]


def need_apptainer() -> None:
    """Leave the test out where Apptainer is missing, even with REQUIRE_DOCKER: Debian has it in no stable release."""
    if not shutil.which("apptainer"):
        pytest.skip("there is no apptainer: `make docker` installs it where Debian's unstable release can be reached")


@pytest.fixture(scope="module")
def caller(image: str, project: Path) -> Iterator[Caller]:
    """Someone who has built a SIF from what `make archive` wrote."""
    need_apptainer()
    home = Path(tempfile.mkdtemp(prefix="home-"))
    home.chmod(0o777)
    try:
        mine = Path(shutil.copytree(project, home / "project"))
        done = archive(mine)
        assert done.returncode == 0, done.stderr
        other = home / ".local/lib/python3.12/site-packages"  # what they have installed for another Python
        for folder in (home / "lib", other):
            folder.mkdir(parents=True)
            for module in ("contract", "numpy", "json", "usercustomize"):
                (folder / f"{module}.py").write_text("raise SystemExit('this is for another Python')\n")
            (folder / "libgomp.so.1").write_text("this is for another program")
        caller = Caller(home, home / f"{NAME}.sif")
        caller("build", "--mksquashfs-args", QUICKLY, str(caller.sif), f"docker-archive:{mine}/{NAME}.tar")
        (mine / f"{NAME}.tar").unlink()
        yield caller
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def tree(caller: Caller, project: Path) -> Path:
    """An ``/opt/ml`` in which the image has trained."""
    tree = lay_out(caller.home / "opt_ml", project)
    printed = caller(*caller.inside("exec", "train", binds="opt_ml:/opt/ml"))
    assert "validation_accuracy=0.9" in printed
    assert "Traceback" not in printed
    return tree


def test_it_trains_as_its_caller(tree: Path) -> None:
    """P-09, P-20, P-36, P-42: nothing but the folders that are bound can be written, and no root is there."""
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    assert (tree / "output/data/report.html").stat().st_size > 5000
    assert not (tree / "output/failure").exists()
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert {path.stat().st_uid for path in (tree / "model").iterdir()} == {owner}


def test_what_surrounds_it_is_what_clusters_have(caller: Caller) -> None:
    """Else these tests would show nothing: not root, read-only, the host's network, home and environment."""
    look = "id -u; touch /opt/program/x 2>&1; cat /proc/net/route | md5sum; echo $HOME; echo $TMPDIR; echo $LC_ALL"
    uid, denied, routes, home, tmp, language = caller(*caller.inside("exec", "sh", "-c", look)).splitlines()[-6:]
    here = subprocess.run("cat /proc/net/route | md5sum", shell=True, capture_output=True, text=True, check=True).stdout
    assert uid == str(NOBODY if os.geteuid() == 0 else os.geteuid())
    assert "Read-only file system" in denied
    assert (routes, home) == (here.strip(), str(caller.home))
    assert (tmp, language) == ("/scratch/job-1", "de_DE.UTF-8")


def test_without_a_command_it_trains_and_the_root_can_be_a_variable(caller: Caller, project: Path) -> None:
    """P-02, P-44: `apptainer run` starts the image's entry point. The home is mounted, so nothing need be bound."""
    tree = caller.home / "another"
    shutil.copytree(project / "data", tree / "input/data")  # no more than the project's README says
    tree.chmod(0o777)
    printed = caller(*caller.inside("run", SAGEMAKER_BASE_DIR=str(tree)))
    assert "validation_accuracy=0.9" in printed
    assert "model.onnx" in saved(tree)


@contextmanager
def serving_there(caller: Caller, verb: str = "exec", **environment: str) -> Iterator[Server]:
    """``serve`` under Apptainer; at the end it is told to stop, as a batch system does."""
    port = free_port()
    command = caller.inside(verb, "serve", binds="opt_ml/model:/opt/ml/model:ro", SAGEMAKER_BIND_TO_PORT=str(port))
    with caller.start(*command, **environment) as process:
        try:
            server = Server(f"http://127.0.0.1:{port}")
            server.wait()
            yield server
        finally:
            process.terminate()
            printed, _ = process.communicate(timeout=60)
            assert process.returncode == 0, printed
    assert "Shutting down: Master" in printed
    with pytest.raises(OSError):
        server.ask("/ping")


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_it_serves_as_in_docker_on_the_port_that_is_asked_for(
    caller: Caller, tree: Path, image: str, project: Path, verb: str
) -> None:
    """P-22, P-41, P-42, M-20: and it ends orderly."""
    rows = (project / "data/predict.csv").read_bytes()
    with serving_there(caller, verb) as server:
        answer = server.predict(rows, "text/csv; header=present")
    with serving(image, tree / "model") as docker:
        assert answer.body == docker.predict(rows, "text/csv; header=present").body
    assert answer.status == 200


def test_it_serves_where_temporary_files_have_a_long_path(caller: Caller, tree: Path) -> None:
    """P-42: the system limits the paths of sockets, and batch systems give each job a folder."""
    folder = caller.home / ("of-a-job-" * 10)
    folder.mkdir()
    folder.chmod(0o777)
    with serving_there(caller, TMPDIR=str(folder)) as server:
        assert server.ask("/ping").status == 200


def test_a_port_of_somebody_elses_ends_it(caller: Caller, tree: Path) -> None:
    """P-24: the host's ports are shared."""
    with serving_there(caller) as server:
        port = server.url.rpartition(":")[2]
        command = caller.inside("exec", "serve", binds="opt_ml/model:/opt/ml/model:ro", SAGEMAKER_BIND_TO_PORT=port)
        with caller.start(*command) as second:
            printed, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "Address already in use" in printed
        assert "serve: nginx ended, the lines above say why: stopping." in printed
        assert server.ask("/ping").status == 200
