"""A push that fails, that is refused, that breaks off, and what is read back: both ``build_and_push`` scripts."""

import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from forms import long_after
from projects import leave_out
from publishing import Script, check_page, engine, wait_until
from registry import (
    BUSY,
    CUT,
    DOCKER_SCHEMA_2,
    FAULTY_REGION,
    NOT_ALLOWED,
    Hold,
    Refusal,
    Registry,
    as_oci,
    gate,
    host,
    immutable,
    in_the_way,
    refusing,
)

# The push


EXPIRED = Refusal(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")


FAILING_ONCE = {
    "throttled": lambda: refusing(BUSY, times=1),
    "token expired": lambda: refusing(EXPIRED, times=1),
    "connection cut": lambda: refusing(CUT, times=1),
    "connection cut in a layer": lambda: refusing(CUT, times=1, method="PATCH", part="/uploads/"),
}


@pytest.mark.parametrize("fault", long_after(1, FAILING_ONCE))
def test_a_push_that_fails_once_is_repeated(
    publish: Script, registry: Registry, small: Path, name: str, fault: str
) -> None:
    """With a new token, and without a new build."""
    with in_the_way(registry, FAILING_ONCE[fault]()):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert registry.tags(name) == {"1": run.reference.partition("@")[2]}
    assert len([command for command in run.commands if " build " in command]) == 1


@pytest.mark.slow
def test_a_registry_that_goes_down_in_mid_push_is_told(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    down: list[str] = []

    def fault(method: str, path: str) -> Refusal | None:
        down.extend([path] * (method == "PUT" and "/manifests/" in path))
        return CUT if down else None

    with in_the_way(registry, fault):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert re.fullmatch(r"the push failed \(.*\): run this again, and only what is missing is sent", run.error)
    assert run.stderr.count("warning: the push failed (") == 3
    assert registry.tags(name) == {}
    with in_the_way(registry) as asked:
        assert publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION).reference
    assert len([path for method, path in asked if method == "PATCH"]) <= 1, "the layer was there already"


def test_a_registry_that_is_down_is_told_before_the_build(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert run.error.startswith(f"cannot log in to {host(FAULTY_REGION)} (")
    assert run.error.endswith("): check the network and that the region exists")
    assert "Building" not in run.stderr


def test_a_push_that_is_denied_is_told_at_once(publish: Script, registry: Registry, small: Path, name: str) -> None:
    with in_the_way(registry, refusing(NOT_ALLOWED)):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    pattern = r"the push was refused \(.*not authorized.*\): ask for the permissions in push-policy.json"
    assert re.fullmatch(pattern, run.error)
    assert len([command for command in run.commands if " push " in command]) == 1
    assert registry.tags(name) == {}


def test_an_immutable_tag_is_not_overwritten(publish: Script, registry: Registry, small: Path, name: str) -> None:
    """E-12: the same image under the same tag is a success, though; ECR refuses that, too."""
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
    with in_the_way(registry, immutable(registry, name)):
        first = publish(small, *options)
        before = registry.tags(name)
        again = publish(small, *options)
        (small / "container" / "program" / "new.py").touch()
        other = publish(small, *options)
    assert again.reference == first.reference
    address = f"{host(FAULTY_REGION)}/{name}:1"
    assert other.error == f"{address} is another image and may not be overwritten: pass another --tag"
    assert registry.tags(name) == before


def test_a_cache_that_may_not_be_moved_stays_and_the_image_is_pushed(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-12: a tag whose layers a build uses is a convenience."""
    options = ["--name", name, "--tag", "cache", "--cache-from", ":cache", "--region", FAULTY_REGION]
    with in_the_way(registry, immutable(registry, name)):
        first = publish(small, "--tag", "1", *options)
        (small / "container" / "program" / "new.py").touch()
        second = publish(small, "--tag", "2", *options)
        alone = publish(small, *options[:4], *options[-2:])
    digests = [run.reference.partition("@")[2] for run in (first, second)]
    assert registry.tags(name) == {"1": digests[0], "cache": digests[0], "2": digests[1]}
    address = f"{host(FAULTY_REGION)}/{name}:cache"
    assert f"warning: {address} may not be overwritten, so it stays as it is" in second.stderr.splitlines()
    assert alone.error == f"{address} is another image and may not be overwritten: pass another --tag"


# What is read back


def test_an_image_that_someone_else_pushed_meanwhile_is_not_reported_as_ours(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-14."""
    assert publish(small, "--name", name, "--tag", "other").reference
    theirs = json.loads(registry.fetch(f"{name}/manifests/other")[0])
    (small / "container" / "program" / "new.py").touch()

    def fault(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/manifests/1"):
            registry.put_manifest(name, "1", DOCKER_SCHEMA_2, theirs)

    with in_the_way(registry, fault):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    assert run.error == f"{host(FAULTY_REGION)}/{name}:1 is another image: someone else may have pushed it meanwhile"


def test_an_image_in_a_form_that_sagemaker_refuses_is_not_reported(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-07, E-08: as engines push it that are set otherwise. It is the same image, in OCI's form."""

    def fault(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/manifests/1"):
            media_type, manifest = as_oci(json.loads(registry.fetch(f"{name}/manifests/1")[0]))
            registry.put_manifest(name, "1", media_type, manifest)

    with in_the_way(registry, fault):
        run = publish(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION)
    form, remedy = "application/vnd.oci.image.manifest.v1+json", "build and push it with this script"
    assert run.error == f"SageMaker does not accept {host(FAULTY_REGION)}/{name}:1 ({form}): {remedy}"


def test_an_image_for_another_platform_is_not_pushed(
    publish: Script, registry: Registry, small: Path, name: str
) -> None:
    """P-56: as a base that is named by its digest may be."""
    container, base = small / "container", f"{name}:base"
    (container / "Dockerfile").write_text("FROM scratch\nCOPY program/train /base\n")
    classic = os.environ | {"DOCKER_BUILDKIT": "0"}
    subprocess.run(
        ["docker", "build", "--platform=linux/arm64", f"--tag={base}", str(container)], env=classic, check=True
    )
    (container / "Dockerfile").write_text(f"FROM --platform=linux/arm64 {base}\nCOPY program/train /\n")
    run = publish(small, "--name", name, "--tag", "1", DOCKER_BUILDKIT="0")
    reason = "its base may not be for linux/amd64"
    assert run.error == f"the image is for linux/arm64 and nothing was pushed: {reason}"
    assert registry.tags(name) == {}
    subprocess.run(["docker", "image", "rm", base], check=True)


# What breaks off


SLOW = "FROM python:3.12-slim-bookworm\nRUN sleep 300 # {}\n"


def sleeps(name: str) -> bool:
    """Whether the build's long step runs."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if process.read_text() == f"/bin/sh\0-c\0sleep 300 # {name}\0":
                return True
    return False


STAGES = ["GetCallerIdentity", "DescribeRepositories", "GetAuthorizationToken", "build", "push", "read back"]


SIGNALS = [("build", signal.SIGINT), ("push", signal.SIGTERM), ("build", signal.SIGTERM)]
SIGNALS += [(stage, signal.SIGINT) for stage in STAGES if stage != "build"]


@pytest.mark.parametrize(("stage", "number"), long_after(2, SIGNALS), ids=lambda value: getattr(value, "name", value))
def test_an_interruption_ends_all_and_leaves_nothing(
    publish: Script, registry: Registry, small: Path, name: str, stage: str, number: signal.Signals
) -> None:
    """Ctrl-C reaches the whole process group, as a terminal sends it; SIGTERM the script alone, as CI sends it."""
    hold = Hold(stage)

    def fault(method: str, path: str) -> Refusal | None:
        if f"/{name}/manifests/" in path:
            hold.at({"PUT": "push", "GET": "read back"}.get(method, ""))
        return CUT if hold.reached.is_set() else None

    def reached() -> bool:
        return sleeps(name) if stage == "build" else hold.reached.is_set()

    if stage == "build":
        (small / "container" / "Dockerfile").write_text(SLOW.format(name))
    options = ["--name", name, "--tag", "1", "--region", FAULTY_REGION]
    with gate(registry.aws, False, hold) as aws, in_the_way(registry, fault):
        with publish.started(small, *options, AWS_ENDPOINT_URL=aws.address) as process:
            wait_until(lambda: reached() or process.poll() is not None)
            assert reached(), publish.ended(process).stderr
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            run = publish.ended(process)
        hold.released.set()
    assert (run.status, run.stdout) == (128 + number, "")
    assert "Traceback" not in run.stderr
    assert "error:" not in run.stderr
    assert not list(publish.scratch.iterdir()), "the folder with the password should be gone (E-10)"
    wait_until(lambda: not sleeps(name))
    assert list(registry.tags(name)) == (["1"] if stage == "read back" else [])


def test_an_engine_that_stops_in_mid_build_is_told(
    publish: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    (small / "container" / "Dockerfile").write_text(SLOW.format(name))
    with engine_behind(tmp_path / "socket") as stop:
        options = ["--name", name, "--tag", "1"]
        with publish.started(small, *options, DOCKER_HOST=f"unix://{tmp_path}/socket") as process:
            wait_until(lambda: sleeps(name))
            stop()
            run = publish.ended(process)
    assert run.error == "the build failed and nothing was pushed: fix the error above"
    wait_until(lambda: not sleeps(name))
    assert registry.tags(name) == {}


@contextmanager
def engine_behind(address: Path) -> Iterator[Callable[[], None]]:
    """Reach Docker's engine through another socket; what is yielded closes it, as if the engine had stopped."""
    if not engine().startswith("unix://"):
        leave_out("Docker is not on this machine, so it cannot be given a second address")
    ends: list[socket.socket] = []

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engines:
                engines.connect(engine().removeprefix("unix://"))
                ends.extend((self.request, engines))
                back = threading.Thread(target=self.copy, args=(engines, self.request))
                back.start()
                self.copy(self.request, engines)
                back.join()

        @staticmethod
        def copy(source: socket.socket, to: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    to.sendall(data)
                to.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingUnixStreamServer(str(address), Relay) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def stop() -> None:
            server.shutdown()
            address.unlink(missing_ok=True)
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        try:
            yield stop
        finally:
            stop()
            thread.join()


# Both scripts


@pytest.mark.page
def test_both_scripts_end_alike_in_each_case_as_the_page_shows() -> None:
    """Each test above is a case; WRITE_PAGE=1 writes its row."""
    check_page()
