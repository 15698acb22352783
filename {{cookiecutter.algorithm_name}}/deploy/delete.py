"""Template: ``python -m deploy delete`` deletes an endpoint, then its configuration, then its models (C-26)."""

import click

from deploy import context, lock, names
from deploy.context import Context
from deploy.endpoint import CHANGING, GONE, unless_absent, wait_for_endpoint
from deploy.limits import valid_request
from deploy.waiting import print_progress


@context.verb(changes=False)
@click.option("--endpoint", help="Its name, by default the project's name and the stage.")
def delete(context: Context, endpoint: str | None) -> None:
    """Delete an endpoint, its configuration and its models. The model's file on S3 is kept."""
    sagemaker, endpoint = context.client(), endpoint or names.endpoint(context.stage)
    valid_request(sagemaker, "DeleteEndpoint", {"EndpointName": endpoint})
    lock.take(context, endpoint)
    there = wait_for_endpoint(sagemaker, endpoint, CHANGING)  # AWS refuses to delete an endpoint that is changing
    if not there:
        return
    config = there["EndpointConfigName"]
    known = unless_absent(sagemaker.describe_endpoint_config, EndpointConfigName=config)
    if there["EndpointStatus"] != "Deleting":
        unless_absent(sagemaker.delete_endpoint, EndpointName=endpoint)
    wait_for_endpoint(sagemaker, endpoint, ("Deleting",), wanted=GONE)
    unless_absent(sagemaker.delete_endpoint_config, EndpointConfigName=config)
    print_progress(f"configuration {config}: deleted")
    for variant in known["ProductionVariants"] if known else []:
        unless_absent(sagemaker.delete_model, ModelName=variant["ModelName"])
        print_progress(f"model {variant['ModelName']}: deleted")
