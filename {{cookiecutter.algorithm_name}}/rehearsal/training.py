"""Template: what the simulator does for a training job: the real image, on the platform's tree."""

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug import Response

from rehearsal import findings, logs
from rehearsal.calls import Call, Json, Known, Refusal, document
from rehearsal.containers import docker, lay_out, pack, split, upload
from rehearsal.simulator import Handler, Simulator

GROUP = "/aws/sagemaker/TrainingJobs"
SECONDS_TO_STOP = 120  # from SIGTERM to SIGKILL (P-21)


@dataclass
class Job:
    """What Describe says of a job beyond moto's record, and how its containers are told to stop."""

    request: Json
    described: Json = field(default_factory=dict)
    transitions: list[Json] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    printed: dict[str, list[str]] = field(default_factory=dict)
    """The log of each host."""
    ending: str = ""
    """The status that the platform wants: Stopped, MaxRuntimeExceeded or Interrupted."""

    def enter(self, status: str, secondary: str = "", **more: Any) -> None:
        """Go on to another status; the second half of it by default is the same."""
        message = f"The job is {secondary or status}."
        self.transitions.append({"Status": secondary or status, "StartTime": time.time(), "StatusMessage": message})
        self.described |= {"TrainingJobStatus": status, "SecondaryStatus": secondary or status, **more}
        self.described["SecondaryStatusTransitions"] = list(self.transitions)

    @property
    def interrupted(self) -> bool:
        """Whether it must be started again."""
        return self.ending == "Interrupted"

    def note_metric(self, name: str, value: float) -> None:
        """The newest value of a metric is what Describe says."""
        others = [each for each in self.described.get("FinalMetricDataList", []) if each["MetricName"] != name]
        self.described["FinalMetricDataList"] = [
            *others,
            {"MetricName": name, "Value": value, "Timestamp": time.time()},
        ]

    def end(self, status: str) -> None:
        """SIGTERM to each container, and SIGKILL after two minutes."""
        self.ending = status
        for container in self.containers:
            subprocess.run(["docker", "stop", "--time", str(SECONDS_TO_STOP), container], capture_output=True)


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateTrainingJob: run the job."""
    answer = known()
    if answer.status_code == 200 and simulator.image:
        simulator.pool.submit(run, simulator, begin(simulator, call.request))
    return answer


def begin(simulator: Simulator, request: Json) -> Job:
    """A job that Describe knows from now on."""
    job = Job(request)
    job.enter("InProgress", "Starting")
    simulator.jobs.setdefault("training", {})[request["TrainingJobName"]] = job
    return job


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeTrainingJob: moto's record, with the status of the container."""
    answer = known()
    job: Job | None = simulator.jobs.get("training", {}).get(call.request["TrainingJobName"])
    if answer.status_code != 200 or job is None:
        return answer
    without: Json = {"FinalMetricDataList": []}  # moto makes one up
    return document(answer) | without | job.described


def stop(simulator: Simulator, call: Call, known: Known) -> Json:
    """StopTrainingJob: the job goes on as Stopping until its containers have ended (P-21)."""
    job: Job | None = simulator.jobs.get("training", {}).get(call.request["TrainingJobName"])
    if job is None:
        raise Refusal("ValidationException", "Requested resource not found.")
    if job.described["TrainingJobStatus"] != "InProgress":
        status = job.described["TrainingJobStatus"]
        raise Refusal(
            "ValidationException", f"The request was rejected because the training job is in status {status}."
        )
    job.enter("Stopping")
    simulator.pool.submit(job.end, "Stopped")
    return {}


def run(simulator: Simulator, job: Job) -> None:
    """Run the job to its end, and say how it went."""
    try:
        while not train(simulator, job):
            job.ending = ""
    except Exception as error:  # a request that no container could be made of
        job.enter("Failed", FailureReason=str(error)[:1024])


def train(simulator: Simulator, job: Job) -> bool:
    """The containers of a job, from their trees to the archive of the model. False if it must be started again."""
    request = job.request
    with tempfile.TemporaryDirectory(dir=simulator.directory, ignore_cleanup_errors=True) as scratch:
        hosts = [f"algo-{number + 1}" for number in range(request["ResourceConfig"].get("InstanceCount", 1))]
        findings.require_architecture(simulator, "amd64", "a training job")
        job.enter("InProgress", "Downloading")
        for host in hosts:
            lay_out(simulator.role_s3, Path(scratch, host), request, host, hosts)
        if job.ending:
            job.enter("Stopped")
            return True
        job.enter("InProgress", "Training")
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400) * simulator.scale
        timer = threading.Timer(limit, job.end, ["MaxRuntimeExceeded"])
        timer.start()
        statuses = run_containers(simulator, job, Path(scratch), hosts)
        timer.cancel()
        save_checkpoints(simulator, request, Path(scratch, hosts[0]))
        if job.interrupted:
            job.enter("InProgress", "Interrupted")
            return False
        finish(simulator, job, Path(scratch), dict(zip(hosts, statuses, strict=True)))
    return True


