"""Template: containers of the image, what they find on their disk, and addresses on S3, for the simulator."""

import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests


def docker(*arguments: str) -> str:
    """Run docker and return what it prints."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def split(address: str) -> tuple[str, str]:
    """The bucket and the key of an address on S3."""
    parts = urlsplit(address)
    return parts.netloc, parts.path.lstrip("/")


def pack(directory: Path) -> bytes:
    """The archive of a model: its paths are relative to the directory (T-40)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packing:
        for path in sorted(directory.iterdir()):
            packing.add(path, path.name)
    return archive.getvalue()


def unpack(s3: Any, address: str, directory: Path) -> Path:
    """Unpack the archive at ``address`` into a new folder of ``directory``."""
    bucket, key = split(address)
    archive = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    folder = Path(tempfile.mkdtemp(dir=directory))
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def download(s3: Any, address: str, directory: Path) -> None:
    """Copy all below ``address`` into ``directory``."""
    bucket, prefix = split(address)
    for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        target = directory / found["Key"][prefix.rfind("/") + 1 :]
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, found["Key"], str(target))


def lay_out(s3: Any, root: Path, request: dict[str, Any], host: str, hosts: list[str]) -> None:
    """The tree that the platform gives to a host of a training job."""
    for name in ("input/config", "input/data", "model", "output"):
        (root / name).mkdir(parents=True)
    channels = {each["ChannelName"]: each["DataSource"] for each in request.get("InputDataConfig", [])}
    files = {
        "hyperparameters": request.get("HyperParameters", {}),
        "inputdataconfig": {channel: {"TrainingInputMode": "File"} for channel in channels},
        "resourceconfig": {"current_host": host, "hosts": hosts, "network_interface_name": "eth0"},
    }
    for name, content in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    for channel, source in channels.items():
        download(s3, source["S3DataSource"]["S3Uri"], root / "input/data" / channel)
    if "CheckpointConfig" in request:
        (root / "checkpoints").mkdir()
        download(s3, request["CheckpointConfig"]["S3Uri"], root / "checkpoints")


def invoke(address: str, request: dict[str, Any], timeout: int, *, stream: bool = False) -> requests.Response:
    """The answer of a container to a request that came through the platform."""
    named = {"Content-Type": request.get("ContentType"), "Accept": request.get("Accept")}
    headers = {name: value for name, value in named.items() if value}
    return requests.post(f"{address}/invocations", request["Body"], headers=headers, timeout=timeout, stream=stream)


def upload(s3: Any, directory: Path, address: str) -> None:
    """Copy all files of ``directory`` to ``address``."""
    bucket, prefix = split(address.rstrip("/") + "/")
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        s3.upload_file(str(file), bucket, f"{prefix}{file.relative_to(directory).as_posix()}")
