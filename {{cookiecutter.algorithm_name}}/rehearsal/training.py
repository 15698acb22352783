"""Template: what the simulator does for a training job: the real image, on the platform's tree."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from werkzeug import Response

from rehearsal import findings
from rehearsal.containers import download, pack, split
from rehearsal.simulator import Call, Handler, Json, Known, Simulator


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateTrainingJob: run the job."""
    answer = known()
    if answer.status_code == 200 and simulator.image:
        job = simulator.jobs.setdefault("training", {})
        name = call.request["TrainingJobName"]
        job[name] = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}
        simulator.pool.submit(run, simulator, call.request)
    return answer


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeTrainingJob: moto's record, with the status of the container."""
    answer = known()
    if answer.status_code != 200:
        return answer
    state: Json = simulator.jobs.get("training", {}).get(call.request["TrainingJobName"], {})
    return json.loads(answer.get_data()) | state  # type: ignore[no-any-return]


def run(simulator: Simulator, job: Json) -> None:
    """Run the job to its end, and say how it went."""
    try:
        ended = train(simulator, job)
    except Exception as error:  # a request that no container could be made of
        ended = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": str(error)[:1024]}
    simulator.jobs["training"][job["TrainingJobName"]] = ended


def train(simulator: Simulator, job: Json) -> Json:
    """One container, from its tree to the archive of the model."""
    with tempfile.TemporaryDirectory(dir=simulator.directory) as scratch:
        root = Path(scratch)
        findings.require_architecture(simulator, "amd64", "a training job")
        lay_out(simulator, root, job)
        command = ["docker", "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}"]
        ended = subprocess.run(
            [*command, "--volume", f"{root}:/opt/ml", str(simulator.image), "train"], capture_output=True, text=True
        )
        for metric in job["AlgorithmSpecification"].get("MetricDefinitions", []):
            for value in re.findall(metric["Regex"], ended.stdout):
                simulator.metrics[metric["Name"]] = float(value)
        if ended.returncode != 0:
            findings.of_job(simulator, root, ended.returncode, ended.stdout + ended.stderr)
            failure = root / "output" / "failure"
            reason = failure.read_text(encoding="utf-8")[:1024] if failure.exists() else ""
            reason = f"AlgorithmError: {reason}, exit code: {ended.returncode}"
            return {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason[:1024]}
        bucket, key = split(f"{job['OutputDataConfig']['S3OutputPath']}/{job['TrainingJobName']}/output")
        simulator.role_s3.put_object(Bucket=bucket, Key=f"{key}/model.tar.gz", Body=pack(root / "model"))
    return {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}


def lay_out(simulator: Simulator, root: Path, job: Json) -> None:
    """The tree that the platform gives to a job (contract 3.1)."""
    for name in ("input/config", "input/data", "model", "output"):
        (root / name).mkdir(parents=True)
    channels = [channel["ChannelName"] for channel in job.get("InputDataConfig", [])]
    files = {
        "hyperparameters": job.get("HyperParameters", {}),
        "inputdataconfig": {channel: {"TrainingInputMode": "File"} for channel in channels},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    for name, content in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    for channel in job.get("InputDataConfig", []):
        address = channel["DataSource"]["S3DataSource"]["S3Uri"]
        download(simulator.role_s3, address, root / "input/data" / channel["ChannelName"])


HANDLERS: dict[str, Handler] = {"CreateTrainingJob": create, "DescribeTrainingJob": describe}
