"""`python -m deploy invoke` on each kind of endpoint, with inputs of each size."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import splitting
from deploying import DEPLOY, INVOKE, TRAIN, Deploy, environment, last_line, predictions_of, sentence
from rehearsal.calls import Refusal
from rehearsal.simulator import Simulator
from stand_in import StandIn, in_service, stand_in

ASYNC = {"OutputConfig": {"S3OutputPath": "s3://bucket/async/output", "S3FailurePath": "s3://bucket/async/failure"}}
CALL = ("invoke", "--endpoint", "churn", "--input")


@pytest.fixture
def container() -> Iterator[StandIn]:
    with stand_in() as container:
        yield container


def bodies(platform: Simulator, operation: str = "InvokeEndpoint") -> list[bytes]:
    return [call.request["Body"] for call in platform.calls if call.operation == operation]


# The real image.


def test_the_result_of_an_async_endpoint_is_the_models(
    cloud: Simulator, deploy_really: Deploy, project: Path, tmp_path: Path
) -> None:
    """A-01 and A-06, for an input in the request and for one on S3; and the failure is the container's sentence."""
    model = last_line(deploy_really(*TRAIN, "--hyperparameter", "n_estimators=20"))
    bucket = ("--bucket", "s3://bucket/my")
    last_line(deploy_really(*DEPLOY, "--model", model, "--async", *bucket))
    example = project / "data" / "predict.csv"
    ended = deploy_really("invoke", "--input", str(example))
    expected = predictions_of(cloud, example)
    assert ended.stdout.splitlines() == expected, ended.stderr

    header, *rows = example.read_text().splitlines()
    large = tmp_path / "large.csv"
    large.write_text("\n".join([header, *rows * 12]))
    ended = deploy_really("invoke", "--input", str(large), *bucket)
    assert ended.stdout.splitlines() == expected * 12, ended.stderr
    assert "InputLocation" in cloud.request("InvokeEndpointAsync")

    large.write_text(f"{header}\n1,2\n")
    ended = deploy_really("invoke", "--input", str(large))
    assert (ended.returncode, ended.stdout) == (1, "")
    said = "The container answered 400: row 1 has 2 columns, the header has 30"
    assert ended.stderr.splitlines()[-1] == said


# Sizes.


@given(
    rows=st.lists(st.tuples(st.integers(0, 99), st.text(st.sampled_from('a,"\n\r é '), max_size=9)), min_size=1),
    limit=st.integers(1, 60),
    blank=st.booleans(),
)
def test_parts_are_cut_between_rows_alone(rows: list[tuple[int, str]], limit: int, blank: bool) -> None:
    """B-08 and X-36: put together again, the parts are the file, whatever is in its cells."""
    text = io.StringIO()
    for row in [("number", "text"), *rows]:
        ending = "\n\n" if blank else "\n"
        csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_NONNUMERIC).writerow(row)
    parts = list(splitting.parts("rows.csv", text.getvalue().encode(), "text/csv; header=present", limit))
    found: list[list[str]] = []
    for part in parts:
        header, *more = [row for row in csv.reader(io.StringIO(part.body.decode(), newline="")) if row]
        assert header == ["number", "text"]
        assert (part.first, part.rows) == (len(found) + 1, len(more))
        assert len(more) == 1 or len(part.body) <= limit
        found += more
    assert found == [[str(number), text] for number, text in rows]


