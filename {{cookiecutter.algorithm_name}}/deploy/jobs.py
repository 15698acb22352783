"""Template: ``python -m deploy wait``, ``logs`` and ``stop``, for a job or an endpoint, by its name alone."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from deploy import context
from deploy.context import Context
from deploy.endpoint import CHANGING
from deploy.errors import DeployError, describe
from deploy.limits import valid_request
from deploy.logs import Log
from deploy.plan import Plan
from deploy.waiting import come_back, print_progress, wait_for_status

Seen = dict[str, Any]
MAX_TUNING_NAME = 32  # (C-03)
PAUSES_AT_THE_END = (0.5, 1.5, 3)  # seconds: the last lines of a log come after the job has ended


@dataclass(frozen=True)
class Kind:
    """One sort of job: in words, in the names of AWS's operations, and where it logs."""

    words: str
    noun: str
    group: str
    streams: str = "{}/"
    changing: tuple[str, ...] = ("InProgress", "Stopping")
    wanted: str = "Completed"


TRAINING = Kind("training job", "TrainingJob", "/aws/sagemaker/TrainingJobs")
TUNING = Kind("tuning job", "HyperParameterTuningJob", TRAINING.group, "{}-")
TRANSFORM = Kind("transform job", "TransformJob", "/aws/sagemaker/TransformJobs")
ENDPOINT = Kind("endpoint", "Endpoint", "/aws/sagemaker/Endpoints/{}", "", CHANGING, "InService")


class Job:
    """A job or an endpoint that was started; ``data`` is the folder of this machine that a training job was given."""

    def __init__(self, context: Context, kind: Kind, name: str, data: Path | None = None) -> None:
        self.context, self.kind, self.name, self.data = context, kind, name, data
        self.subject, self.metrics = f"{kind.words} {name}", ""
        # Of an endpoint that has served for months only the newest lines matter; many trials would speak at once.
        self.log: Log | None = None if kind is TUNING else self.new_log(15 if kind is ENDPOINT else 0)

    def new_log(self, minutes: int = 0) -> Log:
        """What its containers have logged in the last minutes, or at all."""
        since = int((time.time() - minutes * 60) * 1000) if minutes else 0
        group, streams = self.kind.group.format(self.name), self.kind.streams.format(self.name)
        return Log(self.context.client("logs"), group, streams, since)

    def look(self) -> Seen:
        """What Describe says."""
        return dict(self.context.call(f"Describe{self.kind.noun}", {f"{self.kind.noun}Name": self.name}))

    def status(self, seen: Seen) -> str:
        """The status in words; a tuning job's with the number of its jobs, and with the best so far."""
        counts = seen.get("TrainingJobStatusCounters", {})
        parts = [seen[f"{self.kind.noun}Status"], seen.get("SecondaryStatus")]
        parts += [f"{number} {status}" for status, number in counts.items() if number]
        return ", ".join(part for part in dict.fromkeys([*parts, _best(seen)]) if part)

    def changes(self, seen: Seen) -> bool:
        """Whether it is on its way to another status."""
        return self.status(seen).startswith(self.kind.changing)

    def wait(self, *wanted: str) -> list[str]:
        """Show its log until it ends; then what came of it, the address last. Raises ``DeployError`` if it failed."""
        ends, region = wanted or (self.kind.wanted,), self.context.settings.region
        seen = wait_for_status(self.subject, self.look, self.status, self.kind.changing, ends, self._show, region)
        if self.kind is TRANSFORM:
            return [str(seen["TransformOutput"]["S3OutputPath"])]
        if self.kind is not TUNING:
            return list(seen.get("ModelArtifacts", {"": self.name}).values())
        if best := seen.get("BestTrainingJob", {}).get("TrainingJobName"):
            return [best, *Job(self.context, TRAINING, best).look()["ModelArtifacts"].values()]
        if wanted:
            return []
        raise DeployError(f"The {self.subject} has no best training job: none of them logged the objective.")

    def _show(self, seen: Seen) -> None:
        """New lines of the log, and new metrics; at the end the last lines, and how to see the failure here."""
        self._show_log()
        if not self.changes(seen):
            began = any(each["Status"] == "Training" for each in seen.get("SecondaryStatusTransitions", []))
            quiet = 0 if began or (self.log and self.log.read_up_to) else len(PAUSES_AT_THE_END)
            while quiet < len(PAUSES_AT_THE_END):
                time.sleep(PAUSES_AT_THE_END[quiet])
                quiet = 0 if self._show_log() else quiet + 1
        found = ", ".join(f"{it['MetricName']}={it['Value']:.6g}" for it in seen.get("FinalMetricDataList", []))
        if found != self.metrics:
            print_progress(f"metrics: {found}")
        self.metrics = found
        if seen.get("FailureReason", "").startswith("AlgorithmError"):
            print_progress(f"To see this on your machine: {self._local_command(seen)}")

    def _show_log(self) -> int:
        """Print new lines to stderr, and return how many; if they may not be read, say so once."""
        try:
            found = list(self.log.read()) if self.log else []
        except ClientError as error:
            if "AccessDenied" not in error.response["Error"]["Code"]:
                raise
            self.log, found = None, [f"The log cannot be shown: {describe(error)}"]
        for line in found:
            print_progress(line)
        return len(found)

    def _local_command(self, seen: Seen) -> str:
        given = " ".join(shlex.quote(f"{key}={value}") for key, value in seen.get("HyperParameters", {}).items())
        folder = shlex.quote(str(self.data or "FOLDER_WITH_ITS_CHANNELS"))
        return f"make train HYPERPARAMETERS={shlex.quote(given)} DATA={folder}".replace("$", "$$")


