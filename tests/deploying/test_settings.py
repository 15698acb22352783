"""deploy.toml: which settings hold for a stage, and which are refused."""

from pathlib import Path

import pytest

from deploying import DEPLOY, Deploy, at, last_line, sentence
from projects import Bake
from rehearsal.simulator import Simulator


@pytest.fixture
def mine(bake: Bake) -> Path:
    return bake()


@pytest.fixture
def deploy(platform: Simulator, mine: Path, tmp_path: Path) -> Deploy:
    return at(platform, mine, tmp_path)


def write(project: Path, text: str) -> None:
    (project / "deploy.toml").write_text(text, encoding="utf-8")


def test_each_stage_has_variables_and_tags_of_its_own(platform: Simulator, deploy: Deploy, mine: Path) -> None:
    write(
        mine,
        "tags = {team = 'risk'}\n[environment]\nMODEL_SERVER_TIMEOUT = '20'\nMODEL_SERVER_WORKERS = '1'\n"
        "[dev.environment]\nMODEL_SERVER_WORKERS = '2'\n[prod.environment]\nMODEL_SERVER_WORKERS = '8'\n"
        "[prod.tags]\ncost-center = '7'\n",
    )
    last_line(deploy(*DEPLOY))
    environment = platform.request("CreateModel")["PrimaryContainer"]["Environment"]
    assert environment == {"MODEL_SERVER_TIMEOUT": "20", "MODEL_SERVER_WORKERS": "2"}
    last_line(deploy(*DEPLOY, "--stage", "prod", "--environment", "SAGEMAKER_INFERENCE_OUTPUT=all"))
    request = platform.request("CreateModel")
    assert request["PrimaryContainer"]["Environment"]["MODEL_SERVER_WORKERS"] == "8"
    assert request["PrimaryContainer"]["Environment"]["SAGEMAKER_INFERENCE_OUTPUT"] == "all"
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert (tags["team"], tags["cost-center"]) == ("risk", "7")


def test_a_variable_that_is_no_text_is_refused(deploy: Deploy, mine: Path) -> None:
    write(mine, "[dev.environment]\nMODEL_SERVER_WORKERS = 2\n")
    assert sentence(deploy(*DEPLOY)) == (
        'deploy.toml gives environment [dev] as {"MODEL_SERVER_WORKERS": 2}: give a table of strings.'
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[dev.environment]\nDB_PASSWORD = 'hunter2'\n", "DB_PASSWORD"),
        ("[prod.environment]\nCLIENT_SECRET = 'hunter2'\n", "CLIENT_SECRET"),
        ("hf_token = 'hunter2'\n", "hf_token"),
        ("[dev]\ntags = {API_KEY = 'hunter2'}\n", "API_KEY"),
    ],
)
def test_a_secret_is_refused_wherever_it_stands_and_not_repeated(
    platform: Simulator, deploy: Deploy, mine: Path, text: str, name: str
) -> None:
    """Whoever may describe the model could read it."""
    write(mine, text)
    assert sentence(deploy(*DEPLOY)) == (
        f"deploy.toml gives {name}, which looks like a secret: keep it in AWS Secrets Manager, and give its name, "
        f"such as {name}_NAME."
    )
    assert platform.calls == []


def test_a_secret_in_a_flag_is_refused(platform: Simulator, deploy: Deploy) -> None:
    said = sentence(deploy(*DEPLOY, "--environment", "DB_PASSWORD=hunter2"))
    assert said.startswith("--environment gives DB_PASSWORD, which looks like a secret")
    assert platform.calls == []


@pytest.mark.parametrize("name", ["DB_SECRET_NAME", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "TOKEN_FILE"])
def test_what_only_names_a_secret_is_taken(platform: Simulator, deploy: Deploy, mine: Path, name: str) -> None:
    write(mine, f"[dev.environment]\n{name} = 'x'\n")
    last_line(deploy(*DEPLOY))
    assert platform.request("CreateModel")["PrimaryContainer"]["Environment"] == {name: "x"}
