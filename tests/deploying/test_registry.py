"""The model registry: what is registered, approved, and then deployed."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploying import ACCOUNT, IMAGE, ROLE, TRAIN, Deploy, last_line, sentence
from rehearsal import registry
from rehearsal.simulator import Simulator

BUCKET = "s3://bucket/my/models"
REGISTER = ("register", "--bucket", BUCKET)
ANY = ("deploy", "--role", ROLE, "--bucket", BUCKET)
EVALUATION = {"predictions": {"validation": {"accuracy": 0.96}}}
METRICS = {"validation_accuracy": [0.5, 0.96], "a bad; name": [1.0], "none": [None]}
Train = Callable[[], tuple[str, str]]


@pytest.fixture
def train(platform: Simulator, deploy: Deploy) -> Train:
    """Train, and return the job's name and its model; the job writes what each job writes."""

    def run() -> tuple[str, str]:
        model = last_line(deploy(*TRAIN))
        with io.BytesIO() as packed:
            with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                files = {"evaluation.json": EVALUATION, "metrics.json": METRICS, "report.html": "<html>"}
                for name, content in files.items():
                    body = json.dumps(content).encode()
                    member = tarfile.TarInfo(name)
                    member.size = len(body)
                    archive.addfile(member, io.BytesIO(body))
            key = model.removeprefix("s3://bucket/").replace("model.tar.gz", "output.tar.gz")
            platform.s3.put_object(Bucket="bucket", Key=key, Body=packed.getvalue())
        return platform.request("CreateTrainingJob")["TrainingJobName"], model

    return run


def test_a_job_is_registered_with_its_image_model_metrics_and_report(
    platform: Simulator, deploy: Deploy, train: Train
) -> None:
    job, model = train()
    assert last_line(deploy(*REGISTER, "--model", f"job:{job}")) == "my-algorithm/1"
    package = platform.request("CreateModelPackage")
    [container] = package["InferenceSpecification"]["Containers"]
    assert container == {"Image": IMAGE, "ModelDataUrl": model}
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    quality = package["ModelMetrics"]["ModelQuality"]["Statistics"]
    bucket, _, key = quality["S3Uri"].removeprefix("s3://").partition("/")
    assert json.loads(platform.s3.get_object(Bucket=bucket, Key=key)["Body"].read()) == EVALUATION
    known = package["CustomerMetadataProperties"]
    assert known["validation_accuracy"] == "0.96"
    assert known.keys() == {"validation_accuracy", "a bad- name", "training-job", "report"}
    assert known["training-job"] == job
    key = known["report"].removeprefix("s3://bucket/")
    assert platform.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b'"<html>"'


def test_what_a_real_job_says_about_its_model_is_registered_and_promoted(
    cloud: Simulator, deploy_really: Deploy
) -> None:
    """From the job's output.tar.gz (T-42) to an endpoint in service."""
    last_line(deploy_really(*TRAIN, "--hyperparameter", "n_estimators=20"))
    assert last_line(deploy_really(*REGISTER)) == "my-algorithm/1"
    package = cloud.request("CreateModelPackage")
    assert 0.9 < float(package["CustomerMetadataProperties"]["validation_accuracy"]) <= 1
    key = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].removeprefix("s3://bucket/")
    found = json.loads(cloud.s3.get_object(Bucket="bucket", Key=key)["Body"].read())
    assert "validation" in found["predictions"]
    last_line(deploy_really("approve", "my-algorithm/1"))
    assert last_line(deploy_really("promote", "--to", "prod", "--role", ROLE)) == "my-algorithm-prod"
    ended = deploy_really("invoke", "--stage", "prod", "--input", "data/predict.csv")
    assert ended.returncode == 0, ended.stderr


def test_the_group_is_made_once_and_carries_the_tags(platform: Simulator, deploy: Deploy, train: Train) -> None:
    train()
    assert last_line(deploy(*REGISTER)) == "my-algorithm/1"
    assert last_line(deploy(*REGISTER)) == "my-algorithm/2"
    assert platform.operations().count("CreateModelPackageGroup") == 1
    group = {tag["Key"]: tag["Value"] for tag in platform.request("CreateModelPackageGroup")["Tags"]}
    assert group["project"] == "my-algorithm"
    assert "Tags" not in platform.request("CreateModelPackage")  # AWS refuses them: a version has those of its group


def test_an_image_by_tag_is_registered_by_digest(platform: Simulator, deploy: Deploy, train: Train) -> None:
    train()
    repository, digest = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/churn", f"sha256:{'5' * 64}"
    registry.push(platform, f"{repository}:v1@{digest}")
    last_line(deploy(*REGISTER, "--image", f"{repository}:v1"))
    [container] = platform.request("CreateModelPackage")["InferenceSpecification"]["Containers"]
    assert container["Image"] == f"{repository}@{digest}"  # E-14


def test_a_model_without_an_evaluation_is_registered_with_a_note(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*REGISTER, "--image", IMAGE, "--model", "s3://bucket/job/output/model.tar.gz")
    assert last_line(ended) == "my-algorithm/1"
    assert "  note: there is no evaluation.json beside the model, so the package has no metrics" in ended.stderr
    assert "ModelMetrics" not in platform.request("CreateModelPackage")


