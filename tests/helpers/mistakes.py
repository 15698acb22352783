"""Mistakes that end a training job, each made in the real program: what docs/mistakes.md lists."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from programs import docker
from projects import algorithm_of_example

HEADER = "diagnosis,radius,area\n"
ROWS = "".join(f"{'benign' if i % 2 else 'malignant'},{i},{i * i}\n" for i in range(12))
TRAIN = "    settings = job.hyperparameters\n"
IMPORT = "    from sklearn"  # which takes a second: what comes before it is tried at once


@dataclass
class Job:
    """A training job on a few rows, in which nothing is wrong yet."""

    tree: Path
    program: Path
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    """Of ``docker run``, where the mistake is made in the container."""

    @classmethod
    def lay_out(cls, folder: Path, project: Path) -> "Job":
        """Its ``/opt/ml``, and a program that shares all but algorithm.py with the project's."""
        job = cls(folder / "ml", folder / "program")
        for name in ("model", "output", "input/config"):
            (job.tree / name).mkdir(parents=True)
        for name in ("training", "validation"):
            job.data(HEADER + ROWS, f"{name}/table.csv")
        job.config("hyperparameters", '{"n_estimators": "3"}')
        job.program.mkdir()
        (job.program / "contract").symlink_to(project / "container/program/contract")
        for name in ("train", "algorithm.py"):
            shutil.copy(project / "container/program" / name, job.program)
        for path in (job.tree, *job.tree.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        return job

    def config(self, name: str, content: str | bytes) -> Self:
        """Write ``input/config/<name>.json``."""
        return self.write(f"input/config/{name}.json", content)

    def hyperparameters(self, **given: object) -> Self:
        return self.config("hyperparameters", json.dumps(given))

    def data(self, content: str | bytes, name: str = "training/table.csv") -> Self:
        """Write a file of a channel."""
        return self.write(f"input/data/{name}", content)

    def instead(self, content: str | bytes, name: str) -> Self:
        """Write a file of the channel 'training' in the place of all others."""
        return self.without("input/data/training").data(content, f"training/{name}")

    def write(self, name: str, content: str | bytes) -> Self:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def without(self, name: str) -> Self:
        """Remove a directory."""
        shutil.rmtree(self.tree / name)
        return self

    def forbid(self, name: str) -> Self:
        """Let nobody read a file, and run as a user to whom that applies."""
        (self.tree / name).chmod(0)
        return self.option("--user=65534")

    def option(self, *options: str) -> Self:
        self.options.extend(option.format(self.tree) for option in options)
        return self

    def variable(self, name: str, value: str) -> Self:
        self.environment[name] = value
        return self

    def edit(self, old: str, new: str) -> Self:
        """Change algorithm.py."""
        path = self.program / "algorithm.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")
        return self

    def in_train(self, *statements: str) -> Self:
        """Have ``train`` begin with some statements."""
        return self.edit(IMPORT, "".join(f"    {line}\n" for line in statements) + IMPORT)

    def in_pieces(self, *pieces: str) -> Self:
        """Have ``predict`` yield the predictions of some of its rows, then of others."""
        self.edit("= predict(model, rows), forest", "= predict_all(model, rows), forest")
        self.edit("found = predict(", "found = predict_all(")
        yields = "".join(f"    yield predict_all(model, {piece})\n" for piece in pieces)
        return self.edit("def predict(", f"def predict(model, rows):\n{yields}\n\ndef predict_all(")

    def read_first(self) -> Self:
        """Have ``train`` look for its data at once."""
        return self.in_train("job.channel('training').files('.csv', '.csv.gz')")

    def in_rounds(self) -> Self:
        """Have an algorithm that writes checkpoints."""
        shutil.copy(algorithm_of_example("checkpoints"), self.program)
        return self.hyperparameters(trees="30", trees_a_round="3")

    def run(self) -> subprocess.CompletedProcess[str]:
        """``train`` without a container."""
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(self.tree), **self.environment}
        command = [sys.executable, str(self.program / "train")]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

    def run_in(self, image: str) -> subprocess.CompletedProcess[str]:
        """``train`` in the container."""
        mounts = [f"{self.tree}:/opt/ml", f"{self.program}/algorithm.py:/opt/program/algorithm.py:ro"]
        return docker("run", "--rm", *(f"--volume={mount}" for mount in mounts), *self.options, image, "train")

    def plain(self, text: str) -> str:
        """A line of output as any job of anyone would print it."""
        text = text.replace(str(self.tree), "/opt/ml").replace(str(self.program), "/opt/program")
        text = re.sub(r"/\S*/site-packages/", "", re.sub(r"\.saving-\w+", ".saving-...", text))
        text = re.sub(r"[\d,]+ MB", "... MB", text)
        return re.sub(r"(algorithm\.py(?: has a syntax error on|,)) line \d+", r"\1 line N", text)


