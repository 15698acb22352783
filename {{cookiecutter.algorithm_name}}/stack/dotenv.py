"""Template: ``stack/.env``, with the stack's ports and passwords. It is made once, and then yours to change."""

import os
import re
import secrets

from local.client import as_port
from local.project import NAME, ROOT, LocalError

FILE = ROOT / "stack/.env"
PORTS = {"serving": "SERVING_PORT", "mlflow": "MLFLOW_PORT", "postgres": "POSTGRES_PORT"}
TEXT = """\
# Made by `make stack`, and yours to change. It holds passwords, so git ignores it.
STACK_NAME={name}
STACK_USER={user}
SERVING_PORT=8080
MLFLOW_PORT=5000
POSTGRES_PORT=5432
POSTGRES_PASSWORD={postgres}
MLFLOW_PASSWORD={mlflow}
# For programs on this machine: set -a; . stack/.env
MLFLOW_TRACKING_URI=http://127.0.0.1:${{MLFLOW_PORT}}
DATABASE_URL=postgresql://predictions:${{POSTGRES_PASSWORD}}@127.0.0.1:${{POSTGRES_PORT}}/predictions
"""
LINE = re.compile(r"^(?:export +)?(\w+)=(.*?)(?: #.*)?$", re.MULTILINE)


def make() -> None:
    """Write the file, readable by this user alone. Raises ``FileExistsError`` if there is one."""
    passwords = {name: secrets.token_hex(20) for name in ("postgres", "mlflow")}
    text = TEXT.format(name=NAME, user=f"{os.getuid()}:{os.getgid()}", **passwords)
    with os.fdopen(os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def read() -> dict[str, str]:
    """The variables in the file. Raises ``LocalError`` for one that is missing, and for a port that cannot be."""
    found = {name: value.strip().strip("\"'") for name, value in LINE.findall(FILE.read_text(encoding="utf-8"))}
    for name, value in LINE.findall(TEXT):
        if not found.get(name):
            example = "" if "{" in value else f", such as {name}={value}"
            raise LocalError(f"stack/.env does not set {name}: add that line again{example}.")
    taken: dict[int, str] = {}
    for name in PORTS.values():
        first = taken.setdefault(as_port(f"{name} in stack/.env", found[name]), name)
        if first != name:
            raise LocalError(f"{first} and {name} in stack/.env are both {found[name]}: give each its own port.")
    return {name: re.sub(r"\$\{(\w+)\}", lambda match: found.get(match[1], ""), found[name]) for name in found}


def stand_in() -> dict[str, str]:
    """Values with which Compose finds what is to be removed where the file is missing."""
    return dict.fromkeys((name for name, _ in LINE.findall(TEXT)), "1") | {"STACK_NAME": NAME}
