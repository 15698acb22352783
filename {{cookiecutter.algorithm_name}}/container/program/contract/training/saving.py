"""Template: from the model that ``train`` returns to the files that ``serve`` loads."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract import algorithm_interface, failure, schema
from contract.errors import UserError
from contract.predictions import describe
from contract.training import baseline, manifest
from contract.training.job import TrainingJob
from contract.training.sigterm import Phase

UNFINISHED = ".saving-"


def save(algorithm: algorithm_interface.Algorithm, model: Any, job: TrainingJob[Any], try_to_serve: bool) -> None:
    """Save in a folder beside the model, try it, then move it: a job that is cut off leaves no partial file (T-46)."""
    directory, took = job.paths.model, datetime.now(UTC) - job.started
    remove_unfinished(directory)  # left by a job that was killed
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=directory) as name:
        folder = Path(name)
        algorithm.save(model, folder)
        if not any(folder.iterdir()):
            raise UserError("save() in algorithm.py wrote nothing: write the model to the directory it gets.")
        job.signature.write(folder)
        served = require_servable(algorithm, folder, job.signature.rows) if try_to_serve else None
        if served:
            job.signature.write(folder, served.answer)
        if not (folder / baseline.FILE).exists():
            baseline.write(folder, job, served)
        has_manifest = (folder / manifest.NAME).exists()
        if not has_manifest:
            manifest.write(job.describe(), folder)
        _move_all(folder, directory)
    job.stop.phase = Phase.SAVED
    print(f"model saved in {directory}", flush=True)
    about = job.describe(wait_for_digests=True)
    if not has_manifest:
        manifest.write(about, directory)
    job.report(about, took)


def remove_unfinished(directory: Path) -> None:
    """Remove what was being saved."""
    for path in directory.glob(f"{UNFINISHED}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def require_servable(algorithm: algorithm_interface.Algorithm, directory: Path, rows: Any) -> baseline.Served:
    """Load the model and predict, as the first ``/ping`` does (H-05), and predict ``rows`` of the training data.

    Raises ``UserError`` if the model cannot be loaded or cannot predict.
    """
    try:
        model = algorithm.load(directory)
        if rows is not None and not hasattr(algorithm, "features"):
            algorithm_interface.predict(algorithm, model, rows)
        found = schema.of_model(algorithm, model, directory)
        answer = describe(algorithm_interface.predict_examples(algorithm, model, found))
        return baseline.Served(algorithm, model, found, answer)
    except Exception as error:  # of the user's load() and predict()
        raise UserError(f"The saved model cannot be served: {failure.describe(error)}") from error


def _move_all(source: Path, directory: Path) -> None:
    for path in sorted(source.iterdir()):
        target = directory / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
