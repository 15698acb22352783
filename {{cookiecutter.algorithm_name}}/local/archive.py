"""Template: the image as a file, for Apptainer and for machines that no registry reaches."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import cast

from local.project import Mistake


def save(image: str, file: Path) -> None:
    """Write ``image`` as `docker save` does. Raises ``Mistake`` where the file is not whole; then none is left."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as output:
            if subprocess.run(["docker", "save", image], stdout=output, check=False).returncode != 0:
                raise Mistake(f"{file} was not written: the lines above say why.")
        if not holds(part, image):
            raise Mistake(f"`docker save` did not write the whole of {image}: see that the disk is well and try again.")
        part.replace(file)
    except OSError as error:
        raise Mistake(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


def holds(file: Path, image: str) -> bool:
    """Whether the archive names ``image``, and each part of it has the digest that it should have."""
    try:
        with tarfile.open(file) as archive:
            [about] = json.load(contents(archive, "manifest.json"))
            layers = json.load(contents(archive, about["Config"]))["rootfs"]["diff_ids"]
            # A part is named by its digest; older versions of docker name layers otherwise.
            known = {about["Config"]: "", **dict(zip(about["Layers"], layers, strict=True))}
            digests = {name: hashlib.file_digest(contents(archive, name), "sha256").hexdigest() for name in known}
            whole = all(digest in name + known[name] for name, digest in digests.items())
            return whole and not {image, f"{image}:latest"}.isdisjoint(about["RepoTags"])
    except (tarfile.TarError, LookupError, TypeError, ValueError):
        return False


def contents(archive: tarfile.TarFile, name: str) -> io.BufferedReader:
    """A file in the archive."""
    return cast(io.BufferedReader, archive.extractfile(name))
