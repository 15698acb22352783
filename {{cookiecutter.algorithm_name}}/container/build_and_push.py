#!/usr/bin/env python3
"""Template: build the image and push it to Amazon ECR, as build_and_push.sh does."""

import argparse
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import tomllib

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    sys.exit(f"error: Python has no {error.name}: run 'make setup' and use .venv/bin/python, or build_and_push.sh")
if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

HERE = Path(__file__).resolve().parent
WORDS = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"(?=.{{2,256}}$){WORDS}(/{WORDS})*"  # E-01
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"  # E-03


def say(step: str) -> None:
    """Tell on stderr what is done next."""
    print("==>", step, file=sys.stderr, flush=True)


@contextmanager
def failing(what: str, remedy: str) -> Iterator[None]:
    """End with one sentence where the step within fails; what docker or AWS complained of is part of it."""
    try:
        yield
    except subprocess.CalledProcessError as error:
        complaint = error.stderr or ""
    except (BotoCoreError, ClientError) as error:
        complaint = str(error)
    else:
        return
    cause = " ".join(complaint.split()).rstrip(". ")
    sys.exit(f"error: {what}{f' ({cause})' if cause else ''}: {remedy}")


def quietly(*command: str, stdin: str = "") -> str:
    """Run ``command`` and return what it prints."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def openly(*command: str) -> None:
    """Run ``command`` with all that it prints on stderr."""
    # E-07: SageMaker refuses an image with attestations; commands that make none ignore this.
    subprocess.run(command, stdout=sys.stderr, check=True, env={**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})


def name_in_pyproject() -> str:
    """Return the project's name."""
    with suppress(OSError, KeyError):
        return str(tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    sys.exit("error: pyproject.toml has no name: add it to [project] or pass --name")


def revision() -> str:
    """Name the state of the files: the git commit, or the time where there is none."""
    git = ("git", "-C", str(HERE))
    with suppress(OSError, subprocess.CalledProcessError):
        return quietly(*git, "rev-parse", "--short", "HEAD") + (quietly(*git, "status", "--porcelain") and "-dirty")
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def region_to_use(given: str | None) -> str:
    """Return the region of the option, the environment or the profile, in this order."""
    region = given or os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    if not region:
        say("No region is set, so us-west-2 is used: --region or AWS_REGION set another")
    return region or "us-west-2"


def repository_uri(ecr: "ECRClient", name: str) -> str:
    """Return the repository's address as AWS gives it (E-05), after creating the repository if it is missing."""

    def described() -> str:
        return ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]

    with failing(f"cannot look up the repository {name}", "ask for ecr:DescribeRepositories"):
        # E-11: access denied or a throttled call may not look like a missing repository.
        with suppress(ecr.exceptions.RepositoryNotFoundException):
            return described()
        say(f"Creating the repository {name}")
        create = failing(f"cannot create the repository {name}", "ask for ecr:CreateRepository")
        with create, suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            created = ecr.create_repository(repositoryName=name, imageScanningConfiguration={"scanOnPush": True})
            return created["repository"]["repositoryUri"]
        return described()


def log_in(ecr: "ECRClient", host: str, config: Path) -> tuple[str, ...]:
    """Return the docker command that may push to ``host``."""
    # The token may not stay in ~/.docker (E-10), so login and push have a configuration of their own. It names the
    # host, else docker would look for a keychain, and the engine, which the user's configuration may choose. The build
    # keeps the user's configuration, with its plugins, proxies and credential helpers.
    (config / "config.json").write_text(json.dumps({"auths": {host: {}}}))
    with failing(f"cannot log in to {host}", "ask for ecr:GetAuthorizationToken"):
        engine = json.loads(quietly("docker", "context", "inspect"))[0]["Endpoints"]["docker"]["Host"]
        docker = ("docker", "--config", str(config), "--host", engine)
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        quietly(*docker, "login", "--username", user, "--password-stdin", host, stdin=password)
    return docker


def main() -> None:
    """Check what can be checked before the long build, then build and push."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        description="Build the image of this folder for linux/amd64 and push it to Amazon ECR. The last line on stdout"
        " is the pushed image's reference by digest; all else goes to stderr.",
    )
    parser.add_argument("--name", help="repository (default: the name in pyproject.toml)")
    parser.add_argument("--tag", help="(default: the git commit, with -dirty if files changed; without git the time)")
    parser.add_argument("--region", help="(default: AWS_REGION, AWS_DEFAULT_REGION, the profile's region, us-west-2)")
    given = parser.parse_args()

    name, tag = given.name or name_in_pyproject(), given.tag or revision()
    if not re.fullmatch(NAME, name):
        sys.exit(f"error: '{name}' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /")
    if not re.fullmatch(TAG, tag):
        sys.exit(f"error: '{tag}' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -")
    if not shutil.which("docker"):
        sys.exit("error: docker is not installed: see https://docs.docker.com/get-docker")
    say("Asking Docker whether it answers")
    with failing("Docker does not answer", "start it"):
        quietly("docker", "version")
    with failing("AWS does not know you", "run 'aws configure' or set AWS_PROFILE"):
        region = region_to_use(given.region)
        say(f"Asking AWS who you are, in {region}")
        session = boto3.session.Session(region_name=region)
        identity = session.client("sts").get_caller_identity()["Arn"]
    say(f"Looking up the repository {name} as {identity}")
    ecr = session.client("ecr")
    uri = repository_uri(ecr, name)
    host = uri.partition("/")[0]
    with tempfile.TemporaryDirectory() as scratch:
        say(f"Logging in to {host}")
        docker = log_in(ecr, host, Path(scratch))
        say(f"Building {HERE} for linux/amd64")
        with failing("the build failed and nothing was pushed", "mend what docker names above"):
            # P-56: SageMaker trains on amd64 only.
            openly("docker", "build", "--platform", "linux/amd64", "--iidfile", f"{scratch}/image", str(HERE))
        image = Path(scratch, "image").read_text()  # What was built just now, and never an older image of that tag.
        say(f"Pushing {uri}:{tag}")
        with failing("the push failed", "see above, then run this again"):
            openly("docker", "tag", image, f"{uri}:{tag}")
            openly(*docker, "push", f"{uri}:{tag}")
            digests = json.loads(quietly("docker", "image", "inspect", image))[0]["RepoDigests"]
    references = [digest for digest in digests if digest.startswith(f"{uri}@")]
    print(references[0] if references else sys.exit(f"error: docker names no digest of {uri}: update docker"))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # The folder with the token goes in this case too.
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
