"""`make retrain`: from requests that have shifted to a model that a person approves, and what it leaves alone."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import environments
from deploying import IMAGE, ROLE, at, environment, last_line, started
from local.project import LocalError
from programs import lay_out, train_here
from projects import TEMPLATE_VENV, make, run
from rehearsal.calls import Refusal
from rehearsal.simulator import Simulator
from stack.retraining.verdict import decide
from traffic import flowing

FINE, ERROR, NOT_BETTER, TOO_FEW = 0, 1, 3, 4
BUCKET = "s3://bucket/my/models"
DEPLOY_TOML = f'region = "us-west-2"\nimage = "{IMAGE}"\nrole = "{ROLE}"\nbucket = "{BUCKET}"\n'
# It trains at once: the middle between the means of two classes.
SMALL = '''"""Yours: tells high from low numbers."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.api import Feature, Predictions, Rows, TrainingJob, UserError


@dataclass(frozen=True)
class Hyperparameters:
    away: float = 0.0
    highest: float = 1e9
    note: str = ""


def train(job: TrainingJob[Hyperparameters]) -> dict[str, float]:
    given = job.hyperparameters
    if given.note == "bad":
        raise UserError("The note is bad.")
    rows, labels = job.channel("training").split("label", "classes")
    means = [rows[labels == name, 0].mean() for name in ("low", "high")]
    model = {"middle": sum(means) / 2 + given.away, "highest": given.highest}
    rows, labels = job.channel("validation").split("label", "classes")
    job.log_predictions(labels, predict(model, rows)["label"])
    return model


def save(model: dict[str, float], directory: Path) -> None:
    (directory / "model.json").write_text(json.dumps(model))


def load(directory: Path) -> dict[str, float]:
    return json.loads((directory / "model.json").read_text())


def features(model: dict[str, float]) -> list[Feature]:
    return [Feature("x", maximum=model["highest"])]


def predict(model: dict[str, float], rows: Rows) -> Predictions:
    return {"label": np.where(rows[:, 0] > model["middle"], "high", "low")}
