"""Template: which requests are being predicted, in memory that all workers share and that outlives each of them.

When a worker dies, nginx retries its requests on another one. A retried request is predicted alone. If its second
worker dies too, it is refused, so that one bad row cannot end one worker after another.

A request has an entry from the start of its prediction to the end. An entry that exists before counts the workers that
died, or are busy, with it. Its position follows from the request's id, so more workers do not make it slower.
"""

import mmap
from collections.abc import Iterable

ID_BYTES = 32  # of nginx's ids, which are random hexadecimal digits; without nginx nothing is retried
ENTRY_BYTES = ID_BYTES + 1  # with a count before the id
ENTRIES = 8  # of a bucket
BUCKET_BYTES = ENTRIES * ENTRY_BYTES
BUCKETS = 16**3


class CrashRecord:
    """A table of request ids, made before the fork."""

    def __init__(self) -> None:
        self._table = mmap.mmap(-1, BUCKETS * BUCKET_BYTES)

    def deaths(self, id_: str) -> int:
        """How often the prediction of a request started and did not end."""
        place = self._find(id_)
        return self._table[place] if place is not None else 0

    def begin(self, ids: Iterable[str]) -> None:
        """Note that requests are being predicted."""
        table = self._table
        for id_ in ids:
            place, bucket = self._find(id_), _bucket(id_)
            if place is not None:
                table[place] = min(table[place] + 1, 255)
            elif bucket is not None:
                counts = table[bucket : bucket + BUCKET_BYTES : ENTRY_BYTES]
                place = bucket + ENTRY_BYTES * max(counts.find(0), 0)  # a full bucket loses its first entry
                table[place : place + ENTRY_BYTES] = b"\1" + id_.encode()

    def end(self, ids: Iterable[str]) -> None:
        """Note that requests have been predicted, or have failed without harm."""
        for id_ in ids:
            place = self._find(id_)
            if place is not None:
                self._table[place : place + ENTRY_BYTES] = bytes(ENTRY_BYTES)

    def _find(self, id_: str) -> int | None:
        bucket = _bucket(id_)
        if bucket is None:
            return None
        found = self._table.find(id_.encode(), bucket, bucket + BUCKET_BYTES)
        return found - 1 if found > 0 else None


def _bucket(id_: str) -> int | None:
    """Where the entries of ids like this start; None for an id that is not nginx's."""
    if len(id_) != ID_BYTES or not (id_.isascii() and id_.isalnum()):
        return None
    try:
        return int(id_[:3], 16) * BUCKET_BYTES
    except ValueError:
        return None


SHARED = CrashRecord()
"""Made before the fork, where gunicorn's master imports this."""
