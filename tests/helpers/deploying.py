"""What the tests of ``python -m deploy`` share: how it is run against the simulator, and how its output is read."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import forking
from rehearsal import registry
from rehearsal.service_model import violations
from rehearsal.simulator import Simulator, running

Deploy = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagemaker"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/my_team/my_algorithm@sha256:{'0' * 64}"  # E-02
MODEL = "s3://bucket/job/output/model.tar.gz"
TRAIN = ("train", "--image", IMAGE, "--role", ROLE, "--bucket", "s3://bucket/my/models")
DEPLOY = ("deploy", "--image", IMAGE, "--role", ROLE, "--model", MODEL)
INVOKE = ("invoke", "--endpoint", "churn", "--input", "data/predict.csv")
DELETE = ("delete", "--endpoint", "churn", "--yes")
NAME = re.compile(r"my-algorithm-\d{8}-\d{6}-[0-9a-f]{4}")


@contextmanager
def started(directory: Path, image: str | None) -> Iterator[Simulator]:
    with running(directory, image) as platform:
        platform.s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        registry.push(platform, IMAGE)
        yield platform
        faults = [fault for call in platform.calls for fault in violations(call.operation, call.request)]
    assert faults == [], "C-11: no request may break the service model, whatever the test is about"


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A user's environment with nothing of this machine's; an empty variable is left out."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-west-2",
    }
    return {name: value for name, value in (given | variables).items() if value}


def at(platform: Simulator, project: Path, home: Path) -> Deploy:
    return lambda *arguments, **variables: forking.deploy(
        project, arguments, environment(home, **{"AWS_ENDPOINT_URL": platform.url, **variables})
    )


def sentence(ended: "subprocess.CompletedProcess[str]") -> str:
    """The one line that a mistake prints."""
    assert ended.returncode != 0
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    return lines[0]


def interrupted(command: "subprocess.Popen[str]", at: str) -> str:
    """All that a command says after Ctrl-C at the first line that holds ``at``."""
    with command:
        assert command.stderr
        assert command.stdout
        assert any(at in line for line in command.stderr)
        command.send_signal(signal.SIGINT)
        said, result = command.stderr.read().strip(), command.stdout.read()
    assert command.returncode != 0
    assert result == ""
    assert "Traceback" not in said
    return said


def refused(ended: "subprocess.CompletedProcess[str]") -> str:
    """The sentence after the plan, where AWS refuses a step of it."""
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("Plan for dev in us-west-2:")
    return ended.stderr.splitlines()[-1]


def last_line(ended: "subprocess.CompletedProcess[str]") -> str:
    """What a command that went well hands to the next."""
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def predictions_of(cloud: Simulator, file: Path) -> list[str]:
    """What the newest model in service says to the rows of ``file`` with no server between."""
    program = (
        "import sys, pathlib, algorithm; from contract import predictions, schema\n"
        "from contract.serving import encoder, formats\n"
        "directory = pathlib.Path('/opt/ml/model')\n"
        "model = algorithm.load(directory)\n"
        "expected = schema.of_model(algorithm, model, directory)\n"
        "body = formats.Body(sys.stdin.buffer.read(), {'header': 'present'}, 2**30)\n"
        "batch = formats.CSV.decode(body, expected)\n"
        "columns = predictions.as_columns(algorithm.predict(model, expected.table(batch)), len(batch))\n"
        "print(formats.CSV.encode(encoder.select(columns, ()), []).decode(), end='')\n"
    )
    command = ["docker", "exec", "--interactive", cloud.containers[-1], "python", "-c", program]
    ended = subprocess.run(command, input=file.read_text(), check=True, capture_output=True, text=True)
    return ended.stdout.splitlines()
