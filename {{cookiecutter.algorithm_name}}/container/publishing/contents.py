"""Template: what is in a repository of ECR: lists its images, and gets one."""

import hashlib
import json
import os
import re
import ssl
import tempfile
import urllib.request
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

from publishing import building
from publishing.commands import AWS_ERRORS, LOG, ask_docker, fail, failing, openly, platform_of
from publishing.ecr import find, token_of
from publishing.registry import DOCKER_SCHEMA_2, Registry, Served

if AWS_ERRORS:
    from botocore.httpsession import get_cert_path
if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageDetailTypeDef

DOCKER = f"{DOCKER_SCHEMA_2}, application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


class Contents:
    """What is in a repository, read with the registry's HTTP API, which needs no docker and has the labels."""

    def __init__(self, ecr: "ECRClient", uri: str) -> None:
        host, _, name = uri.partition("/")
        self.base = f"https://{host}/v2/{name}/"
        with failing(f"cannot log in to {host}", "ask for the permission ecr:GetAuthorizationToken"):
            self.token = token_of(ecr)
        self.tls = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True))

    def get(self, path: str) -> bytes:
        """Return what is at ``path``."""
        request = urllib.request.Request(self.base + path, headers={"Accept": f"{DOCKER}, {OCI}"})
        # Not sent to S3, to which ECR redirects.
        request.add_unredirected_header("Authorization", f"Basic {self.token}")
        with urllib.request.urlopen(request, timeout=60, context=self.tls) as answer:
            return bytes(answer.read())

    def image(self, reference: str) -> tuple[Served, dict[str, str] | None]:
        """Return what is there as ``reference``, a tag or a digest, and its labels."""
        content = self.get(f"manifests/{reference}")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise ValueError(f"the registry sent {digest} instead")
        manifest: dict[str, Any] = json.loads(content)
        media_type = manifest.get("mediaType", "")
        if "manifests" in manifest:  # a list: everything in it except attestations of its images
            found = [self.image(part["digest"]) for part in manifest["manifests"]]
            images = [(served, labels) for served, labels in found if "unknown" not in served.platform]
            platform, size = ",".join(one.platform for one, _ in images), sum(one.size for one, _ in images)
            return Served(media_type, digest, platform, "", size), images[0][1] if images else None
        configuration = manifest["config"]
        about: dict[str, Any] = {}
        if "image" in configuration["mediaType"]:
            about = json.loads(self.get(f"blobs/{configuration['digest']}"))
        platform = f"{about['os']}/{about['architecture']}" if "os" in about else "unknown"
        size = sum(part["size"] for part in (configuration, *manifest["layers"]))
        labels = about.get("config", {}).get("Labels")
        return Served(media_type, digest, platform, configuration["digest"], size), labels


def inspect(given: Namespace) -> None:
    """List the images in the repository, the newest first."""
    ecr, uri = find(given)
    known = listed(ecr, uri, given.image)
    contents = Contents(ecr, uri)
    remedy = "ask for the permissions ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"
    with failing(f"cannot read what is in {uri}", remedy), ThreadPoolExecutor() as pool:
        images = list(pool.map(contents.image, [image["imageDigest"] for image in known]))
    rows = []
    for image, (served, labels) in zip(known, images, strict=True):
        about = {"reference": f"{uri}@{served.digest}", **served._asdict(), "tags": image.get("imageTags", [])}
        rows.append({**about, "labels": labels, "pushed": image["imagePushedAt"].astimezone(UTC).isoformat()})
    print(json.dumps(rows) if given.json else table(rows))


def listed(ecr: "ECRClient", uri: str, wanted: list[str]) -> list["ImageDetailTypeDef"]:
    """Return what only ECR knows: when each image was pushed, and which have lost their tag."""
    about: dict[str, Any] = {"registryId": uri.partition(".")[0], "repositoryName": uri.partition("/")[2]}  # E-04
    if wanted:
        about["imageIds"] = [{"imageDigest" if ":" in name else "imageTag": name} for name in wanted]
    with failing(f"cannot list the images of {uri}", "ask for the permission ecr:DescribeImages"):
        try:
            pages = list(ecr.get_paginator("describe_images").paginate(**about))
        except ecr.exceptions.ImageNotFoundException:
            fail(f"{uri} has no image {' or '.join(wanted)}: 'inspect' lists its images")
    found = [image for page in pages for image in page["imageDetails"]]
    return sorted(found, key=lambda image: image["imagePushedAt"], reverse=True)


def table(images: list[dict[str, Any]]) -> str:
    """Return a line for each image, with the labels that say what was built."""
    rows = [("PUSHED", "TAGS", "PLATFORM", "SIZE", "VERSION", "REVISION", "DIGEST")]
    for image in images:
        labels = image["labels"] or {}
        version, revision = (labels.get(building.LABEL + key, "-") for key in ("version", "revision"))
        commit = re.sub("([0-9a-f]{12})[0-9a-f]{28}", r"\1", revision)
        pushed, size = image["pushed"][:16].replace("T", " ") + "Z", f"{image['size'] / 1e6:,.1f} MB"
        tags = " ".join(image["tags"]) or "-"
        rows.append((pushed, tags, image["platform"], size, version, commit, image["digest"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def pull(given: Namespace) -> None:
    """Pull an image from the repository. The last line on stdout is its reference by digest; others go to stderr."""
    (wanted,) = given.image
    building.check_engine(given)
    ecr, uri = find(given)
    remedy = "list the images with 'inspect', or ask for the permission ecr:BatchGetImage"
    with failing(f"cannot find {wanted} in {uri}", remedy):
        served, _ = Contents(ecr, uri).image(wanted)
    reference = f"{uri}@{served.digest}"  # docker checks the image against it; the tag may move meanwhile
    with tempfile.TemporaryDirectory() as scratch:
        Registry(uri, Path(scratch, "docker"), ecr, None).configure()
        LOG.info(f"Pulling {reference}, {served.size // 1000} kB")
        with failing("the pull failed", "run this again, and only what is missing is fetched"):
            openly("docker", "pull", "--platform", given.platform, reference, stderr=PIPE)
        platform = platform_of(reference)
        if not given.platform.startswith(platform):
            fail(f"the image is for {platform}: pass --platform, or pull an image for {given.platform}")
        if wanted != served.digest:
            ask_docker("tag", reference, f"{uri}:{wanted}")
    print(reference)