def test_csv_that_is_larger_than_a_request_goes_in_parts_with_the_header_and_comes_back_in_order(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """H-13 and H-58: no body is beyond 6 MB, and there is one line for each row."""
    in_service(platform, container)
    rows = [f'{number},"a ""quoted"", cell{"x" * 90}\nof two lines"' for number in range(60_000)]
    (tmp_path / "large.csv").write_text("number,text\n" + "\n".join(rows))
    ended = deploy(*CALL, str(tmp_path / "large.csv"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{number}!" for number in range(60_000)]
    sent = bodies(platform)
    assert len(sent) == 2
    assert all(len(body) <= 6_291_456 and body.startswith(b"number,text\n") for body in sent)
    assert {kind for kind, _ in container.calls} == {"text/csv; header=present"}


@pytest.mark.parametrize("accepts", ["text/csv; header=present", "text/csv"])
def test_a_header_in_the_answers_of_a_container_is_printed_once(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path, accepts: str
) -> None:
    in_service(platform, container)
    (tmp_path / "large.csv").write_bytes(b"name\n" + b"1\n" * 3_145_729)
    container.answer = lambda kind, body: (200, accepts, [b"score\n1\n"])
    lines = deploy(*CALL, str(tmp_path / "large.csv")).stdout.splitlines()
    assert lines == ["score", "1", "1"] if "header" in accepts else ["score", "1", "score", "1"]


def test_json_lines_go_in_parts_too(platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path) -> None:
    """S-02: a serverless endpoint takes 4 MB."""
    in_service(platform, container, serverless={"MemorySizeInMB": 1024, "MaxConcurrency": 5})
    (tmp_path / "large.jsonl").write_bytes(b'"%s"\n\n' % (b"x" * 96) * 50_000)
    container.answer = lambda kind, body: (200, "application/jsonlines", [b"7\n" * body.count(b"\n")])
    assert deploy(*CALL, str(tmp_path / "large.jsonl")).stdout == "7\n" * 50_000
    assert [len(body) <= 4 * 2**20 for body in bodies(platform)] == [True, True]


def test_what_has_no_rows_is_not_split(platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path) -> None:
    """H-13."""
    in_service(platform, container)
    (tmp_path / "large.json").write_bytes(b"1" * 6_291_457)
    assert sentence(deploy(*CALL, str(tmp_path / "large.json"))) == (
        "The input has 6291457 bytes, and a request of other types than CSV and JSON Lines at most 6291456: "
        "use an async endpoint, or batch."
    )
    assert platform.operations() == []


@pytest.mark.parametrize(
    ("kind", "arguments", "size", "said"),
    [
        ({}, ("--stream",), 6_291_457, "a streamed request at most 6291456: leave out --stream, or use an async end"),
        (
            {"serverless": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}},
            ("--content-type", "application/x-npy"),
            4_194_305,
            "a request of other types than CSV and JSON Lines at most 4194304: use an async endpoint, or batch.",
        ),
        (
            {"AsyncInferenceConfig": ASYNC},
            ("--bucket", "s3://bucket/my"),
            2**30 + 1,
            "a request to an async endpoint at most 1073741824: cut it, or use batch.",
        ),
    ],
    ids=["stream", "serverless", "async"],
)
def test_an_input_beyond_the_limit_of_its_endpoint_is_neither_read_nor_sent(
    platform: Simulator,
    deploy: Deploy,
    container: StandIn,
    tmp_path: Path,
    kind: Any,
    arguments: Any,
    size: int,
    said: str,
) -> None:
    """H-13, S-02 and A-02."""
    in_service(platform, container, **kind)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(size)  # it takes no place on the disk
    assert sentence(deploy(*CALL, str(tmp_path / "large.csv"), *arguments)).startswith(
        f"The input has {size} bytes, and {said}"
    )
    assert platform.operations() == []
    assert platform.s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_a_row_that_fails_in_one_of_many_parts_is_found(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    in_service(platform, container)
    (tmp_path / "large.csv").write_bytes(b"name\n" + b"1\n" * 3_145_800 + b"bad\n")
    assert sentence(deploy(*CALL, str(tmp_path / "large.csv"))) == (
        "In the part of large.csv that begins with row 3145726: The container answered 400: row 76 is bad"
    )


def test_answers_that_cannot_be_joined_are_refused(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    in_service(platform, container)
    (tmp_path / "large.csv").write_bytes(b"name\n" + b"1\n" * 3_145_729)
    container.answer = lambda kind, body: (200, "application/json", [b"{}"])
    assert sentence(deploy(*CALL, str(tmp_path / "large.csv"))) == (
        "The response is application/json, whose parts cannot be joined: give --accept text/csv."
    )


# Where the input comes from.


def test_stdin_is_sent(platform: Simulator, container: StandIn, project: Path, tmp_path: Path) -> None:
    in_service(platform, container)

    def invoke(*more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-B", "-m", "deploy", *CALL, "-", *more]
        variables = environment(tmp_path, AWS_ENDPOINT_URL=platform.url)
        return subprocess.run(
            command, cwd=project, env=variables, input="7,8\n", capture_output=True, text=True, check=False
        )

    assert last_line(invoke("--content-type", "text/csv")) == "7!"
    assert sentence(invoke()) == "'-' does not end in one of .csv, .json, .jsonl, .npy, .parquet: give --content-type."


# Endpoints that are not ready, and callers that may not look.


@pytest.mark.parametrize("code", ["ModelNotReadyException", "ThrottlingException"])
def test_an_endpoint_that_is_not_ready_yet_is_asked_again(
    platform: Simulator, deploy: Deploy, container: StandIn, code: str
) -> None:
    """S-08."""
    in_service(platform, container)
    platform.script["InvokeEndpoint"] = iter([Refusal(code, "Wait and try again.", 429)] * 3)
    assert last_line(deploy(*INVOKE))
    assert len(container.calls) == 1


def test_who_may_only_invoke_can_invoke(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    in_service(platform, container)
    denied = Refusal("AccessDeniedException", "User: me is not authorized to perform: sagemaker:DescribeEndpoint")
    platform.script["DescribeEndpoint"] = iter([denied])
    assert last_line(deploy(*INVOKE))


# Streams.


def test_a_stream_is_printed_as_it_comes(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    """H-60."""
    in_service(platform, container)
    container.answer = lambda kind, body: (200, "text/plain", [b"one ", b"two ", "drei\xfc\n".encode(), b""])
    ended = deploy(*INVOKE, "--stream")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "one two drei\xfc\n", "")
    assert platform.operations() == ["InvokeEndpointWithResponseStream"]


def test_a_stream_that_breaks_off_is_a_failure(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    """H-61."""
    in_service(platform, container)
    container.answer = lambda kind, body: (200, "text/plain", [b"one ", b"two "])
    ended = deploy(*INVOKE, "--stream")
    assert ended.returncode != 0
    assert ended.stdout == "one two "
    assert ended.stderr == "The response is not complete: The model container closed the connection.\n"


def test_an_error_before_a_stream_is_one_sentence(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    """H-42."""
    in_service(platform, container)
    container.answer = lambda kind, body: (400, "application/json", [b'{"error": {"message": "row 1 is bad"}}'])
    assert sentence(deploy(*INVOKE, "--stream")) == "The container answered 400: row 1 is bad"


# Async endpoints.


@pytest.mark.parametrize(("size", "inline"), [(128_000, True), (128_001, False)])
def test_the_result_of_an_async_endpoint_is_waited_for(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path, size: int, inline: bool
) -> None:
    """A-01, A-03 and A-06."""
    in_service(platform, container, AsyncInferenceConfig=ASYNC)
    (tmp_path / "rows.csv").write_bytes(b"h\n" + b"7,8,9\n" * (size // 6) + b"1" * (size % 6 - 2))
    ended = deploy(*CALL, str(tmp_path / "rows.csv"), "--bucket", "s3://bucket/my")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("7!\n") == size // 6
    assert "the result will be at s3://bucket/async/output/" in ended.stderr
    request = platform.request("InvokeEndpointAsync")
    assert ("Body" in request) is inline
    assert request.get("InputLocation", "s3://bucket/my/async/input/").startswith("s3://bucket/my/async/input/")
    assert [kind for kind, _ in container.calls] == ["text/csv; header=present"]
    assert "InvokeEndpoint" not in platform.operations()


def test_the_failure_of_an_async_endpoint_is_its_sentence(
    platform: Simulator, deploy: Deploy, container: StandIn, tmp_path: Path
) -> None:
    """A-06 and H-55."""
    in_service(platform, container, AsyncInferenceConfig=ASYNC)
    (tmp_path / "rows.csv").write_text("h\n1\nbad\n")
    ended = deploy(*CALL, str(tmp_path / "rows.csv"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "The container answered 400: row 2 is bad"


def test_an_async_endpoint_cannot_stream(platform: Simulator, deploy: Deploy, container: StandIn) -> None:
    in_service(platform, container, AsyncInferenceConfig=ASYNC)
    assert (
        sentence(deploy(*INVOKE, "--stream")) == "The endpoint 'churn' is async and cannot stream: leave out --stream."
    )


def test_an_async_endpoint_refuses_a_synchronous_call(platform: Simulator, container: StandIn) -> None:
    """A-07, as the simulator has it."""
    in_service(platform, container, AsyncInferenceConfig=ASYNC)
    runtime = boto3.Session("user", "secret").client("sagemaker-runtime", "us-west-2", endpoint_url=platform.url)
    with pytest.raises(runtime.exceptions.ValidationError, match="only InvokeEndpointAsync"):
        runtime.invoke_endpoint(EndpointName="churn", Body=b"")
