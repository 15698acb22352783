"""Template: the requests that put a model into service: ``CreateModel`` and ``CreateEndpointConfig``.

A release is a model and a configuration of the same name. Deploy and update make one; batch makes its model alone.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from deploy import config, controls, models, storage
from deploy.config import Settings
from deploy.errors import DeployError
from deploy.plan import Plan
from deploy.prices import Cost

_OWN_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g[5-7]\w*|p5\w*|trn\w+)\.")  # encrypted by its hardware
VARIANT = "all"  # the same in each release: an update by shares of the traffic needs that
# With a driver for CUDA 13, which today's packages bring. The default on ml.g4dn and ml.g5 is one for CUDA 11. It has
# none for ml.p2 and ml.p3, which CUDA 13 no longer knows.
GPU_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
_TAKES_GPU_AMI = re.compile(r"ml\.[gp][4-9]")
FIELDS = (
    *("image", "role", "bucket", "environment", "tags", "kms_key", "subnets", "security_groups", "network_isolation"),
    *("instance_type", "instance_count", "memory_mb", "concurrency", "capture_percent"),
    *("startup_seconds", "download_seconds"),
)
"""The settings of a release; ``inference`` has flags of its own."""


def add(plan: Plan, name: str, model: str, before: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Add a release of the model at the address ``model`` to the plan; ``before`` are the requests it differs from."""
    operation = "CreateEndpointConfig"
    add_model(plan, name, model, before.get("CreateModel"))
    settings = plan.context.settings
    if len(settings.subnets) == 1:  # hosting wants two zones (C-08)
        raise DeployError("An endpoint needs subnets in two zones: give one more.")
    wanted = configuration(name, settings)
    made = plan.add(operation, wanted, before=before.get(operation), undo="DeleteEndpointConfig")
    if plan.context.stage == "prod":
        plan.notes += controls.notes(plan.request("CreateModel"), made)
    if settings.inference != "serverless":
        plan.costs.append(Cost("hosting", settings.instance_type, settings.instance_count))


def add_model(plan: Plan, name: str, model: str, before: Mapping[str, Any] | None = None) -> None:
    """Add ``CreateModel`` alone, for any model that ``models.find`` finds. The plan then has the image by digest."""
    config.require(plan.context.settings, "role")
    found = models.add(plan, name, model)
    wanted = model_request(name, found.address, plan.context.settings)
    plan.add("CreateModel", wanted, before=before, undo="DeleteModel")


def model_request(name: str, model: str, settings: Settings) -> dict[str, Any]:
    """``CreateModel`` for the archive at the address ``model``."""
    container = {"Image": settings.image, "ModelDataUrl": model, "Environment": _environment(settings)}
    request = {"ModelName": name, "ExecutionRoleArn": settings.role, "PrimaryContainer": container}
    return request | {"EnableNetworkIsolation": settings.network_isolation} | config.vpc(settings)


def configuration(name: str, settings: Settings) -> dict[str, Any]:
    """``CreateEndpointConfig`` for the model of the same name."""
    if settings.inference not in config.INFERENCE:
        raise DeployError(f"inference is '{settings.inference}': give real-time, serverless or async.")
    kind, own_disk = settings.inference, _OWN_DISK.match(settings.instance_type)
    return {
        "EndpointConfigName": name,
        "ProductionVariants": [_variant(name, settings)],
        "KmsKeyId": None if kind == "serverless" or own_disk else settings.kms_key,
        "AsyncInferenceConfig": _asynchronous(settings) if kind == "async" else None,
        "DataCaptureConfig": _capture(settings) if settings.capture_percent else None,
        "MetricsConfig": {"EnableDetailedObservability": answers_metrics(settings)},
    }


def answers_metrics(settings: Settings) -> bool:
    """Whether the server is told to answer /metrics, and SageMaker to read it: not of a serverless endpoint (S-07)."""
    switched_on = settings.environment.get("MODEL_SERVER_METRICS", "").lower() in ("1", "true", "yes", "on")
    return switched_on and settings.inference != "serverless"


def _environment(settings: Settings) -> dict[str, str]:
    """A serverless container is small, and there are as many as are needed: one worker each (S-06)."""
    own = {"MODEL_SERVER_WORKERS": "1"} if settings.inference == "serverless" else {}
    return own | settings.environment


def _variant(name: str, settings: Settings) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": name}
    if settings.inference == "serverless":
        _refuse_for_serverless(settings)
        serverless = {"MemorySizeInMB": settings.memory_mb, "MaxConcurrency": settings.concurrency}
        return variant | {"ServerlessConfig": serverless}
    return variant | {
        "InstanceType": settings.instance_type,
        "InitialInstanceCount": settings.instance_count,
        "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_seconds or None,
        "ModelDataDownloadTimeoutInSeconds": settings.download_seconds or None,
        "InferenceAmiVersion": GPU_AMI if _TAKES_GPU_AMI.match(settings.instance_type) else None,
    }


def _refuse_for_serverless(settings: Settings) -> None:
    """What a serverless endpoint cannot have (S-01, S-07)."""
    if settings.memory_mb not in range(1024, 6145, 1024):
        raise DeployError(f"memory_mb is {settings.memory_mb}: give 1024, 2048, 3072, 4096, 5120 or 6144.")
    for name in ("subnets", "network_isolation", "capture_percent", "startup_seconds", "download_seconds"):
        if getattr(settings, name):
            raise DeployError(f"A serverless endpoint cannot have {name}: leave it out of this stage.")


def _asynchronous(settings: Settings) -> dict[str, Any]:
    config.require(settings, "bucket")
    results = f"{storage.folder(settings.bucket)}async"
    output = {"S3OutputPath": f"{results}/output", "S3FailurePath": f"{results}/failure", "KmsKeyId": settings.kms_key}
    return {
        "OutputConfig": output,
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": settings.concurrency},
    }


def _capture(settings: Settings) -> dict[str, Any]:
    """Without the list of content types the captured bodies would be in base64 (M-41)."""
    config.require(settings, "bucket")
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": settings.capture_percent,
        "DestinationS3Uri": f"{storage.folder(settings.bucket)}capture",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json", "application/jsonlines"],
        },
        "KmsKeyId": settings.kms_key,
    }