Mistakes = dict[str, Callable[[Job], object]]


FILL = "b'x' * 10**9"  # bytes of memory
HOSTS = '{"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]}'

SEED = "seed: Annotated[int, Range(0, 2**32 - 1)]"  # as algorithm.py declares it

CONFIGURATION: Mistakes = {
    "`hyperparameters.json` is not JSON": lambda job: job.config("hyperparameters", "{max_depth: 3}"),
    "It is cut short": lambda job: job.config("hyperparameters", '{"max_depth": "3"'),
    "It holds a list": lambda job: job.config("hyperparameters", "[1]"),
    "It is in UTF-16": lambda job: job.config("hyperparameters", '{"max_depth": "3"}'.encode("utf-16")),
    "It is nested without end": lambda job: job.config("hyperparameters", '{"a": ' + "[" * 100_000),
    "It has a key twice": lambda job: job.config("hyperparameters", '{"seed": "1", "seed": "2"}'),
    "`inputdataconfig.json` is not JSON": lambda job: job.config("inputdataconfig", "training: File").read_first(),
    "`resourceconfig.json` is a directory": lambda job: job.write("input/config/resourceconfig.json/file", ""),
    "It names a host that is not one of the job's": lambda job: job.config("resourceconfig", HOSTS),
    "It has a number where the hosts are listed": lambda job: job.config("resourceconfig", '{"hosts": 2}'),
    "It does not say which of the hosts this one is": lambda job: job.config("resourceconfig", '{"hosts": ["a", "b"]}'),
}

HYPERPARAMETERS: Mistakes = {
    "A text for a whole number": lambda job: job.hyperparameters(max_depth="deep"),
    "A number with a fraction for a whole one": lambda job: job.hyperparameters(n_estimators="5.5"),
    "A number out of range": lambda job: job.hyperparameters(n_estimators="0"),
    "A seed that scikit-learn does not take": lambda job: job.hyperparameters(seed="-1"),
    "Nothing where a number is needed": lambda job: job.hyperparameters(n_estimators=""),
    "An object for a number": lambda job: job.hyperparameters(seed={"value": 1}),
    "A misspelled name": lambda job: job.hyperparameters(n_estimator="10"),
    "A name that is like none": lambda job: job.hyperparameters(learning_rate="0.1"),
    "One value twice, spelled with `-` and with `_`": lambda job: job.hyperparameters(
        **{"max-depth": "1", "max_depth": "2"}
    ),
    "A value missing that has no default": lambda job: job.edit("    target: str", "    trees: int\n    target: str"),
    "A word that is none of the choices": lambda job: (
        job.edit(f"{SEED} = 0", 'loss: Literal["gini", "entropy"] = "gini"')
        .edit("import Annotated,", "import Annotated, Literal,")
        .hyperparameters(loss="log_loss")
    ),
    "A word for a switch": lambda job: job.edit(f"{SEED} = 0", "balanced: bool = False").hyperparameters(
        balanced="maybe"
    ),
    "A number for a list": lambda job: (
        job.edit(f"{SEED} = 0", "layers: list[int] = field(default_factory=list)")
        .edit("import dataclass", "import dataclass, field")
        .hyperparameters(layers="3")
    ),
}

