"""Template: whether a new model is better than the one in service, by what both answered to the same rows."""

import math
from collections.abc import Mapping
from typing import Any

from local.project import LocalError

LESS_IS_BETTER = ("log_loss", "mae", "rmse")


def decide(found: Mapping[str, Any], metric: str, margin: float) -> tuple[bool, str]:
    """The verdict, and why, on what ``stack.retraining.evaluation`` has found for the new model and the one in service.

    Raises ``LocalError`` if there is no such metric.
    """
    (after, refused), (before, refused_before) = ((each["figures"], each["refused"]) for each in found["models"])
    chosen = metric or ("accuracy" if "accuracy" in after else "mae")
    if chosen not in after or chosen not in before:
        raise LocalError(f"There is no metric '{chosen}' to compare models by: give --metric {', '.join(after)}.")
    gain = after[chosen] - before[chosen]
    gain = -gain if chosen in LESS_IS_BETTER else gain
    words = (
        f"{chosen} on {found['rows']} rows of fresh data is {after[chosen]:.6g}, and {before[chosen]:.6g} in service"
    )
    if refused or refused_before:
        words += f"; the new model refuses {refused} more rows, and the one in service {refused_before}"
    return math.isfinite(gain) and gain > margin and refused <= refused_before, words
