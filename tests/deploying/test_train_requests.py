"""What `python -m deploy train` checks, uploads and asks for, before a job costs anything."""

from pathlib import Path
from typing import Any

import pytest

from deploying import TRAIN, Deploy, at, last_line, sentence
from projects import Bake
from rehearsal.simulator import Simulator


def job(platform: Simulator) -> Any:
    return platform.request("CreateTrainingJob")


def with_algorithm(project: Path, source: str) -> Path:
    (project / "container/program/algorithm.py").write_text(source, encoding="utf-8")
    return project


# Hyperparameters.


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("n_estimator=5", "There is no hyperparameter 'n_estimator': did you mean 'n_estimators'?"),
        ("n_estimators=banana", "The hyperparameter 'n_estimators' is 'banana': give a whole number from 1 to 2000."),
        ("max_depth=0", "The hyperparameter 'max_depth' is '0': give a whole number from 1 to 100, or none."),
    ],
)
def test_a_hyperparameter_that_would_fail_the_job_is_refused_before_it(
    platform: Simulator, deploy: Deploy, given: str, said: str
) -> None:
    """T-12: in the words that the job would have failed with, and before anything is uploaded."""
    assert sentence(deploy(*TRAIN, "--hyperparameter", given)) == said
    assert platform.calls == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_an_algorithm_whose_packages_are_missing_here_is_trained_unchecked(
    platform: Simulator, bake: Bake, tmp_path: Path
) -> None:
    mine = with_algorithm(bake(), "import no_such_package\n")
    ended = at(platform, mine, tmp_path)(*TRAIN, "--hyperparameter", "anything=1")
    last_line(ended)
    assert ended.stderr.splitlines()[0] == (
        "Hyperparameters are not checked here, since algorithm.py cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_package')."
    )
    assert job(platform)["HyperParameters"] == {"anything": "1"}


@pytest.mark.parametrize(
    "source", ["syntax of another Python", "raise SystemExit(3)", "1 / 0", "print('x', undefined)"]
)
def test_an_algorithm_that_cannot_be_imported_here_is_one_line(
    platform: Simulator, bake: Bake, tmp_path: Path, source: str
) -> None:
    ended = at(platform, with_algorithm(bake(), source), tmp_path)(*TRAIN)
    assert ended.stdout.count("\n") == 1
    assert last_line(ended).startswith("s3://")
    assert ended.stderr.count("Hyperparameters are not checked here") == 1
    assert "Traceback" not in ended.stderr


def test_what_the_algorithm_prints_when_imported_is_not_the_result(
    platform: Simulator, bake: Bake, tmp_path: Path
) -> None:
    mine = bake()
    program = mine / "container/program/algorithm.py"
    program.write_text(program.read_text(encoding="utf-8") + "\nprint('loading weights')\n", encoding="utf-8")
    ended = at(platform, mine, tmp_path)(*TRAIN)
    assert ended.stdout == f"{last_line(ended)}\n"
    assert "loading weights" in ended.stderr


def test_an_algorithm_that_only_serves_is_not_trained(platform: Simulator, bake: Bake, tmp_path: Path) -> None:
    mine = with_algorithm(bake(), "def load(directory): ...\ndef predict(model, rows): ...\n")
    assert sentence(at(platform, mine, tmp_path)(*TRAIN)).startswith("algorithm.py has no function train(job)")
    assert platform.calls == []


# Uploads.


def test_linked_files_and_folders_are_uploaded_and_hidden_ones_are_not(
    platform: Simulator, deploy: Deploy, tmp_path: Path
) -> None:
    (tmp_path / "far/inner").mkdir(parents=True)
    (tmp_path / "far/inner/cat.png").write_bytes(b"cat")
    (tmp_path / "far/inner/back").symlink_to(tmp_path / "far")
    training = tmp_path / "mine/training"
    training.mkdir(parents=True)
    (training / "images").symlink_to(tmp_path / "far")
    (training / "dog.png").symlink_to(tmp_path / "far/inner/cat.png")
    (training / ".cache").mkdir()
    (training / ".cache/x").write_bytes(b"x")
    ended = deploy(*TRAIN, "--data", str(tmp_path / "mine"))
    last_line(ended)
    start = f"my/models/{job(platform)['TrainingJobName']}/input/training"
    stored = {found["Key"] for found in platform.s3.list_objects_v2(Bucket="bucket")["Contents"]}
    assert stored == {f"{start}/dog.png", f"{start}/images/inner/cat.png"}
    assert f"uploading {training} to s3://bucket/{start}/: 0.0 MB in files: 2\n" in ended.stderr


def test_a_link_that_leads_nowhere_is_named(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "mine/training").mkdir(parents=True)
    (tmp_path / "mine/training/a.csv").symlink_to("gone.csv")
    assert sentence(deploy(*TRAIN, "--data", str(tmp_path / "mine"))) == (
        f"'{tmp_path}/mine/training/a.csv' is a link to 'gone.csv', which does not exist: fix or remove it."
    )
    assert platform.calls == []


def test_a_folder_that_two_channels_share_is_uploaded_once(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "mine/training").mkdir(parents=True)
    (tmp_path / "mine/training/a.csv").write_text("1\n")
    (tmp_path / "mine/validation").symlink_to("training")
    last_line(deploy(*TRAIN, "--data", str(tmp_path / "mine")))
    name = job(platform)["TrainingJobName"]
    addresses = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job(platform)["InputDataConfig"]]
    assert addresses == [f"s3://bucket/my/models/{name}/input/training/"] * 2
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 1


