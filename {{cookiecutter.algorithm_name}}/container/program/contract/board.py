"""Template: which requests are being predicted, in memory that all workers share and that outlives each of them.

nginx asks another worker where one died. A request that was being predicted when that happened is then predicted by
itself; with its second worker dead it is refused, so that one bad row cannot end one worker after the other.
"""

import mmap
from collections.abc import Sequence

ID = 32  # characters of nginx's request ids; without nginx nothing is asked twice
PAGES = 3  # of each prediction thread: for now, and for the last two times that it died


class Board:
    """Pages of request ids, made before the fork."""

    def __init__(self, threads: int, requests: int) -> None:
        self._page = ID * requests
        self._memory = mmap.mmap(-1, threads * PAGES * self._page)

    def succeed(self, thread: int) -> None:
        """Take a thread's place: what stands on its page is what it died with."""
        start, end = self._place(thread)
        if self._memory[start : start + 1] != b"\0":
            self._memory.move(start + self._page, start, end - start - self._page)
            self.write(thread, [])

    def write(self, thread: int, ids: Sequence[str]) -> None:
        """Note what ``thread`` predicts now."""
        text = "".join(name for name in ids if len(name) == ID).encode("ascii", "replace")
        start, _ = self._place(thread)
        self._memory[start : start + self._page] = text.ljust(self._page, b"\0")

    def deaths(self, ids: Sequence[str]) -> list[int]:
        """For each request: how many threads died, or are busy, with it."""
        seen = bytes(self._memory)
        return [seen.count(name.encode("ascii", "replace")) if len(name) == ID else 0 for name in ids]

    def _place(self, thread: int) -> tuple[int, int]:
        size = PAGES * self._page
        return thread * size, (thread + 1) * size
