"""Template: any MLflow server, used with MLflow's own client."""

import contextlib
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# MLflow reads these when it is imported. By itself it tries for minutes to reach a server that is not there.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from botocore.exceptions import BotoCoreError, ClientError
from mlflow.exceptions import MlflowException

from local.project import NAME, TREE, LocalError

CACHE = TREE / "mlflow"  # the models that were downloaded, each in a folder
MODEL = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[\w-]+))")


class Refused(LocalError):
    """MLflow does not answer, or does not do what it is asked."""


class Server:
    """The project's experiment and the registry of one MLflow server."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client: Any = mlflow.MlflowClient()

    def experiment(self) -> str:
        """The id of the project's experiment, or of the one in MLFLOW_EXPERIMENT_NAME; it is made if it is missing."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or NAME
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def register(self, name: str, model: str, run: str) -> str:
        """Make a model a version of the registered model ``name``, unless it is one, and return the version."""
        with contextlib.suppress(MlflowException):  # it may be there; what else is wrong the next request says too
            self.client.create_registered_model(name)
        source = f"models:/{model}"
        for version in self.client.search_model_versions(f"name='{name}'"):
            if version.source == source:
                return str(version.version)
        return str(self.client.create_model_version(name, source, run, model_id=model).version)

    def download(self, model: str) -> Path:
        """The folder of a registered model, such as ``models:/churn/3``, which is downloaded once."""
        match = MODEL.fullmatch(model)
        if not match:
            raise LocalError(f"'{model}' is not a model in MLflow: give models:/NAME/VERSION or models:/NAME@ALIAS.")
        name = match["name"]
        with refusals(self.uri):
            if match["alias"]:
                found = self.client.get_model_version_by_alias(name, match["alias"])
            else:
                found = self.client.get_model_version(name, match["version"])
            # A name may be deleted and used again, and each server has names of its own.
            digest = hashlib.sha256(f"{self.uri} {found.source} {found.creation_timestamp}".encode()).hexdigest()[:8]
            folder = CACHE / f"{name}-{found.version}-{digest}"
            if not folder.is_dir():
                part = folder.with_name(f".{folder.name}")
                shutil.rmtree(part, ignore_errors=True)
                mlflow.artifacts.download_artifacts(f"models:/{name}/{found.version}", dst_path=str(part))
                part.rename(folder)
                (folder / "registered_model_meta").unlink(missing_ok=True)  # which the client adds
        return folder


def connected(uri: str) -> Server:
    """The server at an address; nothing is sent yet."""
    # The plugin that signs for AWS complains of each request to another server.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)  # the plugin looks for the ARN here
    return Server(uri)


@contextlib.contextmanager
def refusals(uri: str) -> Iterator[None]:
    """Raise ``Refused``, with one sentence, for whatever MLflow's client may raise."""
    try:
        yield
    except (MlflowException, BotoCoreError, ClientError, OSError) as error:
        said = " ".join(str(error).split())
        if "failed with exception" in said:  # of the connection, in the words of three libraries
            reason = re.search(r"(Connection refused|timed out|Name or service not known|CERTIFICATE\w+)", said)
            raise Refused(f"MLflow does not answer at {uri}{f' ({reason[0]})' if reason else ''}.") from error
        raise Refused(f"MLflow at {uri} refused: {said[:500].rstrip('.')}.") from error
