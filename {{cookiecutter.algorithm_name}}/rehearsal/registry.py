"""Template: what moto lacks of the registries: the parts of an image, and AWS's rules for a model package."""

import hashlib
import json
import re
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from werkzeug import Request, Response

from rehearsal.calls import Call, Known, Refusal
from rehearsal.simulator import Handler, Simulator

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
ADDRESS = re.compile(r"(\d+)\.dkr\.ecr\.[^/]+/([^:@]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]{64}))?")
BLOBS = "rehearsal-image-parts"


def push(simulator: Simulator, image: str, architecture: str = "amd64", media_type: str = DOCKER) -> None:
    """Put an image into ECR under the tag and the digest that its address has."""
    matched = ADDRESS.fullmatch(image)
    assert matched
    _, repository, tag, digest = matched.groups()
    ecr = simulator.client("ecr")
    if repository not in [each["repositoryName"] for each in ecr.describe_repositories()["repositories"]]:
        ecr.create_repository(repositoryName=repository)
    manifest: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, "config": {"digest": _part(architecture)}}
    if "list" in media_type or "index" in media_type:
        manifest = {"schemaVersion": 2, "mediaType": media_type, "manifests": []}
    own = {"imageDigest": digest} if digest else {}
    manifest["layers"] = [{"digest": f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"}]
    ecr.put_image(
        repositoryName=repository,
        imageManifest=json.dumps(manifest),
        imageManifestMediaType=media_type,
        imageTag=tag or "latest",
        **own,
    )
    blob = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    with suppress(ClientError):  # it is there already
        simulator.s3.create_bucket(Bucket=BLOBS, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    simulator.s3.put_object(Bucket=BLOBS, Key=_part(architecture), Body=blob)


def layer_address(simulator: Simulator, request: Request, body: bytes) -> Response | None:
    """The answer to ECR's GetDownloadUrlForLayer; None for any other request."""
    if not request.headers.get("X-Amz-Target", "").endswith("_V20150921.GetDownloadUrlForLayer"):
        return None
    part = json.loads(body)["layerDigest"]
    address = simulator.s3.generate_presigned_url("get_object", Params={"Bucket": BLOBS, "Key": part})
    return Response(json.dumps({"downloadUrl": address, "layerDigest": part}))


def create_package(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateModelPackage: a version has the tags of its group and none of its own."""
    if call.request.get("ModelPackageGroupName") and call.request.get("Tags"):
        raise Refusal("ValidationException", "Tags are not supported for versioned model packages.")
    return known()


def _part(architecture: str) -> str:
    return f"sha256:{architecture.encode().hex():0>64}"


HANDLERS: dict[str, Handler] = {"CreateModelPackage": create_package}
