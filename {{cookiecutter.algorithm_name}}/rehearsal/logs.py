"""Template: CloudWatch Logs of the simulator: moto keeps the lines, in the groups and streams of the platform."""

import time
from contextlib import suppress

from botocore.exceptions import ClientError

from rehearsal.simulator import Simulator


class Stream:
    """One stream of a group; it is there from its first line on."""

    def __init__(self, simulator: Simulator, group: str, name: str) -> None:
        self.client, self.place = simulator.client("logs"), {"logGroupName": group, "logStreamName": name}
        self.exists = False

    def write(self, line: str) -> None:
        """Add a line, with the time of now."""
        if not self.exists:
            with suppress(ClientError):  # there already
                self.client.create_log_group(logGroupName=self.place["logGroupName"])
            with suppress(ClientError):
                self.client.create_log_stream(**self.place)
            self.exists = True
        event = {"timestamp": int(time.time() * 1000), "message": line or " "}
        self.client.put_log_events(**self.place, logEvents=[event])
