"""What `train` reads, writes and says, without a container (test_container.py runs it in one)."""

import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from contract.api import Range, UserError
from contract.training.hyperparameters import Extras, parse
from hypothesis import given, strategies

from programs import docker, lay_out, saved, train_here


@dataclass(frozen=True)
class Every:
    """One hyperparameter of each kind."""

    number: Annotated[int, Range(0, 100)] = 1
    maybe: int | None = 2
    rate: Annotated[float, Range(0)] = 0.5
    flag: bool = False
    word: str = "x"
    choice: Literal["gini", "entropy"] = "gini"
    penalty: Literal["none", "l2"] | None = "l2"
    items: list[Any] = field(default_factory=list)
    table: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        *[("flag", text, True) for text in ("True", "true", "yes", "on", "1", "TRUE", '"true"', True)],
        *[("flag", text, False) for text in ("False", "false", "no", "off", "0", '"False"')],
        *[("maybe", text, None) for text in ("None", "null", "", '""', '"None"', "none", '"NONE"', None)],
        *[("number", text, 5) for text in ("5", '"5"', '"\\"5\\""', "5.0", 5, " 5 ")],
        *[("rate", text, 1e-05) for text in ("1e-05", "0.00001", '"1e-05"', 1e-05)],
        *[("rate", text, 3.0) for text in ("3", "3.0", 3)],
        ("rate", "inf", float("inf")),
        ("rate", "Infinity", float("inf")),
        *[("word", text, "5") for text in ("5", '"5"')],
        *[("word", text, "gini") for text in ("gini", '"gini"', '"\\"gini\\""')],
        *[("word", text, "") for text in ("", '""')],
        ("word", "None", "None"),
        ("penalty", "none", "none"),  # which the choices name
        ("penalty", "None", None),
        *[("choice", text, "entropy") for text in ("entropy", '"entropy"')],
        *[("items", text, [1, 2]) for text in ("[1, 2]", '"[1, 2]"')],
        *[("items", text, ["a", "b"]) for text in ('["a", "b"]', "['a', 'b']")],
        *[("table", text, {"a": 1}) for text in ('{"a": 1}', "{'a': 1}")],
    ],
)
def test_a_value_is_read_however_an_sdk_writes_it(key: str, written: object, value: object) -> None:
    """T-10; V-06."""
    read = getattr(parse(Every, {key: written}), key)
    assert read == value
    assert type(read) is type(value)


def read_as_text(text: str) -> bool:
    """Whether quotes around it cannot be taken for those of an encoder (T-10: they are peeled off)."""
    try:
        return not isinstance(json.loads(text), str)
    except ValueError:
        return True


ENCODERS: dict[str, Callable[[Any], str]] = {
    "boto3, v2's str()": str,
    "v2's json.dumps()": json.dumps,
    "v2, twice": lambda value: json.dumps(json.dumps(value)),
    "v3": lambda value: value if isinstance(value, str) else json.dumps(value),
}
WORDS = strategies.text(max_size=20).filter(read_as_text)
PLAIN = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats(-1e9, 1e9) | WORDS
GIVEN = strategies.fixed_dictionaries(
    {
        "number": strategies.integers(0, 100),
        "maybe": strategies.none() | strategies.integers(),
        "rate": strategies.floats(0, allow_nan=False),
        "flag": strategies.booleans(),
        "word": WORDS,
        "choice": strategies.sampled_from(["gini", "entropy"]),
        "items": strategies.lists(PLAIN, max_size=5),
        "table": strategies.dictionaries(WORDS, PLAIN | strategies.lists(PLAIN, max_size=3), max_size=5),
    }
)