CHANNELS: Mistakes = {
    "The channel has another name": lambda job: (
        job.without("input/data/training").data(HEADER + ROWS, "train/table.csv").read_first()
    ),
    "There are no channels": lambda job: job.without("input/data").read_first(),
    "A file lies in the channel's place": lambda job: (
        job.without("input/data/training").write("input/data/training", HEADER + ROWS).read_first()
    ),
    "The files end in another suffix": lambda job: job.instead(HEADER + ROWS, "table.txt").read_first(),
    "The suffix is in capitals": lambda job: job.instead(HEADER + ROWS, "TABLE.CSV").read_first(),
    "The channel is empty": lambda job: (
        job.instead("", "nested/.file").without("input/data/training/nested").read_first()
    ),
    "All files are empty": lambda job: job.data("").read_first(),
    "All files are hidden": lambda job: job.instead(HEADER + ROWS, ".table.csv").read_first(),
    "The input mode is Pipe, and no pipe appears": lambda job: (
        job.config("inputdataconfig", '{"training": {"TrainingInputMode": "Pipe"}}').in_train(
            "import contract.training.channels", "contract.training.channels.SECONDS_TO_APPEAR = 1"
        ),  # of 30
    ),
    "The pipe is empty": lambda job: job.config("inputdataconfig", '{"training": {"TrainingInputMode": "Pipe"}}').data(
        "", "training_0"
    ),
}

DATA: Mistakes = {
    "No column of the target's name": lambda job: job.data("class" + HEADER.removeprefix("diagnosis") + ROWS),
    "No header": lambda job: job.data(ROWS),
    "Semicolons for commas": lambda job: job.data((HEADER + ROWS).replace(",", ";")),
    "A text among the numbers": lambda job: job.data(HEADER + ROWS + "benign,many,1\n"),
    "An index that pandas wrote": lambda job: job.data(
        "," + HEADER + "".join(f"{number},{line}\n" for number, line in enumerate(ROWS.splitlines()))
    ),
    "A header that ends in a comma": lambda job: job.data((HEADER + ROWS).replace("\n", ",\n")),
    "Amounts for classes": lambda job: job.data(HEADER + "".join(f"{i * 7},{i},1\n" for i in range(40))),
    "A missing value in the validation channel only": lambda job: job.data(
        HEADER + ROWS + "benign,,1\n", "validation/table.csv"
    ),
    "An infinite number": lambda job: job.data(HEADER + ROWS + "benign,inf,1\n"),
    "A number that is too large for the model": lambda job: job.data(HEADER + ROWS + "benign,1e300,1\n"),
    "A row with a value too many": lambda job: job.data(HEADER + ROWS + "benign,1,2,3\n"),
    "A row with a value too few": lambda job: job.data(HEADER + ROWS + "benign,1\n"),
    "Each row with a value too many": lambda job: job.data(HEADER + ROWS.replace("\n", ",1\n")),
    "A quote that is not closed": lambda job: job.data(HEADER + ROWS + 'benign,"1,2\n'),
    "A header and no rows": lambda job: job.data(HEADER),
    "Blank lines only": lambda job: job.data("\n\n\n"),
    "Two columns of one name": lambda job: job.data(HEADER.replace("radius", "area") + ROWS),
    "The target is the only column": lambda job: job.data("diagnosis\nbenign\nmalignant\n"),
    "All rows of one class": lambda job: job.data(HEADER + ROWS.replace("malignant", "benign")),
    "A label missing": lambda job: job.data(HEADER + ROWS + ",1,2\n"),
    "All labels missing": lambda job: job.data(HEADER + re.sub("benign|malignant", "", ROWS)),
    "Parquet that is named `.csv`": lambda job: job.data(b"PAR1\x15\x04\x15\x80\xff\xfe\x00\x01\xc3\x28" * 9 + b"PAR1"),
    "A table in Latin-1": lambda job: job.data((HEADER + ROWS + "größer,1,2\n").encode("latin-1")),
    "gzip that is cut short": lambda job: job.instead(gzip.compress((HEADER + ROWS).encode())[:-20], "table.csv.gz"),
    "A plain table that is named `.csv.gz`": lambda job: job.instead(HEADER + ROWS, "table.csv.gz"),
    "Two files with different columns": lambda job: job.data("diagnosis,age,area\nbenign,1,2\n", "training/more.csv"),
    "A validation channel without one of the columns": lambda job: job.data(
        "diagnosis,radius\nbenign,1\n", "validation/table.csv"
    ),
}