def _best(seen: Seen) -> str:
    """The best training job so far of a tuning job, and what it has reached with what."""
    best = seen.get("BestTrainingJob", {})
    if not (reached := best.get("FinalHyperParameterTuningJobObjectiveMetric")):
        return ""
    given = " ".join(f"{name}={value}" for name, value in best["TunedHyperParameters"].items())
    return f"best {reached['MetricName']}={reached['Value']:.6g} of {best['TrainingJobName']} with {given}"


def find(context: Context, name: str) -> Job:
    """The job or endpoint of that name. Raises ``DeployError`` if there is none."""
    for kind in (TRAINING, TUNING, TRANSFORM, ENDPOINT):
        if kind is TUNING and len(name) > MAX_TUNING_NAME:
            continue
        valid_request(context.client(), f"Describe{kind.noun}", {f"{kind.noun}Name": name})
        if context.describe(kind.noun, name):
            return Job(context, kind, name)
    raise DeployError(f"No job and no endpoint is named '{name}' in {context.session.region_name}.")


def finish(job: Job) -> None:
    """The end of the command that started a job: wait for it, or say how to."""
    if job.context.detach:
        print_progress(f"Not waiting: {come_back(job.subject, job.context.settings.region)}")
    click.echo(job.name if job.context.detach else "\n".join(job.wait()))


@context.verb(changes=False)
@click.argument("name")
def wait(context: Context, name: str) -> None:
    """Wait for a job or an endpoint that was started before. The result is what the command that started it prints."""
    click.echo("\n".join(find(context, name).wait()))


@context.verb(changes=False)
@click.argument("name")
@click.option("--follow", is_flag=True, help="Continue until the job ends, or until Ctrl-C.")
@click.option("--minutes", type=click.IntRange(min=1), help="Only the lines of the last minutes, such as 10.")
def logs(context: Context, name: str, follow: bool, minutes: int | None) -> None:
    """Print what the containers of a job or an endpoint have logged."""
    job = find(context, name)
    log = job.new_log(minutes or 0)

    def show(seen: Seen) -> None:
        for line in log.read():
            click.echo(line)

    show({})
    if not follow and not log.read_up_to:
        print_progress(f"The {job.subject} has no log, or none yet.")
    if follow:
        changing = ("",) if job.kind is ENDPOINT else job.kind.changing
        wait_for_status(job.subject, job.look, job.status, changing, also=show, region=context.settings.region)
        time.sleep(sum(PAUSES_AT_THE_END))
        show({})


@context.verb()
@click.argument("name")
def stop(context: Context, name: str) -> None:
    """Stop a job. A training job saves the model that it has by then; the last line is its address."""
    job = find(context, name)
    if job.kind is ENDPOINT:
        raise DeployError(f"'{name}' is an endpoint: `python -m deploy delete --endpoint {name}` ends it.")
    plan = Plan(context)
    plan.add(f"Stop{job.kind.noun}", {f"{job.kind.noun}Name": name})
    if job.changes(job.look()) and not plan.run():
        return
    click.echo(name if context.detach else "\n".join(job.wait("Stopped", "Completed") or [name]))
