"""``build_and_push.py inspect`` and ``pull``, and the labels that both scripts read back, against a real registry."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_ecr import ECRClient

from answering import Handler, served
from publishing import Script, committed, path_without
from registry import (
    BUSY,
    CUT,
    DOCKER_SCHEMA_2,
    FAULTY_REGION,
    NOT_ALLOWED,
    PASSWORD,
    Refusal,
    Registry,
    as_oci,
    forward,
    gate,
    host,
    in_the_way,
    password_line,
    refusing,
)

# Of the two scripts only this one has these options.
pytestmark = pytest.mark.parametrize("script", ["build_and_push.py"], indirect=True)

HERE = host("us-west-2")
VERSION, REVISION = "org.opencontainers.image.version", "org.opencontainers.image.revision"


@pytest.fixture
def user(publish: Script, registry: Registry) -> Iterator[Script]:
    """Each script, where AWS and the registry are within reach. What is run is no case of both scripts' table."""
    publish.environment["AWS_CA_BUNDLE"] = str(registry.directory / "tls.crt")
    yield publish
    publish.runs.clear()


def push(user: Script, project: Path, name: str, *tags: str) -> str:
    """Push what ``project`` has now and return its digest."""
    options = [option for tag in tags for option in ("--tag", tag)]
    return user(project, "--name", name, *options).reference.partition("@")[2]


