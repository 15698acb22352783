"""Template: ``python3 -m stack.database load|truth``: what was predicted, and what was true, in PostgreSQL.

The database is the one in DATABASE_URL, as in postgresql://user:password@localhost:5432/models.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local import environments
from local.project import LocalError, exit_status

if TYPE_CHECKING:
    import psycopg


@exit_status
def main(given: list[str]) -> int:
    """Run one command. An error prints one sentence and returns exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.database", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("load", help="Load captured requests, each row once; also after an interruption.")
    command.add_argument("source", help="The folder in MODEL_SERVER_CAPTURE, or s3://bucket/prefix.")
    command.add_argument("--bodies", type=Path, metavar="FOLDER", help="Folder for images and other raw bodies.")
    command.add_argument("--every", type=float, metavar="SECONDS", help="Repeat, also if the database is down.")
    command = commands.add_parser("truth", help="Load actual values, which are joined by inference id.")
    command.add_argument("file", type=Path, help="CSV with a header: inference_id, value and, optionally, row and at.")
    arguments = parser.parse_args(given)
    environments.enter("stack.database")
    run_again(arguments) if getattr(arguments, "every", None) else run(arguments)
    return 0


class LaterError(LocalError):
    """It may go better the next time."""


def run_again(arguments: argparse.Namespace) -> None:
    """Run a command every few seconds, whatever passes meanwhile. Raises ``LocalError`` for what does not pass."""
    while True:
        try:
            run(arguments)
        except LaterError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(arguments.every)


def run(arguments: argparse.Namespace) -> None:
    """Run a command once. Raises ``LocalError``."""
    import psycopg
    from botocore.exceptions import BotoCoreError, ClientError

    from stack.database import tables

    try:
        with tables.connected() as connection:
            (load if arguments.command == "load" else truth)(connection, arguments)
    except psycopg.OperationalError as error:
        raise LaterError(
            f"The database does not answer: {first_line(error)}. Nothing is lost: run this again."
        ) from error
    except psycopg.Error as error:
        raise LocalError(f"The database refused: {first_line(error)}.") from error
    except (BotoCoreError, ClientError) as error:
        raise LaterError(f"{arguments.source} cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Of an error's message, without the stop at its end."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def load(connection: "psycopg.Connection", arguments: argparse.Namespace) -> None:
    """Load captured requests, and print how many rows were new."""
    from stack.database import loading, sources

    loader = loading.Loader(connection, arguments.bodies)
    loader.load(sources.files(arguments.source))
    print(f"{counted(loader.rows, 'new row')} from {counted(loader.files, 'file')}", flush=True)
    if loader.unreadable:
        raise LaterError(f"Not captured requests, so left out: {', '.join(loader.unreadable)}.")


def truth(connection: "psycopg.Connection", arguments: argparse.Namespace) -> None:
    """Load true values, and print how many are about predictions that are there."""
    from stack.database import truth

    count, joined = truth.load(connection, arguments.file)
    print(f"{counted(count, 'value')}, {joined} of them for predictions in the database")


def counted(number: int, word: str) -> str:
    """A number and what is counted."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
