"""Template: which requests are being predicted, in memory that all workers share and that outlives each of them.

nginx asks another worker where one died. A request that was being predicted when that happened is then predicted by
itself; with its second worker dead it is refused, so that one bad row cannot end one worker after the other.
"""

import mmap
from collections.abc import Sequence

import numpy as np

ID = 32  # characters of nginx's request ids; without nginx nothing is asked twice
PAGES = 3  # of each prediction thread: for now, and for the last two times that it died


class Board:
    """Pages of request ids, made before the fork."""

    def __init__(self, threads: int, requests: int) -> None:
        size = ID * requests
        memory = mmap.mmap(-1, threads * PAGES * size)
        self._pages = np.frombuffer(memory, f"S{size}").reshape(threads, PAGES)

    def succeed(self, thread: int) -> None:
        """Take a thread's place: what stands on its page is what it died with."""
        if self._pages[thread, 0]:
            self._pages[thread, 1:] = self._pages[thread, :-1].copy()
            self._pages[thread, 0] = b""

    def write(self, thread: int, ids: Sequence[str]) -> None:
        """Note what ``thread`` predicts now."""
        self._pages[thread, 0] = "".join(name for name in ids if len(name) == ID).encode()

    def deaths(self, ids: Sequence[str]) -> list[int]:
        """For each request: how many threads died, or are busy, with it."""
        seen = b"".join(self._pages.flat)
        return [seen.count(name.encode()) if len(name) == ID else 0 for name in ids]
