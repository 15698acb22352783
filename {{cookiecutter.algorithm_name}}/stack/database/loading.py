"""Template: puts captured requests into the database, each row once, and goes on where it was stopped."""

from collections.abc import Iterable
from pathlib import Path

import psycopg

from stack.database import captured, sources

ROWS, BYTES = 5_000, 2**23  # of a transaction
COPY = f"copy incoming ({', '.join(captured.Row._fields)}) from stdin"
INSERT = "insert into predictions select * from incoming on conflict do nothing"
LOADED = """insert into loaded (file, bytes) values (%s, %s)
on conflict (file) do update set bytes = greatest(loaded.bytes, excluded.bytes), at = now()"""


class Loader:
    """Loads files, and counts."""

    def __init__(self, connection: psycopg.Connection, bodies: Path | None) -> None:
        self._connection, self._bodies = connection, bodies
        self.rows = self.files = 0
        self.unreadable: list[str] = []

    def load(self, files: Iterable[sources.File]) -> None:
        """Load what is new in the files. What is read together with its end is committed together with it."""
        known = dict(self._connection.execute("select file, bytes from loaded").fetchall())
        for file in files:
            begin = known.get(file.name, 0)
            if begin < file.size:
                before = self.rows
                self._load(file, begin)
                self.files += self.rows > before

    def _load(self, file: sources.File, begin: int) -> None:
        rows: list[captured.Row] = []
        end = last = begin
        bad: list[bytes] = []
        for place, line in file.lines(begin):
            try:
                rows += captured.rows(line, file.endpoint, self._bodies)
            except ValueError:
                bad.append(line)
                continue
            self._complain(file, bad)
            last, bad = place, []
            if len(rows) >= ROWS or last - end >= BYTES:
                self._commit(file, rows, last)
                rows, end = [], last
        if rows:
            self._commit(file, rows, last)
        if len(bad) > 1 or (bad and bad[0].startswith(b"{") and bad[0].endswith(b"\n")):  # else it is in the making
            self._complain(file, bad)

    def _complain(self, file: sources.File, bad: list[bytes]) -> None:
        if bad:
            self.unreadable.append(f"{len(bad)} {'line' if len(bad) == 1 else 'lines'} in {file.name}")

    def _commit(self, file: sources.File, rows: list[captured.Row], end: int) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("create temporary table incoming (like predictions) on commit drop")
            with cursor.copy(COPY) as copy:
                for row in rows:
                    copy.write_row(row)
            self.rows += cursor.execute(INSERT).rowcount
            cursor.execute(LOADED, [file.name, end])