@pytest.mark.parametrize("encoder", ENCODERS)
@given(values=GIVEN)
def test_each_encoding_of_any_value_is_read_back(encoder: str, values: dict[str, Any]) -> None:
    """T-10; V-06."""
    written = {name: ENCODERS[encoder](value) for name, value in values.items()}
    assert parse(Every, written) == Every(**values)


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("number", "banana", "a whole number from 0 to 100"),
        ("number", "5.5", "a whole number from 0 to 100"),
        ("number", "-1", "a whole number from 0 to 100"),
        ("number", "101", "a whole number from 0 to 100"),
        ("number", "true", "a whole number from 0 to 100"),
        ("number", "", "a whole number from 0 to 100"),
        ("number", "__import__('os')", "a whole number from 0 to 100"),
        ("maybe", "few", "a whole number, or none"),
        ("rate", "-0.1", "a number at least 0"),
        ("rate", "nan", "a number at least 0"),
        ("flag", "maybe", "true or false"),
        ("choice", "log_loss", "one of gini, entropy"),
        ("items", "1", "a JSON list"),
        ("table", "[1]", "a JSON object"),
    ],
)
def test_a_bad_value_is_named_with_what_may_be_given(key: str, written: str, expected: str) -> None:
    """T-12; V-08."""
    with pytest.raises(UserError) as mistake:
        parse(Every, {key: written})
    assert str(mistake.value) == f"The hyperparameter '{key}' is {written!r}: give {expected}."


def test_keys_that_are_not_for_the_algorithm_are_dropped() -> None:
    """T-11; V-07."""
    assert parse(Every, {"_tuning_objective_metric": "x", "sagemaker_program": "x", "number": "3"}) == Every(number=3)


def test_a_name_may_be_spelled_with_dashes() -> None:
    """T-13."""

    @dataclass(frozen=True)
    class Deep:
        tree_depth: int

    assert parse(Deep, {"tree-depth": "3"}) == Deep(3)


@pytest.mark.parametrize("config", [None, "", "{}", '{"n_estimators": "7", "sagemaker_region": "us-west-2"}'])
def test_missing_and_empty_configuration_means_defaults(project: Path, tmp_path: Path, config: str | None) -> None:
    """T-02, T-11, P-30, P-31; V-05."""
    tree = lay_out(tmp_path / "tree", project)
    if config is None:
        shutil.rmtree(tree / "input/config")
    else:
        for name in ("hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"):
            (tree / "input/config" / name).write_text(config, encoding="utf-8")
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr
    assert f"n_estimators={7 if config and '7' in config else 100}," in done.stdout
    assert (tree / "model/model.onnx").is_file()


def test_metrics_are_printed_as_the_platform_scrapes_them(project: Path, tmp_path: Path) -> None:
    """T-55; V-16."""
    done = train_here(project, lay_out(tmp_path / "tree", project))
    [line] = [line for line in done.stdout.splitlines() if line.startswith("validation_accuracy=")]
    name, value = line.rstrip(";").split("=")
    assert line == f"{name}={value};"
    assert 0.9 < float(value) <= 1


def test_validation_is_used_only_where_the_job_has_it(project: Path, tmp_path: Path) -> None:
    tree = lay_out(tmp_path / "tree", project)
    shutil.rmtree(tree / "input/data/validation")
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr
    assert "validation_accuracy" not in done.stdout


def test_the_model_file_names_its_features_and_classes(project: Path, tmp_path: Path) -> None:
    """T-47, T-41."""
    import onnx

    tree = lay_out(tmp_path / "tree", project)
    assert train_here(project, tree).returncode == 0
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    about = {entry.key: entry.value for entry in onnx.load(tree / "model/model.onnx").metadata_props}
    header = (project / "data/predict.csv").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(about["features"]) == header.split(",")
    assert json.loads(about["classes"]) == ["benign", "malignant"]


def test_other_files_in_a_channel_are_passed_over_and_nested_ones_read(project: Path, tmp_path: Path) -> None:
    """T-22, T-24; V-10."""
    tree = lay_out(tmp_path / "tree", project)
    channel = tree / "input/data/training"
    nested = channel / "a folder" / "part 1.csv"
    nested.parent.mkdir()
    (channel / "breast_cancer.csv").rename(nested)
    (channel / "_SUCCESS").touch()
    (channel / "empty.csv").touch()
    (channel / ".hidden.csv").write_text("x", encoding="utf-8")
    (channel / "old.json.gz").write_bytes(gzip.compress(b"x"))
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr


