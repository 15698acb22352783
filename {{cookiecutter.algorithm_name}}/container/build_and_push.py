#!/usr/bin/env python3
"""Template: build the image and push it to Amazon ECR, as build_and_push.sh does."""

import argparse
import base64
import hashlib
import json
import logging
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC
from http.client import HTTPException
from pathlib import Path
from subprocess import PIPE, CalledProcessError
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.error import HTTPError

try:
    import tomllib

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.httpsession import get_cert_path
except ImportError as error:
    sys.exit(f"error: Python has no {error.name}: run 'make setup' and use .venv/bin/python, or build_and_push.sh")
if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageDetailTypeDef

HERE = Path(__file__).resolve().parent
WORDS = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"(?=.{{2,256}}$){WORDS}(/{WORDS})*"  # E-01
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"  # E-03
DIGEST = "sha256:[0-9a-f]{64}"
# Untagged images go after a year, not sooner: an endpoint may have been deployed from one (E-13).
UNTAGGED = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 365}
LIFECYCLE = {"rules": [{"rulePriority": 1, "selection": UNTAGGED, "action": {"type": "expire"}}]}
DOCKER_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER = f"{DOCKER_SCHEMA_2}, application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
LABEL = "org.opencontainers.image."
REMEDY = "set DOCKER_BUILDKIT=0, or turn off the containerd image store in Docker"
RIGHTS = "the rights in push-policy.json"
ROOM = 1_000_000  # kB that the engine's disk should have
LOG = logging.getLogger("build_and_push")


def arguments() -> Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options]",
        allow_abbrev=False,
        description="Build the image, push it to Amazon ECR and read it back. The last line on stdout is the pushed"
        " image's reference by digest; all else goes to stderr.",
        epilog="In Python, 'inspect' or 'pull' as the first word shows what is in the registry, or gets it from there.",
    )
    add = parser.add_argument
    add("--name", metavar="NAME", help="repository (default: the name in pyproject.toml)")
    add("--tag", metavar="TAG", action="append", default=[], help="besides the git commit; may be repeated")
    add_place(parser)
    add("--immutable", action="store_true", help="create the repository so that no tag can be overwritten")
    add("--context", metavar="FOLDER", type=Path, default=HERE, help="(default: the folder of this script)")
    add("--file", metavar="FILE", help="(default: Dockerfile in that folder)")
    add("--target", metavar="STAGE", help="of the Dockerfile (default: the last)")
    add("--platform", metavar="PLATFORM", default="linux/amd64", help="(default: linux/amd64)")
    add("--build-arg", metavar="ARG=VALUE", action="append", default=[], help="may be repeated; no secrets")
    add("--cache-from", metavar="IMAGE", action="append", default=[], help="has layers to use; may be repeated")
    add("--no-cache", action="store_true", help="build every layer anew")
    add("--dry-run", action="store_true", help="change nothing: check, and say what would be done")
    add("--verify", action="store_true", help="change nothing: read back what the registry has")
    add("--quiet", action="store_true", help="say warnings and errors only")
    add("--json", action="store_true", help="print a JSON object in place of the reference")
    return parser.parse_args()


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which registry is meant."""
    add = parser.add_argument
    add("--region", metavar="REGION", help="(default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-west-2)")
    add("--profile", metavar="PROFILE", help="of the AWS configuration (default: AWS_PROFILE)")
    add("--account", metavar="ACCOUNT", help="whose registry it is (default: that of the credentials)")


# Commands, and what they complain of


def fail(sentence: str) -> NoReturn:
    """End with one sentence."""
    sys.exit(f"error: {sentence}")


@contextmanager
def failing(what: str, remedy: str) -> Iterator[None]:
    """End with one sentence where the step within fails; what docker or AWS complained of is part of it."""
    try:
        yield
    except CalledProcessError as error:
        cause = one_line(error.stderr)
    except (BotoCoreError, ClientError, HTTPError, LookupError, ValueError) as error:
        cause = one_line(str(error))
    except (OSError, HTTPException) as error:  # of a connection
        cause, remedy = one_line(str(getattr(error, "reason", error))), "see whether the network works"
    else:
        return
    if re.search("Throttling|Too ?Many ?Requests|Rate exceeded|HTTP Error 5", cause):
        remedy = "wait a minute and run this again"
    elif re.search("[Ee]xpired", cause):
        remedy = "renew your credentials, for instance with 'aws sso login'"
    elif "endpoint URL" in cause:
        remedy = "see whether the network works and the region exists"
    fail(f"{what}{f' ({cause})' if cause else ''}: {remedy}")


def one_line(complaint: str | None) -> str:
    """Return ``complaint`` for use within a sentence."""
    return " ".join((complaint or "").split()).rstrip(". ")


def quietly(*command: str, stdin: str = "") -> str:
    """Run ``command`` and return what it prints."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def ask_docker(*arguments: str) -> str:
    """Return what docker says of itself or of an image."""
    with failing("Docker does not answer", "start it"):
        return quietly("docker", *arguments)


