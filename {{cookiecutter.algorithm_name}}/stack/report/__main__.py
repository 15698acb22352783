"""Template: an HTML page about the rows of a window, beside rows of training where there are some.

``make monitor`` starts it and writes to its standard input. The exit status of ``make monitor`` does not depend on it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset, DataSummaryPreset

ROWS = 5_000


def main() -> int:
    """Write the page."""
    given = json.load(sys.stdin)
    kinds: dict[str, str] = given["kinds"]
    window = prepared(pd.DataFrame(given["rows"]), kinds)
    reference = None
    if given["reference"]:
        table = pd.read_csv(given["reference"], usecols=lambda name: name.strip() in kinds)
        table = table.rename(columns=str.strip).sample(min(len(table), ROWS), random_state=0)
        reference = prepared(table, kinds)
        both = [name for name in window if name in reference]
        window, reference = window[both], reference[both]
    definition = DataDefinition(
        numerical_columns=[name for name in window if kinds[name] != "choice"],
        categorical_columns=[name for name in window if kinds[name] == "choice"],
    )
    before = None if reference is None else Dataset.from_pandas(reference, data_definition=definition)
    report = Report([*([DataDriftPreset()] if before else []), DataSummaryPreset()])
    report.run(Dataset.from_pandas(window, data_definition=definition), before).save_html(given["page"])
    Path(given["page"]).chmod(0o644)
    return 0


def prepared(table: pd.DataFrame, kinds: dict[str, str]) -> Any:
    """The columns as numbers or as texts. Of free texts, which may be personal, the page shows the length."""
    found = {}
    for name in table:
        column = table[name]
        if kinds[name] == "length":
            column = column.str.len()
        found[name] = column.astype(str) if kinds[name] == "choice" else pd.to_numeric(column, errors="coerce")
    return pd.DataFrame(found)


if __name__ == "__main__":
    sys.exit(main())
