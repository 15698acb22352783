"""Template: docker's client for one repository: logs in, pushes, and reads back what the registry has."""

import base64
import hashlib
import json
import logging
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, CalledProcessError
from typing import TYPE_CHECKING, Any, NamedTuple

from publishing.commands import AWS_ERRORS, LOG, ask_docker, fail, failing, one_line, openly, quietly
from publishing.ecr import token_of

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

DOCKER_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"


class Image(NamedTuple):
    """What is published: the image for a platform, or the list of those for several."""

    platform: str
    tags: list[str]
    caches: list[str]  # the tags that may stay unchanged if the registry does not let them be moved
    id: str = ""  # of a list: the digests of its images, unknown with --verify

    @property
    def is_list(self) -> bool:
        """Whether it is for several platforms."""
        return "," in self.platform

    def by_platform(self) -> list["Image"]:
        """Return the image for each platform. Each of several has its own tags, besides those of the list."""
        if not self.is_list:
            return [self]
        platforms = self.platform.split(",")
        return [Image(one, with_suffix(one, self.tags), with_suffix(one, self.caches)) for one in platforms]


def with_suffix(platform: str, tags: list[str]) -> list[str]:
    """Return ``tags`` with the platform, if there are several."""
    return [f"{tag}-{platform.partition('/')[2].replace('/', '-')}" for tag in tags]


class Served(NamedTuple):
    """What the registry has under a tag. A list is known by its images."""

    media_type: str
    digest: str
    platform: str
    image: str
    size: int

    def is_image(self, image: str) -> bool:
        """Return whether docker calls this ``image``, by the digest of its configuration or of its manifest."""
        return image in ("", self.image, self.digest)


def link(name: Path, target: Path) -> None:
    """Make ``name`` a link to ``target``, or a copy where links are not allowed, as on Windows."""
    try:
        name.symlink_to(target)
    except OSError:
        (shutil.copytree if target.is_dir() else shutil.copy)(target, name)


