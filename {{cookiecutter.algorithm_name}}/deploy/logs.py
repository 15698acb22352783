"""Template: the lines that containers have logged, as CloudWatch keeps them."""

import heapq
import re
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]


class Log:
    """The lines of a group's streams whose names begin with ``prefix``. Each is read once, in the order of time."""

    def __init__(self, client: Any, group: str, prefix: str, since: int = 0) -> None:
        self.client, self.group, self.prefix, self.since = client, group, prefix, since
        self.read_up_to: dict[str, str] = {}

    def read(self) -> Iterator[str]:
        """The lines since the last time; none if there is no log yet. Lines of several containers have their names."""
        try:
            streams = self._streams()
        except self.client.exceptions.ResourceNotFoundException:
            return
        names = {stream: re.sub(r"-\d{9,}$", "", stream.removeprefix(self.prefix)) for stream in streams}
        several, tokens = len(set(names.values())) > 1, dict(self.read_up_to)  # a container may have started again
        new = [self._events(stream, tokens) for stream in streams]
        for event in heapq.merge(*new, key=lambda event: event["timestamp"]):
            yield f"{names[event['stream']]} | {event['message']}" if several else event["message"]
        self.read_up_to = tokens  # only now: what an error kept from the reader is read again

    def _streams(self) -> list[str]:
        pages = self.client.get_paginator("describe_log_streams")
        prefix = {"logStreamNamePrefix": self.prefix} if self.prefix else {}
        found = pages.paginate(logGroupName=self.group, **prefix)
        return [stream["logStreamName"] for page in found for stream in page["logStreams"]]

    def _events(self, stream: str, tokens: dict[str, str]) -> Iterator[Event]:
        """A page may be empty before the end, which is where AWS answers with the token that it was given."""
        request = {"logGroupName": self.group, "logStreamName": stream, "startFromHead": True, "startTime": self.since}
        while True:
            before = tokens.get(stream)
            page = self.client.get_log_events(**request, **({"nextToken": before} if before else {}))
            yield from ({**event, "stream": stream} for event in page["events"])
            tokens[stream] = page["nextForwardToken"]
            if tokens[stream] == before:
                return
