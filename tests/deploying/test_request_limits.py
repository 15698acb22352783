"""Limits of AWS's requests that a flag or ``--with`` can break: one sentence, before anything is sent."""

import json
from pathlib import Path

import pytest

from deploying import DEPLOY, IMAGE, MODEL, ROLE, TRAIN, Deploy, last_line, sentence
from rehearsal.simulator import Simulator

BUCKET = "s3://bucket/my"
BATCH = ("batch", *DEPLOY[1:], "--bucket", BUCKET, "--input", "data/predict.csv")
LONG = f"s3://bucket/{'x' * 1024}"
NAMES = "letters, digits, and hyphens between them"
# A row of the contract, a command, what --with adds, and the start of the sentence.
LIMITS = [
    ("C-01", (*DEPLOY, "--endpoint", "my_churn"), {}, f"EndpointName is 'my_churn': give {NAMES}."),
    ("C-01", (*DEPLOY, "--endpoint", "-churn"), {}, f"EndpointName is '-churn': give {NAMES}."),
    ("C-01", (*DEPLOY, "--endpoint", "x" * 64), {}, "EndpointName has a size of 64: at most 63 is allowed."),
    ("C-02", DEPLOY, {"CreateModel": {"ModelName": "a_b"}}, f"ModelName is 'a_b': give {NAMES}."),
    ("P-32", (*DEPLOY, "--environment", f"NAME={'x' * 1025}"), {}, "PrimaryContainer.Environment.NAME has a size"),
    (
        "P-32",
        (*DEPLOY, *(f"--environment=NAME_{number}=1" for number in range(101))),
        {},
        "PrimaryContainer.Environment has a size of 101: at most 100 is allowed.",
    ),
    ("C-06", (*TRAIN, "--bucket", LONG), {}, "InputDataConfig[0].DataSource.S3DataSource.S3Uri has a size of"),
    (
        "C-06",
        (*DEPLOY, "--capture-percent", "1", "--bucket", LONG[:512]),
        {},
        "DataCaptureConfig.DestinationS3Uri has a size of 520: at most 512 is allowed.",
    ),
    ("C-06", (*DEPLOY, "--async", "--bucket", LONG[:512]), {}, "AsyncInferenceConfig.OutputConfig.S3OutputPath has a"),
    (
        "A-05",
        (*DEPLOY, "--async", "--bucket", BUCKET, "--concurrency", "1001"),
        {},
        "AsyncInferenceConfig.ClientConfig.MaxConcurrentInvocationsPerInstance has a size of 1001: at most 1000",
    ),
    (
        "B-11",
        BATCH,
        {"CreateTransformJob": {"ModelClientConfig": {"InvocationsTimeoutInSeconds": 3601}}},
        "ModelClientConfig.InvocationsTimeoutInSeconds has a size of 3601: at most 3600 is allowed.",
    ),
    (
        "B-11",
        BATCH,
        {"CreateTransformJob": {"ModelClientConfig": {"InvocationsMaxRetries": 4}}},
        "ModelClientConfig.InvocationsMaxRetries has a size of 4: at most 3 is allowed.",
    ),
    ("B-14", (*BATCH, "--content-type", "x" * 257), {}, "TransformInput.ContentType has a size of 257: at most 256"),
    ("B-14", (*BATCH, "--accept", "text/csv; x=" + "x" * 245), {}, "TransformOutput.Accept has a size of 257: at most"),
    (
        "B-15",
        BATCH,
        {"CreateTransformJob": {"Environment": {f"NAME_{number}": "1" for number in range(17)}}},
        "Environment has a size of 17: at most 16 is allowed.",
    ),
]


@pytest.mark.parametrize(("row", "command", "more", "said"), LIMITS, ids=lambda value: str(value)[:40])
def test_what_is_beyond_a_limit_is_refused_before_anything_is_sent(
    platform: Simulator, deploy: Deploy, tmp_path: Path, row: str, command: tuple[str, ...], more: object, said: str
) -> None:
    """P-32, C-01, C-02, C-06, A-05, B-11, B-14 and B-15, each as ``LIMITS`` has it."""
    (tmp_path / "more.json").write_text(json.dumps(more))
    assert sentence(deploy(*command, "--with", str(tmp_path / "more.json"))).startswith(said)
    assert platform.calls == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_batch_job_may_have_more_variables_than_its_request(platform: Simulator, deploy: Deploy) -> None:
    """B-15: they go with the model, which takes a hundred. And B-14: the type of the content is always sent."""
    variables = [f"--environment=NAME_{number}=1" for number in range(17)]
    last_line(deploy("batch", "--image", IMAGE, "--role", ROLE, "--model", MODEL, *BATCH[-4:], "--detach", *variables))
    assert len(platform.request("CreateModel")["PrimaryContainer"]["Environment"]) == 17
    request = platform.request("CreateTransformJob")
    assert "Environment" not in request
    assert request["TransformInput"]["ContentType"] == "text/csv; header=present"