class Aws:
    """ECR's list of images. moto's does not know what the registry holds, so it is told."""

    def __init__(self, registry: Registry, name: str, region: str = "us-west-2") -> None:
        self.ecr: ECRClient = boto3.client(
            "ecr", region, endpoint_url=registry.aws, aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        self.registry, self.name = registry, name

    def learn(self, *references: str) -> None:
        """Learn of all tags, or of some; of a digest, as an image without a tag."""
        for reference in references or self.registry.tag_names(self.name):
            body, media_type = self.registry.fetch(f"{self.name}/manifests/{reference}")
            tag: dict[str, Any] = {} if ":" in reference else {"imageTag": reference}
            self.ecr.put_image(
                repositoryName=self.name,
                imageManifest=body.decode(),
                imageManifestMediaType=media_type,
                imageDigest=f"sha256:{hashlib.sha256(body).hexdigest()}",
                **tag,
            )


# inspect


def test_inspect_tells_what_is_in_the_registry(user: Script, registry: Registry, small: Path, name: str) -> None:
    """E-04, E-14: all of it, for programs."""
    commit = committed(small)
    digest = push(user, small, name, "1.0")
    aws = Aws(registry, name)
    aws.learn()
    run = user(small, "inspect", "--name", name, "--json")
    [about] = json.loads(run.reference)
    pushed = datetime.fromisoformat(about.pop("pushed"))
    assert pushed == aws.ecr.describe_images(repositoryName=name)["imageDetails"][0]["imagePushedAt"]
    assert sorted(about.pop("tags")) == sorted(["1.0", commit[:12]])
    assert about.pop("reference") == f"{HERE}/{name}@{digest}"
    assert about == registry.about(name, "1.0")
    assert (about["media_type"], about["platform"]) == (DOCKER_SCHEMA_2, "linux/amd64")
    assert (about["labels"][VERSION], about["labels"][REVISION]) == ("0.1.0", commit)


@pytest.mark.slow
def test_inspect_prints_a_table_the_newest_first_with_images_that_lost_their_tag(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-13: they are kept for a year, and can be deployed. ECR gives a long list page by page."""
    commit = committed(small)
    options = ["--name", name, "--tag", "1.0"]
    first = push(user, small, name, "1.0")
    (small / "container/program/new.py").touch()
    second = push(user, small, name, "1.0")
    Aws(registry, name).learn(first, "1.0")
    with one_a_page(registry.aws) as aws:
        run = user(small, "inspect", *options[:2], AWS_ENDPOINT_URL=aws)
    lines = run.stdout.splitlines()
    assert [re.split(" {2,}", re.sub(r"\d\.\d MB", "... MB", line)) for line in lines] == [
        ["PUSHED", "TAGS", "PLATFORM", "SIZE", "VERSION", "REVISION", "DIGEST"],
        ["2026-02-01 00:00Z", "1.0", "linux/amd64", "... MB", "0.1.0", f"{commit[:12]}-dirty", second],
        ["2026-01-01 00:00Z", "-", "linux/amd64", "... MB", "0.1.0", commit[:12], first],
    ]
    assert {lines[0].index("DIGEST")} == {line.index("sha256:") for line in lines[1:]}


@contextmanager
def one_a_page(aws: str) -> Iterator[str]:
    """Stand before moto and give its list of images one a page, as if each was pushed a month after the last."""

    class Pages(Handler):
        def do_POST(self) -> None:
            body = self.body()
            status, answer = forward(aws + self.path, body, dict(self.headers))
            if self.headers.get("X-Amz-Target", "").endswith(".DescribeImages"):
                images, number = json.loads(answer)["imageDetails"], int(json.loads(body).get("nextToken", 0))
                pushed = datetime.fromisoformat(f"2026-{number + 1:02d}-01T00:00:00+00:00").timestamp()
                more = {"nextToken": str(number + 1)} if number + 1 < len(images) else {}
                answer = json.dumps({"imageDetails": [images[number] | {"imagePushedAt": pushed}], **more}).encode()
            self.answer(status, answer)

    with served(Pages) as address:
        yield address


def test_inspect_looks_for_one_image_by_tag_or_by_digest(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    first = push(user, small, name, "1")
    (small / "container/program/new.py").touch()
    second = push(user, small, name, "2")
    Aws(registry, name).learn()
    for wanted, digest in (("1", first), (second, second)):
        assert [image["digest"] for image in seen(user, small, name, wanted)] == [digest]
    error = user(small, "inspect", "3", "--name", name).error
    assert error == f"{HERE}/{name} has no image 3: 'inspect' lists its images"


def seen(user: Script, project: Path, name: str, *options: str) -> list[dict[str, Any]]:
    """What `inspect` tells to programs."""
    images: list[dict[str, Any]] = json.loads(user(project, "inspect", *options, "--name", name, "--json").reference)
    return images


@pytest.mark.slow
def test_inspect_shows_the_platforms_of_a_list_of_images(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    """P-56: and leaves out what a builder says of its build, which has no platform."""
    parts = []
    for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64")):
        for_platform(small, platform)
        assert user(small, "--name", name, "--tag", tag, "--platform", platform).reference
        parts.append(as_part(registry, name, tag, {}))
    parts.append(as_part(registry, name, "a", {"config": {"mediaType": "application/vnd.in-toto+json"}}))
    index = "application/vnd.oci.image.index.v1+json"
    registry.put_manifest(name, "both", index, {"schemaVersion": 2, "mediaType": index, "manifests": parts})
    Aws(registry, name).learn("both", "b")
    images = {image["tags"][0]: image for image in seen(user, small, name)}
    assert images["both"]["platform"] == "linux/amd64,linux/arm64"
    assert images["both"]["size"] > images["b"]["size"] > 0
    assert images["both"]["labels"] == images["b"]["labels"] == {VERSION: "0.1.0"}
    assert images["both"]["media_type"] == index


def for_platform(project: Path, platform: str) -> None:
    """Have files of its own for a platform: docker's old builder takes the other's from its cache."""
    file = platform.replace("/", "-")
    (project / "container/program" / file).touch()
    (project / "container/Dockerfile").write_text(f"FROM scratch\nCOPY program/{file} /\n")


def as_part(registry: Registry, name: str, tag: str, other: dict[str, Any]) -> dict[str, Any]:
    """Put an image as OCI has it, with ``other`` fields, and return how a list mentions it."""
    media_type, manifest = as_oci(json.loads(registry.fetch(f"{name}/manifests/{tag}")[0]))
    for key, value in other.items():
        manifest[key] |= value
    registry.put_manifest(name, f"part-of-{tag}", media_type, manifest)
    body, _ = registry.fetch(f"{name}/manifests/part-of-{tag}")
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(body).hexdigest()}", "size": len(body)}


def test_inspect_of_an_empty_repository_prints_an_empty_table(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    Aws(registry, name).ecr.create_repository(repositoryName=name)
    run = user(small, "inspect", "--name", name, "--quiet")
    assert (run.status, run.stdout.split()[0], run.stdout.count("\n"), run.stderr) == (0, "PUSHED", 1, "")
    assert seen(user, small, name) == []


def test_inspect_needs_no_docker_and_few_rights(
    user: Script, registry: Registry, small: Path, name: str, tmp_path: Path
) -> None:
    digest = push(user, small, name, "1")
    Aws(registry, name).learn()
    with gate(registry.aws) as aws:
        path = path_without("docker", user.path, tmp_path)
        run = user(small, "inspect", "--name", name, PATH=path, AWS_ENDPOINT_URL=aws.address)
    assert run.reference.endswith(digest)
    assert aws.asked == ["GetCallerIdentity", "DescribeRepositories", "DescribeImages", "GetAuthorizationToken"]


def test_a_store_that_the_registry_leads_to_does_not_get_the_password(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-10: ECR leads on to S3, which would also refuse a request that has it."""
    push(user, small, name, "1")
    asked = []

    class Store(Handler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            answer, _ = registry.fetch(self.path.removeprefix("/"))
            self.answer(200, answer)

    with served(Store) as address:

        def lead_on(method: str, path: str) -> Refusal | None:
            location = f"{address}/{path.removeprefix('/v2/')}"
            return Refusal(307, "", "", {"Location": location}) if "/blobs/" in path else None

        [image] = elsewhere(user, registry, small, name, lead_on)
    assert image["labels"] == {VERSION: "0.1.0"}
    assert ["Authorization" in headers for headers in asked] == [False]


def elsewhere(user: Script, registry: Registry, project: Path, name: str, fault: Any) -> list[dict[str, Any]]:
    """What `inspect` sees where ``fault`` stands in the registry's way."""
    aws = Aws(registry, name, FAULTY_REGION)
    aws.ecr.create_repository(repositoryName=name)
    aws.learn()
    with in_the_way(registry, fault):
        return seen(user, project, name, "--region", FAULTY_REGION)


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (
            Refusal(200, "", "another manifest"),
            "ask for the permissions ecr:BatchGetImage and ecr:GetDownloadUrlForLayer",
        ),
        (NOT_ALLOWED, "ask for the permissions ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"),
        (BUSY, "wait a minute and run this again"),
        (CUT, "check the network"),
    ],
    ids=["not what the digest says", "denied", "throttled", "cut"],
)
def test_a_registry_that_cannot_be_read_is_told_in_a_sentence(
    user: Script, registry: Registry, small: Path, name: str, refusal: Refusal, remedy: str
) -> None:
    push(user, small, name, "1")
    with pytest.raises(AssertionError):
        elsewhere(user, registry, small, name, refusing(refusal, method="GET"))
    error = user.runs[-1].error
    assert error.startswith(f"cannot read what is in {host(FAULTY_REGION)}/{name} (")
    assert error.endswith(f"): {remedy}")


def test_a_registry_that_is_out_of_reach_is_told(user: Script, registry: Registry, small: Path, name: str) -> None:
    push(user, small, name, "1")
    Aws(registry, name).learn()
    error = user(small, "inspect", "--name", name, https_proxy="http://127.0.0.1:9").error
    assert re.fullmatch(r"cannot read what is in .* \(.*refused.*\): check the network", error)


@pytest.mark.parametrize("verb", ["inspect", "pull"])
def test_a_verb_makes_no_repository(user: Script, registry: Registry, small: Path, name: str, verb: str) -> None:
    """E-11."""
    with gate(registry.aws) as aws:
        run = user(small, verb, "1", "--name", name, AWS_ENDPOINT_URL=aws.address)
    assert run.error == f"us-west-2 has no repository {name}: push an image first, or pass another --region"
    assert aws.asked == ["GetCallerIdentity", "DescribeRepositories"]


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("DescribeImages", r"cannot list the images of .*\): ask for the permission ecr:DescribeImages"),
        ("GetAuthorizationToken", r"cannot log in to .*\): ask for the permission ecr:GetAuthorizationToken"),
    ],
)
def test_a_right_that_inspect_lacks_is_named(
    user: Script, registry: Registry, small: Path, name: str, action: str, sentence: str
) -> None:
    Aws(registry, name).ecr.create_repository(repositoryName=name)
    with gate(registry.aws, **{action: "AccessDeniedException"}) as aws:
        run = user(small, "inspect", "--name", name, AWS_ENDPOINT_URL=aws.address)
    assert re.fullmatch(sentence, run.error)


