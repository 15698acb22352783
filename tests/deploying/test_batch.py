"""`python -m deploy batch`: every row of a file is predicted once, and the results are in the order of the rows."""

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploying import IMAGE, MODEL, NAME, ROLE, TRAIN, Deploy, last_line, predictions_of, sentence
from policies import filled
from rehearsal import permissions
from rehearsal.containers import pack
from rehearsal.simulator import Simulator
from stand_in import StandIn, stand_in

BATCH = ("batch", "--image", IMAGE, "--role", ROLE, "--bucket", "s3://bucket/my", "--model", MODEL)


@pytest.fixture
def container(platform: Simulator, tmp_path: Path) -> Iterator[StandIn]:
    """A server that is asked in place of a container of the image."""
    (tmp_path / "model").mkdir()
    bucket, key = MODEL.removeprefix("s3://").split("/", 1)
    platform.s3.put_object(Bucket=bucket, Key=key, Body=pack(tmp_path / "model"))
    with stand_in() as container:
        platform.image = container.url
        yield container


def ending(ended: "subprocess.CompletedProcess[str]") -> str:
    """The sentence at the end of a command that failed."""
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


def of(container: StandIn) -> list[bytes]:
    return [body for _, body in container.calls]


# The real image.


def test_the_results_of_a_job_are_those_of_the_model(
    cloud: Simulator, deploy_really: Deploy, project: Path, tmp_path: Path
) -> None:
    """B-01, B-04 and B-08, with 2 MB of rows in several requests, and their columns in another order."""
    model = last_line(deploy_really(*TRAIN, "--hyperparameter", "n_estimators=20"))
    batch = (*BATCH, "--model", model)
    example = project / "data" / "predict.csv"
    result = tmp_path / "predict.csv.out"
    assert last_line(deploy_really(*batch, "--input", str(example), "--output", str(result))) == str(result)
    expected = predictions_of(cloud, example)
    assert result.read_text().splitlines() == expected

    rows = [row[::-1] for row in csv.reader(example.read_text().splitlines())]
    many = [rows[0], *(rows[1:] * (2_000_000 // example.stat().st_size + 1))]
    large = tmp_path / "large.csv"
    large.write_text("".join(",".join(row) + "\n\n" for row in many))
    ended = deploy_really(*batch, "--input", str(large), "--max-payload-mb", "1", "--max-concurrent", "2")
    assert last_line(ended) == f"{large}.out"
    assert (tmp_path / "large.csv.out").read_text().splitlines() == expected * ((len(many) - 1) // len(expected))
    assert cloud.s3.list_objects_v2(Bucket="bucket", Prefix=f"my/{transform_of(cloud)}/input/")["KeyCount"] > 1
    variables = subprocess.run(
        ["docker", "exec", cloud.containers[-1], "env"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {"SAGEMAKER_BATCH=true", "SAGEMAKER_MAX_PAYLOAD_IN_MB=1", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS=2"} <= {
        *variables
    }

    joined = tmp_path / "joined.csv"
    assert last_line(deploy_really(*batch, "--input", str(example), "--output", str(joined), "--join"))
    rows = list(csv.reader(example.read_text().splitlines()))[1:]
    assert joined.read_text().splitlines() == [",".join([*row, said]) for row, said in zip(rows, expected, strict=True)]

    large.write_text(large.read_text() + "no number" + "," * 29 + "\n")
    ended = deploy_really(*batch, "--input", str(large), "--max-payload-mb", "1")
    assert ended.returncode != 0
    place = re.search(r"begins with row (\d+): row (\d+), column", ended.stderr.splitlines()[-1])
    assert place, ended.stderr
    assert int(place[1]) + int(place[2]) - 1 == len(many)  # B-10


def transform_of(platform: Simulator) -> str:
    return str(platform.request("CreateTransformJob")["TransformJobName"])


# Rows.


def test_each_part_of_a_file_has_its_header_and_the_results_are_in_order(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-08 and X-36: neither a blank line nor a line break in quotes shifts a row."""
    rows = [f'{number},"{"x" * 90}"\n' for number in range(30_000)]
    (tmp_path / "rows.csv").write_text("number,text\n" + "\n".join(rows))
    assert last_line(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), "--max-payload-mb", "1"))
    assert (tmp_path / "rows.csv.out").read_text() == "".join(f"{number}!\n" for number in range(30_000))
    assert len(container.calls) == 3
    assert all(body.startswith(b"number,text\n") and len(body) <= 2**20 for body in of(container))
    request = platform.request("CreateTransformJob")
    assert (request["TransformInput"]["ContentType"], request["TransformInput"]["SplitType"]) == (
        "text/csv; header=present",
        "None",
    )
    assert request["TransformOutput"]["AssembleWith"] == "Line"  # B-09
    assert NAME.fullmatch(request["TransformJobName"])


def test_rows_without_a_header_are_taken_apart_by_sagemaker(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n\n3,4\n")
    plain = (*BATCH, "--input", str(tmp_path / "rows.csv"), "--content-type", "text/csv")
    assert last_line(deploy(*plain))
    assert of(container) == [b"1,2\n3,4\n"]
    assert (tmp_path / "rows.csv.out").read_text() == "1!\n3!\n"
    assert platform.request("CreateTransformJob")["BatchStrategy"] == "MultiRecord"
    assert last_line(deploy(*plain, "--single-record"))
    assert of(container)[1:] == [b"1,2\n", b"3,4\n"]
    assert (tmp_path / "rows.csv.out").read_text() == "1!\n3!\n"


def test_the_model_is_the_newest_jobs_or_any_that_deploy_takes(
    platform: Simulator, deploy: Deploy, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("h\n1\n")
    batch = (*BATCH[:-2], "--input", str(tmp_path / "rows.csv"), "--detach")
    trained = last_line(deploy(*TRAIN))
    name = platform.request("CreateTrainingJob")["TrainingJobName"]
    for model in ((), ("--model", f"job:{name}"), ("--model", trained)):
        assert last_line(deploy(*batch, *model))
        assert platform.request("CreateModel")["PrimaryContainer"]["ModelDataUrl"] == trained
    for verb in ("batch", "update"):
        described = " ".join(deploy(verb, "--help").stdout.split())
        assert "job:NAME, registry:NAME[/VERSION], s3://.../model.tar.gz, a folder or a file; by default" in described


def test_a_folder_gives_a_folder(platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path) -> None:
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "z.csv").write_text("h\n1\n2\n")
    (tmp_path / "in" / "b" / "a.csv").write_text("h\n3\n")
    (tmp_path / "in" / ".DS_Store").touch()
    assert last_line(deploy(*BATCH, "--input", str(tmp_path / "in"))) == f"{tmp_path}/in.out"
    found = {path.relative_to(tmp_path / "in.out"): path.read_text() for path in (tmp_path / "in.out").rglob("*.out")}
    assert found == {Path("z.csv.out"): "1!\n2!\n", Path("b/a.csv.out"): "3!\n"}


def test_input_on_s3_stays_there(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    platform.s3.put_object(Bucket="bucket", Key="in/rows.csv", Body=b"h\n1\n2\n")
    address = last_line(deploy(*BATCH, "--input", "s3://bucket/in/rows.csv"))
    assert address == f"s3://bucket/my/{transform_of(platform)}/output/"
    key = f"my/{transform_of(platform)}/output/rows.csv.out"
    assert platform.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"1!\n2!\n\n"


def test_results_that_are_not_one_for_each_row_are_a_failure(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-08."""
    container.answer = lambda kind, body: (200, "text/csv", [b"1\n"])
    (tmp_path / "rows.csv").write_text("h\n1\n2\n")
    assert ending(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"))) == (
        "In the part of rows.csv that begins with row 1, there are 1 results for 2 rows: the model must give one each."
    )


# Joins and filters.


def test_a_join_puts_the_input_before_its_result(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-12."""
    (tmp_path / "rows.csv").write_text("id,x\na,1\nb,2\n")
    filters = ("--join", "--input-filter", "$[1:]", "--output-filter", "$[0,-1]")
    ended = deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), *filters)
    assert last_line(ended)
    assert "The header is left out: the columns must be in the model's order." in ended.stderr
    assert of(container) == [b"1\n2\n"]
    assert (tmp_path / "rows.csv.out").read_text() == "a,1!\nb,2!\n"
    processing = platform.request("CreateTransformJob")["DataProcessing"]
    assert processing == {"InputFilter": "$[1:]", "OutputFilter": "$[0,-1]", "JoinSource": "Input"}


def test_json_lines_are_joined_below_a_key(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-12."""
    container.answer = lambda kind, body: (200, kind, [b'{"score": 1}\n' * body.count(b"\n")])
    (tmp_path / "rows.jsonl").write_text('{"id": 7, "x": {"a": 1}}\n\n{"id": 8, "x": {"a": 2}}\n')
    filters = ("--join", "--input-filter", "$.x", "--output-filter", "$['id','SageMakerOutput']")
    assert last_line(deploy(*BATCH, "--input", str(tmp_path / "rows.jsonl"), *filters))
    assert of(container) == [b'{"a": 1}\n{"a": 2}\n']
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl.out").read_text().splitlines()]
    assert rows == [{"id": 7, "SageMakerOutput": {"score": 1}}, {"id": 8, "SageMakerOutput": {"score": 1}}]


# Failures.


def test_a_failed_job_names_the_object_and_the_row(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-10: the other objects are done all the same."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("h\n1\nbad\n")
    (tmp_path / "in" / "b.csv").write_text("h\n2\n")
    said = ending(deploy(*BATCH, "--input", str(tmp_path / "in")))
    name = transform_of(platform)
    assert said == (
        f"The transform job {name} ended as Failed. ClientError: See job logs for more information "
        "In the part of a.csv that begins with row 1: row 2 is bad."
    )
    found = platform.s3.list_objects_v2(Bucket="bucket", Prefix=f"my/{name}/output/")["Contents"]
    assert [each["Key"].rpartition("/")[2] for each in found] == ["00001-000000000001.csv.out"]
    assert platform.operations() == ["CreateModel", "CreateTransformJob", "DeleteModel"]


def test_a_job_that_is_stopped_is_a_failure(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("h\n1\n")
    platform.script["DescribeTransformJob"] = iter(
        [{"TransformJobStatus": status} for status in ("InProgress", "Stopping", "Stopped")]
    )
    assert ending(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"))).endswith("ended as Stopped.")
    assert platform.operations()[-1] == "DeleteModel"


def test_a_job_reads_and_writes_with_its_role(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """A permission that the role lacks fails the job, and the sentence names it."""
    (tmp_path / "rows.csv").write_text("h\n1\n")
    platform.policies[permissions.ROLE] = filled(permissions.ROLE)
    assert last_line(deploy(*BATCH, "--input", str(tmp_path / "rows.csv")))
    elsewhere = json.dumps(filled(permissions.ROLE)).replace("s3:::bucket", "s3:::another")
    platform.policies[permissions.ROLE] = json.loads(elsewhere)
    said = ending(deploy(*BATCH, "--input", str(tmp_path / "rows.csv")))
    assert "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/job/output/model.tar.gz" in said
    assert "needs the action s3:GetObject: `python -m deploy policies execution-role` prints a policy" in said


def test_a_detached_job_keeps_its_model(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("h\n1\n")
    ended = deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), "--detach")
    assert last_line(ended) == f"s3://bucket/my/{transform_of(platform)}/output/"
    assert platform.operations() == ["CreateModel", "CreateTransformJob"]


@pytest.mark.parametrize(
    ("instance", "driver"), [("ml.g5.xlarge", "al2-ami-sagemaker-batch-gpu-535"), ("ml.m5.large", None)]
)
def test_a_job_on_a_gpu_has_the_newest_driver_that_there_is(
    platform: Simulator, deploy: Deploy, tmp_path: Path, instance: str, driver: str | None
) -> None:
    (tmp_path / "rows.csv").write_text("h\n1\n")
    last_line(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), "--instance-type", instance, "--detach"))
    resources = platform.request("CreateTransformJob")["TransformResources"]
    assert resources.get("TransformAmiVersion") == driver


def test_the_key_and_the_tags_are_on_all_that_is_made(platform: Simulator, deploy: Deploy, tmp_path: Path) -> None:
    """C-07."""
    (tmp_path / "rows.csv").write_text("h\n1\n")
    more = ("--kms-key", "alias/mine", "--tags", "team=risk", "--environment", "A=1", "--detach")
    assert last_line(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), *more))
    request = platform.request("CreateTransformJob")
    assert request["TransformOutput"]["KmsKeyId"] == request["TransformResources"]["VolumeKmsKeyId"] == "alias/mine"
    assert {"Key": "team", "Value": "risk"} in request["Tags"]
    assert platform.request("CreateModel")["PrimaryContainer"]["Environment"] == {"A": "1"}


MISTAKES = {
    "no file": (("--input", "nothing.csv"), "'nothing.csv' is neither a file nor a folder with files."),
    "an unknown suffix": (("--input", "Makefile"), "'Makefile' does not end in one of .csv"),
    "two types": (
        ("--input", "{folder}"),
        "The files are of several types, such as a.csv and b.json: send one at a time.",
    ),
    "too much at a time": (
        ("--input", "data/predict.csv", "--max-payload-mb", "20", "--max-concurrent", "6"),
        "--max-payload-mb times --max-concurrent is more than 100: lower one of them.",  # B-05
    ),
    "results of many parts as one document": (
        ("--input", "data/predict.csv", "--accept", "application/json"),
        "Results as application/json cannot be joined: give --accept text/csv.",
    ),
    "a header on S3": (
        ("--input", "s3://bucket/rows.csv", "--join"),
        "The header of an object on S3 would be read as a row: give local files instead.",
    ),
    "a filter that is too long": (
        ("--input", "data/predict.csv", "--input-filter", "$" * 64),
        "DataProcessing.InputFilter has a size of 64: at most 63 is allowed.",  # B-12
    ),
}


@pytest.mark.parametrize(("arguments", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence_before_anything_is_sent(
    platform: Simulator, deploy: Deploy, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").touch()
    (tmp_path / "mixed" / "b.json").touch()
    given = [argument.replace("{folder}", str(tmp_path / "mixed")) for argument in arguments]
    assert sentence(deploy(*BATCH, *given)).startswith(said)
    assert platform.calls == []


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("h,i\n\n", (), "rows.csv holds no rows."),
        (
            'h\n"a\nb"\n',
            ("--join",),
            "begins with row 1, a cell has a line break, where SageMaker would split it.",
        ),
    ],
)
def test_a_file_that_cannot_be_sent_starts_nothing(
    platform: Simulator, deploy: Deploy, tmp_path: Path, content: str, more: tuple[str, ...], said: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    assert ending(deploy(*BATCH, "--input", str(tmp_path / "rows.csv"), *more)).endswith(said)
    assert platform.operations() == []


# The judge that these tests rely on.


@pytest.mark.parametrize(
    ("path", "record", "found"),
    [
        ("$", [1, 2], [1, 2]),
        ("$[1:]", [1, 2, 3], [2, 3]),
        ("$[0,-1]", [1, 2, 3], [1, 3]),
        ("$[0,2:]", [1, 2, 3, 4], [1, 3, 4]),
        ("$.a.b", {"a": {"b": 1}}, 1),
        ("$['a','b']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
    ],
)
def test_the_simulator_reads_the_platforms_jsonpaths(path: str, record: object, found: object) -> None:
    from rehearsal import jsonpath

    assert jsonpath.find(path, record) == found


def test_execution_parameters_come_from_the_request_then_from_the_container(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """B-02 and B-04."""
    (tmp_path / "rows.csv").write_text("1\n")
    plain = (*BATCH, "--input", str(tmp_path / "rows.csv"), "--content-type", "text/csv")
    logs = platform.client("logs")
    for parameters, more, said in [
        ({}, (), "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MultiRecord"),
        ({"MaxConcurrentTransforms": 3}, (), "MaxConcurrentTransforms=3, MaxPayloadInMB=6, BatchStrategy=MultiRecord"),
        ({"MaxConcurrentTransforms": 3}, ("--max-concurrent", "2"), "MaxConcurrentTransforms=2, MaxPayloadInMB=6, "),
    ]:
        container.parameters = parameters
        assert last_line(deploy(*plain, *more))
        events = logs.filter_log_events(
            logGroupName="/aws/sagemaker/TransformJobs", logStreamNames=[f"{transform_of(platform)}/i-0-1/data-log"]
        )["events"]
        assert said in events[0]["message"]