def test_with_a_key_what_is_uploaded_is_encrypted_with_it(platform: Simulator, deploy: Deploy) -> None:
    key = "arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    last_line(deploy(*TRAIN, "--kms-key", key))
    for found in platform.s3.list_objects_v2(Bucket="bucket")["Contents"]:
        head = platform.s3.head_object(Bucket="bucket", Key=found["Key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    assert job(platform)["OutputDataConfig"]["KmsKeyId"] == key
    assert job(platform)["ResourceConfig"]["VolumeKmsKeyId"] == key


def test_a_network_that_is_cut_during_an_upload_is_one_sentence(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*TRAIN, AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    assert (ended.returncode != 0, ended.stdout, "Traceback" in ended.stderr) == (True, "", False)
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("Nothing was started: 'data/training/breast_cancer.csv' cannot be uploaded to s3://bucket/")
    assert "Could not connect to the endpoint URL" in last
    assert platform.operations() == []


# The request.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max-hours", "0"), "max_hours is 0: give 1 to 672."),
        (("--max-hours", "673"), "max_hours is 673: give 1 to 672."),
        (("--keep-alive-minutes", "361"), "keep_alive_minutes is 361: give 0 to 360."),
        (("--instance-count", "0"), "instance_count is 0: give 1 to 1000."),
        (("--volume-gb", "0"), "volume_gb is 0: give 1 to 16384."),
        (("--spot", "--keep-alive-minutes", "5"), "keep_alive_minutes cannot be combined with spot, which keeps"),
        (("--input-mode", "Fast"), "AlgorithmSpecification.TrainingInputMode is 'Fast', which this version of boto3"),
        (("--subnets", "subnet-1"), "subnets and security_groups go together: give both, or none."),
        (("--checkpoints", "checkpoints"), "CheckpointConfig.S3Uri is 'checkpoints': give s3://BUCKET/PATH."),
        (("--image", f"{'x' * 256}"), "AlgorithmSpecification.TrainingImage has a size of 256: at most 255"),
        (("--environment", "a-b=1"), "a name in Environment is 'a-b': give"),
        (("--environment", f"A={'x' * 513}"), "Environment.A has a size of 513: at most 512 is allowed."),
        (tuple(f"--metric=m{number}" for number in range(41)), "AlgorithmSpecification.MetricDefinitions has a size"),
        (tuple(f"--channel=c{number}=s3://b/c" for number in range(21)), "InputDataConfig has a size of 21"),
        ((*(f"--subnets=s{n}" for n in range(17)), "--security-groups=g"), "VpcConfig.Subnets has a size of 17"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_aws_would_refuse_is_one_sentence_before_anything_is_sent(
    platform: Simulator, deploy: Deploy, arguments: tuple[str, ...], said: str
) -> None:
    """C-11, T-54: each limit of CreateTrainingJob that a flag can break."""
    assert sentence(deploy(*TRAIN, *arguments)).startswith(said)
    assert platform.calls == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_spot_job_may_wait_longer_than_it_runs_and_has_checkpoints_of_its_own(
    platform: Simulator, deploy: Deploy
) -> None:
    """T-52, T-53."""
    last_line(deploy(*TRAIN, "--spot", "--max-hours", "2"))
    request = job(platform)
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400}
    own = f"s3://bucket/my/models/{request['TrainingJobName']}/checkpoints/"
    assert request["CheckpointConfig"] == {"S3Uri": own}


def test_a_job_goes_on_from_the_checkpoints_of_an_earlier_one(platform: Simulator, deploy: Deploy) -> None:
    """T-50."""
    last_line(deploy(*TRAIN, "--checkpoints", "s3://bucket/old/checkpoints"))
    assert job(platform)["CheckpointConfig"] == {"S3Uri": "s3://bucket/old/checkpoints"}
    assert job(platform)["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    last_line(deploy(*TRAIN))
    assert "CheckpointConfig" not in job(platform)


@pytest.mark.parametrize(
    ("instance", "own"),
    [("ml.c5n.18xlarge", False), ("ml.p3.2xlarge", False), ("ml.g5.xlarge", True), ("ml.m6id.large", True)],
)
def test_an_instance_with_disks_of_its_own_is_given_neither_size_nor_key(
    platform: Simulator, deploy: Deploy, instance: str, own: bool
) -> None:
    ended = deploy(*TRAIN, "--instance-type", instance, "--volume-gb", "50", "--kms-key", "key-1", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert ('"VolumeSizeInGB": 50' in ended.stdout, '"VolumeKmsKeyId": "key-1"' in ended.stdout) == (not own, not own)
    assert (f"disk: {instance} has its own, so volume_gb is not used" in ended.stderr) == own


def test_network_pool_and_mode_reach_the_request(platform: Simulator, deploy: Deploy) -> None:
    """C-08, T-54."""
    network = ("--subnets", "subnet-1", "--subnets", "subnet-2", "--security-groups", "sg-1", "--network-isolation")
    more = ("--instance-count", "2", "--keep-alive-minutes", "60", "--input-mode", "FastFile")
    last_line(deploy(*TRAIN, *network, *more))
    request = job(platform)
    assert request["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert request["EnableNetworkIsolation"] is True
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 3600
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "FastFile"


def test_a_dry_run_uploads_and_starts_nothing(platform: Simulator, deploy: Deploy) -> None:
    ended = deploy(*TRAIN, "--dry-run")
    assert '"CreateTrainingJob"' in ended.stdout
    assert platform.operations() == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
