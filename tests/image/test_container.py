"""The image as the platform sees it: its entry point, its users, its files, its signals."""

import json
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import eventually
from programs import STRICT, Server, docker, inspect, lay_out, saved, serving, started
from projects import IMAGES, bake_into, build_image

PROGRAM = "/opt/program"
PACKAGES = "/opt/venv/lib/python3.12/site-packages"


@pytest.fixture(scope="module")
def model(image: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that the image's own ``train`` has filled."""
    tree = lay_out(tmp_path_factory.mktemp("trained"), project)
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    return tree / "model"


@pytest.fixture(scope="module")
def server(image: str, model: Path) -> Iterator[Server]:
    with serving(image, model) as server:
        yield server


def inside(image: str, script: str) -> str:
    """What a shell script prints in a new container."""
    done = docker("run", "--rm", image, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def changes(container: str) -> list[str]:
    """The files that a running container has changed; mount points do not count."""
    changed = [line.split()[1] for line in docker("diff", container).stdout.splitlines()]
    return [path for path in changed if path not in ("/opt", "/opt/ml", "/opt/ml/model", "/rows.csv")]


@pytest.mark.parametrize("command", [["train"], [], [f"{PROGRAM}/train"]])
def test_training_starts_by_verb_by_default_and_by_path(
    image: str, project: Path, tmp_path: Path, command: list[str]
) -> None:
    """P-01, P-02, P-06, P-40, T-21, T-40; V-01, V-02."""
    tree = lay_out(tmp_path, project)
    before = {path: path.stat().st_mtime_ns for path in (tree / "input").rglob("*")}
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", image, *command)
    assert done.returncode == 0, done.stderr
    assert "validation_accuracy=0.9" in done.stdout
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    assert (tree / "output/data/report.html").stat().st_size > 5000
    assert {path: path.stat().st_mtime_ns for path in (tree / "input").rglob("*")} == before
    assert not (tree / "output/failure").exists()


def test_a_replaced_entry_point_finds_train_on_the_path(image: str, project: Path, tmp_path: Path) -> None:
    """P-06."""
    tree = lay_out(tmp_path, project)
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", "--entrypoint=train", image)
    assert done.returncode == 0, done.stderr


def test_any_other_command_is_run_as_it_is(image: str) -> None:
    """P-04; V-03."""
    assert docker("run", "--rm", image, "chmod", "--version").returncode == 0
    assert docker("run", "--rm", image, "python", "-V").stdout.startswith("Python 3.12.")
    assert docker("run", "--rm", image, "/bin/sh", "-c", "exit 7").returncode == 7


def test_whatever_is_printed_the_log_is_in_utf_8(image: str) -> None:
    """L-04: SDK v2 ends with a traceback at a byte that is none, such as one of a file's name."""
    done = docker("run", "--rm", image, "python", "-c", r"print('ø \udcff.csv')")
    assert done.stdout == "ø \\udcff.csv\n"


def test_the_working_directory_does_not_matter(image: str, project: Path, tmp_path: Path, model: Path) -> None:
    """P-09."""
    tree = lay_out(tmp_path, project)
    done = docker("run", "--rm", "--workdir=/usr", f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    with serving(image, model, "--workdir=/usr") as server:
        assert server.ask("/ping").status == 200


def test_what_the_image_declares(image: str) -> None:
    """P-03, P-05, P-20, P-36, P-43, P-56, P-57, P-58, H-62, M-10, M-20, E-18; V-04: no ability but M-20's."""
    [about] = json.loads(docker("image", "inspect", image).stdout)
    config = about["Config"]
    assert config["Entrypoint"] == ["/usr/bin/env"]
    assert config["Cmd"] == ["train"]
    assert config["User"] == ""
    assert not config.get("Volumes")
    assert not config.get("OnBuild")
    assert not config.get("Healthcheck")
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert config["Labels"] == {"com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true"}
    assert about["Architecture"] == "amd64"
    environment = dict(variable.split("=", 1) for variable in config["Env"])
    assert environment["PYTHONUNBUFFERED"] == environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["LANG"] == "C.UTF-8"
    caches = ["HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "JOBLIB_TEMP_FOLDER", "NUMBA_CACHE_DIR"]
    assert {environment[name] for name in caches} == {"/tmp"}
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_image_holds_what_runs_and_nothing_else(image: str) -> None:
    """P-08, P-55, E-17; V-43."""
    assert inside(image, "ls -A /opt") == "program\nvenv"
    assert inside(image, "command -v gcc cc make git || true") == ""
    assert inside(image, "find /opt /tmp /root -xdev \\( -name .git -o -name .cache \\)") == ""
    assert (
        inside(image, "find /opt /tmp /root -xdev -type d -name pip") == f"{PACKAGES}/pip"
    )  # for jobs that add packages
    largest = "numpy pandas scipy sklearn"  # their tests are large; other packages may import theirs
    assert inside(image, f"cd {PACKAGES} && find {largest} -type d -name tests") == "numpy/_core/tests"
    assert inside(image, f"find {PROGRAM} /tmp /root -name '*.pyc' -o -name '*.csv' -o -name 'requirements*'") == ""
    assert inside(image, "find / -xdev \\( -name 'libcuda.so*' -o -name 'libnvidia*' \\) -print") == ""


def test_the_image_holds_the_program_folder_unchanged(image: str, project: Path) -> None:
    """design: ``program/`` is ``/opt/program``, nothing more and nothing less."""
    listed = inside(image, f"cd {PROGRAM} && find . -type f -exec sha256sum {{}} + | sort -k2")
    here = subprocess.run(
        "find . -type f -exec sha256sum {} + | sort -k2",
        shell=True, cwd=project / "container/program", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed == here.stdout.strip()


def test_lost_mode_bits_are_set_in_the_image(project: Path, docker_answers: None, tmp_path: Path) -> None:
    """P-07, P-20: from Windows, a zip, or with hooks refused."""
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    for path in (copy / "container/program").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    tag = build_image(copy, f"{IMAGES}:bits")
    modes = inside(tag, f"stat -c '%a %n' {PROGRAM}/train {PROGRAM}/serve; find {PROGRAM} ! -perm -444")
    assert [stat.filemode(int(line.split()[0], 8))[-3:] for line in modes.splitlines()] == ["r-x", "r-x"]


def test_an_edit_of_algorithm_py_reinstalls_nothing(project: Path, image: str, tmp_path: Path) -> None:
    """All layers but the program's own stay the same."""
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    with (copy / "container/program/algorithm.py").open("a", encoding="utf-8") as algorithm:
        algorithm.write("# edited\n")
    edited = build_image(copy, f"{IMAGES}:edited")
    before, after = (json.loads(inspect(tag, "{{json .RootFS.Layers}}")) for tag in (image, edited))
    assert before[:-2] == after[:-2]
    assert before[-2:] != after[-2:]


def test_a_lock_that_lacks_a_requirement_fails_the_build(project: Path, docker_answers: None, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    with (copy / "container/requirements.txt").open("a", encoding="utf-8") as requirements:
        requirements.write("xgboost\n")
    built = docker("build", "--platform=linux/amd64", str(copy / "container"))
    assert built.returncode != 0
    assert "requirements.lock does not match requirements.txt: run 'make lock'" in built.stdout + built.stderr


def test_training_works_in_the_strictest_place(image: str, project: Path, tmp_path: Path) -> None:
    """P-20, P-42, P-57; V-17, V-42: any user, read-only root, no network, no capabilities."""
    tree = lay_out(tmp_path, project)
    mounts = [f"--volume={tree}:/opt/ml", f"--volume={tree / 'input'}:/opt/ml/input:ro"]
    done = docker("run", "--rm", *STRICT, *mounts, image, "train")
    assert done.returncode == 0, done.stderr
    assert (tree / "model/model.onnx").exists()


def test_serving_works_in_the_strictest_place(image: str, model: Path, project: Path) -> None:
    """P-20, P-41, P-42, P-57; V-20, V-42. Without a network it is asked from inside."""
    ask = (
        "import urllib.request as u; "
        "r = u.Request('http://localhost:8080/invocations', open('/rows.csv', 'rb').read(), "
        "{'Content-Type': 'text/csv; header=present'}); print(u.urlopen(r).read().decode())"
    )
    rows = f"--volume={project / 'data/predict.csv'}:/rows.csv:ro"
    with started(image, *STRICT, f"--volume={model}:/opt/ml/model:ro", rows) as name:
        deadline = time.monotonic() + 60
        while (done := docker("exec", name, "python", "-c", ask)).returncode != 0:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.5)
        assert len(done.stdout.strip().splitlines()) == 52
        assert changes(name) == []


def test_serving_as_root_writes_below_tmp_alone(image: str, model: Path, project: Path) -> None:
    """P-42."""
    with serving(image, model) as server:
        rows = (project / "data/predict.csv").read_bytes()
        assert server.predict(rows, "text/csv; header=present").status == 200
        assert [path for path in changes(server.container) if not path.startswith("/tmp")] == []


def test_the_log_names_requests_but_no_pings_and_no_payloads(server: Server, project: Path) -> None:
    """P-53, P-54."""
    rows = (project / "data/predict.csv").read_bytes()
    assert server.predict(rows, "text/csv; header=present").status == 200
    assert server.predict(b"4711.4711").status == 400
    eventually(lambda: '"status":400,"bytes":' in server.logged())  # lines gather for a moment
    logged = server.logged()
    assert '"status":200,"bytes":' in logged
    assert "/ping" not in logged
    assert "4711.4711" not in logged
    assert rows.splitlines()[1].decode() not in logged


def test_another_port_is_listened_on_when_it_is_asked_for(image: str, model: Path) -> None:
    """H-01, M-20, M-31; V-23: so that several containers, or copies of one, fit on an instance."""
    with serving(image, model, "--env=SAGEMAKER_BIND_TO_PORT=9123", port=9123) as server:
        listening = docker("exec", server.container, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6").stdout
        ports = {int(line.split()[1].split(":")[1], 16) for line in listening.splitlines() if " 0A " in line}
        assert ports == {9123}


def test_a_stop_ends_in_order(image: str, model: Path) -> None:
    """P-22, P-25, P-26; V-35."""
    with serving(image, model) as server:
        docker("kill", "--signal=TERM", server.container)
        docker("stop", "-t", "30", server.container)
        assert inspect(server.container, "{{.State.ExitCode}}") == "0"
        assert "ended, the lines above say why" not in server.logged()
        assert "was sent SIG" not in server.logged()


def test_no_thread_of_serve_can_swallow_a_signal(server: Server) -> None:
    """P-22, P-25: serve waits for signals in its one thread; a library's thread would take some and lose them."""
    assert docker("exec", server.container, "ls", "/proc/1/task").stdout.split() == ["1"]


@pytest.mark.parametrize("victim", ["nginx", "gunicorn"])
def test_a_killed_program_ends_the_container(image: str, model: Path, victim: str) -> None:
    """P-24; V-36."""
    find = (
        "import os, sys; "
        "print(min(int(p) for p in os.listdir('/proc') if p.isdigit() "
        f"and '{victim}' in open(f'/proc/{{p}}/cmdline').read() and int(p) not in (1, os.getpid())))"
    )
    with serving(image, model) as server:
        pid = docker("exec", server.container, "python", "-c", find).stdout.strip()
        docker("exec", server.container, "sh", "-c", f"kill -9 {pid}")
        status = docker("wait", server.container).stdout.strip()
        assert status == "1"
        assert f"serve: {victim} ended" in server.logged()


@pytest.mark.parametrize(
    ("file", "cause"), [("other.bin", "FileNotFoundError: "), ("model.onnx", "InvalidProtobuf: ")]
)  # fmt: skip
def test_a_model_that_cannot_be_loaded_ends_the_container(image: str, tmp_path: Path, file: str, cause: str) -> None:
    """H-09, P-24; V-19."""
    (tmp_path / file).write_bytes(b"no model")
    done = docker("run", "--rm", f"--volume={tmp_path}:/opt/ml/model:ro", image, "serve")
    assert done.returncode == 1
    log = done.stdout + done.stderr
    assert "The model cannot be loaded: load() in algorithm.py, line " in log
    assert f"raised {cause}" in log


@pytest.mark.parametrize(
    "variable", ["SAGEMAKER_BIND_TO_PORT=http", "MODEL_SERVER_WORKERS=0", "MODEL_SERVER_TIMEOUT=1e3"]
)
def test_a_bad_setting_is_one_sentence_at_start(image: str, variable: str) -> None:
    """P-35; V-40."""
    done = docker("run", "--rm", f"--env={variable}", image, "serve")
    assert done.returncode == 1
    name, value = variable.split("=")
    [line] = done.stderr.splitlines()
    assert json.loads(line)["message"].startswith(f"serve: {name} is '{value}': give a whole number from 1 to ")


def test_nginx_approves_of_its_configuration(server: Server) -> None:
    test = docker("exec", server.container, "sh", "-c", "nginx -e stderr -t -c /tmp/serve-*/nginx.conf")
    assert test.returncode == 0, test.stderr
    assert "[warn]" not in test.stderr


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_the_oldest_and_the_newest_python_predict_the_same(
    template: Path, docker_answers: None, tmp_path: Path, server: Server, version: str
) -> None:
    project = bake_into(template, tmp_path, python_version=version)
    image = build_image(project, f"{IMAGES}:{version}")
    assert docker("run", "--rm", image, "python", "-V").stdout.startswith(f"Python {version}.")
    tree = lay_out(tmp_path / "tree", project)
    done = docker("run", "--rm", f"--volume={tree}:/opt/ml", image, "train")
    assert done.returncode == 0, done.stderr
    rows = (project / "data/predict.csv").read_bytes()
    with serving(image, tree / "model") as other:
        answer = other.predict(rows, "text/csv; header=present")
        docker("stop", "-t", "30", other.container)
        assert inspect(other.container, "{{.State.ExitCode}}") == "0"
    assert answer.body == server.predict(rows, "text/csv; header=present").body
