"""SDK v3 in local mode, for its own Python: ``v3.py COMMAND '{"argument": ...}'`` writes ``result.json``."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagemaker.core.local import LocalSession
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.core.transformer import Transformer
from sagemaker.train.model_trainer import Mode, ModelTrainer

Requests = list[tuple[str, str]]


def train(
    image: str,
    channels: dict[str, str],
    hyperparameters: dict[str, Any],
    script: str | None = None,
    instances: int = 1,
) -> None:
    """Train with the image's own `train`, or with a script in its place. All files stay below the current folder."""
    ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        training_image=image,
        compute=Compute(instance_type="local_cpu", instance_count=instances),
        input_data_config=[InputData(channel_name=name, data_source=folder) for name, folder in channels.items()],
        hyperparameters=hyperparameters,
        source_code=SourceCode(source_dir=script, entry_script="script.py") if script else None,
    ).train()


def with_model(image: str, archive: str, port: int) -> LocalSession:
    session = LocalSession()
    session.config = {"local": {"local_code": True, "serving_port": port}}
    container = {"Image": image, "ModelDataUrl": f"file://{archive}", "Environment": {}}
    session.sagemaker_client.create_model(ModelName="model", PrimaryContainer=container)
    return session


def serve(image: str, archive: str, port: int, requests: Requests) -> list[str]:
    session = with_model(image, archive, port)
    client, runtime = session.sagemaker_client, session.sagemaker_runtime_client
    variant = {"VariantName": "all", "ModelName": "model", "InstanceType": "local", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
    client.create_endpoint(EndpointName="endpoint", EndpointConfigName="config")
    try:
        asked = [runtime.invoke_endpoint(Body=body, EndpointName="", ContentType=kind) for kind, body in requests]
        return [answer["Body"].read().decode() for answer in asked]
    finally:
        client.delete_endpoint(EndpointName="endpoint")


def train_and_serve(port: int, requests: Requests, **arguments: Any) -> list[str]:
    train(**arguments)
    return serve(arguments["image"], str(Path("compressed_artifacts/model.tar.gz").absolute()), port, requests)


def transform(image: str, archive: str, port: int, rows: str, output: str, strategy: str) -> None:
    session = with_model(image, archive, port)
    job = Transformer("model", 1, "local", strategy, "Line", f"file://{output}", sagemaker_session=session)
    job.transform(f"file://{rows}", content_type="text/csv", split_type="Line", job_name="transform")


def notebook(file: str, settings: dict[str, str]) -> list[str]:
    """Run a notebook with other values in its first cell of code, and return the lines that its cells print."""
    import nbformat
    from nbclient import NotebookClient

    pages = nbformat.read(file, as_version=4)
    cells = [cell for cell in pages.cells if cell.cell_type == "code"]
    for name, value in settings.items():
        cells[0].source = re.sub(rf"^{name} = .*$", f"{name} = {value}", cells[0].source, flags=re.MULTILINE)
    NotebookClient(pages, timeout=280, resources={"metadata": {"path": str(Path(file).parent)}}).execute()
    texts = [output.get("text", "") for output in cells[-2].outputs if output.get("name") == "stdout"]
    return "".join(texts).split()


COMMANDS: dict[str, Callable[..., object]] = {
    "train": train,
    "train_and_serve": train_and_serve,
    "serve": serve,
    "transform": transform,
    "notebook": notebook,
}

if __name__ == "__main__":
    result = COMMANDS[sys.argv[1]](**json.loads(sys.argv[2]))
    Path("result.json").write_text(json.dumps(result))
