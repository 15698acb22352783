"""A PostgreSQL server of one's own, from Debian's packages, that can be stopped, killed and started again."""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs import free_port
from projects import leave_out

SETTINGS = ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")


@dataclass(frozen=True)
class Postgres:
    """A server on a free port, whose files are in a folder of its own."""

    programs: Path
    folder: Path
    port: int

    def database(self, name: str) -> "Database":
        """A new, empty one."""
        Database(self, "postgres").ask(f"create database {name}")
        return Database(self, name)

    def run(self, program: str, *arguments: str) -> None:
        """PostgreSQL refuses to run as root."""
        root = os.geteuid() == 0
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            user=_somebody() if root else None,
            group=_somebody() if root else None,
            extra_groups=[] if root else None,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,  # the server would keep a pipe open
            stderr=subprocess.STDOUT,
            check=False,
        )
        log = self.folder / "log"
        assert done.returncode == 0, log.read_text(encoding="utf-8") if log.exists() else program

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"port={self.port}"))
        self.run(
            "pg_ctl", "start", "--wait", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", options
        )

    def stop(self, mode: str = "fast") -> None:
        """With ``immediate`` it ends as if it was killed."""
        self.run("pg_ctl", "stop", "--wait", "-D", str(self.folder / "data"), "-m", mode)


@dataclass(frozen=True)
class Database:
    """One of the databases of a server."""

    server: Postgres
    name: str

    @property
    def url(self) -> str:
        return f"postgresql://tester:secret@127.0.0.1:{self.server.port}/{self.name}"

    def ask(self, query: str) -> list[list[Any]]:
        """What a query returns, a list for each row."""
        selects = query.startswith("select")
        whole = f"select coalesce(json_agg(row_to_json(q)), '[]') from ({query}) q" if selects else query
        command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", self.url, "-c", whole]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [list(row.values()) for row in json.loads(done.stdout)] if selects else []


@contextmanager
def running() -> Iterator[Postgres]:
    """A new, empty database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        leave_out("there is no PostgreSQL: `make docker` installs Debian's")
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:  # not in pytest's folder, which is for its user alone
        server = Postgres(found[-1], Path(name), free_port())
        password = server.folder / "password"
        password.write_text("secret", encoding="utf-8")
        if os.geteuid() == 0:
            for path in (server.folder, password):
                shutil.chown(path, _somebody(), _somebody())
        server.run("initdb", "-D", str(server.folder / "data"), "-U", "tester", "--auth=scram-sha-256",
                   f"--pwfile={password}", "--no-sync")  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            if (server.folder / "data/postmaster.pid").exists():
                server.stop("immediate")


def _somebody() -> int:
    return pwd.getpwnam("nobody").pw_uid
