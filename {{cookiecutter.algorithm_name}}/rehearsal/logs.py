"""Template: CloudWatch's log of a container that the simulator ran, kept by moto."""

import subprocess
import time

from rehearsal.simulator import Simulator


def publish(simulator: Simulator, group: str, container: str) -> None:
    """Put what a container printed into a log group, as a stream of its own."""
    ended = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
    logs, stream = simulator.client("logs"), f"all/{container[:12]}"
    if group not in [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    events = [{"timestamp": now, "message": line} for line in lines[-1000:]]
    if events:
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
