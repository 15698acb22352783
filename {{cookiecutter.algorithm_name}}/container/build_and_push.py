#!/usr/bin/env python3
"""Template: build the image and push it to a registry, as build_and_push.sh does."""

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
except ImportError:
    sys.exit("error: Python is older than 3.11: run 'make setup' and use .venv/bin/python, or build_and_push.sh")
if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageDetailTypeDef

AWS_ERRORS: tuple[type[Exception], ...] = ()
with suppress(ImportError):  # Other registries than ECR do without.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.httpsession import get_cert_path

    AWS_ERRORS = BotoCoreError, ClientError

HERE = Path(__file__).resolve().parent
WORDS = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"(?=.{{2,256}}$){WORDS}(/{WORDS})*"  # E-01
# A host without dot and port would be taken for a folder of Docker Hub.
REGISTRY = rf"([A-Za-z0-9-]+\.[A-Za-z0-9.-]+|[A-Za-z0-9.-]+:[0-9]+|localhost)(/{WORDS})*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"  # E-03
DIGEST = "sha256:[0-9a-f]{64}"
# Untagged images go after a year, not sooner: an endpoint may have been deployed from one (E-13).
UNTAGGED = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 365}
LIFECYCLE = {"rules": [{"rulePriority": 1, "selection": UNTAGGED, "action": {"type": "expire"}}]}
DOCKER_SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER = f"{DOCKER_SCHEMA_2}, application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
LABEL = "org.opencontainers.image."
INDEX = r"^\s*(-i|--index-url|--extra-index-url|-f|--find-links)[\s=]"
ROOM = 1_000_000  # kB that the engine's disk should have
LOG = logging.getLogger("build_and_push")


def arguments() -> Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options]",
        allow_abbrev=False,
        description="Build the image, push it to Amazon ECR or another registry and read it back. The last line on"
        " stdout is the pushed image's reference by digest; all else goes to stderr. In Python, 'inspect' or 'pull' as"
        " the first word shows what is in ECR, or gets it from there.",
    )
    add = parser.add_argument
    add("--name", metavar="NAME", help="repository (default: the name in pyproject.toml)")
    add("--tag", metavar="TAG", action="append", default=[], help="besides the git commit; may be repeated")
    add_place(parser)
    add("--immutable", action="store_true", help="create the repository so that no tag can be overwritten")
    add("--registry", metavar="ADDRESS", help="HOST[:PORT][/PATH] of another one than ECR; docker.io is Docker Hub")
    add("--username", metavar="USER", help="of that registry (default: as docker is logged in)")
    add("--password-stdin", action="store_true", help="read the user's password from stdin")
    add("--context", metavar="FOLDER", type=Path, default=HERE, help="(default: the folder of this script)")
    add("--file", metavar="FILE", help="(default: Dockerfile in that folder)")
    add("--target", metavar="STAGE", help="of the Dockerfile (default: the last)")
    add("--platform", metavar="PLATFORM", default="linux/amd64", help="(default: linux/amd64); commas part several")
    add("--build-arg", metavar="ARG=VALUE", action="append", default=[], help="may be repeated; no secrets")
    add(
        "--cache-from",
        metavar="IMAGE",
        action="append",
        default=[],
        help="has layers to use; :TAG is one of the repository's; may be repeated",
    )
    add("--no-cache", action="store_true", help="build every layer anew")
    add("--dry-run", action="store_true", help="change nothing: check, and say what would be done")
    add("--verify", action="store_true", help="change nothing: read back what the registry has")
    add("--quiet", action="store_true", help="say warnings and errors only")
    add("--json", action="store_true", help="print a JSON object in place of the reference")
    given = parser.parse_args()
    if given.registry and (given.region or given.profile or given.account or given.immutable):
        only_ecr = "--region, --profile, --account and --immutable, which are for Amazon ECR"
        parser.exit(2, f"error: --registry goes without {only_ecr}: see --help\n")
    if (given.username or given.password_stdin) and not (given.registry and given.username and given.password_stdin):
        parser.exit(2, "error: --username and --password-stdin need each other and --registry: see --help\n")
    return given


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
    except AWS_ERRORS as error:
        cause = one_line(str(error))
    except (HTTPError, LookupError, ValueError) as error:
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