def openly(*command: str, stderr: int | None = None) -> None:
    """Run ``command`` with what it prints on stderr; where this script is ended, end it first."""
    # E-07: SageMaker refuses an image with attestations; commands that make none ignore this.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    stdout = sys.stderr if LOG.isEnabledFor(logging.INFO) else subprocess.DEVNULL
    with subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, env=environment) as process:
        try:
            _, complaint = process.communicate()
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            raise
    if process.returncode:
        raise CalledProcessError(process.returncode, command, stderr=complaint)


# What is built


class Revision(NamedTuple):
    """The state of the files: the git commit, with -dirty if files changed. Without git there is only the time."""

    tag: str
    name: str = ""
    epoch: str = ""
    source: str = ""


def revision_of(folder: Path) -> Revision:
    """Ask git."""
    git = ("git", "-C", str(folder))
    try:
        commit, dirty = quietly(*git, "rev-parse", "HEAD"), quietly(*git, "status", "--porcelain") and "-dirty"
    except (OSError, CalledProcessError):
        return Revision(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    epoch, source = quietly(*git, "log", "-1", "--format=%ct"), ""
    with suppress(CalledProcessError):
        source = re.sub("//[^/@]*@", "//", quietly(*git, "remote", "get-url", "origin"))  # without a password
    return Revision(commit[:12] + dirty, commit + dirty, epoch, source)


def in_pyproject(key: str) -> str:
    """Return what the project's ``key`` is."""
    with suppress(OSError, KeyError):
        return str(tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"][key])
    return ""


def build_command(given: Namespace, revision: Revision) -> list[str]:
    """Return docker's command. P-56: SageMaker trains on amd64 only, so the platform is never left to chance."""
    command = ["docker", "build", "--platform", given.platform, "--build-arg", f"REVISION={revision.name}"]
    created = ""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH") or revision.epoch:
        os.environ["SOURCE_DATE_EPOCH"] = epoch  # which newer builders heed
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
    labels = {"version": in_pyproject("version"), "revision": revision.name, "created": created}
    for key, value in {**labels, "source": revision.source}.items():
        command += ["--label", f"{LABEL}{key}={value}"] if value else []
    for argument in given.build_arg:
        command += ["--build-arg", argument]
    for image in given.cache_from:
        command += ["--cache-from", image, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    for option in ("file", "target"):
        command += [f"--{option}", value] if (value := getattr(given, option)) else []
    return command + ["--no-cache"] * given.no_cache + ["--quiet"] * given.quiet


def build(given: Namespace, command: list[str], registry: "Registry", address: str, result: Path) -> str:
    """Build ``address``. The id that is returned tells what was built just now from whatever the tag leads to later."""
    for image in given.cache_from:
        docker = registry.docker if image.startswith(f"{registry.host}/") else ("docker",)
        try:
            quietly(*docker, "pull", "--quiet", image)
        except CalledProcessError as error:
            LOG.warning(f"cannot get the layers of {image} ({one_line(error.stderr)}): building without them")
    LOG.info(f"Building {given.context} for {given.platform}")
    with failing("the build failed and nothing was pushed", "mend what docker names above"):
        openly(*command, "--tag", address, "--iidfile", str(result), str(given.context))
    platform = ask_docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", address)
    if not given.platform.startswith(platform):
        fail(f"the image is for {platform} and nothing was pushed: its base may not be for {given.platform}")
    return result.read_text().strip()


# Where it goes


def find(given: Namespace) -> tuple["ECRClient", str]:
    """Ask AWS who the user is, and return its client and the repository's address."""
    with failing("AWS does not know you", "run 'aws configure' or set AWS_PROFILE"):
        session = boto3.session.Session(profile_name=given.profile)
        region = given.region or os.environ.get("AWS_REGION") or session.region_name
        if not region:
            region = "us-west-2"
            LOG.warning("no region is set, so us-west-2 is used: --region or AWS_REGION set another")
        LOG.info(f"Asking AWS who you are, in {region}")
        identity = session.client("sts", region).get_caller_identity()
    LOG.info(f"Looking up the repository {given.name} as {identity['Arn']}")
    ecr = session.client("ecr", region)
    return ecr, look_up(ecr, given.account or identity["Account"], given, region)


def look_up(ecr: "ECRClient", account: str, given: Namespace, region: str) -> str:
    """Return the repository's address as AWS gives it (E-05); create the repository if it is missing (E-11)."""
    name: str = given.name

    def described() -> str:
        (found,) = ecr.describe_repositories(registryId=account, repositoryNames=[name])["repositories"]
        if given.immutable and found["imageTagMutability"] == "MUTABLE":
            fail(f"tags of the repository {name} can be overwritten: leave out --immutable, or change the repository")
        return str(found["repositoryUri"])

    with failing(f"cannot look up the repository {name}", "ask for ecr:DescribeRepositories"):
        # Access denied, a throttled call or a wrong region may not look like a missing repository.
        with suppress(ecr.exceptions.RepositoryNotFoundException):
            return described()
        if given.verify:
            fail(f"{region} has no repository {name}: push an image first, or pass another --region")
        LOG.info(f"{'Would create' if given.dry_run else 'Creating'} the repository {name} in {region}")
        if given.dry_run:
            return name
        with failing(f"cannot create the repository {name}", "ask for ecr:CreateRepository"):
            try:
                made = ecr.create_repository(
                    registryId=account,
                    repositoryName=name,
                    imageTagMutability="IMMUTABLE" if given.immutable else "MUTABLE",
                    imageScanningConfiguration={"scanOnPush": True},
                    encryptionConfiguration={"encryptionType": "AES256"},
                )
            except ecr.exceptions.RepositoryAlreadyExistsException:  # by someone else, in this moment
                return described()
        with failing(f"the new repository {name} keeps untagged images for ever", "ask for ecr:PutLifecyclePolicy"):
            ecr.put_lifecycle_policy(registryId=account, repositoryName=name, lifecyclePolicyText=json.dumps(LIFECYCLE))
        return made["repository"]["repositoryUri"]


class Served(NamedTuple):
    """What the registry has under a tag."""

    media_type: str
    digest: str
    platform: str
    image: str
    size: int

    def is_image(self, image: str) -> bool:
        """Tell whether this is what docker calls ``image``, by the digest of its configuration or of its manifest."""
        return image in (self.image, self.digest)


def token_of(ecr: "ECRClient") -> str:
    """Return the user's name and password for the registry, in base64."""
    return ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]


class Registry:
    """The registry, and docker's client logged in to it."""

    def __init__(self, ecr: "ECRClient", host: str, engine: str, config: Path) -> None:
        # The token may not stay in ~/.docker (E-10), so login and push have a configuration of their own. It names the
        # host, else docker would look for a keychain, and the engine, which the user's configuration may choose. The
        # build keeps the user's configuration, with its plugins, proxies and credential helpers.
        self.ecr, self.host, self.docker = ecr, host, ("docker", "--config", str(config), "--host", engine)
        (config / "config.json").write_text(json.dumps({"auths": {host: {}}}))

    def log_in(self) -> None:
        """Log in, for twelve hours."""
        user, _, password = base64.b64decode(token_of(self.ecr)).decode().partition(":")
        quietly(*self.docker, "login", "--username", user, "--password-stdin", self.host, stdin=password)

    def push(self, address: str, image: str, quiet: bool) -> None:
        """Push ``address``, which is ``image``, again and again where the network or the registry fails."""
        LOG.info(f"Pushing {address}")
        for pause in (2, 4, 8, 0):
            try:
                return openly(*self.docker, "push", *["--quiet"] * quiet, address, stderr=PIPE)
            except CalledProcessError as error:
                cause = one_line(error.stderr)
            if "immutable" in cause:  # ECR says so of the same image, too
                if self.read_back(address).is_image(image):
                    return LOG.info(f"{address} is there already")
                fail(f"{address} is another image and may not be overwritten: pass another --tag")
            if "not authorized" in cause:
                fail(f"the push was refused ({cause}): ask for {RIGHTS}")
            if not pause:
                fail(f"the push failed ({cause}): run this again, and only what is missing is sent")
            LOG.warning(f"the push failed ({cause}): trying again in {pause} seconds")
            time.sleep(pause)
            with suppress(CalledProcessError, BotoCoreError, ClientError):
                self.log_in()  # The token may have expired; if not, the next push says what is wrong.
        return None

    def read_back(self, address: str) -> Served:
        """Ask the registry what it has under ``address``, and refuse what SageMaker would refuse (E-07)."""
        with failing(f"cannot read {address} back", f"push it first, or ask for {RIGHTS}"):
            manifest = json.loads(quietly(*self.docker, "manifest", "inspect", "--verbose", address))
        media_type = "a list of images" if isinstance(manifest, list) else manifest["Descriptor"]["mediaType"]
        if media_type != DOCKER_SCHEMA_2:
            fail(f"SageMaker does not take {address} ({media_type}): {REMEDY}")
        about, parts = manifest["Descriptor"], manifest["SchemaV2Manifest"]
        size = sum(part["size"] for part in (parts["config"], *parts["layers"]))
        platform = "{os}/{architecture}".format(**about["platform"])
        return Served(media_type, about["digest"], platform, parts["config"]["digest"], size)


# What is there


class Contents:
    """What is in a repository, by the registry's HTTP API, which needs no docker and has the labels."""

    def __init__(self, ecr: "ECRClient", uri: str) -> None:
        host, _, name = uri.partition("/")
        self.base = f"https://{host}/v2/{name}/"
        with failing(f"cannot log in to {host}", "ask for ecr:GetAuthorizationToken"):
            self.token = token_of(ecr)
        self.tls = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True))

    def get(self, path: str) -> bytes:
        """Return what is at ``path``."""
        request = urllib.request.Request(self.base + path, headers={"Accept": f"{DOCKER}, {OCI}"})
        # Not for S3, where ECR leads to.
        request.add_unredirected_header("Authorization", f"Basic {self.token}")
        with urllib.request.urlopen(request, timeout=60, context=self.tls) as answer:
            return bytes(answer.read())

    def image(self, reference: str) -> tuple[Served, dict[str, str] | None]:
        """Return what is there as ``reference``, a tag or a digest, and its labels."""
        content = self.get(f"manifests/{reference}")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and reference != digest:
            raise ValueError(f"the registry sent {digest} in its place")
        manifest: dict[str, Any] = json.loads(content)
        media_type = manifest.get("mediaType", "")
        if "manifests" in manifest:  # a list: all that is in it, but for what is about its images
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
    with (
        failing(f"cannot read what is in {uri}", "ask for ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"),
        ThreadPoolExecutor() as pool,
    ):
        images = list(pool.map(contents.image, [image["imageDigest"] for image in known]))
    rows = []
    for image, (served, labels) in zip(known, images, strict=True):
        about = {"reference": f"{uri}@{served.digest}", **served._asdict(), "tags": image.get("imageTags", [])}
        rows.append({**about, "labels": labels, "pushed": image["imagePushedAt"].astimezone(UTC).isoformat()})
    print(json.dumps(rows) if given.json else table(rows))


