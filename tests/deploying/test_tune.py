"""`python -m deploy tune`: what it varies and asks for, and what comes of it."""

import json
import re
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from deploying import TRAIN, Deploy, at, last_line, sentence
from projects import Bake
from rehearsal.simulator import Simulator

TUNE = ("tune", *TRAIN[1:])
ACCURACY = ("--objective", "validation_accuracy")


def config(platform: Simulator) -> Any:
    return platform.request("CreateHyperParameterTuningJob")["HyperParameterTuningJobConfig"]


def ranges(platform: Simulator) -> dict[str, list[Any]]:
    """Each hyperparameter that is varied, with its kind and values."""
    return {
        entry["Name"]: [kind.removesuffix("ParameterRanges"), *(entry[key] for key in entry if key != "Name")]
        for kind, entries in config(platform)["ParameterRanges"].items()
        for entry in entries
    }


def test_what_has_a_range_in_the_algorithm_is_varied_and_what_is_given_is_not(
    platform: Simulator, deploy: Deploy
) -> None:
    """C-03: the name of a tuning job has at most 32 characters."""
    given = ("--hyperparameter", "max-depth=4", "--max-jobs", "6", "--parallel", "3", "--early-stopping")
    name = last_line(deploy(*TUNE, *ACCURACY, *given, "--detach"))
    assert re.fullmatch(r"my-algorith-\d{8}-\d{6}-[0-9a-f]{4}", name)
    assert len(name) == 32
    assert ranges(platform) == {"n_estimators": ["Integer", "1", "2000"]}  # no seed: one that wins is luck
    definition = platform.request("CreateHyperParameterTuningJob")["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == {"max-depth": "4"}
    assert {channel["ChannelName"] for channel in definition["InputDataConfig"]} == {"training", "validation"}
    assert config(platform)["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 3}
    assert config(platform)["TrainingJobEarlyStoppingType"] == "Auto"
    objective = config(platform)["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Maximize", "MetricName": "validation_accuracy"}
    logged = [metric["Name"] for metric in definition["AlgorithmSpecification"]["MetricDefinitions"]]
    assert "validation_accuracy" in logged  # T-56


def test_ranges_may_be_given(platform: Simulator, deploy: Deploy) -> None:
    some = ("--range", "n_estimators=10:200", "--range", "target=diagnosis,other", "--range", "seed")
    last_line(deploy(*TUNE, *ACCURACY, *some, "--max-jobs", "1", "--detach"))
    assert ranges(platform) == {
        "n_estimators": ["Integer", "10", "200"],
        "seed": ["Integer", "0", "4294967295"],
        "target": ["Categorical", ["diagnosis", "other"]],
    }
    assert config(platform)["ResourceLimits"]["MaxParallelTrainingJobs"] == 1


def test_choices_and_fractions_of_the_schema_are_varied_too(platform: Simulator, bake: Bake, tmp_path: Path) -> None:
    mine = bake()
    program = mine / "container/program/algorithm.py"
    more = """= 0
    criterion: Literal["gini", "entropy"] = "gini"
    rate: Annotated[float, Range(0.001, 1)] = 0.1
    fast: bool = False
"""
    text = program.read_text(encoding="utf-8").replace("= 0\n", more, 1)
    program.write_text(text.replace("import Annotated,", "import Annotated, Literal,"), encoding="utf-8")
    last_line(at(platform, mine, tmp_path)(*TUNE, *ACCURACY, "--detach"))
    assert ranges(platform) == {
        "max_depth": ["Integer", "1", "100"],
        "n_estimators": ["Integer", "1", "2000"],
        "rate": ["Continuous", "0.001", "1"],
        "criterion": ["Categorical", ["gini", "entropy"]],
        "fast": ["Categorical", ["true", "false"]],
    }


def test_without_the_algorithms_packages_ranges_are_taken_as_they_are_written(
    platform: Simulator, bake: Bake, tmp_path: Path
) -> None:
    mine = bake()
    (mine / "container/program/algorithm.py").write_text("import no_such\n'job'.log_metric('loss', 1)\n")
    tune = at(platform, mine, tmp_path)
    some = ("--range", "layers=1:5", "--range", "rate=0.1:1", "--range", "kind=a,b")
    last_line(tune(*TUNE, *some, "--detach"))
    assert ranges(platform) == {
        "layers": ["Integer", "1", "5"],
        "rate": ["Continuous", "0.1", "1"],
        "kind": ["Categorical", ["a", "b"]],
    }
    objective = config(platform)["HyperParameterTuningJobObjective"]  # the only metric
    assert objective == {"Type": "Minimize", "MetricName": "loss"}
    said = tune(*TUNE, "--detach").stderr.splitlines()[-1]
    assert said == "No hyperparameter has a range: give --range NAME=LOW:HIGH, or a Range in algorithm.py."


@pytest.mark.parametrize(
    ("metric", "flags", "direction"),
    [
        ("val_loss", (), "Minimize"),
        ("test:word-error-rate", (), "Minimize"),
        ("validation_roc_auc", (), "Maximize"),
        ("r2", (), "Maximize"),
        ("reward", ("--maximize",), "Maximize"),
        ("accuracy", ("--minimize",), "Minimize"),
    ],
)
def test_the_metrics_name_says_whether_more_is_better(
    platform: Simulator, deploy: Deploy, metric: str, flags: tuple[str, ...], direction: str
) -> None:
    last_line(deploy(*TUNE, "--metric", metric, *flags, "--detach"))
    assert config(platform)["HyperParameterTuningJobObjective"] == {"Type": direction, "MetricName": metric}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give --objective, the metric to compare: one of validation_accuracy, "),
        (
            ("--objective", "validation_acuracy"),
            "algorithm.py does not log --objective 'validation_acuracy': give validation_accuracy, or --metric for",
        ),
        (("--metric", "reward"), "The name 'reward' does not say whether more is better: give --maximize or --min"),
        ((*ACCURACY, "--range", "target"), "--range 'target': give two numbers, the lower first, as in target=1:10."),
        ((*ACCURACY, "--range", "seed=9:1"), "--range 'seed=9:1': give two numbers, the lower first, as in"),
        ((*ACCURACY, "--range", "seed=a:b"), "--range 'seed=a:b': give two numbers, the lower first, as in"),
        (
            (*ACCURACY, "--range", "n_estimators=1:5000"),
            "The hyperparameter 'n_estimators' is '5000': give a whole number from 1 to 2000.",
        ),
        ((*ACCURACY, "--range", "n_estimator=1:5"), "There is no hyperparameter 'n_estimator': did you mean"),
        (
            (*ACCURACY, "--range", "seed=1:2", "--hyperparameter", "seed=1"),
            "The hyperparameter 'seed' is both set and varied: leave out one of the two.",
        ),
        ((*ACCURACY, "--max-jobs", "0"), "Invalid value for '--max-jobs': 0 is not in the range x>=1."),
        (
            (*ACCURACY, *(f"--environment=A{number}=1" for number in range(48))),
            "TrainingJobDefinition.Environment has a size of 49: at most 48 is allowed.",
        ),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_a_mistake_is_one_sentence_before_anything_is_sent(
    platform: Simulator, deploy: Deploy, arguments: tuple[str, ...], said: str
) -> None:
    """C-11, T-12, T-56."""
    assert sentence(deploy(*TUNE, *arguments)).startswith(said)
    assert platform.calls == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_jobs_on_spot_instances_do_not_share_checkpoints(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*TUNE, *ACCURACY, "--spot", "--dry-run")
    [_, _, tuning] = json.loads(ended.stdout)
    definition = tuning["CreateHyperParameterTuningJob"]["TrainingJobDefinition"]
    assert definition["EnableManagedSpotTraining"] is True
    assert "CheckpointConfig" not in definition
    assert "spot: a training job that is interrupted starts again, without checkpoints" in ended.stderr


def test_the_status_counts_the_jobs_and_names_the_best(platform: Simulator, deploy: Deploy) -> None:
    trial = last_line(deploy(*TRAIN, "--detach"))
    reached = {"MetricName": "validation_accuracy", "Value": 0.9712345678}
    best = {"TrainingJobName": trial, "TunedHyperParameters": {"n_estimators": "7"}}
    best["FinalHyperParameterTuningJobObjectiveMetric"] = reached
    counts = {"Completed": 2, "InProgress": 1, "NonRetryableError": 1, "RetryableError": 0, "Stopped": 0}
    seen = {"HyperParameterTuningJobStatus": "Completed", "TrainingJobStatusCounters": counts, "BestTrainingJob": best}
    platform.script["DescribeHyperParameterTuningJob"] = repeat(seen)
    ended = deploy(*TUNE, *ACCURACY)
    assert ended.stdout.splitlines() == [trial, f"s3://bucket/my/models/{trial}/output/model.tar.gz"]
    assert ended.stderr.splitlines()[-1].endswith(
        f": Completed, 2 Completed, 1 InProgress, 1 NonRetryableError, best validation_accuracy=0.971235 of {trial} "
        "with n_estimators=7"
    )


def test_a_tuning_job_whose_jobs_all_failed_is_a_mistake(platform: Simulator, deploy: Deploy) -> None:
    reason = {"FailureReason": "No training job succeeded after 5 attempts."}
    platform.script["DescribeHyperParameterTuningJob"] = repeat({"HyperParameterTuningJobStatus": "Failed"} | reason)
    ended = deploy(*TUNE, *ACCURACY)
    assert (ended.returncode != 0, ended.stdout) == (True, "")
    assert ended.stderr.splitlines()[-1].endswith("No training job succeeded after 5 attempts.")


def test_several_jobs_are_really_trained_and_the_best_is_named(cloud: Simulator, deploy_really: Deploy) -> None:
    """T-11, T-56: with the key that a tuning job adds, and the objective in each log."""
    some = ("--range", "n_estimators=1:9", "--max-jobs", "2", "--hyperparameter", "max_depth=3")
    ended = deploy_really(*TUNE, *ACCURACY, *some)
    model = last_line(ended)
    tuning = cloud.request("CreateHyperParameterTuningJob")["HyperParameterTuningJobName"]
    best = ended.stdout.splitlines()[0]
    assert best.startswith(f"{tuning}-00")
    assert model == f"s3://bucket/my/models/{best}/output/model.tar.gz"
    assert cloud.s3.head_object(Bucket="bucket", Key=model.removeprefix("s3://bucket/"))["ContentLength"] > 1000
    lines = deploy_really("logs", tuning).stdout.splitlines()  # each with the training job that it is of
    assert {line.split("-")[0] for line in lines} == {"001", "002"}