def quietly(*command: str, stdin: str | None = "") -> str:
    """Run ``command`` and return what it prints. Where ``stdin`` is None it reads that of this script."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def ask_docker(*arguments: str) -> str:
    """Return what docker says of itself or of an image."""
    with failing("Docker does not answer", "start it"):
        return quietly("docker", *arguments)


def platform_of(image: str) -> str:
    """Return what ``image``, which docker has, is for."""
    return ask_docker("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image)


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


def build_options(given: Namespace, revision: Revision) -> list[str]:
    """Return what docker is told besides the platform."""
    options, created = ["--build-arg", f"REVISION={revision.name}", *own_options(given)], ""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH") or revision.epoch:
        os.environ["SOURCE_DATE_EPOCH"] = epoch  # which newer builders heed
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
    labels = {"version": in_pyproject("version"), "revision": revision.name, "created": created}
    for key, value in {**labels, "source": revision.source}.items():
        options += ["--label", f"{LABEL}{key}={value}"] if value else []
    for argument in given.build_arg:
        options += ["--build-arg", argument]
    for image in given.cache_from:
        options += ["--cache-from", image, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    for option in ("file", "target"):
        options += [f"--{option}", value] if (value := getattr(given, option)) else []
    return options + ["--no-cache"] * given.no_cache + ["--quiet"] * given.quiet


def dockerfile_of(given: Namespace) -> Path:
    """Return the path of the Dockerfile."""
    return Path(given.file or given.context / "Dockerfile")


def is_classic(dockerfile: Path) -> bool:
    """Whether ``dockerfile`` needs what Docker's classic builder lacks, and that builder would build it."""
    if not dockerfile.is_file() or "--mount=" not in dockerfile.read_text(encoding="utf-8"):
        return False
    return "--secret" not in quietly("docker", "build", "--help")


def own_options(given: Namespace) -> list[str]:
    """Return what the project sets for each build: arguments, and secrets that reach private indexes of packages."""
    options, file, dockerfile = [], given.context / "build-args.txt", dockerfile_of(given)
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], start=1):
        if not re.match(r"\s*(#|$)", line):
            if not re.match("[A-Za-z_][A-Za-z0-9_]*=", line):
                fail(f"container/build-args.txt, line {number}: '{line}' is not NAME=VALUE")
            options += ["--build-arg", line] if line != "GPU=no" else []
    if not dockerfile.is_file() or "--mount=type=secret" not in dockerfile.read_text(encoding="utf-8"):
        return options
    named = [name for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if os.environ.get(name)]
    if is_classic(dockerfile):
        for name in named:
            LOG.warning(f"Docker's classic builder takes no secrets, so {name} is not used: install buildx")
        return options
    for name in named:
        options += ["--secret", f"id={name},env={name}"]
    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    requirements = "\n".join(path.read_text(encoding="utf-8") for path in given.context.glob("requirements*.txt"))
    if netrc.is_file() and (named or re.search(INDEX, requirements, re.MULTILINE)):
        options += ["--secret", f"id=netrc,src={netrc}"]
    return options


class Image(NamedTuple):
    """What is published: the image for a platform, or the list of those for several."""

    platform: str
    tags: list[str]
    id: str  # of a list the digests of its images; empty where it is unknown, since there is only to verify

    @property
    def is_list(self) -> bool:
        """Whether it is for several platforms."""
        return "," in self.platform


def tags_for(platform: str, given: Namespace, tags: list[str]) -> list[str]:
    """Return the tags of the image for ``platform``. Of several each has its own, besides those of the list."""
    suffix = "-" + platform.partition("/")[2].replace("/", "-") if "," in given.platform else ""
    return [tag + suffix for tag in tags]


