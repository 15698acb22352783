"""Template: ``python -m deploy tune`` looks for the hyperparameters whose model is best."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from contract.training.hyperparameters import ranges
from deploy import context, names, schema, train
from deploy.context import Context
from deploy.errors import DeployError
from deploy.jobs import MAX_TUNING_NAME, TUNING, Job, finish
from deploy.plan import Plan
from deploy.prices import Cost

SEEDS = ("seed", "random_seed", "random_state")  # a seed that wins is luck
LESS = {"loss", "error", "mae", "mse", "rmse", "mape", "wer", "cer", "perplexity"}
MORE = {"acc", "accuracy", "auc", "f1", "precision", "recall", "r2", "score", "iou", "map", "bleu"}
VARIED = "Vary only these. By default all with a Range or a Literal in algorithm.py, except seeds."


@context.verb(*train.FIELDS, table="train")
@train.options
@click.option("--objective", help="The metric to compare. It can be left out if algorithm.py logs only one.")
@click.option("--maximize/--minimize", default=None, help="By default what the metric's name suggests.")
@click.option("--range", "varied", multiple=True, metavar="NAME[=LOW:HIGH|=A,B]", help=VARIED)
@click.option("--max-jobs", type=click.IntRange(1), default=10, show_default=True, help="Training jobs in all.")
@click.option("--parallel", type=click.IntRange(1), default=2, show_default=True, help="Training jobs at a time.")
@click.option("--early-stopping", is_flag=True, help="Stop jobs that do worse, by an objective that is logged often.")
def tune(context: Context, inputs: train.Inputs, objective: str | None, varied: Sequence[str], **how: Any) -> None:
    """Run training jobs with different hyperparameters; the last lines are the best job's name and its model."""
    settings, parallel = context.settings, min(how["parallel"], how["max_jobs"])
    found = parameter_ranges(varied, inputs.hyperparameters or {})
    plan, name = Plan(context), names.unique_name(names.project(), MAX_TUNING_NAME)
    job = train.request(plan, name, inputs)
    job["StaticHyperParameters"] = job.pop("HyperParameters")
    if settings.spot:  # jobs that shared checkpoints would go on from each other's
        plan.notes.append("spot: a training job that is interrupted starts again, without checkpoints")
    logged = [metric["Name"] for metric in job["AlgorithmSpecification"]["MetricDefinitions"]]
    tuning = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": decisive(objective, how["maximize"], logged),
        "ResourceLimits": {"MaxNumberOfTrainingJobs": how["max_jobs"], "MaxParallelTrainingJobs": parallel},
        "ParameterRanges": found,
        "TrainingJobEarlyStoppingType": "Auto" if how["early_stopping"] else "Off",
    }
    named = {"HyperParameterTuningJobName": name, "HyperParameterTuningJobConfig": tuning}
    plan.add("CreateHyperParameterTuningJob", named | {"TrainingJobDefinition": job})
    plan.costs.append(Cost("training", settings.instance_type, settings.instance_count * parallel))
    if plan.run():
        finish(Job(context, TUNING, name))


def parameter_ranges(varied: Sequence[str], given: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """``ParameterRanges`` from the schema in ``algorithm.py``, and from what ``--range`` says."""
    declared, fields = schema.load()
    known = {str(entry["Name"]): (kind, entry) for kind, entry in ranges(fields)}
    fixed, whole = {name.replace("-", "_") for name in given}, {field.name for field in fields if field.type is int}
    chosen = [_range(text, known, whole) for text in varied or known.keys() - fixed - {*SEEDS}]
    if not chosen:
        raise DeployError("No hyperparameter has a range: give --range NAME=LOW:HIGH, or a Range in algorithm.py.")
    values = {entry["Name"]: entry.get("Values") or [entry["MinValue"], entry["MaxValue"]] for _, entry in chosen}
    if both := fixed & values.keys():
        raise DeployError(f"The hyperparameter '{min(both)}' is both set and varied: leave out one of the two.")
    firsts = {name: each[0] for name, each in values.items()}
    for name, value in ((name, value) for name, each in values.items() for value in each):
        schema.check(declared, {**given, **firsts, name: value})  # no job may fail for what it is given
    result: dict[str, list[dict[str, Any]]] = {}
    for kind, entry in sorted(chosen, key=lambda each: str(each[1]["Name"])):
        result.setdefault(f"{kind}ParameterRanges", []).append(entry)
    return result


def _range(text: str, known: Mapping[str, Any], whole: set[str]) -> tuple[str, dict[str, Any]]:
    """The kind of a range and the range, from NAME, NAME=LOW:HIGH or NAME=A,B."""
    name, equals, values = text.partition("=")
    low, colon, high = values.partition(":")
    if not equals and name in known:
        return known[name][0], known[name][1]
    if equals and not colon:
        return "Categorical", {"Name": name, "Values": values.split(",")}
    try:
        if float(low) < float(high):
            kind = "Integer" if name in whole or (not known and re.fullmatch(r"-?\d+:-?\d+", values)) else "Continuous"
            return kind, {"Name": name, "MinValue": low, "MaxValue": high}
    except ValueError:
        pass
    raise DeployError(f"--range '{text}': give two numbers, the lower first, as in {name}=1:10.")


def decisive(name: str | None, maximize: bool | None, logged: Sequence[str]) -> dict[str, str]:
    """The metric that decides, and whether more or less of it is better."""
    if name is None and len(logged) == 1:
        name = logged[0]
    if name is None:
        raise DeployError(f"Give --objective, the metric to compare: one of {', '.join(logged)}.")
    if name not in logged:  # every training job would fail without it (T-56)
        near = difflib.get_close_matches(name, logged, n=1) or [f"one of {', '.join(logged)}"]
        raise DeployError(f"algorithm.py does not log --objective '{name}': give {near[0]}, or --metric for another.")
    words = set(re.split("[^a-z0-9]+", name.lower()))
    if maximize is None and bool(words & LESS) == bool(words & MORE):
        raise DeployError(f"The name '{name}' does not say whether more is better: give --maximize or --minimize.")
    more = bool(words & MORE) if maximize is None else maximize
    return {"Type": "Maximize" if more else "Minimize", "MetricName": name}
