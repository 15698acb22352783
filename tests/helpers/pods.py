"""A Deployment behind a Service as Kubernetes runs it, with Docker in the place of the kubelet.

What the manifest says of a pod becomes options of ``docker run``. Probes, endpoints, preStop, signals and the order of
a rolling update are those that Kubernetes documents. A field that is not known here is an error.
"""

import copy
import http.client
import itertools
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from programs import docker, inspect

Manifest = dict[str, Any]
LAG_SECONDS = 3  # until all nodes know that a pod gets no more requests; far more than a healthy cluster takes
PORT = 8080
# What says something of the cluster alone, which Docker has not.
OF_THE_CLUSTER = {"automountServiceAccountToken", "enableServiceLinks", "topologySpreadConstraints"}


def objects(project: Path) -> dict[str, Manifest]:
    """The objects of the project's manifest, by kind."""
    documents = yaml.safe_load_all((project / "stack/kubernetes.yaml").read_text(encoding="utf-8"))
    return {each["kind"]: each for each in documents}


def pod_of(project: Path) -> Manifest:
    """What the manifest says of each pod."""
    pod: Manifest = objects(project)["Deployment"]["spec"]["template"]["spec"]
    return pod


def options(pod: Manifest) -> list[str]:
    """The options of ``docker run`` that mean what ``pod`` says."""
    left = {name: copy.deepcopy(value) for name, value in pod.items() if name not in OF_THE_CLUSTER}
    [container] = left.pop("containers")
    user, volumes = left.pop("securityContext"), left.pop("volumes")
    assert user.pop("runAsNonRoot") is (user["runAsUser"] != 0)
    assert user.pop("seccompProfile") == {"type": "RuntimeDefault"}  # which is Docker's default too
    chosen = [f"--user={user.pop('runAsUser')}:{user.pop('runAsGroup')}", *secured(container["securityContext"])]
    memory, cpus = (container["resources"]["limits"][name] for name in ("memory", "cpu"))
    chosen += [f"--memory={in_docker(memory)}", f"--memory-swap={in_docker(memory)}"]
    chosen += [f"--cpus={in_docker(cpus)}", *mounts(volumes, container["volumeMounts"])]
    chosen += [f"--env={each['name']}={each['value']}" for each in container.get("env", [])]
    assert left.keys() == {"terminationGracePeriodSeconds"}, left
    assert not user, user
    return chosen


def secured(context: Manifest) -> list[str]:
    """A container's securityContext."""
    assert context.pop("allowPrivilegeEscalation") is False
    assert context.pop("readOnlyRootFilesystem") is True
    dropped = context.pop("capabilities").pop("drop")
    assert not context, context
    return ["--security-opt=no-new-privileges", "--read-only", *[f"--cap-drop={each}" for each in dropped]]


def mounts(volumes: list[Manifest], where: list[Manifest]) -> list[str]:
    """The volumes, all of which are empty and in memory. They belong to root, and anyone may write there."""
    places = {each["name"]: each["mountPath"] for each in where}
    sizes = {each["name"]: each["emptyDir"] for each in volumes}
    assert all(directory["medium"] == "Memory" for directory in sizes.values())
    return [f"--tmpfs={places[name]}:size={in_docker(each['sizeLimit'])},mode=1777" for name, each in sizes.items()]


def in_docker(quantity: str) -> str:
    """A quantity of memory or CPUs, such as ``1Gi`` or ``500m``, as Docker writes it."""
    if quantity.endswith("m"):
        return str(int(quantity.removesuffix("m")) / 1000)
    return quantity.lower().removesuffix("i")


