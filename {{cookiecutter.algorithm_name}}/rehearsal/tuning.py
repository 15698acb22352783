"""Template: what the simulator does for a tuning job: several training jobs, and the best of them."""

import random
from typing import Any

from werkzeug import Response

from rehearsal import training
from rehearsal.calls import Call, Json, Known, document
from rehearsal.simulator import Handler, Simulator


def create(simulator: Simulator, call: Call, known: Known) -> Response:
    """CreateHyperParameterTuningJob: run its training jobs, one after the other."""
    answer = known()
    if answer.status_code == 200 and simulator.image:
        name = call.request["HyperParameterTuningJobName"]
        simulator.jobs.setdefault("tuning", {})[name] = {"HyperParameterTuningJobStatus": "InProgress"}
        simulator.pool.submit(run, simulator, call.request)
    return answer


def describe(simulator: Simulator, call: Call, known: Known) -> Response | Json:
    """DescribeHyperParameterTuningJob: moto's record, without its made-up result."""
    answer = known()
    job: Json | None = simulator.jobs.get("tuning", {}).get(call.request["HyperParameterTuningJobName"])
    if answer.status_code != 200 or job is None:
        return answer
    made_up = ("BestTrainingJob", "OverallBestTrainingJob", "TrainingJobStatusCounters", "FailureReason")
    return {key: value for key, value in document(answer).items() if key not in made_up} | job


def stop(simulator: Simulator, call: Call, known: Known) -> Json:
    """StopHyperParameterTuningJob: no new training job begins."""
    simulator.jobs["tuning"][call.request["HyperParameterTuningJobName"]]["HyperParameterTuningJobStatus"] = "Stopping"
    return {}


def run(simulator: Simulator, request: Json) -> None:
    """All training jobs; the tuning job fails if none of them logs the objective (T-56)."""
    name, config = request["HyperParameterTuningJobName"], request["HyperParameterTuningJobConfig"]
    job, chance = simulator.jobs["tuning"][name], random.Random(0)
    objective, counts = config["HyperParameterTuningJobObjective"], {"Completed": 0, "NonRetryableError": 0}
    sign = 1 if objective["Type"] == "Maximize" else -1
    for number in range(config["ResourceLimits"]["MaxNumberOfTrainingJobs"]):
        if job["HyperParameterTuningJobStatus"] == "Stopping":
            break
        tuned = draw(config["ParameterRanges"], chance)
        trial = f"{name}-{number + 1:03}-{chance.getrandbits(32):08x}"
        value = try_out(simulator, request["TrainingJobDefinition"], trial, tuned, objective["MetricName"])
        counts["Completed" if value is not None else "NonRetryableError"] += 1
        best = job.get("BestTrainingJob")
        metric = "FinalHyperParameterTuningJobObjectiveMetric"
        if value is not None and (best is None or sign * value > sign * best[metric]["Value"]):
            best = {"TrainingJobName": trial, "TrainingJobStatus": "Completed", "TunedHyperParameters": tuned}
            job["BestTrainingJob"] = best | {metric: {"MetricName": objective["MetricName"], "Value": value}}
        job["TrainingJobStatusCounters"] = dict(counts)
    stopped = job["HyperParameterTuningJobStatus"] == "Stopping"
    if "BestTrainingJob" not in job and not stopped:
        job["FailureReason"] = (
            "No training job succeeded after 5 attempts. Please take a look at the training job logs."
        )
    job["HyperParameterTuningJobStatus"] = (
        "Stopped" if stopped else "Completed" if "BestTrainingJob" in job else "Failed"
    )


def try_out(simulator: Simulator, definition: Json, name: str, tuned: dict[str, str], metric: str) -> float | None:
    """Run one training job, and return the objective if it was logged."""
    given = definition.get("StaticHyperParameters", {}) | tuned | {"_tuning_objective_metric": metric}  # (T-11)
    request = {key: value for key, value in definition.items() if key != "StaticHyperParameters"}
    request |= {"TrainingJobName": name, "HyperParameters": given}
    simulator.sagemaker.create_training_job(**request)
    job = training.begin(simulator, request)
    training.run(simulator, job)
    found: list[Any] = job.described.get("FinalMetricDataList", [])
    return next((each["Value"] for each in found if each["MetricName"] == metric), None)


def draw(ranges: Json, chance: random.Random) -> dict[str, str]:
    """A value of each range, as the platform writes it."""
    drawn = {}
    for each in ranges.get("IntegerParameterRanges", []):
        drawn[each["Name"]] = str(chance.randint(int(each["MinValue"]), int(each["MaxValue"])))
    for each in ranges.get("ContinuousParameterRanges", []):
        drawn[each["Name"]] = repr(chance.uniform(float(each["MinValue"]), float(each["MaxValue"])))
    for each in ranges.get("CategoricalParameterRanges", []):
        drawn[each["Name"]] = chance.choice(each["Values"])
    return drawn


HANDLERS: dict[str, Handler] = {
    "CreateHyperParameterTuningJob": create,
    "DescribeHyperParameterTuningJob": describe,
    "StopHyperParameterTuningJob": stop,
}
