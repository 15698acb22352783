"""Template: which model `make serve` serves."""

import os
import shutil
import tarfile
from pathlib import Path

from local import tracking
from local.project import DATA, MODEL, TREE, LocalError, path_of

STAGE = TREE / "served"


def base(remedy: str = "make train") -> Path:
    """A folder to use as ``/opt/ml``, with the model in its folder ``model``.

    The model is the one that the variable ``MODEL`` names, on this machine or in MLflow, or else the newest that was
    trained here, or else ``data/model``. Raises ``LocalError`` if there is none.
    """
    given = os.environ.get("MODEL")
    if not given and any(MODEL.glob("*")):
        return TREE
    if given and given.startswith("models:/"):
        folder = tracking.download(given)
    else:
        folder = _folder(path_of("MODEL", "")) if given else DATA / "model"
    if not any(folder.glob("*")):
        raise LocalError(
            f"There is no model in {folder if given else MODEL}: run `{remedy}` first, or name one in MODEL."
        )
    link = STAGE / "model"
    STAGE.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder.resolve())
    return STAGE


def _folder(path: Path) -> Path:
    """The folder of a model, unpacked if it is an archive."""
    if path.is_dir():
        return path
    unpacked = STAGE / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with tarfile.open(path) as archive:
            archive.extractall(unpacked, filter="data")
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or "it is neither a folder nor a model.tar.gz"
        raise LocalError(f"MODEL names {path}, which cannot be served: {reason}.") from error
    return unpacked
