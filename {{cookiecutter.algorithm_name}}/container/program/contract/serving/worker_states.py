"""Template: which workers are ready, in memory that gunicorn's master and all workers share."""

import mmap

MOST_WORKERS = 1024
SERVED, STOPPING, FAILURES, RESTARTS, FIRST = range(5)
MOST_PAUSE_SECONDS = 30


class WorkerStates:
    """Numbers that outlive each worker."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 4 * (FIRST + MOST_WORKERS))).cast("I")

    def ready(self, number: int) -> None:
        """A worker takes requests from now on."""
        self._numbers[SERVED], self._numbers[FAILURES], self._numbers[FIRST + number] = 1, 0, 1

    def ended(self, number: int) -> None:
        """A worker has ended."""
        self._numbers[FAILURES] += not self._numbers[FIRST + number]
        self._numbers[RESTARTS] += 1
        self._numbers[FIRST + number] = 0

    def stop(self) -> None:
        """A worker was told to end before it was ready."""
        self._numbers[STOPPING] = 1

    @property
    def hopeless(self) -> bool:
        """Whether workers end and none was ever ready."""
        return not (self._numbers[SERVED] or self._numbers[STOPPING])

    @property
    def alive(self) -> int:
        """How many workers are ready."""
        return sum(self._numbers[FIRST:])

    @property
    def restarts(self) -> int:
        """How many workers have ended."""
        return self._numbers[RESTARTS]

    @property
    def pause_seconds(self) -> int:
        """How long a new worker waits before it retries what the last ones failed to do."""
        failures = self._numbers[FAILURES]
        return min(2**failures, MOST_PAUSE_SECONDS) if failures else 0


SHARED = WorkerStates()
"""Made before the fork, where gunicorn's master imports this."""