def test_whatever_else_lies_about_the_model_is_the_same(image: str, project: Path, tmp_path: Path) -> None:
    """T-01, T-03, T-04, T-20, T-27, T-28, T-30, T-54, T-57: as files, keys, channels, leftovers."""
    plain = lay_out(tmp_path / "plain", project)
    assert train_here(project, plain).returncode == 0
    tree = lay_out(tmp_path / "tree", project)
    group = {"current_group_name": "lead", "current_instance_group": "lead", "topology": {}, "instance_groups": []}
    for name, content in {
        "input/config/hyperParameters.json": {"n_estimators": "1"},  # not the name: it is never read
        "input/config/resourceConfig.json": {"hosts": ["algo-0", "algo-1"], "current_host": "algo-1"},
        "input/config/checkpointconfig.json": {"LocalPath": "/opt/ml/checkpoints"},
        "input/config/resourceconfig.json": {"current_host": "here", "hosts": ["here"], **group},
        "input/data/training/all.manifest": [{"prefix": "s3://bucket/"}, "a.csv"],
        "input/data/training/all.csv.metadata": {},
        "input/data/code/sm_train.sh": {},
        "input/data/sm_drivers/sourcecode.json": {},
        "input/data/model/model.tar.gz": {},
        "sagemaker/warmpoolcache/earlier.json": {},
        "output/data/earlier.json": {},
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(json.dumps(content), encoding="utf-8")
    mounts = [f"--volume={tree}:/opt/ml", f"--volume={tree / 'input'}:/opt/ml/input:ro"]
    done = docker("run", "--rm", "--tty", *mounts, image, "train")
    assert done.returncode == 0, done.stdout
    assert (tree / "model/model.onnx").read_bytes() == (plain / "model/model.onnx").read_bytes()
    assert "\r" not in done.stdout.replace("\r\n", "")  # no progress bar


def test_a_failure_file_that_cannot_be_written_hides_nothing(project: Path, tmp_path: Path) -> None:
    """T-43."""
    tree = lay_out(tmp_path / "tree", project)
    shutil.rmtree(tree / "output")
    (tree / "output").touch()
    done = train_here(project, tree)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"Nothing can be written to {tree}/output/data: ")
    assert second.startswith(f"The failure file {tree}/output/failure cannot be written: ")


def test_a_schema_may_allow_what_it_does_not_name() -> None:
    """T-12."""

    @dataclass(frozen=True)
    class Open:
        depth: int = 3
        others: Extras = field(default_factory=Extras)

    given = {"depth": "4", "eta": '"0.1"', "sagemaker_program": "x"}
    assert parse(Open, given) == Open(4, Extras(eta="0.1"))
    assert parse(Open, {}) == Open(3, Extras())


def test_a_channel_in_pipe_mode_is_read_as_a_file(project: Path, tmp_path: Path) -> None:
    """T-23; V-11: a pipe for each time that it is read, and no directory."""
    tree = lay_out(tmp_path / "tree", project)
    [file] = (tree / "input/data/training").iterdir()
    data = file.read_bytes()
    shutil.rmtree(tree / "input/data/training")
    pipe = tree / "input/data/training_0"
    about = {"training": {"TrainingInputMode": "Pipe"}, "validation": {"TrainingInputMode": "File"}}
    (tree / "input/config/inputdataconfig.json").write_text(json.dumps(about), encoding="utf-8")

    def fill() -> None:
        time.sleep(1)  # it may not be there yet
        os.mkfifo(pipe)
        pipe.write_bytes(data)

    writer = threading.Thread(target=fill)
    writer.start()
    done = train_here(project, tree)
    writer.join()
    assert done.returncode == 0, done.stderr
    whole = lay_out(tmp_path / "whole", project)
    assert train_here(project, whole).returncode == 0
    assert (tree / "model/model.onnx").read_bytes() == (whole / "model/model.onnx").read_bytes()


def test_a_gzipped_file_is_read(project: Path, tmp_path: Path) -> None:
    """T-24, T-29; V-10."""
    tree = lay_out(tmp_path / "tree", project)
    [file] = (tree / "input/data/training").iterdir()
    with gzip.open(file.with_name(file.name + ".gz"), "wb") as packed:
        packed.write(file.read_bytes())
    file.unlink()
    done = train_here(project, tree)
    assert done.returncode == 0, done.stderr


