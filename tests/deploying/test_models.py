"""Which model is deployed: of a training job, on S3, on this machine, or in the registry."""

import io
import re
import tarfile
from pathlib import Path

import pytest

from deploying import DEPLOY, IMAGE, NAME, ROLE, TRAIN, Deploy, last_line, sentence
from rehearsal.simulator import Simulator

ANY = ("deploy", "--role", ROLE, "--bucket", "s3://bucket/my/models")


def deployed(platform: Simulator) -> tuple[str, str]:
    container = platform.request("CreateModel")["PrimaryContainer"]
    return container["Image"], container["ModelDataUrl"]


def trained(platform: Simulator, deploy: Deploy) -> tuple[str, str]:
    """The name of a job, and its model."""
    model = last_line(deploy(*TRAIN))
    return platform.request("CreateTrainingJob")["TrainingJobName"], model


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))
    return path


@pytest.mark.parametrize("form", ["job:{}", "{}"])
def test_a_training_job_gives_its_model_and_its_image(platform: Simulator, deploy: Deploy, form: str) -> None:
    name, model = trained(platform, deploy)
    last_line(deploy(*ANY, "--model", form.format(name)))
    assert deployed(platform) == (IMAGE, model)


def test_without_a_model_the_newest_completed_job_of_the_project_is_taken(platform: Simulator, deploy: Deploy) -> None:
    trained(platform, deploy)
    _, newest = trained(platform, deploy)
    other = platform.request("CreateTrainingJob") | {"TrainingJobName": "other-my-algorithm-20300101-000000-abcd"}
    platform.sagemaker.create_training_job(**other)
    ended = deploy(*ANY)
    assert last_line(ended)
    assert deployed(platform) == (IMAGE, newest)


def test_without_a_model_and_a_job_the_sentence_says_what_to_do(deploy: Deploy) -> None:
    assert sentence(deploy(*ANY)) == (
        "There is no completed training job of 'my-algorithm': run `python -m deploy train`, or give --model."
    )


def test_a_job_that_has_no_model_is_refused(platform: Simulator, deploy: Deploy) -> None:
    name, _ = trained(platform, deploy)
    platform.script["DescribeTrainingJob"] = iter([{"TrainingJobStatus": "InProgress", "ModelArtifacts": {}}])
    assert sentence(deploy(*ANY, "--model", name)) == f"The training job '{name}' is InProgress, and has no model."


def test_a_job_that_does_not_exist_is_named(deploy: Deploy) -> None:
    assert sentence(deploy(*ANY, "--model", "job:churn-1")) == "There is no training job 'churn-1' in us-west-2."
    assert sentence(deploy(*ANY, "--model", "churn-1")) == (
        "There is no training job 'churn-1' in us-west-2, and no file of that name here."
    )


def test_another_image_than_the_jobs_is_noted(platform: Simulator, deploy: Deploy) -> None:
    """A model may not load with other packages than those that saved it (X-44)."""
    name, _ = trained(platform, deploy)
    ended = deploy(*ANY, "--model", name, "--image", "my-algorithm:new")
    assert last_line(ended)
    assert f"  note: the model was made with {IMAGE}" in ended.stderr.splitlines()


def test_a_folder_is_packed_and_uploaded(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "model.onnx").write_text("onnx")
    (folder / "parts" / "a").write_text("a")
    last_line(deploy(*ANY, "--image", IMAGE, "--model", str(folder)))
    _, address = deployed(platform)
    assert re.fullmatch(rf"s3://bucket/my/models/{NAME.pattern}/model/model\.tar\.gz", address)
    body = platform.s3.get_object(Bucket="bucket", Key=address.removeprefix("s3://bucket/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        assert {"./model.onnx", "./parts/a"} < set(packed.getnames())  # T-40: no folder around it


def test_an_archive_is_uploaded_as_it_is(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    file = archive(tmp_path / "mine.tar.gz", "./model.onnx", "./manifest.json")
    last_line(deploy(*ANY, "--image", IMAGE, "--model", str(file)))
    key = deployed(platform)[1].removeprefix("s3://bucket/")
    assert platform.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == file.read_bytes()


def test_a_dry_run_uploads_nothing(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    file = archive(tmp_path / "mine.tar.gz", "model.onnx", "manifest.json")
    ended = deploy(*ANY, "--image", IMAGE, "--model", str(file), "--dry-run")
    assert '"Upload"' in ended.stdout
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_folder_around_the_model_is_refused(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    file = archive(tmp_path / "mine.tar.gz", "model/model.onnx", "model/manifest.json")
    assert sentence(deploy(*ANY, "--image", IMAGE, "--model", str(file))) == (
        f"{file} holds only the folder 'model': pack only the files, with `tar -czf model.tar.gz -C model .`."
    )
    assert platform.calls == []


def test_an_empty_model_is_refused(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for empty in (tmp_path / "nothing", archive(tmp_path / "empty.tar.gz")):
        assert sentence(deploy(*ANY, "--image", IMAGE, "--model", str(empty))).startswith(f"{empty} is empty: use")


def test_a_file_that_is_no_archive_is_refused(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("onnx")
    assert sentence(deploy(*ANY, "--image", IMAGE, "--model", str(tmp_path / "model.onnx"))) == (
        f"'{tmp_path}/model.onnx' is not a model.tar.gz: give the folder with the model's files."
    )


def test_a_local_model_needs_a_bucket(deploy: Deploy, tmp_path: Path) -> None:
    file = archive(tmp_path / "mine.tar.gz", "model.onnx", "manifest.json")
    ended = deploy("deploy", "--role", ROLE, "--image", IMAGE, "--model", str(file))
    assert sentence(ended).startswith("There is no bucket: give --bucket")


def test_the_model_on_s3_is_taken_as_it_is(platform: Simulator, deploy: Deploy) -> None:
    last_line(deploy(*DEPLOY))
    assert deployed(platform) == (IMAGE, "s3://bucket/job/output/model.tar.gz")