def run_containers(simulator: Simulator, job: Job, scratch: Path, hosts: list[str]) -> list[int]:
    """One container for each host, and their exit statuses. Several can reach each other by name, and nothing else."""
    name = job.request["TrainingJobName"]
    network = f"{name}-{time.time_ns()}" if len(hosts) > 1 else "none"
    if len(hosts) > 1:
        docker("network", "create", "--internal", network)
    job.containers = [f"{name}-{host}-{time.time_ns()}" for host in hosts]
    started = [
        simulator.pool.submit(run_container, simulator, job.request, container, scratch / host, network)
        for container, host in zip(job.containers, hosts, strict=True)
    ]
    try:
        return [each.result() for each in started]
    finally:
        if len(hosts) > 1:
            docker("network", "rm", network)


def run_container(simulator: Simulator, request: Json, container: str, root: Path, network: str) -> int:
    """One host: what it prints goes to its stream in CloudWatch, as it comes."""
    name, host = request["TrainingJobName"], root.name
    own = {
        "TRAINING_JOB_NAME": name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-west-2:123456789012:training-job/{name}",
    }
    variables = [f"--env={key}={value}" for key, value in (own | request.get("Environment", {})).items()]
    place = ["--network", network, *([] if network == "none" else ["--network-alias", host])]
    command = ["docker", "run", "--rm", "--name", container, *place, "--user", f"{os.getuid()}:{os.getgid()}"]
    command += [*variables, "--volume", f"{root}:/opt/ml", str(simulator.image), "train"]
    simulator.containers.append(container)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ran:
        assert ran.stdout
        stream = logs.Stream(simulator, GROUP, f"{name}/{host}-{int(time.time())}")
        for line in ran.stdout:
            stream.write(line.rstrip("\n"))
            simulator.jobs["training"][name].printed.setdefault(host, []).append(line)
            for metric, value in scraped(request, line):
                simulator.metrics[metric] = value
                simulator.jobs["training"][name].note_metric(metric, value)
    return ran.returncode


def scraped(request: Json, line: str) -> Iterator[tuple[str, float]]:
    """The metrics that a line holds (T-55)."""
    for metric in request["AlgorithmSpecification"].get("MetricDefinitions", []):
        for value in re.findall(metric["Regex"], line):
            yield metric["Name"], float(value)


def finish(simulator: Simulator, job: Job, scratch: Path, statuses: dict[str, int]) -> None:
    """Upload what the hosts leave, all as one archive (T-40, T-48)."""
    failed = next((host for host, status in statuses.items() if status != 0), None)
    if failed and not job.ending:
        findings.of_job(simulator, scratch / failed, statuses[failed], "".join(job.printed.get(failed, [])))
        failure = scratch / failed / "output" / "failure"
        reason = failure.read_text(encoding="utf-8")[:1024] if failure.exists() else ""
        reason = f"AlgorithmError: {reason}, exit code: {statuses[failed]}"
        job.enter("Failed", FailureReason=reason[:1024])
        return
    if not job.ending:
        job.enter("InProgress", "Uploading")
    bucket, key = split(
        f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.request['TrainingJobName']}/output"
    )
    first = scratch / next(iter(statuses))
    simulator.role_s3.put_object(Bucket=bucket, Key=f"{key}/model.tar.gz", Body=pack(first / "model"))
    if (results := first / "output" / "data").is_dir():  # T-42
        simulator.role_s3.put_object(Bucket=bucket, Key=f"{key}/output.tar.gz", Body=pack(results))
    if job.ending:
        job.enter("Stopped", job.ending)
    else:
        job.enter("Completed")


def save_checkpoints(simulator: Simulator, request: Json, root: Path) -> None:
    """What the job has left in the folder of checkpoints goes to S3 (T-50)."""
    if "CheckpointConfig" in request:
        upload(simulator.role_s3, root / "checkpoints", request["CheckpointConfig"]["S3Uri"])


def interrupt(simulator: Simulator, name: str) -> None:
    """Take the spot instances away: the containers are stopped, and started again with their checkpoints (T-52)."""
    simulator.jobs["training"][name].end("Interrupted")


def listed(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """ListTrainingJobs: moto's records, in the order that was asked for."""
    answer = document(known())
    newest_first = call.request.get("SortOrder") == "Descending"
    answer["TrainingJobSummaries"].sort(key=lambda job: job["CreationTime"], reverse=newest_first)
    return answer


HANDLERS: dict[str, Handler] = {
    "CreateTrainingJob": create,
    "DescribeTrainingJob": describe,
    "ListTrainingJobs": listed,
    "StopTrainingJob": stop,
}
