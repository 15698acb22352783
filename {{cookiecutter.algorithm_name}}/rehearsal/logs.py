"""Template: CloudWatch Logs of the simulator: moto keeps the lines, in the groups and streams of the platform."""

import subprocess
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


def publish(simulator: Simulator, group: str, container: str) -> None:
    """Put what a container printed into a log group, as a stream of its own."""
    ended = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
    stream = Stream(simulator, group, f"all/{container[:12]}")
    for line in [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()][-1000:]:
        stream.write(line)
