"""Template: notices that a file of the program was saved."""

import time
from collections.abc import Iterator
from pathlib import Path

from local.project import PROGRAM

SECONDS_BETWEEN_LOOKS = 0.3


def saves() -> Iterator[None]:
    """Yield at once, and then each time a file is saved, added or removed. It never ends."""
    seen: dict[Path, int] = {}
    while True:
        found = times()
        if found != seen:
            seen = found  # taken before the next work, so that a save during it is seen
            yield
        time.sleep(SECONDS_BETWEEN_LOOKS)


def times() -> dict[Path, int]:
    """When each file was saved. Caches, hidden files and an editor's backups do not count."""
    found = {}
    for path in PROGRAM.rglob("*.*"):
        hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(PROGRAM).parts)
        if not hidden and not path.name.endswith("~"):
            try:
                found[path] = path.stat().st_mtime_ns
            except OSError:  # removed meanwhile
                continue
    return found
