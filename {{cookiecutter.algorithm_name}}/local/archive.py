"""Template: the image as a file, for Apptainer and for machines that cannot reach a registry."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import cast

from local.project import LocalError


def save(image: str, file: Path) -> None:
    """Write ``image`` as `docker save` does. Raises ``LocalError`` if the file is not complete, and removes it."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as output:
            if subprocess.run(["docker", "save", image], stdout=output, check=False).returncode != 0:
                raise LocalError(f"{file} was not written: the lines above say why.")
        if not is_whole(part, image):
            raise LocalError(f"`docker save` did not write all of {image}: check the disk and try again.")
        part.replace(file)
    except OSError as error:
        raise LocalError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def is_whole(file: Path, image: str) -> bool:
    """Whether the archive is of ``image`` and each part of it has the right digest."""
    try:
        with tarfile.open(file) as archive:
            [manifest] = json.load(contents(archive, "manifest.json"))
            layers = json.load(contents(archive, manifest["Config"]))["rootfs"]["diff_ids"]
            # A part is named by its digest; older versions of docker name layers differently.
            known = {manifest["Config"]: "", **dict(zip(manifest["Layers"], layers, strict=True))}
            digests = {name: hashlib.file_digest(contents(archive, name), "sha256").hexdigest() for name in known}
            whole = all(digest in name + known[name] for name, digest in digests.items())
            return whole and not {image, f"{image}:latest"}.isdisjoint(manifest["RepoTags"])
    except (tarfile.TarError, LookupError, TypeError, ValueError):
        return False


def contents(archive: tarfile.TarFile, name: str) -> io.BufferedReader:
    """A file in the archive, opened."""
    return cast(io.BufferedReader, archive.extractfile(name))
