"""Template: ``make monitor`` compares what an endpoint was asked with what its model has learned from.

The exit status is 0 where nothing has shifted, 3 where something has, 4 where there are too few rows to say, 1 for an
error, and 2 for a mistake in the command.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import environments
from local.project import DATA, MODEL, NAME, ROOT, TREE, LocalError, exit_status

if TYPE_CHECKING:
    from contract.feature import Feature

FINE, SHIFTED, TOO_FEW = 0, 3, 4  # and 1 for an error
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
ROWS_FOR_PAGE = 5_000


@exit_status
def main(given: Sequence[str]) -> int:
    """Print what was found, and return the exit status. An error prints one sentence."""
    arguments = parsed(given)
    environments.enter("stack.monitoring")
    return monitor(arguments)


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.monitoring", description=__doc__)
    say = parser.add_argument
    variable = os.environ.get
    capture = variable("CAPTURE") or variable("DATABASE_URL") or str(TREE / "captured")
    say("--capture", default=capture, metavar="PLACE", help="a folder, s3://BUCKET/PREFIX or postgresql://...")
    say(
        "--model",
        default=variable("MODEL") or str(MODEL),
        help="the model that served: a folder or model.tar.gz, also on S3",
    )
    say("--endpoint", default=variable("ENDPOINT"), help="take data and model from this endpoint")
    say("--since", type=moment, default="24h", help="the start of the window, such as 24h, 7d or 2026-11-29T00:00Z")
    say("--until", type=moment, default="0m", help="the end of the window")
    say("--truth", help="true values, in SageMaker's form of ground truth: a folder or s3://BUCKET/PREFIX")
    say(
        "--answer",
        type=names,
        default=[],
        metavar="NAME,...",
        help="the columns of answers in CSV, by default the first",
    )
    say("--psi", type=float, default=0.1, help="the PSI from which a shift matters")
    say("--growth", type=float, default=0.2, help="how much the model's error may grow, as a fraction")
    say("--refused", type=float, default=0.05, help="the fraction of requests that may be refused")
    say("--least", type=int, default=100, metavar="ROWS", help="the least number of rows for a verdict")
    say("--prometheus", type=Path, metavar="FILE", help="write the metrics in Prometheus's text format")
    say("--cloudwatch", metavar="NAMESPACE", help="send the metrics to CloudWatch")
    say("--html", type=Path, metavar="FILE", help="write a page with Evidently, which installs more packages")
    say(
        "--reference",
        type=Path,
        metavar="FILE",
        help="the CSV file that the page compares with, by default of data/training",
    )
    return parser.parse_args(given)


def moment(text: str) -> datetime:
    """A time, or how long ago it was."""
    if match := re.fullmatch(r"(\d+)([mhd])", text):
        return datetime.now(UTC) - timedelta(**{UNITS[match[2]]: int(match[1])})
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def names(text: str) -> list[str]:
    """Names that commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def monitor(arguments: argparse.Namespace) -> int:
    """Compare, tell, and return the exit status. Raises ``LocalError``."""
    import psycopg
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _monitor(arguments)
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"AWS does not answer, or refuses: {error}") from error
    except psycopg.Error as error:
        raise LocalError(f"The database cannot be read: {str(error).splitlines()[0]}") from error


def _monitor(arguments: argparse.Namespace) -> int:
    from stack.monitoring import captures, drift, model, telling
    from stack.monitoring.window import Window

    capture, place = arguments.capture, arguments.model
    if arguments.endpoint:
        capture, place = model.of_endpoint(arguments.endpoint)
    about = model.of(place)
    true = captures.truth(arguments.truth) if arguments.truth else {}
    window = Window(about, true, ROWS_FOR_PAGE if arguments.html else 0)
    window.add(captures.events(capture, about, arguments.since, arguments.until, arguments.answer))
    begin, end = (f"{time:%Y-%m-%d %H:%M}" for time in (arguments.since, arguments.until))
    print(f"{window.requests:,} requests with {window.rows:,} rows, {begin} to {end} UTC")
    print(f"compared with {about.baseline['rows']:,} rows of training")
    if window.others:
        print(f"{window.others:,} more were answered by other models, and are left out")
    tests = drift.compared(about.baseline, window, arguments)
    print("\n".join(telling.table(tests)))
    found = telling.figures(tests, window)
    if arguments.prometheus:
        telling.write_prometheus(arguments.prometheus, found)
    if arguments.cloudwatch:
        telling.put_cloudwatch(arguments.cloudwatch, found, arguments.endpoint or NAME)
    if arguments.html and window.kept:
        write_page(arguments.html, arguments.reference, window.kept, about.features)
    return conclude(
        sorted({test.name for test in tests if test.shifted}), window.rows + window.refused, arguments.least
    )


def conclude(shifted: Sequence[str], judged: int, least: int) -> int:
    """Print the verdict last; the exit status."""
    if judged < least:
        print(f"too few rows: {judged}, but {least} are needed. Is the window too short, or nothing captured?")
        return TOO_FEW
    print(f"SHIFTED: {', '.join(shifted)}" if shifted else "ok: nothing has shifted")
    return SHIFTED if shifted else FINE


def write_page(page: Path, reference: Path | None, rows: list[dict[str, Any]], features: "Sequence[Feature]") -> None:
    """Have Evidently write the page, in its own Python. Raises ``LocalError`` if it cannot."""
    kinds = {each.name: "number" if each.kind is float else "choice" for each in features}
    kinds |= {each.name: "length" for each in features if each.kind is str and not each.choices}
    table = reference or next(iter(sorted((DATA / "training").glob("*.csv"))), None)
    given = {
        "rows": rows,
        "kinds": kinds,
        "reference": str(table.resolve()) if table else "",
        "page": str(page.resolve()),
    }
    command: list[Any] = [environments.python_of("stack.report"), "-m", "stack.report"]
    told = {**os.environ, "DO_NOT_TRACK": "1"}  # Evidently would send that it was used
    if subprocess.run(command, input=json.dumps(given), text=True, cwd=ROOT, env=told, check=False).returncode:
        raise LocalError(f"{page} cannot be written: the lines above say why.")
    print(f"page in {page}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