def test_a_verb_refuses_what_can_name_no_image_and_explains_itself(user: Script, small: Path) -> None:
    assert user(small, "pull", "a/b").error.startswith("'a/b' cannot be a tag: use at most 128 of ")
    assert (user(small, "pull").status, user(small, "pull", "1", "2").status) == (2, 2)
    assert (user(small, "inspect", "--tag", "1").status, user(small, "look").status) == (2, 2)
    for verb in ("inspect", "pull"):
        assert f"'{verb}'" in user(small, "--help").stdout
        told = user(small, verb, "--help").stdout
        assert told.startswith(f"usage: build_and_push.py {verb} [-h] ")
        assert all(word in told for word in ("IMAGE", "--name", "--region", "--profile", "--account", "--quiet"))


# pull


def forget(*references: str, layers: bool = False) -> None:
    """Remove images; their layers too, where no other test builds on them."""
    keep = [] if layers else ["--no-prune"]
    subprocess.run(["docker", "image", "rm", "--force", *keep, *references], check=True, capture_output=True)


def known(reference: str) -> str:
    """The id under which docker knows an image, if it does."""
    ask = ["docker", "image", "inspect", "--format", "{{.Id}}", reference]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()


def test_pull_gets_an_image_by_tag_or_by_digest(user: Script, registry: Registry, small: Path, name: str) -> None:
    """E-10, E-14: an image whose tag has moved can be had, too."""
    first = push(user, small, name, "1")
    (small / "container/program/new.py").touch()
    second = push(user, small, name, "1")
    forget(f"{HERE}/{name}:1", f"{HERE}/{name}@{first}", f"{HERE}/{name}@{second}")
    for wanted, digest in (("1", second), (first, first)):
        run = user(small, "pull", wanted, "--name", name)
        assert run.stdout == f"{HERE}/{name}@{digest}\n"
        configuration = json.loads(registry.fetch(f"{name}/manifests/{digest}")[0])["config"]["digest"]
        assert known(run.reference) in (configuration, digest)
        assert not [text for text in (run.stdout, run.stderr, *run.commands) if PASSWORD in text]
    assert known(f"{HERE}/{name}:1") == known(f"{HERE}/{name}@{second}") != known(f"{HERE}/{name}@{first}")
    assert not list(user.scratch.iterdir()), "the folder with the password should be gone"


