"""`python -m deploy init` asks and writes deploy.toml."""

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploying import ACCOUNT, ROLE, Deploy, at, environment, last_line, sentence
from projects import Bake
from rehearsal import registry
from rehearsal.simulator import Simulator

IMAGE = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/my-algorithm"
DIGEST = f"sha256:{'3' * 64}"


@pytest.fixture
def mine(bake: Bake) -> Path:
    return bake()


def ask(platform: Simulator, project: Path, home: Path, *answers: str) -> tuple[int, str]:
    """Run `init` in a terminal, type ``answers``, and return the exit status and what the terminal shows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-B", "-m", "deploy", "init"]
    variables = environment(home, AWS_ENDPOINT_URL=platform.url)
    with subprocess.Popen(
        command, cwd=project, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as ended:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux's way to say that the terminal has no other end
            pass
    os.close(ours)
    return ended.returncode, shown.decode()


def a_role(platform: Simulator, name: str, service: str) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    platform.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))


def settings(project: Path) -> dict[str, object]:
    return tomllib.loads((project / "deploy.toml").read_text(encoding="utf-8"))


def test_what_is_found_is_proposed_and_return_takes_it(platform: Simulator, mine: Path, tmp_path: Path) -> None:
    a_role(platform, "another", "ec2.amazonaws.com")
    a_role(platform, "sagemaker", "sagemaker.amazonaws.com")
    registry.push(platform, f"{IMAGE}:v1@{DIGEST}")
    status, shown = ask(platform, mine, tmp_path, *[""] * 12)
    assert status == 0, shown
    written = settings(mine)
    assert written["region"] == "us-west-2"
    assert written["role"] == ROLE
    assert written["bucket"] == f"s3://sagemaker-us-west-2-{ACCOUNT}/my-algorithm"
    assert written["image"] == f"{IMAGE}@{DIGEST}"
    assert written["train"] == {"instance_type": "ml.m5.large"}
    assert written["prod"] == {
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "network_isolation": True,
        "environment": {},
    }
    assert platform.calls == []


def test_what_is_typed_is_written_and_used(platform: Simulator, mine: Path, tmp_path: Path) -> None:
    answers = (
        "us-west-2", ROLE, "s3://bucket/x", "my-algorithm:1", "ml.c5.xlarge", "ml.t2.medium", "ml.c7i.large",
        "alias/mine", "subnet-1, subnet-2", "sg-1",
    )  # fmt: skip
    status, shown = ask(platform, mine, tmp_path, *answers)
    assert status == 0, shown
    assert settings(mine)["prod"] == {
        "instance_type": "ml.c7i.large",
        "instance_count": 2,
        "network_isolation": True,
        "kms_key": "alias/mine",
        "subnets": ["subnet-1", "subnet-2"],
        "security_groups": ["sg-1"],
        "environment": {},
    }
    model = ("--model", "s3://bucket/job/output/model.tar.gz")
    last_line(at(platform, mine, tmp_path)("deploy", "--stage", "prod", *model))
    request = platform.request("CreateModel")
    assert (request["PrimaryContainer"]["Image"], request["ExecutionRoleArn"]) == ("my-algorithm:1", ROLE)
    assert request["EnableNetworkIsolation"] is True
    assert request["VpcConfig"]["Subnets"] == ["subnet-1", "subnet-2"]  # C-08
    assert platform.request("CreateEndpointConfig")["ProductionVariants"][0]["InitialInstanceCount"] == 2


def test_an_answer_that_cannot_be_is_asked_for_again(platform: Simulator, mine: Path, tmp_path: Path) -> None:
    status, shown = ask(platform, mine, tmp_path, "", "sagemaker", ROLE, "bucket", "s3://bucket/x", *[""] * 8)
    assert status == 0, shown
    assert shown.count("Error: ") == 2
    assert "give a role's ARN" in shown
    assert (settings(mine)["role"], settings(mine)["bucket"]) == (ROLE, "s3://bucket/x")  # C-05, C-06


def test_an_existing_file_is_kept_unless_the_user_says_so(platform: Simulator, mine: Path, tmp_path: Path) -> None:
    (mine / "deploy.toml").write_text("# mine\n")
    status, shown = ask(platform, mine, tmp_path, "n")
    assert "deploy.toml exists" in shown
    assert shown.endswith("deploy.toml is left as it is.\r\n")
    assert status != 0
    assert (mine / "deploy.toml").read_text() == "# mine\n"
    status, shown = ask(platform, mine, tmp_path, "y", "", ROLE, *[""] * 9)
    assert status == 0, shown
    assert settings(mine)["role"] == ROLE


def test_without_a_terminal_a_sentence_says_what_to_do(platform: Simulator, mine: Path, tmp_path: Path) -> None:
    ended = at(platform, mine, tmp_path)("init")
    assert (
        sentence(ended)
        == "`python -m deploy init` asks questions: run it in a terminal, or write deploy.toml yourself."
    )
    assert not (mine / "deploy.toml").exists()


def test_without_credentials_the_questions_come_without_proposals(
    platform: Simulator, mine: Path, tmp_path: Path, deploy: Deploy
) -> None:
    platform.denied |= {"iam:ListRoles", "ecr:DescribeRepositories"}
    status, shown = ask(platform, mine, tmp_path, "", ROLE, *[""] * 9)
    assert status == 0, shown
    assert settings(mine)["role"] == ROLE
    assert settings(mine).get("image", "") == ""