def test_the_model_tells_how_it_came_to_be(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-40, T-42, T-47: the same job writes the same bytes."""
    monkeypatch.setenv("TRAINING_IMAGE", "image@sha256:0")  # as `deploy` sets it
    monkeypatch.setenv("IMAGE_REVISION", "abc123-dirty")  # as the image sets it
    trees = [lay_out(tmp_path / name, project, {"n_estimators": "9"}) for name in "abc"]
    table = trees[2] / "input/data/training/breast_cancer.csv"
    table.write_bytes(table.read_bytes().replace(b"17.99", b"17.98", 1))
    modes = {"training": {"TrainingInputMode": "File"}, "validation": {"TrainingInputMode": "FastFile"}}
    (trees[2] / "input/config/inputdataconfig.json").write_text(json.dumps(modes), encoding="utf-8")
    for tree in trees:
        done = train_here(project, tree)
        assert done.returncode == 0, done.stderr
    for name in ("model.onnx", "manifest.json"):
        assert (trees[0] / "model" / name).read_bytes() == (trees[1] / "model" / name).read_bytes()
    first, _, other = (json.loads((tree / "model/manifest.json").read_text(encoding="utf-8")) for tree in trees)
    assert first["hyperparameters"] == {"target": "diagnosis", "n_estimators": 9, "max_depth": None, "seed": 0}
    assert (first["image"], first["revision"]) == ("image@sha256:0", "abc123-dirty")
    assert first["versions"]["numpy"] == np.__version__
    assert first["versions"]["python"] == platform.python_version()
    training, validation = first["channels"]["training"], first["channels"]["validation"]
    assert training == {"mode": "File", "files": 1, "bytes": training["bytes"], "sha256": training["sha256"]}
    assert other["channels"]["training"] == training | {"sha256": other["channels"]["training"]["sha256"]}
    assert other["channels"]["training"]["sha256"] != training["sha256"]
    assert other["channels"]["validation"] == {"mode": "FastFile", "files": 1, "bytes": validation["bytes"]}
    metrics = json.loads((trees[0] / "output/data/metrics.json").read_text(encoding="utf-8"))
    assert metrics == {name: [value] for name, value in first["metrics"].items()}
    assert metrics.keys() == {"validation_accuracy", "validation_log_loss", "validation_roc_auc"}


def test_what_a_job_may_set_is_printed_for_people_and_for_tuning_jobs(project: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    source = mine / "container/program/algorithm.py"
    more = """    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    criterion: Literal["gini", "entropy"] = "gini"  # how to split
    eta: Annotated[float, Range(0.1, 1)] = 0.5
"""
    text = source.read_text(encoding="utf-8").replace("    seed: Annotated[int, Range(0, 2**32 - 1)] = 0\n", more)
    text = text.replace("import Annotated,", "import Annotated, Literal,")
    source.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(mine / "container/program")}  # as the Makefile sets it
    command = [sys.executable, "-m", "local.hyperparameters"]
    done = subprocess.run(command, cwd=mine, env=environment, capture_output=True, text=True, check=True)
    table, _, ranges = done.stdout.partition("\nParameterRanges of a tuning job:\n")
    assert [re.split("  +", line) for line in table.splitlines()] == [
        ["name", "value", "default", "what it is"],
        ["target", "a string", "diagnosis", "the column to predict; all others are features"],
        ["n_estimators", "a whole number from 1 to 2000", "100"],
        ["max_depth", "a whole number from 1 to 100, or none", "none"],
        ["seed", "a whole number from 0 to 4294967295", "0"],
        ["criterion", "one of gini, entropy", "gini", "how to split"],
        ["eta", "a number from 0.1 to 1", "0.5"],
    ]
    whole = [
        {"Name": "n_estimators", "MinValue": "1", "MaxValue": "2000"},
        {"Name": "max_depth", "MinValue": "1", "MaxValue": "100"},
        {"Name": "seed", "MinValue": "0", "MaxValue": "4294967295"},
    ]
    assert json.loads(ranges) == {
        "IntegerParameterRanges": whole,
        "ContinuousParameterRanges": [{"Name": "eta", "MinValue": "0.1", "MaxValue": "1"}],
        "CategoricalParameterRanges": [{"Name": "criterion", "Values": ["gini", "entropy"]}],
    }
    source.write_text(text.replace("seed: Annotated[int, Range(0, 2**32 - 1)]", "seed: complex"), encoding="utf-8")
    done = subprocess.run(command, cwd=mine, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Hyperparameters.seed in algorithm.py is annotated <class 'complex'>: use int, ")
