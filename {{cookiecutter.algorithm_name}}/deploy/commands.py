"""Template: the commands of ``python -m deploy``. Progress and errors go to stderr, the result to stdout."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import click

from contract.serving.formats import FORMATS, content_type_of
from deploy import endpoint as endpoints
from deploy import training
from deploy.errors import EXPECTED, DeployError, describe
from deploy.waiting import print_progress


def main() -> None:
    """Run a command. An error prints one sentence and ends with a status other than 0."""
    try:
        commands.main(prog_name="python -m deploy", standalone_mode=False)
    except click.Abort:
        sys.exit("Interrupted: what was started on AWS goes on, and costs money.")
    except click.ClickException as error:
        sys.exit(error.format_message())
    except EXPECTED as error:
        sys.exit(describe(error))


def _session(context: click.Context, option: click.Parameter, region: str | None) -> boto3.Session:
    session = boto3.Session(region_name=region)
    if session.region_name:
        return session
    print_progress("No region is set, so us-west-2 is used. Choose another with --region or AWS_REGION.")
    return boto3.Session(region_name="us-west-2")


def _pairs(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or name in pairs:
            raise click.BadParameter(f"'{text}': give NAME=VALUE, and each name once.", param=option)
        pairs[name] = value
    return pairs


def _content_type(file: Path) -> str:
    """The media type by the file's suffix."""
    known = content_type_of(file.name)
    if known is None:
        suffixes = ", ".join(known.suffix for known in FORMATS)
        raise DeployError(f"'{file}' ends in none of {suffixes}: give --content-type.")
    return known


REGION = click.option(
    "--region",
    "session",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    callback=_session,
    help="By default AWS_REGION, AWS_DEFAULT_REGION, your profile's, or us-west-2.",
)
IMAGE = click.option("--image", required=True, help="The image in ECR, preferably by digest.")
ROLE = click.option("--role", required=True, help="ARN of the role that SageMaker assumes.")
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
@click.option("--metric", "metrics", multiple=True, help="Instead of those that algorithm.py logs.")
@INSTANCE_COUNT
@INSTANCE_TYPE
@REGION
def train(
    session: boto3.Session, data: Path, channels: Mapping[str, str], metrics: Sequence[str], **given: Any
) -> None:
    """Run a training job; the last line is the model's S3 address."""
    options = training.TrainingOptions(metrics=metrics or training.metrics(), **given)
    click.echo(training.run(session, options, channels or training.folders(data)))


@commands.command()
@IMAGE
@ROLE
@click.option("--model", required=True, help="s3://BUCKET/PATH/model.tar.gz, as train prints it.")
@click.option("--endpoint", help="Its name, by default the project's name and the time.")
@INSTANCE_COUNT
@INSTANCE_TYPE
@REGION
def deploy(session: boto3.Session, endpoint: str | None, **release: Any) -> None:
    """Put a model into service; the last line is the endpoint's name."""
    click.echo(endpoints.create(session, endpoints.Release(**release), endpoint))


@commands.command()
@ENDPOINT
@click.option("--input", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--content-type", help="By default from the file's suffix; .csv is 'text/csv; header=present'.")
@click.option("--accept", help="Type of the response, such as application/json.")
@REGION
def invoke(session: boto3.Session, endpoint: str, file: Path, content_type: str | None, accept: str | None) -> None:
    """Send a file to an endpoint and print its response."""
    content_type = content_type or _content_type(file)
    click.echo(endpoints.invoke(session, endpoint, file.read_bytes(), content_type, accept), nl=False)


@commands.command()
@ENDPOINT
@REGION
def delete(session: boto3.Session, endpoint: str) -> None:
    """Delete an endpoint, its configuration and its models. The model's file on S3 is kept."""
    endpoints.delete(session, endpoint)