def test_pull_of_an_image_that_is_not_there_is_told(user: Script, registry: Registry, small: Path, name: str) -> None:
    push(user, small, name, "1")
    run = user(small, "pull", "2", "--name", name)
    remedy = "list the images with 'inspect', or ask for the permission ecr:BatchGetImage"
    assert run.error == f"cannot find 2 in {HERE}/{name} (HTTP Error 404: Not Found): {remedy}"
    assert not [command for command in run.commands if " pull " in command]


def test_pull_tells_of_another_platform(user: Script, registry: Registry, small: Path, name: str) -> None:
    """P-56."""
    for_platform(small, "linux/arm64")
    assert user(small, "--name", name, "--tag", "1", "--platform", "linux/arm64").reference
    forget(f"{HERE}/{name}:1")
    error = user(small, "pull", "1", "--name", name).error
    assert error == "the image is for linux/arm64: pass --platform, or pull an image for linux/amd64"
    assert user(small, "pull", "1", "--name", name, "--platform", "linux/arm64").reference


def test_a_pull_that_is_cut_off_is_told(user: Script, registry: Registry, small: Path, name: str) -> None:
    # The layer must be one that docker does not have: BuildKit would keep it after its image is removed.
    user.environment["DOCKER_BUILDKIT"] = "0"
    (small / "container/program/new.py").write_text(name)
    digest = push(user, small, name, "1")
    forget(f"{HERE}/{name}:1", f"{HERE}/{name}@{digest}", layers=True)
    Aws(registry, name, FAULTY_REGION).ecr.create_repository(repositoryName=name)
    layer = json.loads(registry.fetch(f"{name}/manifests/1")[0])["layers"][-1]["digest"]
    with in_the_way(registry, refusing(NOT_ALLOWED, method="GET", part=layer)):
        run = user(small, "pull", "1", "--name", name, "--region", FAULTY_REGION)
    assert re.fullmatch(r"the pull failed \(.*\): run this again, and only what is missing is fetched", run.error)


