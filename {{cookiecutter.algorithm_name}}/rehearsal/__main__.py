"""Template: ``make rehearse`` runs the life of a model on this machine, from training to deletion, at no cost.

Nothing reaches AWS: the commands get made-up credentials, and the address of a simulator with the real image behind it.
"""

import importlib.util
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local import building, container, environments
from local.project import FILE, IMAGE, NAME, ROOT, TREE, VENV, LocalError, exit_status

if TYPE_CHECKING:
    from rehearsal.simulator import Simulator

FOLDER = TREE / "rehearsal"  # the models and the failed jobs of the last rehearsal
ACCOUNT, REGION, BUCKET = "123456789012", "us-west-2", "rehearsal"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rehearsal"


@dataclass(frozen=True)
class Step:
    """A command of ``python -m deploy``. Names in braces stand for values, and for last lines of earlier steps."""

    name: str
    command: str
    needs: str = ""
    """The step before it."""


WHERE = "--image {image} --role {role} --bucket {bucket}"
STEPS = (
    Step("train", f"train {WHERE}"),
    Step("deploy", "deploy --image {image} --role {role} --model {train}", needs="train"),
    Step("invoke", "invoke --input {file}", needs="deploy"),
    Step("update", "update --environment MODEL_SERVER_WORKERS=1 --canary 10 --bake 2m", needs="deploy"),
    Step("releases", "releases", needs="update"),
    Step("rollback", "rollback", needs="update"),
    Step("status", "status", needs="deploy"),
    Step("batch", f"batch {WHERE} --model {{train}} --input {{file}} --output {{folder}}/batch.csv", needs="train"),
    Step("async", f"deploy {WHERE} --model {{train}} --async --endpoint {{name}}-async", needs="train"),
    Step("result", "invoke --endpoint {async} --bucket {bucket} --input {file}", needs="async"),
    Step("register", "register --image {image} --bucket {bucket} --model {train}", needs="train"),
    Step("cost", "cost", needs="deploy"),
    Step("delete", "delete --all --yes", needs="deploy"),
)


@exit_status
def main(chosen: list[str]) -> int:
    """Run all steps, or the one that is chosen with those that it needs. An error prints one sentence and returns 1."""
    steps = selected(*chosen)
    if problem := container.problem():
        raise LocalError(f"The rehearsal runs the image in Docker. {problem}")
    prepare()
    building.build()
    return rehearse(steps)


def selected(name: str = "") -> list[Step]:
    """The steps to run, in their order."""
    known = {step.name: step for step in STEPS}
    if not name:
        return list(STEPS)
    if name not in known:
        raise LocalError(f"There is no step {name!r}: VERB is one of {', '.join(known)}.")
    found = [known[name]]
    while found[0].needs:
        found.insert(0, known[found[0].needs])
    return found


def prepare() -> None:
    """Go on in the Python that has the simulator's packages; they are installed at the first use."""
    if not importlib.util.find_spec("moto"):
        environments.enter("rehearsal")


def rehearse(steps: list[Step]) -> int:
    """Run the steps against a simulator of their own, and print what the platform would have refused."""
    forget_aws()
    from rehearsal import permissions, registry
    from rehearsal.simulator import running

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints a line for each request
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with running(FOLDER, IMAGE) as simulator:
        simulator.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        values = {
            "role": ROLE,
            "bucket": f"s3://{BUCKET}/{NAME}",
            "image": image(),
            "file": os.path.relpath(FILE, ROOT),
            "folder": os.path.relpath(FOLDER, ROOT),
            "name": NAME,
        }
        registry.push(simulator, values["image"])
        os.environ["AWS_ENDPOINT_URL"] = simulator.url
        for identity, name in ((permissions.CALLER, "person"), (permissions.ROLE, "execution-role")):
            command = f"policies {name} --image {{image}} --role {{role}} --bucket {{bucket}}"
            simulator.policies[identity] = json.loads("".join(output(command.format(**values))))
        failed = next((step for step in steps if not run(step, values)), None)
    return conclude(simulator, steps, failed)


def run(step: Step, values: dict[str, str]) -> bool:
    """Run a step, print it and what it prints, and keep its last line. Whether it went well."""
    command = step.command.format(**values)
    print(f"$ python -m deploy {command}", flush=True)
    try:
        for line in output(command, errors=True):
            print(line, end="", flush=True)
            values[step.name] = line.strip()
    except subprocess.CalledProcessError:
        return False
    print(flush=True)
    return True


def output(command: str, errors: bool = False) -> Iterator[str]:
    """The lines that a command of ``python -m deploy`` prints. Raises ``CalledProcessError`` if it fails."""
    words: list[Any] = [VENV / "bin/python", "-m", "deploy", *shlex.split(command), *_region()]
    streams = subprocess.STDOUT if errors else None
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=streams, text=True) as process:
        assert process.stdout
        yield from process.stdout
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


def conclude(simulator: "Simulator", steps: list[Step], failed: Step | None) -> int:
    """Print the findings and how it went; the exit status."""
    for found in simulator.findings:
        print(f"\n{found}", file=sys.stderr)
    if failed:
        print(f"\nThe rehearsal failed at `python -m deploy {failed.name}`.", file=sys.stderr)
    elif simulator.findings:
        print("\nAll commands ended well, but the image breaks a rule of SageMaker's.", file=sys.stderr)
    else:
        names = ", ".join(step.name for step in steps)
        print(f"Went well, with the permissions of deploy/policies: {names}. Nothing was sent to AWS.")
    return 1 if failed or simulator.findings else 0


def image() -> str:
    """The address that the image would have in ECR."""
    digest = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", IMAGE], capture_output=True, text=True, check=True
    )
    return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}@{digest.stdout.strip()}"


def forget_aws() -> None:
    """Take away the variables that are for AWS, and set some by which nothing can reach it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "BOTO"))]:
        del os.environ[name]
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    keys = {"AWS_ACCESS_KEY_ID": "rehearsal", "AWS_SECRET_ACCESS_KEY": "rehearsal", "AWS_REGION": REGION}
    os.environ |= files | keys | {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}


def _region() -> list[str]:
    """The flag that goes before a region in deploy.toml."""
    return ["--region", REGION] if (ROOT / "deploy.toml").exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