def test_a_run_of_this_machine_is_registered_with_its_metrics_and_report(
    platform: Simulator, deploy: Deploy, tmp_path: Path
) -> None:
    """And with a description in any words, which ``--with`` gives."""
    run, description = tmp_path / "runs/2026-11-29_12-00-00", 'Better by 4 %: accuracy 0.96 (was 0.92); "churn" & more'
    for folder in ("model", "output/data"):
        (run / folder).mkdir(parents=True)
    (run / "model/model.onnx").write_text("a model", encoding="utf-8")
    for name, content in {"evaluation.json": EVALUATION, "metrics.json": METRICS, "report.html": "<html>"}.items():
        (run / "output/data" / name).write_text(json.dumps(content), encoding="utf-8")
    (run / "output/data/large.bin").write_bytes(b"more that train() has left")
    (tmp_path / "more.json").write_text(json.dumps({"CreateModelPackage": {"ModelPackageDescription": description}}))
    more = ("--image", IMAGE, "--with", str(tmp_path / "more.json"))
    assert last_line(deploy(*REGISTER, *more, "--model", str(run / "model"))) == "my-algorithm/1"
    package = platform.request("CreateModelPackage")
    assert package["ModelPackageDescription"] == description
    known, quality = package["CustomerMetadataProperties"], package["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert known.keys() == {"validation_accuracy", "a bad- name", "report"}
    key = quality["S3Uri"].removeprefix("s3://bucket/")
    assert json.loads(platform.s3.get_object(Bucket="bucket", Key=key)["Body"].read()) == EVALUATION
    listed = platform.s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert sorted(each["Key"].rpartition("/")[2] for each in listed) == [
        "evaluation.json", "model.tar.gz", "report.html"
    ]  # fmt: skip


def test_a_dry_run_registers_nothing(platform: Simulator, deploy: Deploy, train: Train) -> None:
    train()
    before = platform.operations()
    sent = json.loads(deploy(*REGISTER, "--dry-run").stdout)
    asked = [next(iter(each)) for each in sent]
    assert asked == ["CreateModelPackageGroup", "Upload", "Upload", "CreateModelPackage"]
    assert platform.operations() == before


def test_what_is_not_approved_is_not_deployed(platform: Simulator, deploy: Deploy, train: Train) -> None:
    train()
    last_line(deploy(*REGISTER))
    assert sentence(deploy(*ANY, "--model", "registry:my-algorithm")) == (
        "The registry has no approved version of 'my-algorithm': `python -m deploy approve my-algorithm/VERSION` "
        "approves one."
    )
    assert sentence(deploy(*ANY, "--model", "registry:my-algorithm/1")) == (
        "'my-algorithm/1' is PendingManualApproval: approve it with `python -m deploy approve my-algorithm/1`."
    )
    last_line(deploy("approve", "my-algorithm/1", "--reject", "--note", "too old"))
    assert "'my-algorithm/1' is Rejected" in sentence(deploy(*ANY, "--model", "registry:my-algorithm/1"))
    assert "CreateModel" not in platform.operations()


def test_the_newest_approved_version_is_deployed(platform: Simulator, deploy: Deploy, train: Train) -> None:
    models = []
    for number in ("1", "2", "3"):
        models.append(train()[1])
        assert last_line(deploy(*REGISTER)) == f"my-algorithm/{number}"
    for number in ("1", "2"):
        assert last_line(deploy("approve", f"my-algorithm/{number}")) == f"my-algorithm/{number}"
    last_line(deploy(*ANY, "--model", "registry:my-algorithm", "--endpoint", "newest"))
    container = platform.request("CreateModel")["PrimaryContainer"]
    assert container == {"Image": IMAGE, "ModelDataUrl": models[1]}
    tags = {tag["Key"]: tag["Value"] for tag in platform.request("CreateModel")["Tags"]}
    assert tags["model-package"].endswith(":model-package/my-algorithm/2")
    last_line(deploy(*ANY, "--model", "registry:my-algorithm/1", "--endpoint", "older"))
    assert platform.request("CreateModel")["PrimaryContainer"]["ModelDataUrl"] == models[0]


def test_an_approval_is_shown_as_a_difference(platform: Simulator, deploy: Deploy, train: Train) -> None:
    train()
    last_line(deploy(*REGISTER))
    ended = deploy("approve", "my-algorithm/1", "--note", "Reviewed by the team.")
    assert "ModelApprovalStatus: PendingManualApproval -> Approved\n" in ended.stderr
    request = platform.request("UpdateModelPackage")
    assert (request["ModelApprovalStatus"], request["ApprovalDescription"]) == ("Approved", "Reviewed by the team.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("approve", "my-algorithm"), "'my-algorithm' names no version: give NAME/VERSION, as register prints it."),
        (("approve", "my-algorithm/7"), "The registry has no version 'my-algorithm/7' in us-west-2."),
        ((*ANY, "--model", "registry:churn/x"), "The registry has no version 'churn/x' in us-west-2."),
    ],
)
def test_a_version_that_does_not_exist_is_named(deploy: Deploy, arguments: tuple[str, ...], said: str) -> None:
    assert sentence(deploy(*arguments)) == said


def test_promote_deploys_the_newest_approved_version_to_a_stage(
    platform: Simulator, deploy: Deploy, train: Train
) -> None:
    for version, operation in (("my-algorithm/1", "CreateEndpoint"), ("my-algorithm/2", "UpdateEndpoint")):
        _, model = train()
        last_line(deploy(*REGISTER))
        last_line(deploy("approve", version))
        assert last_line(deploy("promote", "--to", "prod", "--role", ROLE)) == "my-algorithm-prod"
        assert platform.request("CreateModel")["PrimaryContainer"]["ModelDataUrl"] == model
        assert platform.request(operation)["EndpointName"] == "my-algorithm-prod"


def test_promote_asks_for_a_stage(deploy: Deploy) -> None:
    assert sentence(deploy("promote")) == "Missing option '--to'."
