"""Template: ``python -m deploy init`` asks what it cannot know, and writes ``deploy.toml``."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from string import Template

import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy import context, names
from deploy.config import DEPLOY_TOML
from deploy.context import Context
from deploy.errors import DeployError

FORM = Path(__file__).with_name("form.txt")
INSTANCE = r"ml\.\S+\.\S+"
QUESTIONS = {  # what is asked, what an answer looks like, and in words
    "region": ("Region", r"[a-z]+(-[a-z]+)+-\d+", "a region, such as us-west-2"),
    "role": ("Role that SageMaker assumes", r"arn:[\w-]+:iam::\d{12}:role/\S+", "a role's ARN"),
    "bucket": ("Place on S3", r"s3://[^/\s]+(/\S*)?", "s3://BUCKET/PREFIX"),
    "image": ("Image; empty to give it with --image", r"\S*", "an address without spaces"),
    "train_instance": ("Instances for training", INSTANCE, "a type such as ml.m5.large"),
    "dev_instance": ("Instances for dev", INSTANCE, "a type such as ml.m5.large"),
    "prod_instance": ("Instances for prod", INSTANCE, "a type such as ml.m5.large"),
    "kms_key": ("KMS key for prod; empty for AWS's own", r"\S*", "a key's ARN or alias"),
    "subnets": ("Subnets for prod, at least two; empty for none", r"(\S+[\s,]+\S+)?", "two or more"),
    "security_groups": ("Security groups for prod; empty for none", r".*", ""),
}


@context.verb(table="train", changes=False)
def init(context: Context) -> None:
    """Ask for role, bucket, image and others, and write deploy.toml."""
    if not sys.stdin.isatty():
        raise DeployError(
            "`python -m deploy init` asks questions: run it in a terminal, or write deploy.toml yourself."
        )
    if DEPLOY_TOML.exists() and not click.confirm("deploy.toml exists. Write it again, and lose what is in it?"):
        raise DeployError("deploy.toml is left as it is.")
    proposals = {"region": _region, "role": _roles, "bucket": _bucket, "image": _images}
    answers = {}
    for key, (question, pattern, words) in QUESTIONS.items():
        proposal = _first(proposals[key], context) if key in proposals else "ml.m5.large" if pattern == INSTANCE else ""
        answer = _ask(question, proposal, pattern, words)
        answers[key] = json.dumps(re.findall(r"[^\s,]+", answer) if key[0] == "s" else answer, ensure_ascii=False)
    text = Template(FORM.read_text(encoding="utf-8").partition("\n")[2]).substitute(answers)
    # An empty answer is left as a comment that shows the key.
    DEPLOY_TOML.write_text(re.sub(r'(?m)^(\w+ = (""|\[\])$)', r"# \1", text), encoding="utf-8")
    click.echo(f"Written: {DEPLOY_TOML}. Change it as you like; flags override it.")


def _ask(question: str, proposal: str, pattern: str, words: str) -> str:
    """An answer that matches; Return takes the proposal."""

    def checked(answer: str) -> str:
        if not re.fullmatch(pattern, answer.strip()):
            raise click.BadParameter(f"give {words}.")
        return answer.strip()

    optional = re.fullmatch(pattern, "") is not None
    default = proposal or ("" if optional else None)
    return str(click.prompt(question, default, value_proc=checked, show_default=bool(proposal)))


def _first(proposals: Callable[[Context], Iterator[str]], context: Context) -> str:
    """The first proposal; nothing if there is none, or the caller may not look."""
    with suppress(ClientError, BotoCoreError):
        return next(proposals(context), "")
    return ""


def _region(context: Context) -> Iterator[str]:
    yield str(context.session.region_name)


def _roles(context: Context) -> Iterator[str]:
    """The roles that trust SageMaker."""
    for role in context.items("list_roles", "iam"):
        if "sagemaker.amazonaws.com" in json.dumps(role["AssumeRolePolicyDocument"]):
            yield str(role["Arn"])


def _bucket(context: Context) -> Iterator[str]:
    """A folder in the bucket that SageMaker's own SDK makes."""
    yield f"s3://sagemaker-{context.session.region_name}-{context.caller.split(':')[4]}/{names.project()}"


def _images(context: Context) -> Iterator[str]:
    """The images in the repository that has the project's name, newest first."""
    [place] = context.call("DescribeRepositories", {"repositoryNames": [names.project()]}, "ecr")["repositories"]
    images = context.items("describe_images", "ecr", repositoryName=names.project())
    for image in sorted(images, key=lambda each: each["imagePushedAt"], reverse=True):
        yield f"{place['repositoryUri']}@{image['imageDigest']}"
