"""The front of the container: the rights it is started with, its settings, and what nginx answers alone."""

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from contract import resources
from contract.settings import Settings

from faults import Action, double, misbehaving, row, serving_with
from programs import Server, docker, inspect, started

ADD = [f"--cap-add={name}" for name in ("CHOWN", "SETGID", "SETUID")]
SMALL = ["--memory=512m", "--memory-swap=512m", "--read-only"]


def refusal(image: str, *options: str) -> str:
    """The one line of a ``serve`` that ends before it has started anything: the sentence in it."""
    done = docker("run", "--rm", *options, image, "serve")
    assert done.returncode == 1
    [line] = (done.stdout + done.stderr).splitlines()
    event = json.loads(line)
    assert list(event) == ["time", "level", "message"]
    assert event["level"] == "error"
    return str(event["message"])


# --- the rights that it is started with


@pytest.mark.parametrize("capabilities", [0, 1, 3], ids=["none", "CHOWN", "CHOWN, SETGID and SETUID"])
def test_root_with_few_capabilities_serves(image: str, tmp_path: Path, capabilities: int) -> None:
    """P-20, P-42: as Kubernetes' strict policies start it. What nginx's workers own does not hinder the end either."""
    options = [*misbehaving(tmp_path), "--cap-drop=ALL", *ADD[:capabilities], "--env=MODEL_SERVER_WORKERS=1"]
    with serving_with(image, *options) as server:
        body = row(Action.NOTHING, 1) * 100_000  # waits in a file
        assert server.predict(body).body == double(1) * 100_000
        docker("stop", "-t", "30", server.container)
        assert inspect(server.container, "{{.State.ExitCode}}") == "0"
        assert "Traceback" not in server.logged()
        assert '"level":"error"' not in server.logged()


def test_a_front_whose_workers_cannot_start_ends_the_container(image: str, tmp_path: Path) -> None:
    """P-24: nginx's master would stay, and each request hang."""
    options = [*misbehaving(tmp_path), "--user=0:12345", "--cap-drop=ALL", "--cap-add=CHOWN"]
    with started(image, *options) as name:
        waiting = subprocess.run(["docker", "wait", name], capture_output=True, text=True, check=False, timeout=60)
        assert waiting.stdout.strip() == "1"
        assert (
            "serve: nginx cannot start its worker processes, the lines above say why" in Server("", None, name).logged()
        )


# --- settings


def test_gunicorns_own_variable_ends_the_start(image: str) -> None:
    """P-35: it would put options past the settings."""
    message = refusal(image, "--env=GUNICORN_CMD_ARGS=--worker-class=gthread --threads=4")
    assert message == (
        "serve: GUNICORN_CMD_ARGS is not read here: unset it, and set "
        "MODEL_SERVER_WORKERS, MODEL_SERVER_THREADS and MODEL_SERVER_TIMEOUT instead."
    )


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("MODEL_SERVER_WORKRES", "MODEL_SERVER_WORKERS"),
        ("MODEL_SERVER_BODY_MIB", "MODEL_SERVER_BODY_MB"),
        ("MODEL_SERVER_METRIC", "MODEL_SERVER_METRICS"),
        ("model_server_workers", "MODEL_SERVER_WORKERS"),
    ],
)
def test_a_mistyped_variable_ends_the_start_with_the_closest_name(image: str, name: str, closest: str) -> None:
    """P-35."""
    message = refusal(image, f"--env={name}=2")
    assert message == f"serve: {name} is not a setting of this server: did you mean {closest}?"


def test_a_variable_of_no_known_name_ends_the_start_with_all_names(image: str) -> None:
    """P-35."""
    message = refusal(image, "--env=MODEL_SERVER_PORT=8081")
    assert message.startswith(
        "serve: MODEL_SERVER_PORT is not a setting of this server: the settings are SAGEMAKER_BIND_TO_"
    )


