"""Template: what a study varies and what decides, as ``python -m deploy tune`` has it.

It runs in the project's own Python, since it imports ``algorithm.py``: one JSON object in, one out.
"""

import json
import sys
from typing import Any

try:
    from deploy import schema, tune
    from deploy.errors import DeployError
    from deploy.metrics import metrics
except ModuleNotFoundError as error:
    sys.exit(
        f"`make tune` needs deploy/ and its packages, and there is no '{error.name}': restore it, or `make setup`."
    )


def main(given: dict[str, Any]) -> int:
    """Print the ranges, the metric that decides if that is known, and whether the defaults can be tried."""
    try:
        declared = given["metrics"] or metrics()
        found = {
            "ranges": tune.parameter_ranges(given["ranges"], given["hyperparameters"]),
            "objective": objective(given["objective"], given["maximize"], declared, given["logged"]),
            "defaults": not any(
                field.required for field in schema.load()[1] if field.name not in given["hyperparameters"]
            ),
        }
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def objective(name: str | None, maximize: bool | None, declared: list[str], logged: list[str]) -> dict[str, str] | None:
    """What decides: the metric that was named, the only one declared, or else the first that a training has logged.

    None if that is not known before a training.
    """
    if name or len(declared) == 1:
        return tune.decisive(name, maximize, declared)
    for each in logged:
        try:
            return tune.decisive(each, maximize, logged)
        except DeployError:  # its name does not say whether more is better
            continue
    if logged:
        return tune.decisive(None, maximize, logged)
    return None


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
