"""Template: which image in ECR an address means, by its digest, and whether SageMaker can run it."""

import json
import re
from typing import Any
from urllib.request import urlopen

from botocore.exceptions import ClientError

from deploy.context import Context
from deploy.errors import DeployError
from deploy.waiting import print_progress

_IN_ECR = re.compile(r"((\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[a-z0-9.-]+/([^:@]+))[:@]?(.*)")
_DOCKER, _OCI = "application/vnd.docker.distribution.manifest", "application/vnd.oci.image"
_FORMS = [f"{_DOCKER}.v2+json", f"{_DOCKER}.list.v2+json", f"{_OCI}.manifest.v1+json", f"{_OCI}.index.v1+json"]
_PUSH = "push it with container/build_and_push.sh"


def pinned(context: Context, image: str) -> str:
    """The address by digest: SageMaker pulls again whenever it adds instances, and a tag may have moved (E-14).

    Raises ``DeployError`` for an image that is not there, or that SageMaker would refuse or could not run. An image in
    another registry, or one that the caller may not look at, is returned as it is.
    """
    address = _IN_ECR.fullmatch(image)
    found = _find(context, *address.groups()[1:]) if address else None
    if address and found is not None:
        if not found:
            raise DeployError(f"ECR has no image '{image}': {_PUSH}, whose last line is its address.")
        if fault := _fault(context, found[0]):
            raise DeployError(f"'{image}' is {fault}.")
        return f"{address[1]}@{found[0]['imageId']['imageDigest']}"
    if "@sha256:" not in image:
        print_progress(f"'{image}' is a tag: if it is moved, new instances get another image. Give the digest instead.")
    return image


def _find(context: Context, account: str, region: str, repository: str, reference: str) -> Any:
    """The images that ECR has under the address, one or none; None if the caller may not look."""
    here = context.session.region_name
    if region != here:  # SageMaker pulls from its own region alone (E-06)
        raise DeployError(f"The image is in {region}, and this is {here}: push it there, or give --region {region}.")
    wanted = {"imageDigest": reference} if reference.startswith("sha256:") else {"imageTag": reference or "latest"}
    request = {"registryId": account, "repositoryName": repository, "imageIds": [wanted], "acceptedMediaTypes": _FORMS}
    try:
        return context.call("BatchGetImage", request, "ecr")["images"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.startswith("AccessDenied"):
            return None
        if code == "RepositoryNotFoundException":
            return []
        raise


def _fault(context: Context, found: Any) -> str:
    """Why SageMaker cannot run it: it hosts one image in Docker's form (E-07), for its instances (P-56)."""
    manifest, settings = json.loads(found["imageManifest"]), context.settings
    form = found.get("imageManifestMediaType") or manifest.get("mediaType", _FORMS[0])
    if form != _FORMS[0]:
        what = "a list of images" if form in _FORMS[1::2] else f"of the type {form}"
        return f"{what}, which SageMaker does not host: {_PUSH}"
    graviton = settings.inference != "serverless" and re.match(r"ml\.[a-z]+\d+g[dn]?\.", settings.instance_type)
    wanted, built = "arm64" if graviton else "amd64", _architecture(context, found, manifest)
    if built in (wanted, ""):
        return ""
    return f"built for {built}, and the instances are {wanted}: build it with `--platform linux/{wanted}`"


def _architecture(context: Context, found: Any, manifest: Any) -> str:
    """What the image's own configuration says; empty if the caller may not read it."""
    part = {name: found[name] for name in ("registryId", "repositoryName")}
    try:
        part["layerDigest"] = manifest["config"]["digest"]
        with urlopen(context.call("GetDownloadUrlForLayer", part, "ecr")["downloadUrl"], timeout=20) as configuration:
            return str(json.load(configuration)["architecture"])
    except (ClientError, OSError, ValueError, LookupError):
        return ""