def build(given: Namespace, platform: str, options: list[str], address: str, result: Path) -> str:
    """Build ``address``. The id that is returned tells what was built just now from whatever the tag leads to later.

    P-56: SageMaker trains on amd64 only, so the platform is never left to chance.
    """
    remedy = "mend what docker names above"
    if not platform.startswith(ask_docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")):
        remedy += f"; an 'exec format error' means that this machine cannot run {platform}, which"
        remedy += " 'docker run --privileged --rm tonistiigi/binfmt --install all' or Debian's qemu-user-static mends"
    LOG.info(f"Building {given.context} for {platform}")
    command = ["docker", "build", "--platform", platform, *options, "--tag", address, "--iidfile", str(result)]
    dockerfile = dockerfile_of(given)
    if is_classic(dockerfile):  # it has neither caches nor secrets, and takes a Dockerfile without them
        plain = result.with_name("Dockerfile")
        plain.write_text(re.sub(r"--mount=\S+ ", "", dockerfile.read_text(encoding="utf-8")), encoding="utf-8")
        command += ["--file", str(plain)]
    with failing("the build failed and nothing was pushed", remedy):
        openly(*command, str(given.context))
    built = platform_of(address)
    if not platform.startswith(built):
        fail(f"the image is for {built} and nothing was pushed: its base may not be for {platform}")
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
    """What the registry has under a tag. A list is known by its images."""

    media_type: str
    digest: str
    platform: str
    image: str
    size: int

    def is_image(self, image: str) -> bool:
        """Tell whether this is what docker calls ``image``, by the digest of its configuration or of its manifest."""
        return image in ("", self.image, self.digest)


def link(name: Path, target: Path) -> None:
    """Let ``name`` lead to ``target``, or be a copy where, as on Windows, not everybody may make links."""
    try:
        name.symlink_to(target)
    except OSError:
        (shutil.copytree if target.is_dir() else shutil.copy)(target, name)


def token_of(ecr: "ECRClient") -> str:
    """Return the user's name and password for the registry, in base64."""
    return ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]