def listed(ecr: "ECRClient", uri: str, wanted: list[str]) -> list["ImageDetailTypeDef"]:
    """Return what ECR alone knows: when each image was pushed, and which have lost their tag."""
    about: dict[str, Any] = {"registryId": uri.partition(".")[0], "repositoryName": uri.partition("/")[2]}  # E-04
    if wanted:
        about["imageIds"] = [{"imageDigest" if ":" in name else "imageTag": name} for name in wanted]
    with failing(f"cannot list the images of {uri}", "ask for ecr:DescribeImages"):
        try:
            pages = list(ecr.get_paginator("describe_images").paginate(**about))
        except ecr.exceptions.ImageNotFoundException:
            fail(f"{uri} has no image {' or '.join(wanted)}: 'inspect' alone lists what it has")
    found = [image for page in pages for image in page["imageDetails"]]
    return sorted(found, key=lambda image: image["imagePushedAt"], reverse=True)


def table(images: list[dict[str, Any]]) -> str:
    """Return a line for each image, with the labels that say what was built."""
    rows = [("PUSHED", "TAGS", "PLATFORM", "SIZE", "VERSION", "REVISION", "DIGEST")]
    for image in images:
        version, revision = ((image["labels"] or {}).get(LABEL + key, "-") for key in ("version", "revision"))
        commit = re.sub("([0-9a-f]{12})[0-9a-f]{28}", r"\1", revision)
        pushed, size = image["pushed"][:16].replace("T", " ") + "Z", f"{image['size'] / 1e6:,.1f} MB"
        tags = " ".join(image["tags"]) or "-"
        rows.append((pushed, tags, image["platform"], size, version, commit, image["digest"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def pull(given: Namespace) -> None:
    """Get an image from the repository. The last line on stdout is its reference by digest; all else goes to stderr."""
    (wanted,) = given.image
    engine = find_engine()
    ecr, uri = find(given)
    with failing(f"cannot find {wanted} in {uri}", "see what 'inspect' lists, or ask for ecr:BatchGetImage"):
        served, _ = Contents(ecr, uri).image(wanted)
    reference = f"{uri}@{served.digest}"  # which docker holds the image to; the tag may move meanwhile
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(ecr, uri.partition("/")[0], engine, Path(scratch))
        with failing(f"cannot log in to {registry.host}", "ask for ecr:GetAuthorizationToken"):
            registry.log_in()
        LOG.info(f"Pulling {reference}, {served.size // 1000} kB")
        with failing("the pull failed", "run this again, and only what is missing is fetched"):
            openly(*registry.docker, "pull", "--platform", given.platform, reference, stderr=PIPE)
    platform = ask_docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", reference)
    if not given.platform.startswith(platform):
        fail(f"the image is for {platform}: pass --platform, or pull an image for {given.platform}")
    if wanted != served.digest:
        ask_docker("tag", reference, f"{uri}:{wanted}")
    print(reference)


VERBS: dict[str, Callable[[Namespace], None]] = {"inspect": inspect, "pull": pull}


def verb_arguments(verb: str) -> Namespace:
    """Read the command line after ``verb``."""
    parser = argparse.ArgumentParser(
        prog=f"{Path(sys.argv[0]).name} {verb}", description=VERBS[verb].__doc__, allow_abbrev=False
    )
    add = parser.add_argument
    add("image", metavar="IMAGE", nargs="*" if verb == "inspect" else 1, help="a tag, or a digest (sha256:...)")
    add("--name", metavar="NAME", help="repository (default: the name in pyproject.toml)")
    add_place(parser)
    if verb == "inspect":
        add("--json", action="store_true", help="print a JSON list, with all labels, in place of the table")
    else:
        add("--platform", metavar="PLATFORM", default="linux/amd64", help="(default: linux/amd64)")
    add("--quiet", action="store_true", help="say warnings and errors only")
    parser.set_defaults(verify=True, immutable=False)  # which makes no repository
    return parser.parse_args(sys.argv[2:])


# All of it


def check(given: Namespace, tags: list[str]) -> None:
    """Refuse what nobody need be asked about."""
    if not given.name:
        fail("pyproject.toml has no name: add it to [project] or pass --name")
    if not re.fullmatch(NAME, given.name):
        fail(f"'{given.name}' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /")
    for tag in tags:
        if not re.fullmatch(TAG, tag):
            fail(f"'{tag}' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -")
    if given.account and not re.fullmatch("[0-9]{12}", given.account):
        fail(f"'{given.account}' is no account: use its 12 digits")


def find_engine() -> str:
    """Return the address of Docker's engine, if it answers and has room.

    A full disk is refused as far as it can be seen: the engine may have another machine's, or a virtual one's.
    """
    if not shutil.which("docker"):
        fail("docker is not installed: see https://docs.docker.com/get-docker")
    LOG.info("Asking Docker whether it answers")
    ask_docker("version")
    engine = ask_docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    root = Path(ask_docker("info", "--format", "{{.DockerRootDir}}"))
    if engine.startswith("unix:") and root.is_dir() and (free := shutil.disk_usage(root).free // 1024) < ROOM:
        fail(f"only {free} kB are free where Docker keeps images ({root}): 'docker system prune' makes room")
    return engine


def report(given: Namespace, ecr: "ECRClient", uri: str, served: dict[str, Served], image: str) -> None:
    """Print what is in the registry, if it is the image that was built."""
    tags, first = list(served), next(iter(served.values()))
    for tag, there in served.items():
        if (image and not there.is_image(image)) or there.digest != first.digest:
            fail(f"{uri}:{tag} is another image: somebody else may have pushed it meanwhile")
        if not given.platform.startswith(there.platform):
            fail(f"{uri}:{tag} is for {there.platform}: pass --platform, or push an image for {given.platform}")
    reference = f"{uri}@{first.digest}"
    LOG.info(f"{reference} is {first.platform}, {first.size // 1000} kB, tagged {' '.join(tags)}")
    if not given.json:
        return print(reference)
    labels = None
    if image:
        labels = json.loads(ask_docker("image", "inspect", "--format", "{{json .Config.Labels}}", f"{uri}:{tags[0]}"))
    else:
        with failing(f"cannot read the labels of {reference}", f"ask for {RIGHTS}"):
            _, labels = Contents(ecr, uri).image(first.digest)
    return print(json.dumps({"reference": reference, **first._asdict(), "tags": tags, "labels": labels}))


def main() -> None:
    """Check what can be checked before the long build; then build, push and read back. Or do what the verb says."""
    verb = sys.argv[1] if sys.argv[1:2] and sys.argv[1] in VERBS else ""
    given = verb_arguments(verb) if verb else arguments()
    logging.addLevelName(logging.INFO, "==>")
    logging.addLevelName(logging.WARNING, "warning:")
    logging.basicConfig(format="%(levelname)s %(message)s")
    LOG.setLevel(logging.WARNING if given.quiet else logging.INFO)
    given.name = given.name or in_pyproject("name")
    if verb:
        check(given, [image for image in given.image if not re.fullmatch(DIGEST, image)])
        return VERBS[verb](given)
    revision = revision_of(given.context)
    # The commit is a tag in any case, the time only where nothing else is; what is verified may be another commit's.
    named = given.tag and (given.verify or not revision.name)
    tags = list(dict.fromkeys(given.tag if named else [revision.tag, *given.tag]))
    check(given, tags)
    if not given.context.is_dir():
        fail(f"there is no folder '{given.context}': pass another --context")
    engine = find_engine()
    ecr, uri = find(given)
    command = build_command(given, revision)
    if given.dry_run:
        LOG.info(f"Would run {shlex.join([*command, str(given.context)])}")
        return LOG.info(f"Would push {uri} as {' '.join(tags)}")
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(ecr, uri.partition("/")[0], engine, Path(scratch))
        LOG.info(f"Logging in to {registry.host}")
        with failing(f"cannot log in to {registry.host}", "ask for ecr:GetAuthorizationToken"):
            registry.log_in()
        image = "" if given.verify else build(given, command, registry, f"{uri}:{tags[0]}", Path(scratch, "image"))
        for tag in tags if image else []:
            ask_docker("tag", f"{uri}:{tags[0]}", f"{uri}:{tag}")
            registry.push(f"{uri}:{tag}", image, given.quiet)
        LOG.info(f"Reading back {uri}")
        served = {tag: registry.read_back(f"{uri}:{tag}") for tag in tags}
    return report(given, ecr, uri, served, image)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # The folder with the token goes, and docker's command ends.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    main()
