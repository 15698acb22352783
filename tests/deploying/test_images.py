"""Which image is deployed: a tag is resolved to its digest, and what SageMaker could not run is refused."""

import json

import pytest

from deploying import ACCOUNT, DEPLOY, Deploy, last_line, sentence
from rehearsal import registry
from rehearsal.simulator import Simulator

REPOSITORY = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/churn"
DIGEST = f"sha256:{'7' * 64}"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


def tags(request: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


def test_a_tag_in_ecr_is_deployed_by_its_digest_and_tagged_so(platform: Simulator, deploy: Deploy) -> None:
    """E-14: a tag that is moved later does not change the endpoint."""
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}")
    ended = deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1")
    assert last_line(ended)
    model = platform.request("CreateModel")
    assert model["PrimaryContainer"]["Image"] == f"{REPOSITORY}@{DIGEST}"
    assert tags(model)["image"] == tags(platform.request("CreateEndpoint"))["image"].replace(":v1", "")
    assert DIGEST in tags(platform.request("CreateEndpointConfig"))["image"]
    assert "is a tag" not in ended.stderr


def test_an_address_without_tag_or_digest_means_latest(platform: Simulator, deploy: Deploy) -> None:
    registry.push(platform, f"{REPOSITORY}:latest@{DIGEST}")
    last_line(deploy(*DEPLOY, "--image", REPOSITORY))
    assert platform.request("CreateModel")["PrimaryContainer"]["Image"] == f"{REPOSITORY}@{DIGEST}"


@pytest.mark.parametrize("image", [f"{REPOSITORY}:v2", f"{REPOSITORY}@sha256:{'8' * 64}", f"{REPOSITORY}s:v1"])
def test_an_image_that_is_not_in_ecr_is_refused(platform: Simulator, deploy: Deploy, image: str) -> None:
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}")
    assert sentence(deploy(*DEPLOY, "--image", image)) == (
        f"ECR has no image '{image}': push it with container/build_and_push.sh, whose last line is its address."
    )
    assert platform.operations() == []


@pytest.mark.parametrize(("media_type", "said"), [(LIST, "a list of images"), (OCI, f"of the type {OCI}")])
def test_a_list_of_images_and_another_form_are_refused(
    platform: Simulator, deploy: Deploy, media_type: str, said: str
) -> None:
    """E-07: CreateModel takes one image in Docker's own form."""
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}", media_type=media_type)
    assert sentence(deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1")) == (
        f"'{REPOSITORY}:v1' is {said}, which SageMaker does not host: push it with container/build_and_push.sh."
    )


@pytest.mark.parametrize(
    ("architecture", "instance", "flags"),
    [("arm64", "ml.m5.large", ()), ("amd64", "ml.c7g.large", ()), ("arm64", "ml.c7g.large", ("--serverless",))],
)
def test_an_image_of_another_architecture_is_refused(
    platform: Simulator, deploy: Deploy, architecture: str, instance: str, flags: tuple[str, ...]
) -> None:
    """P-56: it would end in "exec format error" on each instance, minutes later."""
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}", architecture=architecture)
    said = sentence(deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1", "--instance-type", instance, *flags))
    wanted = {"arm64": "amd64", "amd64": "arm64"}[architecture]
    assert said == (
        f"'{REPOSITORY}:v1' is built for {architecture}, and the instances are {wanted}: "
        f"build it with `--platform linux/{wanted}`."
    )
    assert platform.operations() == []


def test_a_graviton_instance_takes_an_image_for_arm(platform: Simulator, deploy: Deploy) -> None:
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}", architecture="arm64")
    last_line(deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1", "--instance-type", "ml.m6gd.large"))


def test_an_image_of_another_region_is_refused(platform: Simulator, deploy: Deploy) -> None:
    image = f"{REPOSITORY}:v1".replace("us-west-2", "eu-west-1")
    assert sentence(deploy(*DEPLOY, "--image", image)) == (
        "The image is in eu-west-1, and this is us-west-2: push it there, or give --region eu-west-1."  # E-06
    )


def test_who_may_not_read_ecr_deploys_the_tag_with_a_warning(platform: Simulator, deploy: Deploy) -> None:
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}")
    platform.denied.add("ecr:BatchGetImage")
    ended = deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1")
    assert last_line(ended)
    assert f"'{REPOSITORY}:v1' is a tag" in ended.stderr
    assert platform.request("CreateModel")["PrimaryContainer"]["Image"] == f"{REPOSITORY}:v1"


def test_who_may_not_read_the_parts_of_an_image_deploys_it_all_the_same(platform: Simulator, deploy: Deploy) -> None:
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}", architecture="arm64")
    platform.denied.add("ecr:GetDownloadUrlForLayer")
    last_line(deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1"))


def test_a_dry_run_shows_the_digest(platform: Simulator, deploy: Deploy) -> None:
    registry.push(platform, f"{REPOSITORY}:v1@{DIGEST}")
    [model, *_] = json.loads(deploy(*DEPLOY, "--image", f"{REPOSITORY}:v1", "--dry-run").stdout)
    assert model["CreateModel"]["PrimaryContainer"]["Image"].endswith(DIGEST)