@pytest.mark.parametrize("verb", ["inspect", "pull"])
def test_a_verb_tells_of_a_wrong_password(user: Script, registry: Registry, small: Path, name: str, verb: str) -> None:
    """E-10."""
    push(user, small, name, "1")
    Aws(registry, name).learn()
    with registry.passwords_put_back() as passwords:
        passwords.write_text(password_line("another"))
        error = user(small, verb, "1", "--name", name).error
    assert re.fullmatch(r"cannot .* \(HTTP Error 401: Unauthorized\): .*", error)


# What both scripts read back


def test_labels_are_read_from_the_registry_where_the_image_is_not_on_this_machine(
    user: Script, registry: Registry, small: Path, name: str
) -> None:
    """E-07, E-10."""
    (small / "container" / "Dockerfile").write_text(
        'FROM scratch\nCOPY program /opt/program\nLABEL a="{\\"b\\": 1}" c="ü,"\n'
    )
    commit = committed(small)
    digest = push(user, small, name, "1")
    forget(f"{HERE}/{name}:1", f"{HERE}/{name}:{commit[:12]}", f"{HERE}/{name}@{digest}")
    run = user(small, "--name", name, "--tag", "1", "--verify", "--json")
    about = json.loads(run.reference)
    assert about["labels"] == registry.configuration(name, "1")["config"]["Labels"]
    assert (about["labels"]["a"], about["labels"]["c"], about["labels"][REVISION]) == ('{"b": 1}', "ü,", commit)
    assert not known(f"{HERE}/{name}@{digest}"), "it should not be pulled for that"
    assert not [text for text in (run.stdout, run.stderr, *run.commands) if PASSWORD in text]


def test_labels_that_cannot_be_read_are_told(user: Script, registry: Registry, small: Path, name: str) -> None:
    """After docker's look at the configuration, which goes before."""
    push(user, small, name, "1")
    Aws(registry, name, FAULTY_REGION).ecr.create_repository(repositoryName=name)
    answers = iter([None])

    def fault(method: str, path: str) -> Refusal | None:
        return next(answers, NOT_ALLOWED) if "/blobs/" in path else None

    with in_the_way(registry, fault):
        run = user(small, "--name", name, "--tag", "1", "--region", FAULTY_REGION, "--verify", "--json")
    assert re.fullmatch(
        r"cannot read the labels of .*@sha256:[0-9a-f]{64} \(.*403.*\): ask for the permissions in .*", run.error
    )
