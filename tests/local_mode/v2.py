"""SDK v2 in local mode, for its own Python: ``v2.py COMMAND '{"argument": ...}'`` writes ``result.json``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.session import Session

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
Requests = list[tuple[str, str]]


def local_session(port: int) -> LocalSession:
    session = LocalSession()
    session.config = {"local": {"local_code": True, "serving_port": port}}
    return session


def fitted(
    image: str, channels: dict[str, str], hyperparameters: dict[str, Any], port: int = 8080, instances: int = 1
) -> Estimator:
    session = local_session(port)
    job = Estimator(image, ROLE, instances, "local", hyperparameters=hyperparameters, sagemaker_session=session)
    job.fit({name: f"file://{folder}" for name, folder in channels.items()})
    return job


def answers(deployable: Estimator | Model, requests: Requests) -> list[str]:
    """Deploy, ask, and stop. ``deploy`` returns when the endpoint is ready; with ``wait`` it sleeps for 30 seconds."""
    predictor = deployable.deploy(1, "local", wait=False)
    try:
        return [predictor.predict(body, {"ContentType": kind}).decode() for kind, body in requests]
    finally:
        predictor.delete_endpoint()


def train(**arguments: Any) -> None:
    fitted(**arguments)


def train_and_serve(requests: Requests, **arguments: Any) -> list[str]:
    return answers(fitted(**arguments), requests)


def serve(image: str, archive: str, port: int, requests: Requests) -> list[str]:
    model = Model(image, f"file://{archive}", ROLE, Predictor, sagemaker_session=local_session(port))
    return answers(model, requests)


def transform(image: str, archive: str, port: int, rows: str, output: str, strategy: str) -> None:
    model = Model(image, f"file://{archive}", ROLE, sagemaker_session=local_session(port))
    job = model.transformer(1, "local", strategy, "Line", f"file://{output}")
    # the job is done when this returns; with `wait` it asks AWS for a log
    job.transform(f"file://{rows}", content_type="text/csv", split_type="Line", wait=False)


def on_sagemaker(image: str, bucket: str, channels: dict[str, str], body: str) -> str:
    """Train, deploy, predict and delete as on AWS: the address is in the environment."""
    session = Session(default_bucket=bucket)
    place = {"base_job_name": "by-v2", "output_path": f"s3://{bucket}/models", "sagemaker_session": session}
    job = Estimator(image, ROLE, 1, "ml.m5.large", **place)
    sources = {name: session.upload_data(folder, key_prefix=f"data/{name}") for name, folder in channels.items()}
    job.fit(sources, logs=False)
    predictor = job.deploy(1, "ml.m5.large", endpoint_name="by-v2", model_name="by-v2")
    answer: bytes = predictor.predict(body, {"ContentType": "text/csv"})
    predictor.delete_endpoint()
    return answer.decode()


COMMANDS: dict[str, Callable[..., object]] = {
    "train": train,
    "train_and_serve": train_and_serve,
    "serve": serve,
    "transform": transform,
    "on_sagemaker": on_sagemaker,
}

if __name__ == "__main__":
    result = COMMANDS[sys.argv[1]](**json.loads(sys.argv[2]))
    Path("result.json").write_text(json.dumps(result))