ALGORITHM: Mistakes = {
    "A syntax error": lambda job: job.edit(TRAIN, TRAIN.replace("\n", ")\n")),
    "A package that is not installed": lambda job: job.edit("import onnxruntime\n", "import onnxruntime, xgboost\n"),
    "Such a package in train()": lambda job: job.in_train("import xgboost"),
    "A system library that is not installed": lambda job: job.edit(
        "import onnxruntime\n", "import onnxruntime, ctypes\n\nctypes.CDLL('libwave.so.7')\n"
    ),
    "Such a library in train()": lambda job: job.in_train("import ctypes", "ctypes.CDLL('libwave.so.7')"),
    "The library of a GPU's driver, where there is no GPU": lambda job: job.in_train(
        "import ctypes", "ctypes.CDLL('libcuda.so.1')"
    ),
    "A name that a package does not have": lambda job: job.edit(
        "import onnxruntime\n", "from onnxruntime import Forest\n"
    ),
    "An exception outside of all functions": lambda job: job.edit(
        "import json\n", "import json\n\nopen('table.csv')\n"
    ),
    "A function is missing": lambda job: job.edit("def load(", "def read("),
    "A function takes other arguments": lambda job: job.edit("rows: Rows)", "rows: Rows, threshold: float)"),
    "Hyperparameters is not a dataclass": lambda job: job.edit("@dataclass(frozen=True)\nclass Hyper", "class Hyper"),
    "A hyperparameter of a type that no text can be read as": lambda job: job.edit(SEED, "seed: complex"),
    "A hyperparameter of a type that is not imported": lambda job: job.edit(
        "import json\n", "from __future__ import annotations\n\nimport json\n"
    ).edit(SEED, "seed: Optional[int]"),
    "A hyperparameter's check of one's own": lambda job: job.edit(
        f"    {SEED} = 0\n",
        f"    {SEED} = 0\n\n    def __post_init__(self) -> None:\n        raise ValueError('seed is even')\n",
    ),
    "train() raises an exception": lambda job: job.in_train("job.hyperparameters.depth"),
    "train() raises one with a message of many lines": lambda job: job.in_train("raise ValueError('no\\n' * 99)"),
    "train() raises one without a message": lambda job: job.in_train("assert job.stopping"),
    "train() never stops calling itself": lambda job: job.in_train("train(job)"),
    "train() asks for more memory than there is": lambda job: job.in_train("np.ones((10**6, 10**9))"),
    "train() returns nothing": lambda job: job.in_train("return None"),
    "train() ends the program": lambda job: job.in_train("raise SystemExit(0)"),
    "train() is interrupted": lambda job: job.in_train("raise KeyboardInterrupt"),
    "A process that train() has started is killed": lambda job: job.in_train(
        "import joblib", "joblib.Parallel(2)([joblib.delayed(exec)('import os; os.kill(os.getpid(), 9)')] * 2)"
    ),
    "A program that train() has started is killed": lambda job: job.in_train(
        "import subprocess", "subprocess.run(['sh', '-c', 'kill -9 $$'], check=True)"
    ),
    "A metric is not a number": lambda job: job.in_train("job.log_metric('loss', 'low')"),
    "save() writes nothing": lambda job: job.edit('(directory / "model.onnx").write_bytes(model.onnx)', "pass"),
    "load() cannot read what save() wrote": lambda job: job.edit("bytes(model.onnx)", "bytes(model.onnx[:99])"),
    "predict() returns no columns": lambda job: job.edit(
        "    labels, probabilities =", "    if len(rows) == 1:\n        return 0\n    labels, probabilities ="
    ),
    "predict() yields too few values": lambda job: job.in_pieces("rows[:2]", "rows[2:4]"),
    "predict() yields too many values": lambda job: job.in_pieces("rows[:2]", "rows[1:]"),
    "features() names too few columns": lambda job: job.edit(
        "def predict(", "def features(model: Model) -> list[str]:\n    return ['radius']\n\n\ndef predict("
    ),
}

