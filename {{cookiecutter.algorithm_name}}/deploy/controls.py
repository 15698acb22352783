"""Template: which controls of Security Hub, and rules of AWS Config, a deployment meets."""

from collections.abc import Iterator
from typing import Any

_OF_INSTANCES = ("set instance_count", "set kms_key")


def notes(model: dict[str, Any], configuration: dict[str, Any]) -> Iterator[str]:
    """A line for each, from the requests that make the model and the endpoint's configuration."""
    variant, image = configuration["ProductionVariants"][0], model["PrimaryContainer"].get("ImageConfig", {})
    two, isolated = variant.get("InitialInstanceCount", 0) > 1, model.get("EnableNetworkIsolation", False)
    met = {
        "Security Hub SageMaker.4, at least two instances: set instance_count": two,
        "Security Hub SageMaker.5, network isolation: set network_isolation": isolated,
        "Security Hub SageMaker.16, image from a registry in the VPC: an image in ECR cannot": "Vpc" in image.values(),
        "AWS Config sagemaker-model-in-vpc: set subnets and security_groups": "VpcConfig" in model,
        "AWS Config sagemaker-endpoint-configuration-kms-key-configured: set kms_key": "KmsKeyId" in configuration,
    }
    for line, is_met in met.items():
        name, _, remedy = line.partition(": ")
        if is_met or "ServerlessConfig" not in variant:
            yield f"{name}: met" if is_met else f"{name}: not met: {remedy}"
        elif remedy in _OF_INSTANCES:
            yield f"{name}: does not apply, as the endpoint is serverless"
        else:
            yield f"{name}: not met: a serverless endpoint cannot"
