"""Template: the command line of build_and_push.py, and the checks that need no network."""

import os
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from publishing.commands import AWS_ERRORS, fail
from publishing.project import CONTAINER, in_pyproject
from publishing.registry import Image

WORDS = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"(?=.{{2,256}}$){WORDS}(/{WORDS})*"  # E-01
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"  # E-03
# Docker reads a host without a dot or a port as a namespace of Docker Hub.
REGISTRY = rf"([A-Za-z0-9-]+\.[A-Za-z0-9.-]+|[A-Za-z0-9.-]+:[0-9]+|localhost)(/{WORDS})*"
PLATFORM = "[a-z0-9]+(/[a-z0-9_]+){1,2}"
DIGEST = "sha256:[0-9a-f]{64}"
ONLY_ECR = "--registry cannot be combined with --region, --profile, --account or --immutable, which are for Amazon ECR"
TOGETHER = "--username and --password-stdin need each other and --registry"


def read(arguments: list[str]) -> Namespace:
    """Return the options of a build, checked."""
    parser = ArgumentParser(
        usage="%(prog)s [options]",
        allow_abbrev=False,
        epilog="docs/publishing.md says more.",
        description="Build the image, push it to Amazon ECR or another registry, and read it back. The last line on"
        " stdout is the image's reference by digest; everything else goes to stderr. As the first word 'inspect'"
        " lists the images in ECR, and 'pull' gets one.",
    )
    add_place(parser)
    add = parser.add_argument
    add("--tag", metavar="TAG", action="append", default=[], help="tag besides the git commit; may be repeated")
    add("--immutable", action="store_true", help="create the repository so that no tag can be overwritten")
    add(
        "--registry", metavar="ADDRESS", help="HOST[:PORT][/PATH] of another registry than ECR; docker.io is Docker Hub"
    )
    add("--username", metavar="USER", help="user of that registry (default: docker's own login)")
    add("--password-stdin", action="store_true", help="read the user's password from stdin")
    add_build(parser)
    add("--dry-run", action="store_true", help="change nothing: check, and print what would be done")
    add("--verify", action="store_true", help="change nothing: read back what the registry has")
    add("--quiet", action="store_true", help="print warnings and errors only")
    add("--json", action="store_true", help="print a JSON object instead of the reference")
    given = parser.parse_args(arguments)
    if given.registry and (given.region or given.profile or given.account or given.immutable):
        parser.exit(2, f"error: {ONLY_ECR}: see --help\n")
    if (given.username or given.password_stdin) and not (given.registry and given.username and given.password_stdin):
        parser.exit(2, f"error: {TOGETHER}: see --help\n")
    return given


def add_place(parser: ArgumentParser) -> None:
    """Add the options that name the repository."""
    add = parser.add_argument
    add("--name", metavar="NAME", default=in_pyproject("name"), help="repository (default: the name in pyproject.toml)")
    add("--region", metavar="REGION", help="(default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-west-2)")
    add("--profile", metavar="PROFILE", help="profile of the AWS configuration (default: AWS_PROFILE)")
    add("--account", metavar="ACCOUNT", help="account of the registry (default: that of the credentials)")


def add_build(parser: ArgumentParser) -> None:
    """Add the options of ``docker build``."""
    add, repeated = parser.add_argument, "may be repeated"
    add("--context", metavar="FOLDER", type=Path, default=CONTAINER, help="(default: the folder of this script)")
    add("--file", metavar="FILE", help="(default: Dockerfile in that folder)")
    add("--target", metavar="STAGE", help="stage of the Dockerfile (default: the last)")
    add(
        "--platform",
        metavar="PLATFORM",
        default="linux/amd64",
        help="(default: linux/amd64); separate several with commas",
    )
    add(
        "--build-arg",
        metavar="ARG=VALUE",
        action="append",
        default=[],
        help=f"build argument, not for secrets; {repeated}",
    )
    help_ = f"image whose layers are reused; :TAG is one of the repository's; {repeated}"
    add("--cache-from", metavar="IMAGE", action="append", default=[], help=help_)
    add("--no-cache", action="store_true", help="build every layer again")


def read_verb(verb: str, description: str | None, arguments: list[str]) -> Namespace:
    """Return the options of ``inspect`` or ``pull``, checked."""
    parser = ArgumentParser(prog=f"build_and_push.py {verb}", description=description, allow_abbrev=False)
    add = parser.add_argument
    add("image", metavar="IMAGE", nargs="*" if verb == "inspect" else 1, help="a tag, or a digest (sha256:...)")
    add_place(parser)
    if verb == "inspect":
        add("--json", action="store_true", help="print a JSON list, with all labels, instead of the table")
    else:
        add("--platform", metavar="PLATFORM", default="linux/amd64", help="(default: linux/amd64)")
    add("--quiet", action="store_true", help="print warnings and errors only")
    # These commands change nothing, so options of a build have their defaults.
    parser.set_defaults(verify=True, dry_run=False, immutable=False, registry=None, context=CONTAINER)
    if verb == "inspect":
        parser.set_defaults(platform="linux/amd64")
    return parser.parse_args(arguments)


def check(given: Namespace, tags: list[str]) -> None:
    """End with one sentence about the first option that is wrong."""
    if not given.name:
        fail("pyproject.toml has no name: add it to [project] or pass --name")
    if not re.fullmatch(NAME, given.name):
        fail(f"'{given.name}' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /")
    for image in Image(given.platform, tags, []).by_platform():
        if not re.fullmatch(PLATFORM, image.platform):
            fail(f"'{image.platform}' is not a platform: use one such as linux/amd64, or several separated by commas")
        for tag in image.tags:
            if not re.fullmatch(TAG, tag):
                fail(f"'{tag}' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -")
    if given.account and not re.fullmatch("[0-9]{12}", given.account):
        fail(f"'{given.account}' is not an account: use its 12 digits")
    if given.registry and not re.fullmatch(REGISTRY, given.registry):
        fail(f"'{given.registry}' is not a registry: use HOST[:PORT][/path in lower case], docker.io for Docker Hub")
    if not re.fullmatch("[0-9]{0,11}", epoch := os.environ.get("SOURCE_DATE_EPOCH", "")):
        fail(f"SOURCE_DATE_EPOCH is '{epoch}': set it to seconds since 1970, or unset it")
    if not given.context.is_dir():
        fail(f"there is no folder '{given.context}': pass another --context")
    if not (given.registry or AWS_ERRORS):
        fail("Python has no boto3: run 'make setup' and use .venv/bin/python, or build_and_push.sh")
