"""Template: folders of this machine, and addresses on S3 (C-06)."""

import re
from collections.abc import Callable
from pathlib import Path

from deploy.context import Context
from deploy.errors import DeployError
from deploy.waiting import print_progress


def split(address: str) -> tuple[str, str]:
    """The bucket and the key of ``s3://BUCKET/KEY``."""
    match = re.fullmatch(r"s3://([^/\s]+)/?(\S*)", address)
    if not match:
        raise DeployError(f"'{address}' is no address on S3: give s3://BUCKET/PATH.")
    return match[1], match[2]


def folder(address: str) -> str:
    """``s3://BUCKET/PREFIX/``, however many slashes there were at its end."""
    if not re.fullmatch(r"s3://[^/\s]+/?\S*", address):
        raise DeployError(f"--bucket is '{address}': give s3://BUCKET/PREFIX.")
    return f"{address.rstrip('/')}/"


def channels(data: Path) -> dict[str, Path]:
    """The folders in ``data``, each a channel, by name."""
    found = {path.name: path for path in sorted(data.glob("[!.]*")) if path.is_dir()}
    if not found:
        raise DeployError(f"There is no folder in '{data}': make one for each channel, such as {data / 'training'}.")
    for path in found.values():
        if not files(path):
            raise DeployError(f"'{path}' holds no file: fill it, or remove it to train without that channel.")
    return found


def files(folder: Path) -> list[Path]:
    """All files below ``folder`` except hidden ones, which editors and desktops leave there."""
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in there if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def uploader(context: Context, source: Path, address: str) -> Callable[[], None]:
    """What uploads the files below ``source`` to ``address``."""

    def upload() -> None:
        print_progress(f"uploading {source} to {address}")
        bucket, prefix = split(address)
        for file in files(source):
            key = f"{prefix}{file.relative_to(source).as_posix()}"
            context.client("s3").upload_file(str(file), bucket, key)

    return upload
