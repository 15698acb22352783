"""Template: the model that served: its baseline and its signature, from a folder, an archive, S3 or an endpoint."""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3

from contract.feature import Feature
from local.project import LocalError

FILES = ("baseline.json", "signature.json", "manifest.json")


class Model(NamedTuple):
    """What is known of a model."""

    baseline: dict[str, Any]
    features: list[Feature]
    answer: dict[str, Any]
    """What the columns of its answer hold, by name."""
    version: str
    """The digest of its manifest, by which captured data names it."""


def client(service: str) -> Any:
    """A client of AWS, in the region that the environment or the profile names."""
    session: Any = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    return session.client(service)


def of(place: str) -> Model:
    """Raises ``LocalError`` where there is no model with a baseline."""
    found = _of_s3(place) if place.startswith("s3://") else _of_path(Path(place).expanduser())
    if "baseline.json" not in found:
        raise LocalError(f"{place} has no baseline.json: train the model again, which writes one.")
    signature = json.loads(found.get("signature.json", "{}"))
    features = [Feature.from_json(given) for given in signature.get("features", [])]
    version = sha256(found["manifest.json"]).hexdigest() if "manifest.json" in found else ""
    return Model(json.loads(found["baseline.json"]), features, signature.get("answer", {}), version)


def of_endpoint(name: str) -> tuple[str, str]:
    """Where an endpoint's data is captured, and where the model of its first variant is, both on S3."""
    sagemaker = client("sagemaker")
    config = sagemaker.describe_endpoint_config(
        EndpointConfigName=sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    )
    capture, variant = config.get("DataCaptureConfig"), config["ProductionVariants"][0]
    if not capture or not capture["EnableCapture"]:
        raise LocalError(f"The endpoint '{name}' captures no data: deploy it with `--capture-percent 100`.")
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    data = model.get("PrimaryContainer", {}).get("ModelDataUrl")
    if not data:
        raise LocalError(f"The model of the endpoint '{name}' has no address on S3: name it with --model.")
    return f"{capture['DestinationS3Uri'].rstrip('/')}/{name}/{variant['VariantName']}", data


def _of_path(path: Path) -> Mapping[str, bytes]:
    if path.is_dir():
        return {name: (path / name).read_bytes() for name in FILES if (path / name).exists()}
    try:
        with path.open("rb") as file:
            return _of_archive(file, str(path))
    except OSError as error:
        raise LocalError(f"There is no model in {path}: {error.strerror}. Name one with --model.") from error


def _of_s3(address: str) -> Mapping[str, bytes]:
    place = urlsplit(address)
    body = client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
    return _of_archive(io.BufferedReader(body), address)


def _of_archive(file: Any, name: str) -> Mapping[str, bytes]:
    """Reads no further than the last of the files, as the model itself may be large."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                base = member.name.removeprefix("./")
                if base in FILES and (content := archive.extractfile(member)):
                    found[base] = content.read()
                if len(found) == len(FILES):
                    break
    except (tarfile.TarError, EOFError) as error:
        raise LocalError(f"{name} is not a model.tar.gz: name a model's folder or archive with --model.") from error
    return found
