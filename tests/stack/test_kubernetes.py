"""The manifest for Kubernetes: schemas of its releases, and a pod as it describes one, run by Docker."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pods import Deployment, Manifest, Pod, objects, options, pod_of
from programs import docker, inspect, lay_out, train_here
from projects import IMAGES
from traffic import repeating

KINDS = ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
RELEASES = [f"1.{minor}" for minor in range(26, 38)]
SEEN = """
import os
from contract import resources
body, _ = resources.largest_body(resources.workers())
print(resources.cpus(), int(resources.memory() // 2**20), resources.workers(), body, resources.kind_of_tmp())
"""


@pytest.fixture
def manifest(project: Path) -> dict[str, Manifest]:
    return objects(project)


@pytest.fixture
def pod(project: Path) -> Manifest:
    return pod_of(project)


def with_model(project: Path, image: str, model: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Build the image with the model in it, as docs/kubernetes.md says."""
    file = f"--file={project / 'stack/kubernetes.Dockerfile'}"
    return docker("build", f"--build-arg=IMAGE={image}", f"--tag={IMAGES}:{tag}", file, str(model))


@pytest.fixture(scope="module")
def releases(image: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two images with models, whose files only the one who trained them may read."""
    for number in (1, 2):
        tree = lay_out(tmp_path_factory.mktemp("release"), project, {"n_estimators": 10 * number})
        assert train_here(project, tree).returncode == 0
        for path in (tree / "model").iterdir():
            path.chmod(0o600)
        built = with_model(project, image, tree / "model", f"release-{number}")
        assert built.returncode == 0, built.stderr
    return [f"{IMAGES}:release-{number}" for number in (1, 2)]


@pytest.fixture
def row(project: Path) -> bytes:
    return (project / "data/predict.csv").read_bytes().splitlines(keepends=True)[1]


@pytest.fixture
def deployment(pod: Manifest) -> Iterator[Deployment]:
    with Deployment(pod) as deployment:
        yield deployment


def checked(file: Path, release: str) -> subprocess.CompletedProcess[str]:
    """What the schemas of a release of Kubernetes say, with no field allowed that they do not know."""
    command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", "--kubernetes-version", release]
    return subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("release", RELEASES)
def test_each_object_is_one_that_the_release_knows(project: Path, release: str) -> None:
    done = checked(project / "stack/kubernetes.yaml", release)
    assert done.returncode == 0, done.stdout
    passed = [line.split()[5].partition("/")[0] for line in done.stdout.splitlines() if f"version {release}" in line]
    assert passed == [kind.lower() for kind in KINDS]


def test_a_misspelled_field_would_be_found(project: Path, tmp_path: Path) -> None:
    text = (project / "stack/kubernetes.yaml").read_text(encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    done = checked(tmp_path / "wrong.yaml", RELEASES[-1])
    assert done.returncode != 0
    assert "'readonlyRootFilesystem' was unexpected" in done.stdout


def test_the_objects_are_about_the_same_pods(manifest: dict[str, Manifest]) -> None:
    assert list(manifest) == KINDS
    deployment, service, budget, autoscaler = (manifest[kind]["spec"] for kind in KINDS)
    labels = deployment["template"]["metadata"]["labels"]
    [spread] = deployment["template"]["spec"]["topologySpreadConstraints"]
    chosen = [deployment["selector"], budget["selector"], spread["labelSelector"]]
    assert chosen == [{"matchLabels": labels}] * 3
    assert service["selector"] == labels
    name = manifest["Deployment"]["metadata"]["name"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    [container] = deployment["template"]["spec"]["containers"]
    [port], [published] = container["ports"], service["ports"]
    asked = {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")}
    assert asked == {published["targetPort"]} == {port["name"]}
    assert port["containerPort"] == 8080


def test_no_apply_takes_pods_away_and_no_update_or_drain_takes_them_all(manifest: dict[str, Manifest]) -> None:
    deployment = manifest["Deployment"]["spec"]
    assert "replicas" not in deployment, "the autoscaler's number would be lost"
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert manifest["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > 1
    assert manifest["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_a_pod_has_the_seconds_that_its_server_takes_to_stop(pod: Manifest) -> None:
    """P-22: 30 after SIGTERM; Kubernetes counts those of preStop too."""
    [container] = pod["containers"]
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["terminationGracePeriodSeconds"] == int(seconds) + 30


def test_a_pod_meets_the_standard_for_restricted_namespaces(pod: Manifest) -> None:
    """Kubernetes's Pod Security Standards; the pod has no token of the cluster either."""
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    assert pod.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"})
    assert [volume.keys() - {"name"} for volume in pod["volumes"]] == [{"emptyDir"}]


@pytest.mark.parametrize(
    ("cpu", "memory", "seen"), [("1", "1Gi", "1 1024 1 30 memory"), ("1500m", "512Mi", "2 512 2 12 memory")]
)
def test_the_server_sees_the_limits_of_its_pod(
    releases: list[str], pod: Manifest, cpu: str, memory: str, seen: str
) -> None:
    """P-50, P-51: CPUs, MiB, workers, the largest body in MiB, and what /tmp is made of."""
    mine = copy.deepcopy(pod)
    mine["containers"][0]["resources"]["limits"] = {"cpu": cpu, "memory": memory}
    done = docker("run", "--rm", *options(mine), releases[0], "python", "-c", SEEN)
    assert done.stdout.strip() == seen, done.stderr


def test_the_server_sees_the_limits_of_a_node_of_today(releases: list[str], pod: Manifest, tmp_path: Path) -> None:
    """P-50, P-51: the files of cgroup v2, which a pod finds there; this machine may have those of v1."""
    limits = {"cpu.max": "50000 100000\n", "memory.max": f"{3 * 2**30}\n", "cgroup.controllers": "cpu memory\n"}
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    tmp_path.chmod(0o755)
    mine = copy.deepcopy(pod)
    mine["containers"][0]["resources"]["limits"] = {"cpu": "2", "memory": "4Gi"}
    there = f"--volume={tmp_path}:/sys/fs/cgroup:ro"
    done = docker("run", "--rm", *options(mine), there, releases[0], "python", "-c", SEEN)
    assert done.stdout.strip() == "1 3072 1 94 memory", done.stderr


@pytest.mark.parametrize("user", ["10001:10001", "1000650000:0"], ids=["the manifest's", "one of OpenShift's"])
def test_a_pod_starts_as_any_user_and_answers(
    releases: list[str], pod: Manifest, deployment: Deployment, row: bytes, user: str
) -> None:
    """P-20, P-42: with a read-only root, no capabilities, and a model that only its maker could read."""
    mine = copy.deepcopy(pod)
    mine["securityContext"]["runAsUser"], mine["securityContext"]["runAsGroup"] = map(int, user.split(":"))
    deployment.spec = mine
    deployment.start(releases[0], replicas=1)
    [one] = deployment.pods
    assert deployment.client(row, keep=False)() == 200
    assert docker("exec", one.name, "sh", "-c", "echo $(id -u):$(id -g)").stdout.strip() == user
    assert docker("exec", one.name, "sh", "-c", "echo >/opt/ml/model/mine").returncode != 0


def test_a_rolling_update_loses_no_request(releases: list[str], deployment: Deployment, row: bytes) -> None:
    """P-22: though nodes send requests to a pod for some seconds after it was deleted."""
    first, second = releases
    deployment.start(first, replicas=2)
    clients = [deployment.client(row, keep=number % 2 == 0) for number in range(4)]
    with repeating(*clients) as traffic:
        traffic.wait(200)
        deployment.update(second)
        traffic.wait(200)
    assert traffic.lost() == []
    assert len(traffic.calls) > 400
    assert [pod.killed for pod in (*deployment.pods, *deployment.ended)] == [""] * 4
    assert [inspect(pod.name, "{{.State.ExitCode}}") for pod in deployment.ended] == ["0", "0"]
    assert all('"status":200' in pod.logged() for pod in deployment.pods), "the new pods answer now"


def test_a_pod_whose_model_cannot_be_loaded_gets_no_requests(
    releases: list[str], project: Path, pod: Manifest, tmp_path: Path
) -> None:
    """H-05, H-09: the reason is in its log, and the pods before it stay."""
    (tmp_path / "model.onnx").write_bytes(b"no model")
    broken = with_model(project, releases[0], tmp_path, "broken")
    assert broken.returncode == 0, broken.stderr
    bad = Pod(f"{IMAGES}:broken", pod)
    try:
        assert docker("wait", bad.name).stdout.strip() == "1"
        assert not bad.ready
        assert "The model cannot be loaded: " in bad.logged()
    finally:
        bad.remove()


def test_an_image_without_a_model_is_not_built(image: str, project: Path, tmp_path: Path) -> None:
    done = with_model(project, image, tmp_path, "empty")
    assert done.returncode != 0
    assert "There is no model in the folder given: train one first." in done.stdout + done.stderr