PLACES: Mistakes = {
    "`SAGEMAKER_BASE_DIR` names no directory": lambda job: job.variable("SAGEMAKER_BASE_DIR", f"{job.tree}/elsewhere"),
    "A file lies in the model directory's place": lambda job: job.without("model").write("model", ""),
    "A file lies in the output directory's place": lambda job: job.without("output").write("output", ""),
    "`TRAINING_CHECK` is not true or false": lambda job: job.variable("TRAINING_CHECK", "often"),
    "`TRAINING_STOP_SECONDS` is not a number": lambda job: job.variable("TRAINING_STOP_SECONDS", "two minutes"),
}

KILLED: Mistakes = {
    "train() fails in native code": lambda job: job.in_train("import ctypes", "ctypes.string_at(0)"),
    "train() ends the process": lambda job: job.in_train("import os", "os._exit(3)"),
    "train() ends it with status 0, which the platform takes for a success": lambda job: job.in_train(
        "import os", "os._exit(0)"
    ),
}


RIGHTS: Mistakes = {
    "The program may not read its hyperparameters": lambda job: job.forbid("input/config/hyperparameters.json"),
    "The program may not read the data": lambda job: job.forbid("input/data/training/table.csv"),
    "The model directory is read-only": lambda job: job.option("--volume={}/model:/opt/ml/model:ro"),
    "The output directory is read-only": lambda job: job.option("--volume={}/output:/opt/ml/output:ro"),
    "The checkpoint directory is read-only": lambda job: job.option("--volume={}/model:/opt/ml/checkpoints:ro"),
    "The checkpoint directory is full": lambda job: job.in_rounds().option("--tmpfs=/opt/ml/checkpoints:size=8k"),
    "The disk is full when the model is saved": lambda job: job.hyperparameters(n_estimators="500").option(
        "--tmpfs=/opt/ml/model:size=8k"
    ),
}

SMALL: Mistakes = {
    "train() takes more memory than there is": lambda job: job.in_train(
        "job.channel('training').files('.csv')", FILL
    ).option("--memory=200m", "--memory-swap=200m"),
    "A process that train() has started takes more memory than there is": lambda job: job.in_train(
        "import joblib", f'joblib.Parallel(2)([joblib.delayed(exec)("{FILL}")] * 2)'
    ).option("--memory=300m", "--memory-swap=300m"),
}

HERE = {
    "Configuration files": CONFIGURATION,
    "Hyperparameters": HYPERPARAMETERS,
    "Channels": CHANNELS,
    "Data": DATA,
    "algorithm.py": ALGORITHM,
    "Places and variables": PLACES,
    "What ends the process at once": KILLED,
}

LIBRARIES: Mistakes = {
    "A system library that the image lacks": lambda job: job.edit(
        "import onnxruntime\n", "import onnxruntime, ctypes\n\nctypes.CDLL('libgomp.so.1')\n"
    ),
    "Such a library in train()": lambda job: job.in_train("import ctypes", "ctypes.CDLL('libGL.so.1')"),
}

IN_THE_CONTAINER = {"Rights and room": RIGHTS, "In a small container": SMALL, "System libraries": LIBRARIES}
"""These need a user without rights, a full disk, a limit of memory, or an image without a library."""
