"""Template: what was found, as a table for people, as Prometheus's text, and as metrics of CloudWatch."""

import os
from collections.abc import Sequence
from pathlib import Path

from stack.monitoring.drift import Test
from stack.monitoring.model import client
from stack.monitoring.window import Window

Figure = tuple[str, dict[str, str], float]
COLUMNS, SHOWN = ("feature", "answer"), 20  # of the columns that have not shifted


def table(tests: Sequence[Test]) -> list[str]:
    """Lines: what has shifted, figures of the model as a whole, then the largest differences of other columns."""
    calm = [test for test in tests if not test.shifted]
    others = sorted((test for test in calm if test.group in COLUMNS), key=lambda test: -test.size)
    shown = [test for test in tests if test.shifted] + [test for test in calm if test.group not in COLUMNS]
    shown += others[:SHOWN]
    cells = [("", "", "compared", "size", "chance", "")]
    for test in shown:
        said = "SHIFTED" if test.shifted else "large, but may be chance" if test.large else ""
        cells.append(
            (test.group, test.name, test.what, f"{test.size:.3f}", f"{test.p:.2g}", f"{said} {test.text}".strip())
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return lines + ([f"... and {len(others) - SHOWN} more that have not shifted"] if len(others) > SHOWN else [])


def figures(tests: Sequence[Test], window: Window) -> list[Figure]:
    """Each figure with its labels."""
    alarm, counts = any(test.shifted for test in tests), (window.requests, window.rows, window.refused)
    names = ("alarm", "requests", "rows", "refused_requests")
    found: list[Figure] = [(name, {}, float(value)) for name, value in zip(names, (alarm, *counts), strict=True)]
    for test in tests:
        labels = {"group": test.group, "name": test.name, "compared": test.what}
        found += [("shift_size", labels, test.size), ("shift_chance", labels, test.p)]
        found.append(("shifted", labels, float(test.shifted)))
    return found


def write_prometheus(path: Path, found: Sequence[Figure]) -> None:
    """Write the file in one step, since node_exporter may read it at any time."""
    lines, told = [], ""
    for name, labels, value in sorted(found, key=lambda each: each[0]):
        if name != told:
            lines.append(f"# TYPE model_monitor_{name} gauge")
            told = name
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"model_monitor_{name}{{{inside}}} {value!r}" if inside else f"model_monitor_{name} {value!r}")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text("\n".join([*lines, ""]), encoding="utf-8")
    unfinished.replace(path)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def put_cloudwatch(namespace: str, found: Sequence[Figure], model: str) -> None:
    """Put the figures there, with the model's name as a dimension. All characters of a name are ASCII there."""
    data = [
        {
            "MetricName": "".join(part.title() for part in name.split("_")),
            "Value": min(value, 1e12),
            "Dimensions": [{"Name": "Model", "Value": model}]
            + [{"Name": label.title(), "Value": _ascii(text)} for label, text in labels.items()],
        }
        for name, labels, value in found
    ]
    cloudwatch = client("cloudwatch")
    for first in range(0, len(data), 500):
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[first : first + 500])


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:255].strip() or "?"
