"""Template: the files of captured requests, in SageMaker's layout (M-40), and how much of the disk they may take.

The newest file is mapped into memory and full of empty lines, so adding a line only copies it and does not wait for the
disk. The lines of a process that is killed are kept.
"""

import fcntl
import mmap
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

FILE_BYTES = 2**22
NOTHING = memoryview(b"")


class CaptureFiles:
    """The files of a process. When one is nearly full, or its hour ends, the next follows. The newest is locked."""

    def __init__(self, folder: Path, most: int, workers: int) -> None:
        self._folder = folder / "local" / "AllTraffic"  # in place of an endpoint and its variant
        self._size = min(FILE_BYTES, most // (4 * workers))
        self._room = most - self._size * workers
        self._file: BinaryIO | None = None
        self._memory = NOTHING
        self._hour = self._end = 0
        self._lock = threading.Lock()

    @property
    def due(self) -> bool:
        """Whether ``prepare`` should be called."""
        return self._end >= len(self._memory) * 3 // 4 or self._hour != _hour()

    def add(self, line: bytes) -> bool:
        """Whether there was room. The first byte is written last, so that a line that starts with { is complete."""
        with self._lock:
            begin, end = self._end, self._end + len(line)
            if end > len(self._memory) or self._hour != _hour():
                return False
            self._memory[begin + 1 : end] = line[1:]
            self._memory[begin] = line[0]
            self._end = end
        return True

    def prepare(self, length: int = 0) -> int:
        """Start a file with room for a line; return how many old files were removed for it. Raises ``OSError``."""
        size = max(self._size, min(length, self._room))
        removed, now = self._make_room(size), datetime.now(UTC)
        path = self._folder / f"{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(b"\n" * size)  # not a sparse file, which could not be filled once the disk is full
            file = path.open("rb+")
            fcntl.flock(file, fcntl.LOCK_SH)
            self.follow(file, memoryview(mmap.mmap(file.fileno(), size)))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return removed

    def follow(self, file: BinaryIO | None = None, memory: memoryview = NOTHING) -> None:
        """Replace the newest file by another one or none, after removing its empty lines."""
        with self._lock:
            old, end = self._file, self._end
            self._file, self._memory, self._end, self._hour = file, memory, 0, _hour()
        if old:
            old.truncate(end)
            old.close()
            if not end:
                Path(old.name).unlink(missing_ok=True)

    def _make_room(self, length: int) -> int:
        """Remove the oldest files over the limit, except those that a process still writes."""
        found = [(path, path.stat().st_size) for path in sorted(self._folder.rglob("*.jsonl"))]
        total, removed = sum(size for _, size in found) + length, 0
        for path, size in found:
            if total > self._room:
                with suppress(OSError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    total, removed = total - size, removed + 1
        return removed


def _hour() -> int:
    return int(time.time()) // 3600
