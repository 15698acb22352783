"""Template: creates, calls and deletes an endpoint on SageMaker."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import ClientError

from deploy import names
from deploy.errors import DeployError
from deploy.limits import valid_request
from deploy.waiting import print_progress, retry_until_visible, wait_for_status

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.literals import (
        ProductionVariantInferenceAmiVersionType,
        ProductionVariantInstanceTypeType,
    )
    from mypy_boto3_sagemaker.type_defs import (
        CreateEndpointConfigInputTypeDef,
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        DescribeEndpointOutputTypeDef,
        ProductionVariantTypeDef,
    )
    from mypy_boto3_sagemaker_runtime.type_defs import InvokeEndpointInputTypeDef

Output = TypeVar("Output")

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # any other status stays as it is (C-27)
GONE = "does not exist"
# With a driver for CUDA 13, which today's packages bring. The default on ml.g4dn and ml.g5 is one for CUDA 11.
GPU_AMI: "ProductionVariantInferenceAmiVersionType" = "al2023-ami-sagemaker-inference-gpu-4-1"
# A prediction may take 60 seconds (H-11).
RUNTIME_CONFIG = Config(read_timeout=70, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True)
class Release:
    """What to serve, and on what."""

    image: str
    model: str
    role: str
    instance_type: str
    instance_count: int


def create(session: "Session", release: Release, endpoint: str | None) -> str:
    """Create a model, a configuration and the endpoint, and wait until it is in service; returns its name.

    Everything is checked before anything is created. If AWS refuses one of the three, those before it are deleted.
    Raises ``DeployError`` with AWS's reason if the endpoint does not get into service.
    """
    if not re.fullmatch(r"s3://[^/\s]+/\S+\.tar\.gz", release.model):
        raise DeployError(f"--model is '{release.model}': give s3://BUCKET/PATH/model.tar.gz, as train prints it.")
    if "@sha256:" not in release.image:  # SageMaker pulls again whenever it adds instances (E-14)
        print_progress(
            f"'{release.image}' is a tag: if it is moved, new instances get another image. Give the digest instead."
        )
    sagemaker = session.client("sagemaker")
    name = names.unique_name(names.project())
    endpoint = endpoint or name
    model = valid_request(sagemaker, "CreateModel", _model(name, release))
    config = valid_request(sagemaker, "CreateEndpointConfig", _config(name, release))
    request: CreateEndpointInputTypeDef = {"EndpointName": endpoint, "EndpointConfigName": name}
    valid_request(sagemaker, "CreateEndpoint", request)
    if there := _unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint):
        raise DeployError(
            f"The endpoint '{endpoint}' exists, {there['EndpointStatus']}: take another name or delete it."
        )
    with ExitStack() as undo:
        retry_until_visible(sagemaker.create_model, **model)
        undo.callback(_delete_quietly, sagemaker.delete_model, ModelName=name)
        retry_until_visible(sagemaker.create_endpoint_config, **config)
        undo.callback(_delete_quietly, sagemaker.delete_endpoint_config, EndpointConfigName=name)
        retry_until_visible(sagemaker.create_endpoint, **request)
        undo.pop_all()
    _wait_for_endpoint(sagemaker, endpoint, CHANGING, wanted="InService")
    return endpoint


def invoke(session: "Session", endpoint: str, body: bytes, content_type: str, accept: str | None) -> bytes:
    """Send ``body`` to the endpoint and return the body of its response."""
    runtime = session.client("sagemaker-runtime", config=RUNTIME_CONFIG)
    request: InvokeEndpointInputTypeDef = {"EndpointName": endpoint, "Body": body, "ContentType": content_type}
    if accept:
        request["Accept"] = accept
    return runtime.invoke_endpoint(**valid_request(runtime, "InvokeEndpoint", request))["Body"].read()


def delete(session: "Session", endpoint: str) -> None:
    """Delete the endpoint, then its configuration, then its models (C-26). What is gone already is skipped."""
    sagemaker = session.client("sagemaker")
    valid_request(sagemaker, "DeleteEndpoint", {"EndpointName": endpoint})
    there = _wait_for_endpoint(sagemaker, endpoint, CHANGING)  # AWS refuses to delete an endpoint that is changing
    if not there:
        return
    config = there["EndpointConfigName"]
    known = _unless_absent(sagemaker.describe_endpoint_config, EndpointConfigName=config)
    if there["EndpointStatus"] != "Deleting":
        _unless_absent(sagemaker.delete_endpoint, EndpointName=endpoint)
    _wait_for_endpoint(sagemaker, endpoint, ("Deleting",), wanted=GONE)
    _unless_absent(sagemaker.delete_endpoint_config, EndpointConfigName=config)
    print_progress(f"configuration {config}: deleted")
    for variant in known["ProductionVariants"] if known else []:
        _unless_absent(sagemaker.delete_model, ModelName=variant["ModelName"])
        print_progress(f"model {variant['ModelName']}: deleted")


def _model(name: str, release: Release) -> "CreateModelInputTypeDef":
    return {
        "ModelName": name,
        "ExecutionRoleArn": release.role,
        "PrimaryContainer": {"Image": release.image, "ModelDataUrl": release.model},
    }


def _config(name: str, release: Release) -> "CreateEndpointConfigInputTypeDef":
    variant: ProductionVariantTypeDef = {
        "VariantName": "all",
        "ModelName": name,
        "InstanceType": cast("ProductionVariantInstanceTypeType", release.instance_type),
        "InitialInstanceCount": release.instance_count,
    }
    if re.match(r"ml\.[gp]\d", release.instance_type):
        variant["InferenceAmiVersion"] = GPU_AMI
    return {"EndpointConfigName": name, "ProductionVariants": [variant]}


def _wait_for_endpoint(
    sagemaker: "SageMakerClient", endpoint: str, passing: tuple[str, ...], wanted: str = ""
) -> "DescribeEndpointOutputTypeDef | None":
    """The endpoint once its status is none of ``passing``, or None if there is no such endpoint."""
    return wait_for_status(
        f"endpoint {endpoint}",
        lambda: _unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint),
        lambda seen: seen["EndpointStatus"] if seen else GONE,
        passing,
        wanted,
    )


def _unless_absent(call: Callable[..., Output], **name: str) -> Output | None:
    """What ``call`` returns, or None if the thing it names does not exist (C-10)."""
    try:
        return call(**name)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ResourceNotFound" or (code == "ValidationException" and "could not find" in message.lower()):
            return None
        raise


def _delete_quietly(call: Callable[..., object], **name: str) -> None:
    """Cleaning up must not hide the error that it follows."""
    with suppress(ClientError):
        call(**name)