class Pod:
    """A pod from its start to its end, with what the kubelet does for it in threads."""

    def __init__(self, image: str, spec: Manifest) -> None:
        [self.container] = spec["containers"]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.name = f"cookiecutter-sagemaker-test-{uuid.uuid4().hex[:8]}"
        self.ready, self.leaves_at = False, float("inf")
        self.killed = ""
        run = docker("run", "--detach", "--name", self.name, *options(spec), image, *self.container["args"])
        assert run.returncode == 0, run.stderr
        self.address = inspect(self.name, "{{.NetworkSettings.IPAddress}}")
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self._watch)
        self.watcher.start()

    def in_service(self) -> bool:
        """Whether some node may still send requests here."""
        return self.ready and time.monotonic() < self.leaves_at

    def end(self) -> None:
        """Do what follows its deletion: while it leaves the Service it runs its preStop, then it is told to stop."""
        began = time.monotonic()
        self.leaves_at = began + LAG_SECONDS
        self.over.set()
        self.watcher.join()
        hook = self.container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        if hook:
            assert docker("exec", self.name, *hook).returncode == 0
        docker("kill", "--signal=TERM", self.name)
        try:
            left = began + self.grace - time.monotonic()
            subprocess.run(["docker", "wait", self.name], timeout=left, capture_output=True, check=True)
        except subprocess.TimeoutExpired:
            self.killed = "it had not ended when its grace was over"
            docker("kill", self.name)

    def remove(self) -> None:
        """Leave nothing of it."""
        self.over.set()
        self.watcher.join()
        docker("rm", "--force", self.name)

    def logged(self) -> str:
        logs = docker("logs", self.name)
        return logs.stdout + logs.stderr

    def _watch(self) -> None:
        """Probe as the manifest says: the other two probes begin when that of the start has succeeded."""
        probes = {kind: self.container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        for _ in range(probes["startup"]["failureThreshold"]):
            if self.over.is_set() or self._answers(probes["startup"]):
                break
            self.over.wait(probes["startup"]["periodSeconds"])
        else:
            self.killed = "it did not start in time"
        due, failed = dict.fromkeys(("readiness", "liveness"), 0.0), dict.fromkeys(("readiness", "liveness"), 0)
        while not self.over.is_set() and not self.killed:
            for kind in due:
                if time.monotonic() >= due[kind]:
                    due[kind] = time.monotonic() + probes[kind]["periodSeconds"]
                    failed[kind] = 0 if self._answers(probes[kind]) else failed[kind] + 1
            if failed["readiness"] in (0, probes["readiness"]["failureThreshold"]):
                self.ready = failed["readiness"] == 0
            if failed["liveness"] >= probes["liveness"]["failureThreshold"]:
                self.killed = "it did not answer its liveness probe"
            self.over.wait(0.1)

    def _answers(self, probe: Manifest) -> bool:
        connection = http.client.HTTPConnection(self.address, PORT, timeout=probe["timeoutSeconds"])
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Deployment:
    """The pods of a Deployment, behind a Service."""

    def __init__(self, spec: Manifest) -> None:
        self.spec = spec
        self.pods: list[Pod] = []
        self.ended: list[Pod] = []
        self.turn = itertools.count()
        self.connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> "Deployment":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.close()
        for pod in (*self.pods, *self.ended):
            pod.remove()

    def start(self, image: str, replicas: int) -> None:
        """Start the pods and wait until they are ready."""
        self.pods += [Pod(image, self.spec) for _ in range(replicas)]
        for pod in self.pods:
            wait_until_ready(pod)

    def update(self, image: str) -> None:
        """A rolling update with maxSurge 1 and maxUnavailable 0: one pod goes when its successor is ready."""
        ends: list[Future[None]] = []
        with ThreadPoolExecutor() as pool:
            for old in list(self.pods):
                new = Pod(image, self.spec)
                self.pods.append(new)
                wait_until_ready(new)
                self.pods.remove(old)
                self.ended.append(old)
                ends.append(pool.submit(old.end))
        for end in ends:
            end.result()

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the Service, which one pod after the other gets."""
        known = [pod.address for pod in (*self.pods, *self.ended) if pod.in_service()]
        assert known, "no pod is ready"
        self.connections.append(http.client.HTTPConnection(known[next(self.turn) % len(known)], PORT, timeout=70))
        return self.connections[-1]

    def client(self, body: bytes, keep: bool) -> Callable[[], int]:
        """Sends requests to the Service, over one connection while the server lets it, or each over its own."""
        kept: list[http.client.HTTPConnection] = []

        def send() -> int:
            time.sleep(0.01)  # so that a kept connection is idle at times, as clients' are
            connection = kept.pop() if kept else self.connect()
            connection.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
            answer = connection.getresponse()
            answer.read()
            if keep and not answer.will_close:
                kept.append(connection)
            else:
                connection.close()
            return answer.status

        return send


def wait_until_ready(pod: Pod) -> None:
    deadline = time.monotonic() + 120
    while not pod.ready:
        assert not pod.killed, f"{pod.killed}: {pod.logged()}"
        assert time.monotonic() < deadline, pod.logged()
        time.sleep(0.05)
