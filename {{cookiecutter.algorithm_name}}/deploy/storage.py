"""Template: folders of this machine, and addresses on S3 (C-06)."""

import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError

from deploy.context import Context
from deploy.errors import DeployError, describe
from deploy.waiting import print_progress

SECONDS_BETWEEN_LINES = 3


def split(address: str) -> tuple[str, str]:
    """The bucket and the key of ``s3://BUCKET/KEY``."""
    match = re.fullmatch(r"s3://([^/\s]+)/?(\S*)", address)
    if not match:
        raise DeployError(f"'{address}' is not an address on S3: give s3://BUCKET/PATH.")
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
            raise DeployError(f"'{path}' has no files: add some, or remove it to train without that channel.")
    return found


def files(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """All files below ``folder``, those in linked folders too, but no hidden ones, which editors leave there."""
    if folder.resolve() in above:  # a link to a folder that it lies in
        return []
    found: list[Path] = []
    for path in sorted(folder.glob("[!.]*")):
        if path.is_dir():
            found += files(path, (*above, folder.resolve()))
        elif path.is_file():
            found.append(path)
        elif path.is_symlink():
            raise DeployError(f"'{path}' is a link to '{path.readlink()}', which does not exist: fix or remove it.")
    return found


def uploader(context: Context, source: Path, address: str) -> Callable[[], None]:
    """What uploads the files below ``source`` to ``address``, ten at a time, and says how far it is."""
    found, (bucket, prefix), key = files(source), split(address), context.settings.kms_key
    size, sent, printed, lock = sum(file.stat().st_size for file in found) / 1e6, 0.0, time.monotonic(), Lock()
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}

    def progress(count: int) -> None:  # below 0 if bytes are sent again
        nonlocal sent, printed
        with lock:
            sent += count / 1e6
            if time.monotonic() - printed > SECONDS_BETWEEN_LINES:
                printed = time.monotonic()
                print_progress(f"uploaded {sent:.1f} of {size:.1f} MB of {source}")

    def upload() -> None:
        print_progress(f"uploading {source} to {address}: {size:.1f} MB in files: {len(found)}")
        pending, report = deque[Any](), [ProgressCallbackInvoker(progress)]
        with create_transfer_manager(context.client("s3"), TransferConfig()) as manager:  # Ctrl-C stops it
            for file in found:
                name = f"{prefix}{file.relative_to(source).as_posix()}"
                pending.append(manager.upload(str(file), bucket, name, encrypted, report))
                if len(pending) > 1000:  # of a million images not all may wait in memory
                    _finish(pending.popleft())
            for each in pending:
                _finish(each)

    return upload


def _finish(upload: Any) -> None:
    try:
        upload.result()
    except (BotoCoreError, ClientError) as error:
        file = upload.meta.call_args
        place = f"s3://{file.bucket}/{file.key}"
        raise DeployError(
            f"Nothing was started: '{file.fileobj}' cannot be uploaded to {place}: {describe(error)}"
        ) from error
