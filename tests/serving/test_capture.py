"""Requests and answers in SageMaker's format of captured data: which are kept, how, and at what cost for a request."""

import base64
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from contract.serving.capture_files import CaptureFiles

from captures import Event, events, kill, lines, server_to_kill, side
from faults import eventually
from programs import Server, serving, serving_here
from projects import leave_out

ALGORITHM = """
from hashlib import sha256
from pandas import DataFrame
from contract.api import Feature, UserError


def load(directory):
    return None


def features(model):
    return [Feature("age"), Feature("city", str), Feature("income", missing=True)]


def predict(model, rows: DataFrame):
    if rows["city"].iloc[0] == "Atlantis":
        raise UserError("there is no such city")
    if rows["city"].iloc[0] == "River":
        return ({"double": [2 * age]} for age in rows["age"])
    return {"double": 2 * rows["age"], "city": rows["city"]}
"""
RAW = """
from contract.api import Payload

CONTENT_TYPES = ["image/png", "text/plain"]


def load(directory):
    return None


def example(model):
    return Payload(b"example", "text/plain")


def predict(model, requests: list[Payload]):
    return [Payload(each.body[::-1], each.content_type) for each in requests]
"""
GTHREAD = "gunicorn --worker-class=gthread --threads=4 --bind=127.0.0.1:{port} --pythonpath={program} wsgi:app"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
Serving = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    """The folder that is captured to."""
    return tmp_path / "captured"


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """A project whose model needs no training."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    (mine / "container/program/algorithm.py").write_text(ALGORITHM, encoding="utf-8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/manifest.json").write_text("{}", encoding="utf-8")
    return mine


@pytest.fixture
def capturing(mine: Path, tmp_path: Path, captured: Path) -> Serving:
    """A server that captures, with one worker unless told otherwise."""

    @contextmanager
    def capturing(under: str = "", **settings: str) -> Iterator[Server]:
        defaults = {"MODEL_SERVER_CAPTURE": str(captured), "MODEL_SERVER_WORKERS": "1"}
        with serving_here(mine, tmp_path, tmp_path / "serve.log", under=under, **(defaults | settings)) as server:
            yield server

    return capturing


def the_event(folder: Path) -> Event:
    [event] = events(folder)
    return event


def test_a_request_is_written_as_an_endpoint_writes_it(capturing: Serving, captured: Path) -> None:
    """M-40: the file's place and the line's form; with the model's version and the request's id as well."""
    with capturing() as server:
        attributes = {"X_Amzn_SageMaker_Inference_Id": "order-7", "X_Amzn_SageMaker_Custom_Attributes": "trace=1"}
        answer = server.predict(b"30,Graz,10\n41,Linz,\n", X_Request_Id="request-1", **attributes)
        assert answer.body == b"60.0\n82.0\n"
    [file] = captured.rglob("*.jsonl")
    place = r"local/AllTraffic/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl"
    assert re.fullmatch(place, str(file.relative_to(captured)))
    event = the_event(captured)
    assert set(event) == {"captureData", "eventMetadata", "eventVersion"}
    assert event["eventVersion"] == "0"
    assert side(event, "Input") == ("text/csv", "CSV", "30,Graz,10\n41,Linz,\n")
    assert side(event, "Output") == ("text/csv; charset=utf-8", "CSV", "60.0\n82.0\n")
    about = event["eventMetadata"]
    assert re.fullmatch("[0-9a-f]{32}", about.pop("eventId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about.pop("inferenceTime"))
    assert about == {
        "inferenceId": "order-7",
        "customAttributes": ["trace=1"],
        "requestId": "request-1",
        "modelVersion": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",  # sha256sum manifest.json
        "statusCode": 200,
    }


def npy(*rows: list[float]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(rows))
    return file.getvalue()


NAMED = b'{"age": 30, "city": "Graz", "income": 1, "name": "Anna"}'
SENT = [
    (b'{"instances": [%b]}' % NAMED, "application/json", "application/json", "JSON"),
    (NAMED, "application/jsonlines", "application/jsonlines", "JSON"),
    (b"age,city,income\n30,Graz,1", "text/csv; header=present", "text/csv; header=present", "CSV"),
    ("30,Gräz,1".encode("latin-1"), "text/csv; charset=latin-1", "text/csv; charset=latin-1", "CSV"),
    (NAMED, "", "application/json", "JSON"),
]


def test_each_format_of_tables_is_written_as_text(capturing: Serving, captured: Path) -> None:
    """M-40, M-41: with the content types as they were sent."""
    with capturing() as server:
        answers = [server.predict(body, content_type) for body, content_type, _, _ in SENT]
    assert [answer.status for answer in answers] == [200] * len(SENT)
    for event, answer, (body, content_type, observed, encoding) in zip(events(captured), answers, SENT, strict=True):
        text = body.decode("latin-1" if "latin" in content_type else "utf-8")
        assert side(event, "Input") == (observed, encoding, text)
        assert side(event, "Output") == (answer.headers["Content-Type"], encoding, answer.body.decode())


def test_an_array_is_written_as_rows(mine: Path, capturing: Serving, captured: Path) -> None:
    source = ALGORITHM.replace(', Feature("city", str), Feature("income", missing=True)', ', Feature("income")')
    source = source.replace('rows["city"].iloc[0]', '""').replace(', "city": rows["city"]', "")
    (mine / "container/program/algorithm.py").write_text(source, encoding="utf-8")
    with capturing() as server:
        assert server.predict(npy([30, 1], [31, 2]), "application/x-npy", Accept="text/csv").body == b"60.0\n62.0\n"
    text = '{"age":30.0,"income":1.0}\n{"age":31.0,"income":2.0}\n'
    assert side(the_event(captured), "Input") == ("application/jsonlines", "JSON", text)


def test_a_packed_body_is_written_unpacked(capturing: Serving, captured: Path) -> None:
    with capturing() as server:
        assert server.predict(gzip.compress(b"30,Graz,1"), Content_Encoding="gzip").status == 200
    assert side(the_event(captured), "Input") == ("text/csv", "CSV", "30,Graz,1")


def test_a_streamed_answer_is_written_as_a_whole(capturing: Serving, captured: Path) -> None:
    with capturing() as server:
        assert server.predict(b"1,River,\n2,River,\n3,River,\n").body == b"2.0\n4.0\n6.0\n"
    assert side(the_event(captured), "Output") == ("text/csv; charset=utf-8", "CSV", "2.0\n4.0\n6.0\n")


@pytest.mark.parametrize(("body", "content_type"), [(PNG, "image/png"), (b"text", "text/plain")])
def test_a_body_that_is_no_table_is_written_in_base64(
    mine: Path, capturing: Serving, captured: Path, body: bytes, content_type: str
) -> None:
    (mine / "container/program/algorithm.py").write_text(RAW, encoding="utf-8")
    with capturing() as server:
        assert server.predict(body, content_type).body == body[::-1]
    for name, data in (("Input", body), ("Output", body[::-1])):
        assert side(the_event(captured), name) == (content_type, "BASE64", base64.b64encode(data).decode())


def test_a_refused_request_is_counted_without_its_body(capturing: Serving, captured: Path) -> None:
    """H-55: what was wrong with it stands in the answer, which holds no values."""
    with capturing() as server:
        assert server.predict(b"secret,Graz,1").status == 400
        assert server.predict(b"1,Atlantis,1").status == 500
    found = events(captured)
    assert [event["eventMetadata"]["statusCode"] for event in found] == [400, 500]
    assert ["endpointInput" in event["captureData"] for event in found] == [False, False]
    assert "row 1, column 'age'" in side(found[0], "Output")[2]
    assert b"secret" not in b"".join(lines(captured))


@pytest.mark.parametrize(
    ("columns", "row"),
    [("age, income", {"age": 30.0, "income": 1.0}), ("all", {"age": 30.0, "city": "Graz", "income": 1.0})],
)
def test_other_columns_than_those_allowed_are_never_written(
    capturing: Serving, captured: Path, columns: str, row: dict[str, object]
) -> None:
    """Nor what a request has that the model does not know."""
    with capturing(MODEL_SERVER_CAPTURE_COLUMNS=columns) as server:
        assert server.predict(NAMED, "application/json").status == 200
        eventually(lambda: len(lines(captured)) == 1)
        assert server.predict(b"30,Graz,1\n31,Linz,").status == 200
        eventually(lambda: len(lines(captured)) == 2)
    first, second = events(captured)
    assert side(first, "Input") == ("application/jsonlines", "JSON", json.dumps(row, separators=(",", ":")) + "\n")
    rows = [json.loads(line) for line in side(second, "Input")[2].splitlines()]
    assert [list(each) for each in rows] == [list(row)] * 2
    assert rows[1]["income"] is None
    assert b"Anna" not in b"".join(lines(captured))
    assert (b"Linz" in b"".join(lines(captured))) == (columns == "all")


@pytest.mark.parametrize(
    ("source", "columns", "message"),
    [
        (ALGORITHM, "age,name", "names 'name', which is not a column of the model: it has age, city, income."),
        (RAW, "all", "names 'all', which is not a column of the model: it takes raw requests, so unset the variable."),
    ],
)
def test_columns_that_the_model_does_not_have_end_the_start(
    mine: Path, tmp_path: Path, captured: Path, source: str, columns: str, message: str
) -> None:
    (mine / "container/program/algorithm.py").write_text(source, encoding="utf-8")
    variables = {"SAGEMAKER_BASE_DIR": str(tmp_path), "MODEL_SERVER_CAPTURE": str(captured)}
    done = subprocess.run(
        [sys.executable, str(mine / "container/program/serve")],
        env=os.environ | variables | {"MODEL_SERVER_CAPTURE_COLUMNS": columns},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"MODEL_SERVER_CAPTURE_COLUMNS {message}" in done.stdout


def test_as_many_requests_of_a_hundred_are_written_as_asked_for(capturing: Serving, captured: Path) -> None:
    """M-43: by chance 200 requests have fewer than 50 or more than 150 once in 10 ** 12 times."""
    with capturing(MODEL_SERVER_CAPTURE_PERCENT="50") as server:
        for _ in range(200):
            server.predict(b"30,Graz,1")
    assert 50 < len(events(captured)) < 150


@pytest.mark.parametrize("under", ["", GTHREAD])
def test_each_request_is_written_once_by_any_number_of_workers(capturing: Serving, captured: Path, under: str) -> None:
    with capturing(under, MODEL_SERVER_WORKERS="3") as server, ThreadPoolExecutor(8) as clients:
        bodies = [b"%d,Graz,1" % number for number in range(400)]
        assert {answer.status for answer in clients.map(server.predict, bodies)} == {200}
        eventually(lambda: len(lines(captured)) == 400)
    written = Counter(side(event, "Input")[2].encode() for event in events(captured))
    assert written == Counter(bodies)
    assert len({event["eventMetadata"]["eventId"] for event in events(captured)}) == 400


def test_a_server_that_is_killed_has_written_all_that_it_answered(mine: Path, tmp_path: Path, captured: Path) -> None:
    answered: list[int] = []

    def ask(number: int) -> None:
        try:
            if server.predict(b"%d,Graz,1" % number).status == 200:
                answered.append(number)
        except OSError:
            pass

    settings = {"MODEL_SERVER_CAPTURE": str(captured), "MODEL_SERVER_WORKERS": "2"}
    with (
        server_to_kill(mine, tmp_path, tmp_path / "serve.log", **settings) as (server, pid),
        ThreadPoolExecutor(8) as clients,
    ):
        asked = clients.map(ask, range(100_000))
        eventually(lambda: len(answered) > 500)
        kill(pid)
        clients.shutdown(cancel_futures=True)
        del asked
    complete = [json.loads(line) for line in lines(captured) if line.startswith(b"{")]
    written = Counter(int(side(event, "Input")[2].partition(",")[0]) for event in complete)
    assert set(answered) <= set(written)
    assert set(written.values()) == {1}
    assert len(written) - len(answered) <= 8  # whose answers were cut off


def test_behind_nginx_an_event_has_the_id_of_its_request(image: str, model: Path, captured: Path) -> None:
    """A request that nginx asks again, because its worker died with the answer, is one event to whoever loads it."""
    captured.mkdir(mode=0o777)
    captured.chmod(0o777)
    options = [f"--volume={captured}:/captured", "--env=MODEL_SERVER_CAPTURE=/captured"]
    row = b"1" + b",1" * 29
    with serving(image, model, *options) as server:
        answer = server.predict(row)
        assert answer.status == 200
    about = the_event(captured)["eventMetadata"]
    assert about["eventId"] == about["requestId"] == answer.headers["X-Request-Id"]
    assert len(about["modelVersion"]) == 64


# --- what it must not cost


def test_without_the_variable_nothing_of_it_is_loaded(mine: Path, tmp_path: Path, captured: Path) -> None:
    """With it the same program says that it is."""
    look = "import sys, wsgi; print('contract.serving.capture' in sys.modules)"
    program = str(mine / "container/program")
    for folder, loaded in (("", "False"), (str(captured), "True")):
        variables = {"SAGEMAKER_BASE_DIR": str(tmp_path), "MODEL_SERVER_CAPTURE": folder, "PYTHONPATH": program}
        command = [sys.executable, "-c", look]
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [loaded]


def lost(server: Server) -> int:
    """How many requests were left out, by the log."""
    told = [json.loads(line) for line in server.logged().splitlines() if "was not captured" in line]
    assert {(event["level"], event["message"]) for event in told} == {
        ("warning", "a request was not captured: there was no room for it")
    }
    return sum(event["times"] for event in told)


def test_a_folder_that_cannot_be_written_costs_no_request_and_is_told(capturing: Serving, captured: Path) -> None:
    captured.write_text("a file", encoding="utf-8")
    with capturing() as server:
        assert {server.predict(b"30,Graz,1").status for _ in range(20)} == {200}
        eventually(lambda: f"{captured} cannot be written: Not a directory" in server.logged())
    assert lost(server) == 20


def test_a_full_disk_costs_no_request_and_is_told(capturing: Serving, captured: Path) -> None:
    """When there is room again, what comes then is written."""
    if os.geteuid() != 0:
        leave_out("only root can mount a small disk")
    captured.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(captured)], check=True)
    try:
        filler = captured / "filler"
        filler.write_bytes(bytes(7 * 2**20))
        with capturing() as server:
            assert {server.predict(b"30,Graz,1").status for _ in range(20)} == {200}
            eventually(lambda: f"{captured} cannot be written: No space left on device" in server.logged())
            filler.unlink()
            eventually(lambda: server.predict(b"31,Graz,1").status == 200 and lines(captured) != [])
    finally:
        subprocess.run(["umount", "--lazy", str(captured)], check=True)


def size_of(folder: Path) -> int:
    """In bytes; a file may go while this is counted."""
    total = 0
    for path in folder.rglob("*.jsonl"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_the_folder_keeps_within_its_limit_and_the_oldest_files_go(capturing: Serving, captured: Path) -> None:
    body = b"30,Graz,1\n" * 600
    with capturing(MODEL_SERVER_CAPTURE_MB="1") as server:
        for number in range(200):
            assert server.predict(b"%d,Graz,1\n" % number + body).status == 200
            assert size_of(captured) <= 2**20
    numbers = [int(side(event, "Input")[2].partition(",")[0]) for event in events(captured)]
    assert numbers == list(range(numbers[0], 200))
    assert 0 < numbers[0] < 170
    assert "an old file of captured requests was removed: MODEL_SERVER_CAPTURE_MB is used up" in server.logged()


def test_what_is_too_large_to_wait_is_left_out_and_counted(capturing: Serving, captured: Path) -> None:
    with capturing(MODEL_SERVER_BODY_MB="64") as server:
        assert server.predict(b'30,"%b",1' % (b"x" * 17_000_000)).status == 200
        assert server.predict(b'30,"%b",1' % (b"x" * 5_000_000)).status == 200
    assert lost(server) == 1
    assert len(side(the_event(captured), "Input")[2]) == 5_000_007


def test_lines_are_added_whole_or_not_at_all(tmp_path: Path) -> None:
    """As many as a file has room for; of the last hour's file none."""
    files = CaptureFiles(tmp_path, 2**20, 1)
    assert not files.add(b"{early}\n")
    assert files.prepare() == 0
    count = 0
    while files.add(b"{%d}\n" % count):
        count += 1
    assert files.due
    files.follow()
    assert lines(tmp_path) == [b"{%d}" % number for number in range(count)]
    assert [path.stat().st_size for path in tmp_path.rglob("*.jsonl")] == [
        sum(len(b"{%d}\n" % n) for n in range(count))
    ]
