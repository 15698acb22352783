"""Ctrl-C, a cut network and a second deploy: what was made is deleted again or named, and a rerun works."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from deploying import DEPLOY, TRAIN, Deploy, Start, interrupted, last_line
from rehearsal.calls import Refusal
from rehearsal.simulator import Simulator

LOST = Refusal("", "", 0)  # done, but the answer does not arrive
CREATIONS = ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]


class Gate(Iterator[Any]):
    """Holds a call on the platform's side until it is opened."""

    def __init__(self, value: Any) -> None:
        self.value, self.arrived, self.opened = value, threading.Event(), threading.Event()

    def __next__(self) -> Any:
        self.arrived.set()
        assert self.opened.wait(60)
        return self.value


def left(platform: Simulator) -> list[int]:
    """How many models, configurations and endpoints the account has."""
    sagemaker = platform.sagemaker
    return [
        len(sagemaker.list_models()["Models"]),
        len(sagemaker.list_endpoint_configs()["EndpointConfigs"]),
        len(sagemaker.list_endpoints()["Endpoints"]),
    ]


def interrupted_in_a_call(command: "subprocess.Popen[str]", gate: Gate) -> list[str]:
    """Press Ctrl-C while a call is under way, and return what the command prints until its end."""
    assert gate.arrived.wait(60)
    command.send_signal(signal.SIGINT)
    assert command.stderr
    lines = []
    for line in command.stderr:
        lines.append(line.strip())
        if "the request that is under way comes to its end first" in line:
            break
    gate.opened.set()
    assert "comes to its end first" in lines[-1], "the request must be answered before what was created is deleted"
    lines += command.communicate()[1].splitlines()
    assert command.returncode != 0
    assert "Traceback" not in "\n".join(lines)
    return lines


@pytest.mark.parametrize(("operation", "number"), [("CreateModel", 1), ("CreateEndpointConfig", 2)])
def test_ctrl_c_while_something_is_created_deletes_it_again(
    platform: Simulator, start: Start, operation: str, number: int
) -> None:
    gate = Gate({})
    platform.script[operation] = gate
    lines = interrupted_in_a_call(start(*DEPLOY), gate)
    assert left(platform) == [0, 0, 0]
    assert len([line for line in lines if line.endswith(": deleted again")]) == number
    assert lines[-1].startswith("Interrupted at: + ")


def test_ctrl_c_while_the_endpoint_is_created_leaves_all_and_says_how_to_delete_it(
    platform: Simulator, start: Start
) -> None:
    gate = Gate({})
    platform.script["CreateEndpoint"] = gate
    lines = interrupted_in_a_call(start(*DEPLOY), gate)
    assert left(platform) == [1, 1, 1]
    assert lines[-1].startswith("Interrupted at: + endpoint my-algorithm-dev. `python -m deploy list` shows")


def test_an_endpoint_that_stays_in_creating_is_waited_for_and_ctrl_c_says_how_to_come_back(
    platform: Simulator, start: Start
) -> None:
    platform.script["DescribeEndpoint"] = repeat({"EndpointStatus": "Creating"})
    assert interrupted(start(*DEPLOY), "endpoint my-algorithm-dev: Creating") == (
        "Interrupted: the endpoint my-algorithm-dev is still running, and costs money: `python -m deploy wait "
        "my-algorithm-dev` waits for it, `python -m deploy delete --endpoint my-algorithm-dev` ends it."
    )
    assert left(platform) == [1, 1, 1]


def test_a_delete_that_is_interrupted_says_how_to_go_on(platform: Simulator, deploy: Deploy, start: Start) -> None:
    last_line(deploy(*DEPLOY))
    platform.script["DescribeEndpoint"] = repeat({"EndpointStatus": "Deleting"})
    said = interrupted(start("delete", "--yes"), "endpoint my-algorithm-dev: Deleting")
    assert said == "Interrupted: run the same command again to delete the rest."
    assert left(platform)[:2] == [1, 1]
    platform.script.clear()
    assert deploy("delete", "--yes").returncode == 0
    assert left(platform) == [0, 0, 0]


def test_ctrl_c_during_an_upload_starts_no_job(platform: Simulator, start: Start) -> None:
    gate = Gate(200)
    platform.outages["s3"] = gate
    command = start(*TRAIN)
    assert gate.arrived.wait(60)
    command.send_signal(signal.SIGINT)
    gate.opened.set()
    assert command.communicate()[1].splitlines()[-1].startswith("Interrupted in the upload to s3://bucket/my/models/")
    assert command.returncode != 0
    assert platform.operations() == []


def test_a_cut_network_during_an_upload_starts_no_job_and_a_rerun_works(platform: Simulator, deploy: Deploy) -> None:
    platform.outages["s3"] = repeat(0)
    ended = deploy(*TRAIN, AWS_MAX_ATTEMPTS="2")
    assert ended.returncode != 0
    assert "The network between this machine and AWS is cut" in ended.stderr.splitlines()[-1]
    assert platform.operations() == []
    platform.outages["s3"] = iter([0])  # once: sent again
    last_line(deploy(*TRAIN))


@pytest.mark.parametrize("operation", CREATIONS[:2])
@pytest.mark.parametrize("times", [1, 2])
def test_what_was_created_without_an_answer_is_deleted_again(
    platform: Simulator, deploy: Deploy, operation: str, times: int
) -> None:
    """Sent again, AWS says that it exists; the name has random characters, so it is ours."""
    platform.script[operation] = repeat(LOST, times)
    ended = deploy(*DEPLOY, AWS_MAX_ATTEMPTS="2")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert left(platform) == [0, 0, 0]
    last_line(deploy(*DEPLOY))


@pytest.mark.parametrize("times", [1, 2])
def test_an_endpoint_that_was_perhaps_created_keeps_what_it_needs_and_is_named(
    platform: Simulator, deploy: Deploy, times: int
) -> None:
    platform.script["CreateEndpoint"] = repeat(LOST, times)
    ended = deploy(*DEPLOY, AWS_MAX_ATTEMPTS="2")
    assert ended.returncode != 0
    assert "AWS may have done this, or not: + endpoint my-algorithm-dev. `python -m deploy list`" in ended.stderr
    assert left(platform) == [1, 1, 1]
    assert deploy("delete", "--yes").returncode == 0
    assert left(platform) == [0, 0, 0]


def test_of_two_deploys_at_a_time_one_is_refused_and_leaves_nothing(platform: Simulator, start: Start) -> None:
    both = threading.Barrier(2)

    class Meeting(Iterator[Any]):
        def __next__(self) -> Any:
            both.wait(60)
            return {}

    platform.script["CreateModel"] = Meeting()
    first, second = start(*DEPLOY), start(*DEPLOY)
    ends = [(command.communicate()[1].splitlines()[-1], command.returncode) for command in (first, second)]
    (said,) = [said for said, code in ends if code]
    assert said.startswith("AWS refused CreateEndpoint: Cannot create already existing endpoint")
    assert "The name is taken, maybe by somebody who deploys at this moment" in said
    assert left(platform) == [1, 1, 1]