'''


def write_data(folder: Path, shift: float, rows: int = 300) -> Path:
    """The channels of a job: numbers about 0 are low, and those about 4 high, but for a shift of both."""
    chance = random.Random(0)
    for channel in ("training", "validation"):
        (folder / channel).mkdir(parents=True, exist_ok=True)
        lines = [f"{chance.gauss(4 * (row % 2) + shift):.4f},{('low', 'high')[row % 2]}" for row in range(rows)]
        (folder / channel / "rows.csv").write_text("\n".join(["x,label", *lines, ""]), encoding="utf-8")
    return folder


def write_capture(folder: Path, shift: float, rows: int = 200) -> Path:
    """A request with such numbers and the answer of the first model, as a server captures them."""
    now, chance = datetime.now(UTC), random.Random(1)
    numbers = [chance.gauss(4 * (row % 2) + shift) for row in range(rows)]
    body, answer = "\n".join(map(str, numbers)), "\n".join(("low", "high")[number > 2] for number in numbers)
    sides = {"endpointInput": ("INPUT", body), "endpointOutput": ("OUTPUT", answer)}
    event = {
        "captureData": {
            side: {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}
            for side, (mode, data) in sides.items()
        },
        "eventMetadata": {"eventId": "one", "inferenceTime": f"{now:%FT%TZ}"},
        "eventVersion": "0",
    }
    place = folder / f"my-algorithm-prod/all/{now:%Y/%m/%d/%H}"
    place.mkdir(parents=True)
    (place / "one.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")
    return folder


@dataclass
class Loop:
    """A project with a model in service, fresh data, and a simulator of SageMaker."""

    mine: Path
    folder: Path
    platform: Simulator

    def aws(self, **variables: str) -> dict[str, str]:
        return environment(self.folder / "home", AWS_ENDPOINT_URL=self.platform.url, **variables)

    @property
    def variables(self) -> dict[str, str]:
        places = {"DATA": str(self.folder / "fresh"), "CAPTURE": str(self.folder / "capture")}
        return {"VENV": str(TEMPLATE_VENV), "DOCKER": "no", **places, **self.aws()}

    def retrain(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stack.retraining", *options]
        return run(self.mine, *command, **self.variables | variables)

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return at(self.platform, self.mine, self.folder / "home")(*arguments)

    @property
    def runs(self) -> int:
        return len(list((self.mine / "opt_ml/runs").iterdir()))

    def model_in_use(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.mine / "opt_ml/model").iterdir()}


@pytest.fixture(scope="module")
def small(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose algorithm trains in a second, and has trained. Shared: tests copy it."""
    environments.part("monitoring")
    mine = Path(shutil.copytree(project, tmp_path_factory.mktemp("small") / "mine"))
    os.utime(mine / "requirements-dev.lock", (0, 0))  # older than .venv: nothing is installed into it
    (mine / "container/program/algorithm.py").write_text(SMALL, encoding="utf-8")
    (mine / "deploy.toml").write_text(DEPLOY_TOML, encoding="utf-8")
    shutil.rmtree(mine / "data")
    write_data(mine / "data", shift=0)
    trained = make(mine, "train", "HYPERPARAMETERS=note=first", DOCKER="no")
    assert trained.returncode == 0, trained.stderr
    return mine


@pytest.fixture
def loop(small: Path, tmp_path: Path) -> Iterator[Loop]:
    """Requests and fresh data have shifted by 10."""
    mine = Path(shutil.copytree(small, tmp_path / "mine", symlinks=True))
    write_data(tmp_path / "fresh", shift=10)
    write_capture(tmp_path / "capture", shift=10)
    with started(tmp_path / "platform", None) as platform:
        yield Loop(mine, tmp_path, platform)


def test_a_shift_ends_in_a_better_model_that_waits_for_approval(loop: Loop) -> None:
    """With metrics, report and the comparison, for the person who approves it. The model in use stays as it is."""
    before = loop.model_in_use()
    done = loop.retrain()
    assert done.returncode == FINE, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "my-algorithm/1"
    assert "SHIFTED: label, x" in lines
    assert "hyperparameters: " not in done.stdout, "what the training prints is no finding"
    [better] = [line for line in lines if line.startswith("better: accuracy on 300 rows of fresh data is ")]
    assert better.endswith(", and 0.5 in service")
    package = loop.platform.request("CreateModelPackage")
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageDescription"] == f"{better.removeprefix('better: ')} ({loop.mine}/opt_ml/model)"
    known = package["CustomerMetadataProperties"]
    assert float(known["validation_accuracy"]) > 0.9
    assert known["report"].endswith("report.html")
    assert loop.model_in_use() == before
    run = sorted((loop.mine / "opt_ml/runs").iterdir())[-1]
    manifest = json.loads((run / "model/manifest.json").read_bytes())
    assert manifest["hyperparameters"]["note"] == "first", "the hyperparameters are those of the model in service"


def test_while_a_version_waits_no_other_model_is_trained(loop: Loop) -> None:
    register = ("register", "--model", str(loop.mine / "opt_ml/model"))
    assert last_line(loop.deploy(*register)) == "my-algorithm/1"
    runs = loop.runs
    done = loop.retrain()
    assert (done.returncode, loop.runs) == (FINE, runs)
    assert done.stdout.splitlines()[-1] == (
        "my-algorithm/1 waits for approval: approve or reject it before another model is trained."
    )
    last_line(loop.deploy("approve", "my-algorithm/1", "--reject"))
    assert last_line(loop.retrain()) == "my-algorithm/2"


def test_without_a_shift_nothing_is_done(loop: Loop) -> None:
    """Nor with too few requests to say. An error of the monitor is none of both."""
    runs = loop.runs
    for name, shift, rows, expected in (("same", 0, 200, FINE), ("few", 10, 50, TOO_FEW)):
        done = loop.retrain(CAPTURE=str(write_capture(loop.folder / name, shift, rows)))
        assert done.returncode == expected, done.stdout + done.stderr
    done = loop.retrain(CAPTURE="/nowhere")
    assert (done.returncode, done.stdout) == (ERROR, "")
    assert done.stderr.splitlines()[-1] == (
        "Nothing was trained, because the monitor has no verdict: the lines above say why."
    )
    assert (loop.runs, loop.platform.operations()) == (runs, [])


def test_a_model_that_is_not_better_is_not_registered(loop: Loop) -> None:
    """Not if it is worse, nor if the gain is below the margin. It is kept, and its place is named."""
    worse = loop.retrain("--anyway", "away=50")
    assert worse.returncode == NOT_BETTER, worse.stderr
    little = make(loop.mine, "retrain", "RETRAIN=--anyway --margin 0.6", "HYPERPARAMETERS=note=new", **loop.variables)
    assert little.stderr.splitlines()[-1].endswith(f"Error {NOT_BETTER}"), little.stderr
    for done, note in ((worse, "first"), (little, "new")):
        last = done.stdout.splitlines()[-1]
        assert last.startswith("not better, and not registered: accuracy on 300 rows of fresh data is 0.")
        manifest = loop.mine / last.rpartition(" ")[2].removesuffix(".") / "manifest.json"
        assert json.loads(manifest.read_bytes())["hyperparameters"]["note"] == note
    assert loop.platform.operations() == []


def test_what_is_wrong_is_found_before_a_model_is_trained(loop: Loop) -> None:
    runs, empty = loop.runs, loop.folder / "empty"
    empty.mkdir()
    unreachable = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["--model", str(empty)], {}, f"There is no model in {empty} to compare with: name it with --model, or its"),
        (["--endpoint", "other"], {}, "There is no endpoint 'other': `python -m deploy deploy` makes one."),
        (["--metric", "mae"], {}, "There is no metric 'mae' to compare models by: give --metric accuracy, "),
        (["--target", "y"], {}, "'validation' has the columns x, label: name what is predicted with --target."),
        ([], {"DATA": str(empty)}, f"There is no data in {empty}/validation: models are compared on its rows."),
        ([], unreachable, 'Could not connect to the endpoint URL: "http://127.0.0.1:1/"'),
        ([], {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, "AWS has no credentials for you: "),
    ]
    for options, variables, sentence in cases:
        done = loop.retrain("--anyway", *options, **variables)
        assert (done.returncode, done.stdout) == (ERROR, ""), (options, done.stderr)
        assert any(line.startswith(sentence) for line in done.stderr.splitlines()), done.stderr
        assert "Traceback" not in done.stderr
    write_data(loop.folder / "few", shift=10, rows=80)
    done = loop.retrain("--anyway", DATA=str(loop.folder / "few"))
    assert done.returncode == TOO_FEW
    assert done.stdout == f"too few rows in {loop.folder}/few/validation: 80, but 100 are needed.\n"
    assert (loop.runs, loop.platform.operations()) == (runs, [])


def test_a_training_that_fails_registers_nothing(loop: Loop) -> None:
    before = loop.model_in_use()
    done = loop.retrain("--anyway", "note=bad")
    assert (done.returncode, done.stdout) == (ERROR, "")
    assert "The note is bad." in done.stderr
    assert done.stderr.splitlines()[-1] == "Training failed: the lines above say why."
    assert (loop.model_in_use(), loop.platform.operations()) == (before, [])


def test_a_better_model_that_the_registry_refuses_is_kept(loop: Loop) -> None:
    """The last line is the command that registers it later, and that does."""
    loop.platform.script["CreateModelPackage"] = iter([Refusal("ThrottlingException", "Rate exceeded.")] * 20)
    done = loop.retrain("--anyway", AWS_MAX_ATTEMPTS="1")
    assert done.returncode == ERROR
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "The new model could not be registered, which `python -m deploy register --model opt_ml/runs/"
    )
    assert done.stdout.splitlines()[-1].startswith("better: ")
    del loop.platform.script["CreateModelPackage"]
    later = last.split("`")[1].split()[3:]
    assert last_line(loop.deploy(*later)) == "my-algorithm/1"


def evaluated(mine: Path, *folders: Path, **given: Any) -> Any:
    """What is found out about the models in the folders, in the project's own Python."""
    asked = {
        "folders": list(map(str, folders)),
        "target": "",
        **{name: given[name] for name in given if name != "data"},
    }
    data = {"DATA": str(given["data"])} if "data" in given else {}
    done = run(mine, sys.executable, "-m", "stack.retraining.evaluation", json.dumps(asked), **data)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_model(folder: Path, **model: float) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"highest": 1e9, **model}), encoding="utf-8")
    return folder


def test_the_figures_are_those_of_training(project: Path, tmp_path: Path) -> None:
    """Each that training logged, to the last digit, with what the model was trained with."""
    tree = lay_out(tmp_path / "tree", project, {"n_estimators": "15", "max_depth": "none"})
    assert train_here(project, tree).returncode == 0
    logged = json.loads((tree / "output/data/metrics.json").read_text(encoding="utf-8"))
    found = evaluated(project, tree / "model")
    [model] = found["models"]
    assert {f"validation_{name}": model["figures"][name] for name in ("accuracy", "log_loss", "roc_auc")} == {
        name: pytest.approx(values[-1]) for name, values in logged.items()
    }
    assert (found["rows"], model["refused"]) == (119, 0)
    assert found["hyperparameters"] == {
        "target": "diagnosis", "n_estimators": "15", "max_depth": "null", "seed": "0"
    }  # fmt: skip


def test_models_are_compared_on_the_rows_that_both_answer(small: Path, tmp_path: Path) -> None:
    """A row that a model refuses, as its server would, is counted and left out for both."""
    data = write_data(tmp_path / "data", shift=0, rows=100)
    with (data / "validation/rows.csv").open("a") as file:
        file.write("50,low\n51,low\n,high\n52,\n")
    new, old = write_model(tmp_path / "new", middle=2), write_model(tmp_path / "old", middle=2, highest=40)
    found = evaluated(small, new, old, data=data)
    assert found["rows"] == 100
    assert [each["refused"] for each in found["models"]] == [1, 3]
    assert found["models"][0]["figures"] == found["models"][1]["figures"]


def figures(small: Path, folder: Path, algorithm: str, rows: str) -> Any:
    """What is found of a model of another algorithm in ``small``, with other rows."""
    mine = Path(shutil.copytree(small, folder / "mine", symlinks=True))
    (mine / "container/program/algorithm.py").write_text(algorithm, encoding="utf-8")
    (folder / "data/validation").mkdir(parents=True)
    (folder / "data/validation/rows.csv").write_text(rows, encoding="utf-8")
    return evaluated(mine, write_model(folder / "model", middle=2), data=folder / "data")


def test_classes_that_are_numbers_are_the_same_however_they_are_written(small: Path, tmp_path: Path) -> None:
    numbers = SMALL.replace('"high", "low")}', "1, 0)}")
    found = figures(small, tmp_path, numbers, "x,label\n5,1.0\n0,0\n5,1\n0,0.0\n")
    assert (found["rows"], found["models"][0]["figures"]["accuracy"]) == (4, 1)


def test_numbers_are_compared_by_their_errors(small: Path, tmp_path: Path) -> None:
    same = SMALL.replace('{"label": np.where(rows[:, 0] > model["middle"], "high", "low")}', '{"y": rows[:, 0]}')
    found = figures(small, tmp_path, same, "y,x\n1,2\n2,2\n3,5.5\n")
    assert found["models"][0]["figures"]["mae"] == pytest.approx((1 + 0 + 2.5) / 3)


def pair(new: float, old: float, metric: str = "accuracy", refused: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    models = [{"figures": {metric: each}, "refused": count} for each, count in zip((new, old), refused, strict=True)]
    return {"rows": 200, "models": models}


@pytest.mark.parametrize(
    ("found", "metric", "margin", "better"),
    [
        (pair(0.9, 0.8), "", 0, True),
        (pair(0.8, 0.8), "", 0, False),
        (pair(0.7, 0.8), "", 0, False),
        (pair(0.9, 0.8), "", 0.2, False),
        (pair(0.9, 0.8), "accuracy", 0.05, True),
        (pair(2.0, 3.0, "mae"), "", 0, True),
        (pair(3.0, 2.0, "mae"), "", 0, False),
        (pair(0.2, 0.3, "log_loss"), "log_loss", 0, True),
        (pair(0.3, 0.2, "r2"), "r2", 0, True),
        (pair(float("nan"), 0.2, "r2"), "r2", 0, False),
        (pair(0.9, 0.8, refused=(3, 2)), "", 0, False),
        (pair(0.9, 0.8, refused=(2, 3)), "", 0, True),
    ],
)
def test_a_model_is_better_by_its_metric_and_if_it_refuses_no_more_rows(
    found: dict[str, Any], metric: str, margin: float, better: bool
) -> None:
    assert decide(found, metric, margin)[0] == better


def test_the_verdict_says_what_it_is_by() -> None:
    assert decide(pair(0.9, 0.8, refused=(3, 2)), "", 0)[1] == (
        "accuracy on 200 rows of fresh data is 0.9, and 0.8 in service; the new model refuses 3 more rows, and the one "
        "in service 2"
    )
    with pytest.raises(LocalError, match=r"^There is no metric 'f2' to compare models by: give --metric accuracy\.$"):
        decide(pair(0.9, 0.8), "f2", 0)


def test_the_workflow_asks_a_person_to_approve(loop: Loop) -> None:
    """With an issue, whose text has the comparison and the command. GitHub's own tool is replaced: it needs GitHub."""
    tools, temporary = loop.folder / "tools", loop.folder / "temporary"
    for folder in (tools, temporary):
        folder.mkdir()
    (tools / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$RUNNER_TEMP/gh"\n', encoding="utf-8")
    (tools / "gh").chmod(0o755)
    file = loop.mine / ".github/workflows/retrain.yml"
    [*_, step] = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]["retrain"]["steps"]
    last_line(loop.deploy("deploy", "--stage", "prod", "--model", str(loop.mine / "opt_ml/model")))
    shutil.move(loop.folder / "fresh", temporary / "data")
    shared = {"RUNNER_TEMP": str(temporary), "GITHUB_STEP_SUMMARY": str(temporary / "summary"), "DOCKER": "no"}
    shared |= {"VENV": str(TEMPLATE_VENV), "ENDPOINT": "my-algorithm-prod", "MONITOR": "", **loop.aws()}

    def ran(options: str) -> subprocess.CompletedProcess[str]:
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {**shared, "OPTIONS": options, "ANYWAY": "true", "PATH": path}
        return run(loop.mine, "bash", "-e", "-c", step["run"], **variables)

    refused = ran("--margin 0.9")
    assert refused.returncode == NOT_BETTER, refused.stderr
    assert "::error::my-algorithm-prod: not better, and not registered: " in refused.stdout
    few = ran("--least 1000")
    assert (few.returncode, "::warning::my-algorithm-prod: too few rows in " in few.stdout) == (0, True)
    assert not (temporary / "gh").exists()
    done = ran("")
    assert done.returncode == 0, done.stderr
    assert (temporary / "gh").read_text(encoding="utf-8").splitlines() == [
        *("issue", "create", "--title", "Approve my-algorithm/1 for my-algorithm-prod"),
        *("--body-file", str(temporary / "issue")),
    ]
    issue = (temporary / "issue").read_text(encoding="utf-8")
    assert "`python -m deploy approve my-algorithm/1`, then `python -m deploy promote --to STAGE` puts" in issue
    assert issue.endswith("my-algorithm/1\n```\n")


UNIT = 1.5  # by which each number of the example's data is multiplied
Row = dict[str, str]


def in_another_unit(file: Path, target: Path) -> list[Row]:
    """Write a table of the example's in another unit, and return its rows."""
    with file.open() as table:
        rows = list(csv.DictReader(table))
    changed = [
        {name: cell if name == "diagnosis" else str(float(cell) * UNIT) for name, cell in row.items()} for row in rows
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as table:
        writer = csv.DictWriter(table, list(changed[0]))
        writer.writeheader()
        writer.writerows(changed)
    return changed


@pytest.mark.slow
def test_from_shifted_requests_to_a_promoted_model_every_call_is_answered(
    image: str, project: Path, tmp_path: Path
) -> None:
    """An endpoint of real containers, called all the time: monitor, train, compare, register, approve, promote."""
    environments.part("monitoring")
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    os.utime(mine / "requirements-dev.lock", (0, 0))
    (mine / "deploy.toml").write_text(DEPLOY_TOML, encoding="utf-8")
    for channel in ("training", "validation"):
        file = f"{channel}/breast_cancer.csv"
        rows = in_another_unit(project / "data" / file, tmp_path / "fresh" / file)
    names = [name for name in rows[0] if name != "diagnosis"]
    requests = "".join(",".join(row[name] for name in names) + "\n" for row in rows)
    (tmp_path / "requests.csv").write_text(",".join(names) + "\n" + requests, encoding="utf-8")
    with started(tmp_path, image) as cloud:
        loop = Loop(mine, tmp_path, cloud)
        last_line(loop.deploy("train", "--hyperparameter", "n_estimators=20"))
        assert last_line(loop.deploy("deploy", "--stage", "prod", "--capture-percent", "100")) == "my-algorithm-prod"

        def right() -> int:
            """How many of the shifted rows are answered as they should be."""
            asked = loop.deploy("invoke", "--stage", "prod", "--input", str(tmp_path / "requests.csv"))
            assert asked.returncode == 0, asked.stderr
            return sum(said == row["diagnosis"] for said, row in zip(asked.stdout.split(), rows, strict=True))

        before, now = right(), datetime.now(UTC)
        event = {
            "captureData": {
                "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": requests,
                                  "encoding": "CSV"},
            },
            "eventMetadata": {"eventId": "one", "inferenceTime": f"{now:%FT%TZ}"},
            "eventVersion": "0",
        }  # fmt: skip
        key = f"my/models/capture/my-algorithm-prod/all/{now:%Y/%m/%d/%H}/one.jsonl"
        cloud.s3.put_object(Bucket="bucket", Key=key, Body=json.dumps(event).encode())
        row = (mine / "data/predict.csv").read_bytes().splitlines(keepends=True)[1]
        with flowing(cloud.url, "my-algorithm-prod", row) as traffic:
            traffic.wait(200)
            done = loop.retrain("--endpoint", "my-algorithm-prod", "--sagemaker", CAPTURE="")
            assert last_line(done) == "my-algorithm/1", done.stderr
            job = cloud.request("CreateTrainingJob")
            assert job["HyperParameters"]["n_estimators"] == "20"
            assert cloud.operations().count("UpdateEndpoint") == 0, "a person decides"
            last_line(loop.deploy("approve", "my-algorithm/1"))
            flags = ("--bake", "2m", "--max-latency", "10000")
            assert last_line(loop.deploy("promote", "--to", "prod", *flags)) == "my-algorithm-prod"
            traffic.wait(max(1_000 - len(traffic.calls), 200))
        assert traffic.lost() == []
        assert len(cloud.endpoints["my-algorithm-prod"].fleet.answered) >= 200, "the new model answers now"
        model = cloud.request("CreateModel")["PrimaryContainer"]["ModelDataUrl"]
        assert f"/{job['TrainingJobName']}/output/model.tar.gz" in model
        assert right() > max(before, 0.9 * len(rows))
