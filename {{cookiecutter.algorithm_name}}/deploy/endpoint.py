"""Template: an endpoint on SageMaker: from a model to answers, and away again (contract 11.3, 11.4)."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import ClientError

from deploy import names
from deploy.errors import UserError
from deploy.limits import checked
from deploy.waiting import patiently, say, settle

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.literals import ProductionVariantInstanceTypeType
    from mypy_boto3_sagemaker.type_defs import (
        CreateEndpointConfigInputTypeDef,
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        DescribeEndpointOutputTypeDef,
    )
    from mypy_boto3_sagemaker_runtime.type_defs import InvokeEndpointInputTypeDef

Answer = TypeVar("Answer")

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")  # C-27: the other statuses stay
GONE = "does not exist"
PATIENCE = Config(read_timeout=70, retries={"mode": "standard", "total_max_attempts": 2})  # H-11: 60 s and a margin


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

    All is checked before the first is created, and where AWS refuses one, those before it are deleted again.
    Raises ``UserError`` with the platform's reason where the endpoint does not get into service.
    """
    if not re.fullmatch(r"s3://[^/\s]+/\S+\.tar\.gz", release.model):
        raise UserError(f"--model is '{release.model}': give s3://BUCKET/PATH/model.tar.gz, as train prints it.")
    if "@sha256:" not in release.image:  # E-14
        say(f"'{release.image}' is a tag: once it is moved, new instances get another image. Better name the digest.")
    sagemaker = session.client("sagemaker")
    name = names.fresh(names.project())
    endpoint = endpoint or name
    model = checked(sagemaker, "CreateModel", _model(name, release))
    config = checked(sagemaker, "CreateEndpointConfig", _config(name, release))
    request: CreateEndpointInputTypeDef = {"EndpointName": endpoint, "EndpointConfigName": name}
    checked(sagemaker, "CreateEndpoint", request)
    if there := _unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint):
        raise UserError(f"The endpoint '{endpoint}' exists, {there['EndpointStatus']}: take another name or delete it.")
    with ExitStack() as undo:
        patiently(sagemaker.create_model, **model)
        undo.callback(_try, sagemaker.delete_model, ModelName=name)
        patiently(sagemaker.create_endpoint_config, **config)
        undo.callback(_try, sagemaker.delete_endpoint_config, EndpointConfigName=name)
        patiently(sagemaker.create_endpoint, **request)
        undo.pop_all()
    _settled(sagemaker, endpoint, CHANGING, wanted="InService")
    return endpoint


def invoke(session: "Session", endpoint: str, body: bytes, content_type: str, accept: str | None) -> bytes:
    """What the endpoint answers to ``body``."""
    runtime = session.client("sagemaker-runtime", config=PATIENCE)
    request: InvokeEndpointInputTypeDef = {"EndpointName": endpoint, "Body": body, "ContentType": content_type}
    if accept:
        request["Accept"] = accept
    return runtime.invoke_endpoint(**checked(runtime, "InvokeEndpoint", request))["Body"].read()


def delete(session: "Session", endpoint: str) -> None:
    """Delete the endpoint, then its configuration, then its models (C-26). What is gone already is passed over."""
    sagemaker = session.client("sagemaker")
    checked(sagemaker, "DeleteEndpoint", {"EndpointName": endpoint})
    there = _settled(sagemaker, endpoint, CHANGING)  # the platform deletes nothing that is changing
    if not there:
        return
    config = there["EndpointConfigName"]
    known = _unless_absent(sagemaker.describe_endpoint_config, EndpointConfigName=config)
    if there["EndpointStatus"] != "Deleting":
        _unless_absent(sagemaker.delete_endpoint, EndpointName=endpoint)
    _settled(sagemaker, endpoint, ("Deleting",), wanted=GONE)
    _unless_absent(sagemaker.delete_endpoint_config, EndpointConfigName=config)
    say(f"configuration {config}: deleted")
    for variant in known["ProductionVariants"] if known else []:
        _unless_absent(sagemaker.delete_model, ModelName=variant["ModelName"])
        say(f"model {variant['ModelName']}: deleted")


def _model(name: str, release: Release) -> "CreateModelInputTypeDef":
    return {
        "ModelName": name,
        "ExecutionRoleArn": release.role,
        "PrimaryContainer": {"Image": release.image, "ModelDataUrl": release.model},
    }


def _config(name: str, release: Release) -> "CreateEndpointConfigInputTypeDef":
    return {
        "EndpointConfigName": name,
        "ProductionVariants": [
            {
                "VariantName": "all",
                "ModelName": name,
                "InstanceType": cast("ProductionVariantInstanceTypeType", release.instance_type),
                "InitialInstanceCount": release.instance_count,
            }
        ],
    }


def _settled(
    sagemaker: "SageMakerClient", endpoint: str, passing: tuple[str, ...], wanted: str = ""
) -> "DescribeEndpointOutputTypeDef | None":
    """The endpoint once its status is none of ``passing``; None where there is no such endpoint."""
    return settle(
        f"endpoint {endpoint}",
        lambda: _unless_absent(sagemaker.describe_endpoint, EndpointName=endpoint),
        lambda seen: seen["EndpointStatus"] if seen else GONE,
        passing,
        wanted,
    )


def _unless_absent(call: Callable[..., Answer], **name: str) -> Answer | None:
    """What ``call`` answers, or None where the thing that it names does not exist (C-10)."""
    try:
        return call(**name)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ResourceNotFound" or (code == "ValidationException" and "could not find" in message.lower()):
            return None
        raise


def _try(call: Callable[..., object], **name: str) -> None:
    """Tidying up must not hide why it is done."""
    with suppress(ClientError):
        call(**name)
