"""Template: the commands of ``python -m deploy``. Progress and mistakes go to stderr, the result to stdout."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import click

from deploy import endpoint as endpoints
from deploy import training
from deploy.errors import EXPECTED, sentence
from deploy.waiting import say

CONTENT_TYPES = {".csv": "text/csv; header=present", ".json": "application/json"}


def main() -> None:
    """Run a command; whoever makes a mistake reads one sentence and gets a status that is not 0."""
    try:
        commands.main(prog_name="python -m deploy", standalone_mode=False)
    except click.Abort:
        sys.exit("Interrupted: what was started on AWS goes on, and costs.")
    except click.ClickException as mistake:
        sys.exit(mistake.format_message())
    except EXPECTED as error:
        sys.exit(sentence(error))


def _session(context: click.Context, option: click.Parameter, region: str | None) -> boto3.Session:
    session = boto3.Session(region_name=region)
    if session.region_name:
        return session
    say("No region is set: taking us-west-2. Name another with --region or AWS_REGION.")
    return boto3.Session(region_name="us-west-2")


def _pairs(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or name in pairs:
            raise click.BadParameter(f"'{text}': give NAME=VALUE, and each name once.", param=option)
        pairs[name] = value
    return pairs


REGION = click.option(
    "--region",
    "session",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    callback=_session,
    help="Else AWS_REGION, AWS_DEFAULT_REGION, your profile's, us-west-2.",
)
IMAGE = click.option("--image", required=True, help="The image in ECR, best by its digest.")
ROLE = click.option("--role", required=True, help="ARN of the role that SageMaker takes on.")
INSTANCE_TYPE = click.option("--instance-type", default="ml.m5.large", show_default=True)
INSTANCE_COUNT = click.option("--instance-count", default=1, show_default=True, type=click.IntRange(min=1))
ENDPOINT = click.option("--endpoint", required=True)


@click.group()
def commands() -> None:
    """Train the image on SageMaker, deploy it, call it and delete it again."""


@commands.command()
@IMAGE
@ROLE
@click.option("--output", required=True, help="s3://BUCKET/PATH for uploads and the model.")
@click.option("--data", default="data", show_default=True, type=click.Path(path_type=Path), help="Folder of channels.")
@click.option("--channel", "channels", multiple=True, callback=_pairs, metavar="NAME=S3", help="Instead of --data.")
@click.option("--hyperparameter", "hyperparameters", multiple=True, callback=_pairs, metavar="NAME=VALUE")
@click.option("--metric", "metrics", multiple=True, help="In place of those that algorithm.py logs.")
@INSTANCE_COUNT
@INSTANCE_TYPE
@REGION
def train(session: boto3.Session, data: Path, channels: Mapping[str, str], metrics: Sequence[str], **job: Any) -> None:
    """Run a training job; the last line is the model's S3 address."""
    job["metrics"] = metrics or training.metrics()
    click.echo(training.run(session, training.Job(**job), channels or training.folders(data)))


@commands.command()
@IMAGE
@ROLE
@click.option("--model", required=True, help="s3://BUCKET/PATH/model.tar.gz, as train prints it.")
@click.option("--endpoint", help="Its name, else made of the project's name and the time.")
@INSTANCE_COUNT
@INSTANCE_TYPE
@REGION
def deploy(session: boto3.Session, endpoint: str | None, **release: Any) -> None:
    """Put a model into service; the last line is the endpoint's name."""
    click.echo(endpoints.create(session, endpoints.Release(**release), endpoint))


@commands.command()
@ENDPOINT
@click.option("--input", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--content-type", help="Else by the file's name; for .csv it is 'text/csv; header=present'.")
@click.option("--accept", help="Type of the answer, such as application/json.")
@REGION
def invoke(session: boto3.Session, endpoint: str, file: Path, content_type: str | None, accept: str | None) -> None:
    """Send a file to an endpoint and print what it answers."""
    content_type = content_type or CONTENT_TYPES.get(file.suffix.lower())
    if not content_type:
        raise click.UsageError(f"The name of '{file}' does not tell what it holds: say it with --content-type.")
    click.echo(endpoints.invoke(session, endpoint, file.read_bytes(), content_type, accept), nl=False)


@commands.command()
@ENDPOINT
@REGION
def delete(session: boto3.Session, endpoint: str) -> None:
    """Delete an endpoint, its configuration and its models. The model's file on S3 stays."""
    endpoints.delete(session, endpoint)
