"""Template: the database: how to reach it, and the versions of its tables."""

import os
from pathlib import Path

import psycopg

from local.project import LocalError

MIGRATIONS = sorted(Path(__file__).with_name("migrations").glob("*.sql"))
LOCK = 7_294_101  # any number, the same for all who migrate
VERSIONS = "create table if not exists schema_version (version integer primary key, at timestamptz default now())"


def connected() -> psycopg.Connection:
    """A connection to the database, with the tables as this program knows them. Raises ``LocalError``."""
    address = os.environ.get("DATABASE_URL")
    if not address:
        raise LocalError("There is no database: set DATABASE_URL, such as postgresql://user:password@localhost/models.")
    try:
        connection = psycopg.connect(address, autocommit=True, connect_timeout=10)
    except psycopg.ProgrammingError as error:  # not an address; the error could show the password
        raise LocalError("DATABASE_URL is not an address: write postgresql://user:password@host:5432/name.") from error
    migrate(connection)
    return connection


def migrate(connection: psycopg.Connection, files: list[Path] = MIGRATIONS) -> None:
    """Bring the tables to the newest version, all steps or none. Raises ``LocalError`` if theirs is newer."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])  # others wait, and find it done
        connection.execute(VERSIONS)
        [version] = connection.execute("select coalesce(max(version), 0) from schema_version").fetchone() or [0]
        if version > len(files):
            raise LocalError(
                f"The tables have version {version}, and this project knows {len(files)}: update the project."
            )
        for number, file in enumerate(files[version:], version + 1):
            connection.execute(file.read_bytes())
            connection.execute("insert into schema_version (version) values (%s)", [number])