def test_variables_that_others_set_do_not_end_the_start(image: str, tmp_path: Path) -> None:
    """P-33: the platform, its SDKs and toolkits have their own; Kubernetes names each Service, one of this name too."""
    theirs = {
        "SAGEMAKER_BATCH": "True", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "4", "SAGEMAKER_SAFE_PORT_RANGE": "9200-9300",
        "SAGEMAKER_MULTI_MODEL": "false", "SAGEMAKER_PROGRAM": "", "SAGEMAKER_SUBMIT_DIRECTORY": "",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20", "SAGEMAKER_REGION": "us-west-2", "AWS_REGION": "us-west-2",
        "AWS_ENDPOINT_URL_S3": "http://localhost:9000", "S3_ENDPOINT_URL": "http://localhost:9000",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_MODEL_SERVER_VMARGS": "-Xmx1g",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "60",
        "MODEL_SERVER_SERVICE_HOST": "10.0.0.1", "MODEL_SERVER_SERVICE_PORT": "8080",
        "MODEL_SERVER_SERVICE_PORT_HTTP": "8080", "MODEL_SERVER_PORT": "tcp://10.0.0.1:8080",
        "MODEL_SERVER_PORT_8080_TCP": "tcp://10.0.0.1:8080", "MODEL_SERVER_PORT_8080_TCP_ADDR": "10.0.0.1",
        "MODEL_SERVER_2_PORT": "tcp://10.0.0.2:8080", "MODEL_SERVER_METRICS": "",
    }  # fmt: skip
    options = [f"--env={name}={value}" for name, value in theirs.items()]
    with serving_with(image, *misbehaving(tmp_path), *options) as server:
        assert json.loads(server.ask("/execution-parameters").body)["MaxConcurrentTransforms"] == 1


# --- bodies and memory


def send(server: Server, size: int, chunked: bool = False) -> tuple[int, dict[str, str]]:
    """Post ``size`` bytes of short rows; the status, and the error of the answer."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=120)
    piece = b"0,1\n" * 2**18
    headers = {"Content-Type": "text/csv"} | ({} if chunked else {"Content-Length": str(size)})
    with suppress(OSError):  # the answer may come before the end of the body
        connection.request("POST", "/invocations", pieces(piece, size), headers, encode_chunked=chunked)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {} if answer.status == 200 else json.loads(body)["error"]


def pieces(piece: bytes, size: int) -> Iterator[bytes]:
    for begin in range(0, size, len(piece)):
        yield piece[: size - begin]


def kills(server: Server) -> int:
    """How many processes the kernel has killed for want of memory."""
    files = "/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control"
    text = docker("exec", server.container, "sh", "-c", f"cat {files} 2>/dev/null").stdout
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


@pytest.fixture(scope="module")
def little(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A container of 512 MB, as small as serverless gives, whose /tmp is memory too."""
    options = [*misbehaving(tmp_path_factory.mktemp("little")), *SMALL, "--tmpfs=/tmp"]
    with serving_with(image, *options, "--env=MODEL_SERVER_WORKERS=2") as server:
        yield server


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("megabytes", [600, 120])
def test_a_body_that_memory_has_no_room_for_is_refused(little: Server, megabytes: int, chunked: bool) -> None:
    """H-13, H-44, P-51: it neither ends the container nor is taken for a mistake in predict()."""
    status, error = send(little, megabytes * 10**6, chunked)
    assert (status, error["code"]) == (413, "too_large")
    assert error["message"].endswith(" bytes: send less, or give the container more than 512 MiB of memory")
    assert kills(little) == 0
    assert little.predict(row(Action.NOTHING, 1)).body == double(1)


def test_the_largest_body_that_is_taken_fits_the_memory(little: Server) -> None:
    """H-13, P-51: of the shortest rows, which take most."""
    status, error = send(little, 600 * 10**6)
    assert status == 413
    limit = int(error["message"].split()[4])
    assert send(little, limit)[0] == 200
    assert kills(little) == 0


def test_where_there_is_room_a_body_may_have_a_gibibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-02, H-13: on a machine larger than most that run this test."""
    monkeypatch.setattr(resources, "memory", lambda: 64 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=64 * 2**30))
    settings = Settings.from_environment()
    assert (settings.body_limit, settings.body_remedy) == (2**30, "raise MODEL_SERVER_BODY_MB")


def test_a_full_tmp_is_told_as_such(image: str, tmp_path: Path) -> None:
    """H-47, H-57: the limit follows from /tmp as well; where a variable or other bodies get past it nginx says why."""
    options = [*misbehaving(tmp_path), "--read-only", "--tmpfs=/tmp:size=64m"]
    with serving_with(image, *options) as server:
        status, error = send(server, 70 * 10**6)
        assert status == 413
        assert error["message"].endswith(" bytes: send less, or give the container more than 64 MiB for /tmp")
    with serving_with(image, *options, "--env=MODEL_SERVER_BODY_MB=200") as server:
        status, error = send(server, 120 * 10**6)
        assert (status, error["code"]) == (503, "no_space")
        assert error["message"] == (
            "the body could not be stored because /tmp, which is memory, is full: send less, "
            "try again later, or give the container a larger /tmp"
        )
