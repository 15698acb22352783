"""Template: ``make retrain`` trains on fresh data if requests have shifted, and registers the model if it is better.

The exit status is 0 if nothing has shifted, and if a version waits for approval: a new one is the last line. It is 3 if
the new model is not better, 4 if there are too few rows, 1 for an error, and 2 for a mistake in the command.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local import virtualenv
from local.project import DATA, MODEL, ROOT, LocalError, exit_status
from stack.retraining import steps
from stack.retraining.verdict import decide

FINE, NOT_BETTER, TOO_FEW = 0, 3, 4  # and 1 for an error
SHIFTED = 3  # as the monitor says it


@exit_status
def main(given: Sequence[str]) -> int:
    """Print what was found and done, and return the exit status. An error prints one sentence."""
    arguments = parsed(given)
    if not any((DATA / "validation").glob("[!.]*")):
        raise LocalError(f"There is no data in {DATA / 'validation'}: models are compared on its rows.")
    status = SHIFTED if arguments.anyway else monitored(arguments)
    if status != SHIFTED:
        return status
    virtualenv.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        return retrain(arguments, Path(scratch))


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.retraining", description=__doc__)
    say, variable = parser.add_argument, os.environ.get
    say("hyperparameters", nargs="*", metavar="name=value", help="instead of those of the model in service")
    say("--anyway", action="store_true", help="train without a shift, and while a version waits for approval")
    say("--monitor", default=variable("MONITOR") or "", metavar="OPTIONS", help="the monitor's options, as one string")
    say("--endpoint", default=variable("ENDPOINT") or "", help="the endpoint on SageMaker whose model is in service")
    say("--model", default=variable("MODEL") or str(MODEL), help="that model: a folder, model.tar.gz or s3://...")
    say("--sagemaker", action="store_true", help="train on SageMaker, as `python -m deploy train` does")
    say("--target", default="", metavar="COLUMN", help="column to predict; by default the one that is not a feature")
    say("--metric", default="", help="the metric to compare; by default accuracy, or mae for numbers")
    say("--margin", type=float, default=0.0, help="it must be better by more than this, by default 0")
    say("--least", type=int, default=100, metavar="ROWS", help="rows that a comparison needs, by default 100")
    return parser.parse_args(given)


def monitored(arguments: argparse.Namespace) -> int:
    """The monitor's exit status. Raises ``LocalError`` if it has no verdict."""
    if not (ROOT / "stack/monitoring").is_dir():
        raise LocalError("There is no stack/monitoring/ to ask whether requests have shifted: give --anyway.")
    command = [sys.executable, "-m", "stack.monitoring", *shlex.split(arguments.monitor)]
    told = os.environ | {"ENDPOINT": arguments.endpoint, "MODEL": arguments.model}
    status = subprocess.run(command, cwd=ROOT, env=told, stdout=sys.stdout, check=False).returncode
    if status not in (FINE, SHIFTED, TOO_FEW):
        raise LocalError("Nothing was trained, because the monitor has no verdict: the lines above say why.")
    return status


def retrain(arguments: argparse.Namespace, scratch: Path) -> int:
    """Train, compare, register, and return the exit status. What can be found to be wrong before is found before."""
    old, waiting = steps.in_service(arguments, scratch)
    if waiting and not arguments.anyway:
        print(f"{waiting} waits for approval: approve or reject it before another model is trained.")
        return FINE
    found = steps.evaluated(arguments, [old, old])
    decide(found, arguments.metric, arguments.margin)
    if found["rows"] >= arguments.least:
        new, source = steps.trained(arguments, found["hyperparameters"], scratch)
        found = steps.evaluated(arguments, [new, old])
    if found["rows"] < arguments.least:
        print(f"too few rows in {DATA / 'validation'}: {found['rows']}, but {arguments.least} are needed.")
        return TOO_FEW
    better, words = decide(found, arguments.metric, arguments.margin)
    if not better:
        print(f"not better, and not registered: {words}. The new model is {source}.")
        return NOT_BETTER
    print(f"better: {words}", flush=True)
    version = steps.registered(f"{words} ({arguments.endpoint or arguments.model})", source)
    print(f"`python -m deploy approve {version}`, then `python -m deploy promote --to STAGE` puts it into service")
    print(version)
    return FINE


if __name__ == "__main__":
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what programs print that are started here goes to stderr
    sys.exit(main(sys.argv[1:]))
