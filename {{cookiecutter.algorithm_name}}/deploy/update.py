"""Template: ``python -m deploy update`` puts another release into service on an endpoint that is in service."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import context, guard, lock, models, names, release
from deploy.config import Settings
from deploy.context import Context
from deploy.endpoint import CHANGING
from deploy.errors import DeployError
from deploy.plan import Plan, Step, flat
from deploy.waiting import print_progress, wait_for_status

UPDATABLE = ("InService", "UpdateRollbackFailed")


@context.verb(*release.FIELDS, "inference", endpoint=True)
@click.option("--model", help=f"{models.FORMS}; by default the one in service.")
@click.option("--force", is_flag=True, help="Update even if nothing differs.")
@guard.options
def update(context: Context, model: str | None, endpoint: str, force: bool, **flags: Any) -> None:
    """Put a new image, model or settings into service; the last line is the endpoint's name.

    What neither a flag nor deploy.toml gives stays as it is, except what --with added: give that again. If an alarm
    fires, AWS goes back to what was in service.
    """
    replace(context, endpoint, model, force, flags)


def replace(context: Context, endpoint: str, model: str | None, force: bool, flags: Mapping[str, Any]) -> None:
    """Update the endpoint to ``model``, or to the one in service with other settings, and wait for it."""
    lock.take(context, endpoint)
    there, old = in_service(context, endpoint)
    old_model = _model(context, old["ProductionVariants"][0]["ModelName"])
    address, present = old_model["PrimaryContainer"].get("ModelDataUrl", ""), _settings(old_model, old)
    context = dataclasses.replace(context, settings=dataclasses.replace(present, **context.given))
    if context.settings.inference == "serverless" and present.inference != "serverless":  # AWS refuses that (S-09)
        raise DeployError(
            f"The endpoint '{endpoint}' has instances, and cannot become serverless by an update: make another with "
            "`deploy --serverless --endpoint NAME`, then delete this one."
        )
    name, plan = names.unique_name(names.project()), Plan(context)
    before = {
        "CreateModel": release.model_request(old_model["ModelName"], address, present),
        "CreateEndpointConfig": release.configuration(old_model["ModelName"], present),
    }
    release.add(plan, name, model or address, before)
    if not force and not any(map(_differs, plan.steps)):
        print_progress(f"endpoint {endpoint}: nothing differs from what is in service, so --force would be needed")
    else:
        alarms = guard.add(plan, endpoint, there["EndpointConfigName"], plan.steps[-1].request, flags)
        if not plan.run():
            return
        if not context.detach:
            wait(context, endpoint, name, alarms, made=True)
    click.echo(endpoint)


def in_service(context: Context, endpoint: str) -> tuple[Any, Any]:
    """The endpoint and its configuration. Raises ``DeployError`` unless it can be updated (C-20)."""
    there = context.describe("Endpoint", endpoint)
    if not there:
        raise DeployError(f"There is no endpoint '{endpoint}': `python -m deploy deploy` makes one.")
    if there["EndpointStatus"] not in UPDATABLE:
        raise DeployError(
            f"The endpoint '{endpoint}' is {there['EndpointStatus']}: it can be updated once it is InService."
        )
    config = context.call("DescribeEndpointConfig", {"EndpointConfigName": there["EndpointConfigName"]})
    require_variant(config)
    return there, config


def require_variant(config: Mapping[str, Any]) -> None:
    """Raise ``DeployError`` unless the configuration has the one variant that deploy makes."""
    found = {each["VariantName"]: each.get("ModelName") for each in config["ProductionVariants"]}
    if [*found] != [release.VARIANT] or not found[release.VARIANT]:
        raise DeployError(
            f"The configuration '{config['EndpointConfigName']}' has the variants {', '.join(found)}: "
            f"this command updates what deploy makes, one variant '{release.VARIANT}' with a model."
        )


def wait(context: Context, endpoint: str, config: str, alarms: list[str], made: bool) -> None:
    """Wait until ``config`` is in service. Raises ``DeployError`` if AWS has gone back to another one (C-23, X-33).

    What was ``made`` for the update is deleted then.
    """
    fired: dict[str, str] = {}

    def describe() -> Any:
        seen = context.client().describe_endpoint(EndpointName=endpoint)
        if alarms:
            known = context.call("DescribeAlarms", {"AlarmNames": alarms}, "cloudwatch")["MetricAlarms"]
            fired.update({each["AlarmName"]: each["StateReason"] for each in known if each["StateValue"] == "ALARM"})
        return seen

    try:
        seen = wait_for_status(f"endpoint {endpoint}", describe, lambda seen: seen["EndpointStatus"], CHANGING)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted: the update to {config} continues. `python -m deploy releases` shows when it is in service."
        ) from None
    if seen["EndpointStatus"] == "InService" and seen["EndpointConfigName"] == config:
        return
    causes = [seen.get("FailureReason", ""), *(f"the alarm {name} fired: {why}" for name, why in fired.items())]
    said = "; ".join(cause.rstrip(". ") for cause in causes if cause) or "AWS gives no reason"
    if seen["EndpointStatus"] != "InService":
        raise DeployError(f"The endpoint {endpoint} ended as {seen['EndpointStatus']}: {said}. {config} is kept.")
    end = f"{config} is kept"
    with suppress(ClientError):  # cleaning up must not hide the failure
        if alarms:  # the next update must not find them firing
            context.call("DeleteAlarms", {"AlarmNames": alarms}, "cloudwatch")
        if made:
            context.call("DeleteEndpointConfig", {"EndpointConfigName": config})
            context.call("DeleteModel", {"ModelName": config})
            end = f"{config} is deleted"
    now = seen["EndpointConfigName"]
    raise DeployError(f"The update of {endpoint} was rolled back: {said}. {now} is in service as before; {end}.")


def _model(context: Context, name: str) -> Any:
    model = context.describe("Model", name)
    if not model or "PrimaryContainer" not in model:
        why = "has several containers" if model else "is deleted"
        raise DeployError(
            f"The model '{name}' in service {why}, so it cannot be updated: roll back to another release."
        )
    return model


def _settings(model: Any, config: Any) -> Settings:
    """The settings of a release, from what AWS tells of its model and configuration."""
    container, variant = model["PrimaryContainer"], config["ProductionVariants"][0]
    serverless, network = variant.get("ServerlessConfig", {}), model.get("VpcConfig", {})
    queue, capture = config.get("AsyncInferenceConfig", {}), config.get("DataCaptureConfig", {})
    results = queue.get("OutputConfig", {}).get("S3OutputPath") or capture.get("DestinationS3Uri", "")
    calls = queue.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance")
    found = {
        "image": container.get("Image"),
        "environment": container.get("Environment"),
        "role": model["ExecutionRoleArn"],
        "network_isolation": model.get("EnableNetworkIsolation"),
        "subnets": tuple(network.get("Subnets", ())),
        "security_groups": tuple(network.get("SecurityGroupIds", ())),
        "bucket": results.removesuffix("async/output").removesuffix("capture"),
        "kms_key": config.get("KmsKeyId"),
        "instance_type": variant.get("InstanceType"),
        "instance_count": variant.get("InitialInstanceCount"),
        "startup_seconds": variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        "download_seconds": variant.get("ModelDataDownloadTimeoutInSeconds"),
        "memory_mb": serverless.get("MemorySizeInMB"),
        "concurrency": serverless.get("MaxConcurrency") or calls,
        "capture_percent": capture.get("InitialSamplingPercentage"),
        "inference": "serverless" if serverless else "async" if queue else "real-time",
    }
    return Settings(**{name: value for name, value in found.items() if value})


def _differs(step: Step) -> bool:
    """Whether a request makes something else than what is there, apart from names and tags."""
    now, before = (
        {path: value for path, value in flat(side) if not path.endswith("Name") and not path.startswith("Tags")}
        for side in (step.request, step.before)
    )
    return now != before
