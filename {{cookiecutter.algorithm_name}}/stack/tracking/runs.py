"""Template: what a run of training has left, and how it is logged to MLflow: as one run, however often it is logged."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag

from local.project import NAME
from stack.tracking import mlmodel
from stack.tracking.server import Server, refusals

OTHER = re.compile(r"[^\w\-. :/]")  # characters that MLflow takes in no name
MODEL_TAG = "model_id"  # of a run: its model has been logged as a whole
PARAMETERS, METRICS = 100, 1000  # in a request, at most
LENGTH = 6000  # of a parameter's value, in characters


@dataclass(frozen=True)
class Run:
    """A folder as ``/opt/ml`` is after a job, and the job's name."""

    folder: Path
    name: str
    started: int
    """In milliseconds since 1970, as MLflow counts."""
    ended: int
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Path | None:
        """The folder of the model, if there is one. A study leaves the manifest alone of all but the best."""
        folder = self.folder / "model"
        return folder if any(path.name != "manifest.json" for path in folder.glob("*")) else None

    @property
    def failed(self) -> bool:
        """Whether the job did not come to its end."""
        return not (self.model or (self.folder / "output/data/metrics.json").exists())

    @property
    def manifest(self) -> dict[str, Any]:
        """How the model came to be; empty without a model."""
        return read(self.folder / "model/manifest.json")

    @property
    def parameters(self) -> dict[str, str]:
        """The hyperparameters: all of them if there is a model, else those that were given."""
        known = self.manifest.get("hyperparameters")
        given = read(self.folder / "input/config/hyperparameters.json")
        texts = {name: _text(value) for name, value in (known if isinstance(known, dict) else given).items()}
        return {OTHER.sub("_", name): text[:LENGTH] for name, text in texts.items()}

    @property
    def metrics(self) -> dict[str, list[float | None]]:
        """All values of each metric in their order; None for what is no finite number."""
        found = read(self.folder / "output/data/metrics.json")
        return {OTHER.sub("_", name): values for name, values in found.items()}


def of_folder(folder: Path) -> Run:
    """A run of `make train`, which has the name that the job was told."""
    begin, end = folder / "input/config/hyperparameters.json", folder / "output"
    last = max((path.stat().st_mtime for path in end.rglob("*")), default=begin.stat().st_mtime)
    return Run(folder, f"{NAME}-{folder.name}", int(begin.stat().st_mtime * 1000), int(last * 1000))


def log(server: Server, run: Run, tags: Mapping[str, str], register: str) -> Iterator[str]:
    """Log a run with its model, and yield what to tell. What the server has already is not logged again.

    Raises ``Refused`` if the server does not answer, or refuses something.
    """
    client = server.client
    with refusals(server.uri):
        experiment = server.experiment()
        found = client.search_runs([experiment], f"attributes.run_name = '{run.name}'", max_results=1)
        there = found[0] if found else client.create_run(experiment, run.started, run_name=run.name)
        number, model = there.info.run_id, there.data.tags.get(MODEL_TAG, "")
        if run.model and not model:
            model = _log_model(server, run, run.model, there)
        client.log_batch(number, tags=[RunTag(name, text) for name, text in {**_about(run), **tags}.items()])
        _log_figures(server, run, there, model)
        for path in sorted(run.folder.glob("output/data/*")):
            if path.is_dir():
                client.log_artifacts(number, str(path), path.name)
            else:
                client.log_artifact(number, str(path))
        client.set_terminated(number, "FAILED" if run.failed else "FINISHED", run.ended)
        page = f", {server.uri}/#/experiments/{experiment}/runs/{number}" if server.uri.startswith("http") else ""
        yield f"logged to MLflow: {run.name}{page}"
        if register and model:
            yield f"registered in MLflow: models:/{register}/{server.register(register, model, number)}"


def read(file: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is not there, or holds something else: ``algorithm.py`` may write it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    """A hyperparameter as a job may set it."""
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _about(run: Run) -> dict[str, str]:
    """Tags of the run. Those named ``mlflow`` are shown by its pages."""
    failure, manifest = run.folder / "output/failure", run.manifest
    tags = {
        "mlflow.source.name": NAME,
        "image": manifest.get("image"),
        "mlflow.source.git.commit": manifest.get("revision"),
    }
    if failure.exists() and run.failed:
        tags["failure"] = failure.read_text(encoding="utf-8")[:1000]
    return {name: text for name, text in {**tags, **run.tags}.items() if text}


def _log_figures(server: Server, run: Run, there: Any, model: str) -> None:
    """Log parameters, and those steps of each metric that the run does not have: it may have been logged live."""
    number, client, points = there.info.run_id, server.client, []
    for name, values in run.metrics.items():
        known = client.get_metric_history(number, name) if name in there.data.metrics else []
        steps = {each.step for each in known}
        points += [
            Metric(name, value, run.ended, step, model_id=model or None)
            for step, value in enumerate(values)
            if step not in steps and value is not None
        ]
    wanted = [Param(name, text) for name, text in run.parameters.items() if name not in there.data.params]
    for some in _batches(wanted, PARAMETERS):
        client.log_batch(number, params=some)
    for some in _batches(points, METRICS):
        client.log_batch(number, metrics=some)


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some


def _log_model(server: Server, run: Run, folder: Path, there: Any) -> str:
    """Log the files of the model, with an MLmodel file among them, and return the id of what MLflow calls a model."""
    client, number = server.client, there.info.run_id
    made = client.create_logged_model(there.info.experiment_id, NAME, source_run_id=number, params=run.parameters)
    with tempfile.TemporaryDirectory() as scratch:
        about = mlmodel.describe(folder, made.model_id, number, run.manifest)
        Path(scratch, mlmodel.NAME).write_text(about, encoding="utf-8")
        client.log_model_artifacts(made.model_id, scratch)
    client.log_model_artifacts(made.model_id, str(folder))
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(number, [LoggedModelOutput(made.model_id, 0)])
    if run.manifest:
        client.log_artifact(number, str(folder / "manifest.json"))
    client.set_tag(number, MODEL_TAG, made.model_id)
    return str(made.model_id)
