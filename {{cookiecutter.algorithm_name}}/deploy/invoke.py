"""Template: ``python -m deploy invoke`` sends a file to an endpoint and prints the response."""

from pathlib import Path

import click

from contract.serving.formats import FORMATS, content_type_of
from deploy import context, names
from deploy.context import Context
from deploy.errors import DeployError
from deploy.limits import valid_request


@context.verb(changes=False)
@click.option("--endpoint", help="Its name, by default the project's name and the stage.")
@click.option("--input", "file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--content-type", help="By default from the file's suffix; .csv is 'text/csv; header=present'.")
@click.option("--accept", help="Type of the response, such as application/json.")
def invoke(context: Context, endpoint: str | None, file: Path, content_type: str | None, accept: str | None) -> None:
    """Send a file to an endpoint and print its response."""
    request = {
        "EndpointName": endpoint or names.endpoint(context.stage),
        "Body": file.read_bytes(),
        "ContentType": content_type or _content_type(file),
    }
    if accept:
        request["Accept"] = accept
    runtime = context.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(**valid_request(runtime, "InvokeEndpoint", request))
    click.echo(answer["Body"].read(), nl=False)


def _content_type(file: Path) -> str:
    """The media type by the file's suffix."""
    known = content_type_of(file.name)
    if known is None:
        suffixes = ", ".join(known.suffix for known in FORMATS)
        raise DeployError(f"'{file}' ends in none of {suffixes}: give --content-type.")
    return known