class Registry:
    """The registry with the repository ``uri``, and docker's client for it."""

    def __init__(self, uri: str, config: Path, ecr: "ECRClient | None", username: str | None) -> None:
        self.uri, self.host, self.config, self.ecr, self.username = uri, uri.partition("/")[0], config, ecr, username
        self.refusal, self.rights = "not authorized", "ask for the rights in push-policy.json"
        if not ecr:
            self.refusal = "denied|[Uu]nauth|Forbidden|no basic auth|name unknown"
            self.rights = f"log in with 'docker login {self.host}' as someone who may push there"

    def configure(self) -> None:
        """Give docker a configuration that goes with this script, and log in where it is to learn a password.

        A password may not stay in ~/.docker (E-10), nor may docker's draft of a list. So this is the user's
        configuration, with its engine, plugins, proxies and passwords, but for one thing. The password for ``host`` is
        kept in its file, which an empty name in place of a helper's says, and not in a keychain.
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
        remedy = "ask for ecr:GetAuthorizationToken" if self.ecr else "see whether user and password are right"
        with failing(f"cannot log in to {self.host}", remedy):
            self.log_in()

    def log_in(self) -> None:
        """Log in, to ECR for twelve hours."""
        user, password = self.username or "", None
        if self.ecr:
            user, _, password = base64.b64decode(token_of(self.ecr)).decode().partition(":")
        quietly("docker", "login", "--username", user, "--password-stdin", self.host, stdin=password)

    def push(self, tag: str, image: Image, quiet: bool) -> None:
        """Push ``image`` as ``tag``, again and again where the network or the registry fails."""
        address = f"{self.uri}:{tag}"
        LOG.info(f"Pushing {address}")
        commands = [["push", *["--quiet"] * quiet, address]]
        if image.is_list:
            parts = [f"{self.uri}@{digest}" for digest in image.id.split()]
            commands = [["manifest", "create", "--amend", address, *parts], ["manifest", "push", address]]
        else:
            ask_docker("tag", f"{self.uri}:{image.tags[0]}", address)
        for pause in (2, 4, 8, 0):
            try:
                for command in commands:
                    openly("docker", *command, stderr=PIPE)
                return None
            except CalledProcessError as error:
                cause = one_line(error.stderr)
            if "immutable" in cause:  # ECR says so of the same image, too
                if self.read_back(tag, image).is_image(image.id):
                    return LOG.info(f"{address} is there already")
                fail(f"{address} is another image and may not be overwritten: pass another --tag")
            if re.search(self.refusal, cause):
                fail(f"the push was refused ({cause}): {self.rights}")
            if not pause:
                fail(f"the push failed ({cause}): run this again, and only what is missing is sent")
            LOG.warning(f"the push failed ({cause}): trying again in {pause} seconds")
            time.sleep(pause)
            if self.ecr:
                with suppress(CalledProcessError, *AWS_ERRORS):
                    self.log_in()  # The token may have expired; if not, the next push says what is wrong.
        return None

    def inspect(self, address: str, *options: str) -> str:
        """Return what the registry has under ``address``."""
        with failing(f"cannot read {address} back", f"push it first, or {self.rights}"):
            return quietly("docker", "manifest", "inspect", *options, address)

    def read_back(self, tag: str, image: Image) -> Served:
        """Ask the registry what it has under ``tag``, and refuse what SageMaker would refuse (E-07)."""
        address = f"{self.uri}:{tag}"
        if image.is_list:
            shutil.rmtree(self.config / "manifests", ignore_errors=True)  # docker's draft, which it would show instead
            found = self.inspect(address)
            manifest, digest = json.loads(found), f"sha256:{hashlib.sha256(found.encode()).hexdigest()}"
            identity = " ".join(sorted(part["digest"] for part in manifest.get("manifests", [])))
            served = Served(manifest["mediaType"], digest, image.platform, identity, 0)
            if served.is_image(image.id):
                # docker writes a list anew to print it: the registry has to know this digest
                self.inspect(f"{self.uri}@{digest}")
            return served
        manifest = json.loads(self.inspect(address, "--verbose"))
        media_type = "a list of images" if isinstance(manifest, list) else manifest["Descriptor"]["mediaType"]
        if media_type != DOCKER_SCHEMA_2:
            fail(f"SageMaker does not take {address} ({media_type}): build and push it with this script")
        about, parts = manifest["Descriptor"], manifest["SchemaV2Manifest"]
        size = sum(part["size"] for part in (parts["config"], *parts["layers"]))
        platform = "{os}/{architecture}".format(**about["platform"])
        if not image.platform.startswith(platform):
            fail(f"{address} is for {platform}: pass --platform, or push an image for {image.platform}")
        return Served(media_type, about["digest"], platform, parts["config"]["digest"], size)


def pull_layers(given: Namespace) -> None:
    """Get the images whose layers the build may use."""
    for image in given.cache_from:
        try:
            quietly("docker", "pull", "--quiet", image)
        except CalledProcessError as error:
            LOG.warning(f"cannot get the layers of {image} ({one_line(error.stderr)}): building without them")


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
    check_engine(given)
    ecr, uri = find(given)
    with failing(f"cannot find {wanted} in {uri}", "see what 'inspect' lists, or ask for ecr:BatchGetImage"):
        served, _ = Contents(ecr, uri).image(wanted)
    reference = f"{uri}@{served.digest}"  # which docker holds the image to; the tag may move meanwhile
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(uri, Path(scratch, "docker"), ecr, None)
        registry.configure()
        LOG.info(f"Pulling {reference}, {served.size // 1000} kB")
        with failing("the pull failed", "run this again, and only what is missing is fetched"):
            openly("docker", "pull", "--platform", given.platform, reference, stderr=PIPE)
        platform = platform_of(reference)
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
    # No repository is made. What only a build asks for has values that are good.
    parser.set_defaults(verify=True, immutable=False, registry=None, context=HERE, platform="linux/amd64")
    return parser.parse_args(sys.argv[2:])


# All of it


def check(given: Namespace, tags: list[str]) -> None:
    """Refuse what nobody need be asked about."""
    if not given.name:
        fail("pyproject.toml has no name: add it to [project] or pass --name")
    if not re.fullmatch(NAME, given.name):
        fail(f"'{given.name}' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /")
    for platform in given.platform.split(","):
        if not re.fullmatch("[a-z0-9]+(/[a-z0-9_]+){1,2}", platform):
            fail(f"'{platform}' is no platform: use one as linux/amd64, or several with commas between")
        for tag in tags_for(platform, given, tags):
            if not re.fullmatch(TAG, tag):
                fail(f"'{tag}' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -")
    if given.account and not re.fullmatch("[0-9]{12}", given.account):
        fail(f"'{given.account}' is no account: use its 12 digits")
    if given.registry and not re.fullmatch(REGISTRY, given.registry):
        fail(f"'{given.registry}' is no registry: use HOST[:PORT][/path in lower case], docker.io for Docker Hub")
    if not re.fullmatch("[0-9]{0,11}", epoch := os.environ.get("SOURCE_DATE_EPOCH", "")):
        fail(f"SOURCE_DATE_EPOCH is '{epoch}': set it to seconds since 1970, or unset it")
    if not given.context.is_dir():
        fail(f"there is no folder '{given.context}': pass another --context")
    if not (given.registry or AWS_ERRORS):
        fail("Python has no boto3: run 'make setup' and use .venv/bin/python, or build_and_push.sh")


def check_engine(given: Namespace) -> list[str]:
    """See that Docker answers, can build what is asked for, and has room for it. Return what its build must be told.

    A full disk is refused as far as it can be seen: the engine may have another machine's, or a virtual one's.
    """
    if not shutil.which("docker"):
        fail("docker is not installed: see https://docs.docker.com/get-docker")
    LOG.info("Asking Docker whether it answers")
    ask_docker("version")
    root, store = ask_docker("info", "--format", "{{.DockerRootDir}}{{println}}{{.DriverStatus}}").split("\n")
    engine, here = ask_docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}"), Path(root)
    if engine.startswith("unix:") and here.is_dir() and (free := shutil.disk_usage(here).free // 1024) < ROOM:
        fail(f"only {free} kB are free where Docker keeps images ({root}): 'docker system prune' makes room")
    if given.verify or "io.containerd.snapshotter" not in store:
        return []
    # E-08: containerd's store, that of a fresh Docker 29, keeps what the builder writes, and the old one writes OCI's.
    remedy = "install buildx, see https://docs.docker.com/go/buildx"
    with failing("Docker cannot build what SageMaker takes", remedy):
        quietly("docker", "buildx", "version")
    os.environ["DOCKER_BUILDKIT"] = "1"
    return ["--output", "type=docker,oci-mediatypes=false"]


def publish(given: Namespace, registry: Registry, image: Image) -> dict[str, Any]:
    """Push ``image`` under its tags, unless it is only to be verified, and return what the registry has."""
    for tag in [] if given.verify else image.tags:
        registry.push(tag, image, given.quiet)
    LOG.info(f"Reading back {registry.uri}")
    served = {tag: registry.read_back(tag, image) for tag in image.tags}
    first = served[image.tags[0]]
    for tag, there in served.items():
        if not there.is_image(image.id) or there.digest != first.digest:
            fail(f"{registry.uri}:{tag} is another image: somebody else may have pushed it meanwhile")
    about: dict[str, Any] = {"reference": f"{registry.uri}@{first.digest}", **first._asdict(), "tags": image.tags}
    if image.is_list:
        LOG.info(f"{about['reference']} is a list for {image.platform}, tagged {' '.join(image.tags)}")
        del about["image"], about["size"]
        return about
    LOG.info(f"{about['reference']} is {first.platform}, {first.size // 1000} kB, tagged {' '.join(image.tags)}")
    about["labels"] = None
    if image.id:
        address = f"{registry.uri}:{image.tags[0]}"
        about["labels"] = json.loads(ask_docker("image", "inspect", "--format", "{{json .Config.Labels}}", address))
    elif given.json and registry.ecr:
        with failing(f"cannot read the labels of {about['reference']}", registry.rights):
            _, about["labels"] = Contents(registry.ecr, registry.uri).image(first.digest)
    return about


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
    output = check_engine(given)
    ecr, uri = (None, f"{given.registry}/{given.name}") if given.registry else find(given)
    given.cache_from = [re.sub("^:", f"{uri}:", image) for image in given.cache_from]
    options, platforms = output + build_options(given, revision), given.platform.split(",")
    if given.dry_run:
        for platform in platforms:
            command = ["docker", "build", "--platform", platform, *options, str(given.context)]
            LOG.info(f"Would run {shlex.join(command)}")
            LOG.info(f"Would push {uri} as {' '.join(tags_for(platform, given, tags))}")
        return LOG.info(f"Would push {uri} as {' '.join(tags)}, for all") if len(platforms) > 1 else None
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(uri, Path(scratch, "docker"), ecr, given.username)
        registry.configure()
        ids = dict.fromkeys(platforms, "")
        if not given.verify:
            pull_layers(given)
            for platform in platforms:
                address = f"{uri}:{tags_for(platform, given, tags)[0]}"
                ids[platform] = build(given, platform, options, address, Path(scratch, "image"))
        images = [publish(given, registry, Image(p, tags_for(p, given, tags), ids[p])) for p in platforms]
        result = images[0]
        if len(platforms) > 1:
            identity = " ".join(sorted(image["digest"] for image in images))
            result = {**publish(given, registry, Image(given.platform, tags, identity)), "images": images}
            single = " or ".join(f"{image['reference']} ({p})" for image, p in zip(images, platforms, strict=True))
            LOG.warning(f"SageMaker takes no list of images, and trains on linux/amd64 only: give it {single}")
    return print(json.dumps(result) if given.json else result["reference"])


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # The folder with the token goes, and docker's command ends.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    main()
