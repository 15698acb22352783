"""Template: asks Amazon ECR for the repository, and creates it if it is missing."""

import os
from argparse import Namespace
from contextlib import suppress
from typing import TYPE_CHECKING

from publishing.commands import AWS_ERRORS, LOG, fail, failing
from publishing.project import CONTAINER

if AWS_ERRORS:
    import boto3
if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

MUTABLE = ("MUTABLE", "MUTABLE_WITH_EXCLUSION")


def find(given: Namespace) -> tuple["ECRClient", str]:
    """Ask AWS who the user is, and return its client and the repository's address."""
    with failing("cannot check your AWS credentials", "run 'aws configure' or set AWS_PROFILE"):
        session = boto3.session.Session(profile_name=given.profile)
        region = given.region or os.environ.get("AWS_REGION") or session.region_name
        if not region:
            region = "us-west-2"
            LOG.warning("no region is set, so us-west-2 is used: --region or AWS_REGION set another")
        LOG.info(f"Checking your AWS credentials in {region}")
        identity = session.client("sts", region).get_caller_identity()
    LOG.info(f"Looking up the repository {given.name} as {identity['Arn']}")
    ecr = session.client("ecr", region)
    account = given.account or identity["Account"]
    # Denied access, throttling or a wrong region must not look like a missing repository (E-11).
    with (
        failing(f"cannot look up the repository {given.name}", "ask for the permission ecr:DescribeRepositories"),
        suppress(ecr.exceptions.RepositoryNotFoundException),
    ):
        return ecr, look_up(ecr, account, given)
    if given.verify:
        fail(f"{region} has no repository {given.name}: push an image first, or pass another --region")
    LOG.info(f"{'Would create' if given.dry_run else 'Creating'} the repository {given.name} in {region}")
    return ecr, given.name if given.dry_run else create(ecr, account, given)


def look_up(ecr: "ECRClient", account: str, given: Namespace) -> str:
    """Return the repository's address as AWS gives it, for its suffix depends on the region (E-05)."""
    (found,) = ecr.describe_repositories(registryId=account, repositoryNames=[given.name])["repositories"]
    if given.immutable and found["imageTagMutability"] in MUTABLE:
        fail(f"tags of the repository {given.name} can be overwritten: leave out --immutable, or change the repository")
    return str(found["repositoryUri"])


def create(ecr: "ECRClient", account: str, given: Namespace) -> str:
    """Create the repository, which keeps each image that an endpoint may run (E-13), and return its address."""
    name: str = given.name
    with failing(f"cannot create the repository {name}", "ask for the permission ecr:CreateRepository"):
        try:
            made = ecr.create_repository(
                registryId=account,
                repositoryName=name,
                imageTagMutability="IMMUTABLE" if given.immutable else "MUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                encryptionConfiguration={"encryptionType": "AES256"},
            )
        except ecr.exceptions.RepositoryAlreadyExistsException:  # someone else has just created it
            with failing(f"cannot look up the repository {name}", "ask for the permission ecr:DescribeRepositories"):
                return look_up(ecr, account, given)
    policy = (CONTAINER / "lifecycle-policy.json").read_text(encoding="utf-8")
    remedy = "ask for the permission ecr:PutLifecyclePolicy"
    with failing(f"the new repository {name} keeps untagged images forever", remedy):
        ecr.put_lifecycle_policy(registryId=account, repositoryName=name, lifecyclePolicyText=policy)
    return made["repository"]["repositoryUri"]


def token_of(ecr: "ECRClient") -> str:
    """Return the user's name and password for the registry, in base64."""
    return ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