class Registry:
    """The registry with the repository ``uri``, and docker's client for it, whose configuration is in ``config``."""

    def __init__(self, uri: str, config: Path, ecr: "ECRClient | None", username: str | None) -> None:
        self.uri, self.host, self.config, self.ecr, self.username = uri, uri.partition("/")[0], config, ecr, username
        self.refusal, self.rights = "not authorized", "ask for the permissions in push-policy.json"
        if not ecr:
            self.refusal = "denied|[Uu]nauth|Forbidden|no basic auth|name unknown"
            self.rights = f"log in with 'docker login {self.host}' as a user who can push there"

    def configure(self) -> None:
        """Give docker its own configuration, and log in if it needs a password.

        Neither a password (E-10) nor docker's draft of a list may stay in ~/.docker. So this is a copy of the user's
        configuration, with its engine, plugins, proxies and passwords. The password for ``host`` is kept in its file,
        not in a keychain, because the name of the helper is empty.
        """
        own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker").absolute()
        os.environ["DOCKER_CONFIG"] = str(self.config)
        self.config.mkdir()
        for file in own.iterdir() if own.is_dir() else ():
            if file.name == "config.json":
                shutil.copy(file, self.config)
            elif file.name != "manifests":
                link(self.config / file.name, file)
        if not (self.ecr or self.username):
            return
        file, settings = self.config / "config.json", dict[str, Any]()
        with suppress(OSError, ValueError, TypeError):  # docker itself warns of what it cannot read
            settings |= json.loads(file.read_text(encoding="utf-8"))
        key = "https://index.docker.io/v1/" if self.host == "docker.io" else self.host
        settings["credHelpers"] = {**(settings.get("credHelpers") or {}), key: ""}
        file.write_text(json.dumps(settings), encoding="utf-8")
        LOG.info(f"Logging in to {self.host}")
        remedy = "ask for the permission ecr:GetAuthorizationToken" if self.ecr else "check the user and the password"
        with failing(f"cannot log in to {self.host}", remedy, "region exists" if self.ecr else "address is right"):
            self.log_in()

    def log_in(self) -> None:
        """Log in, to ECR for twelve hours."""
        user, password = self.username or "", None
        if self.ecr:
            user, _, password = base64.b64decode(token_of(self.ecr)).decode().partition(":")
        quietly("docker", "login", "--username", user, "--password-stdin", self.host, stdin=password)

    def publish(self, image: Image, push: bool) -> tuple[Served, list[str]]:
        """Push ``image`` under its tags, unless it is only verified. Return what the registry has and under which tags.

        Ends with one sentence if a tag names another image.
        """
        tags = [tag for tag in image.tags if not push or self.push(tag, image)]
        LOG.info(f"Reading back {self.uri}")
        served = {tag: self.read_back(tag, image) for tag in tags}
        first = served[tags[0]]
        for tag, there in served.items():
            if not there.is_image(image.id) or there.digest != first.digest:
                fail(f"{self.uri}:{tag} is another image: someone else may have pushed it meanwhile")
        return first, tags

    def push(self, tag: str, image: Image) -> bool:
        """Push ``image`` as ``tag``, several times if the network or the registry fails. Return whether it is there."""
        address = f"{self.uri}:{tag}"
        LOG.info(f"Pushing {address}")
        for pause in (2, 4, 8, 0):
            try:
                self.send(address, image)
                return True
            except CalledProcessError as error:
                cause = one_line(error.stderr)
            if "immutable" in cause:
                return self.has_already(tag, image)
            if re.search(self.refusal, cause):
                fail(f"the push was refused ({cause}): {self.rights}")
            if not pause:
                fail(f"the push failed ({cause}): run this again, and only what is missing is sent")
            LOG.warning(f"the push failed ({cause}): trying again in {pause} seconds")
            time.sleep(pause)
            if self.ecr:
                with suppress(CalledProcessError, *AWS_ERRORS):
                    self.log_in()  # The token may have expired; if not, the next push says what is wrong.
        return False

    def send(self, address: str, image: Image) -> None:
        """Push ``image`` once."""
        if image.is_list:
            parts = [f"{self.uri}@{digest}" for digest in image.id.split()]
            openly("docker", "manifest", "create", "--amend", address, *parts, stderr=PIPE)
            openly("docker", "manifest", "push", address, stderr=PIPE)
        else:
            ask_docker("tag", f"{self.uri}:{image.tags[0]}", address)
            quiet = [] if LOG.isEnabledFor(logging.INFO) else ["--quiet"]
            openly("docker", "push", *quiet, address, stderr=PIPE)

    def has_already(self, tag: str, image: Image) -> bool:
        """Return whether ``tag``, which cannot be overwritten, already names ``image``: ECR refuses that push, too."""
        address = f"{self.uri}:{tag}"
        if self.read_back(tag, image).is_image(image.id):
            LOG.info(f"{address} is already there")
            return True
        if tag in image.caches and tag != image.tags[0]:
            LOG.warning(f"{address} may not be overwritten, so it stays as it is")
            return False
        fail(f"{address} is another image and may not be overwritten: pass another --tag")

    def inspect(self, address: str, *options: str) -> str:
        """Return what the registry has under ``address``."""
        with failing(f"cannot read {address} back", f"push it first, or {self.rights}"):
            return quietly("docker", "manifest", "inspect", *options, address)

    def read_back(self, tag: str, image: Image) -> Served:
        """Return what the registry has under ``tag``. Refuse what SageMaker would refuse (E-07)."""
        address = f"{self.uri}:{tag}"
        if image.is_list:
            return self.read_back_list(address, image)
        manifest = json.loads(self.inspect(address, "--verbose"))
        media_type = "a list of images" if isinstance(manifest, list) else manifest["Descriptor"]["mediaType"]
        if media_type != DOCKER_SCHEMA_2:
            fail(f"SageMaker does not accept {address} ({media_type}): build and push it with this script")
        about, parts = manifest["Descriptor"], manifest["SchemaV2Manifest"]
        size = sum(part["size"] for part in (parts["config"], *parts["layers"]))
        platform = "{os}/{architecture}".format(**about["platform"])
        if not image.platform.startswith(platform):
            fail(f"{address} is for {platform}: pass --platform, or push an image for {image.platform}")
        return Served(media_type, about["digest"], platform, parts["config"]["digest"], size)

    def read_back_list(self, address: str, image: Image) -> Served:
        """Return the list that the registry has under ``address``."""
        shutil.rmtree(self.config / "manifests", ignore_errors=True)  # docker would show its draft instead
        found = self.inspect(address)
        manifest, digest = json.loads(found), f"sha256:{hashlib.sha256(found.encode()).hexdigest()}"
        identity = " ".join(sorted(part["digest"] for part in manifest.get("manifests", [])))
        served = Served(manifest["mediaType"], digest, image.platform, identity, 0)
        if served.is_image(image.id):
            self.inspect(f"{self.uri}@{digest}")  # docker prints a list again, so the registry must know this digest
        return served
