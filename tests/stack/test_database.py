"""Captured requests in PostgreSQL: a real one, and captured files of endpoints and of `serve` itself."""

import base64
import hashlib
import http.client
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

import postgres
from captures import kill, server_to_kill
from environments import part
from faults import eventually
from postgres import Database, Postgres
from programs import free_port
from projects import TEMPLATE_VENV

ENDPOINT = "captured/churn/AllTraffic/2026/01/31/12/00-00-000-0b5c2c1e.jsonl"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.running() as server:
        yield server


@pytest.fixture
def database(server: Postgres) -> Database:
    return server.database(f"test_{uuid.uuid4().hex}")


def variables(database: Database) -> dict[str, str]:
    return {**os.environ, "VENV": str(TEMPLATE_VENV), "DATABASE_URL": database.url}


def command(*arguments: object) -> list[str]:
    return [str(part("database")), "-m", "stack.database", *map(str, arguments)]


@pytest.fixture
def run(project: Path, database: Database) -> Run:
    """``run("load", folder)``: the command as a user has it, with the test's own database."""

    def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = variables(database) | settings
        return subprocess.run(
            command(*arguments), cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    return run


# --- what endpoints capture


def side(content_type: str, encoding: str, data: str | bytes) -> dict[str, str]:
    if encoding == "BASE64":
        data = base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()
    return {"observedContentType": content_type, "encoding": encoding, "data": str(data)}


def line(input_: dict[str, str] | None, output: dict[str, str] | None, **about: object) -> str:
    """As SageMaker writes it."""
    data = {}
    if input_:
        data["endpointInput"] = {"mode": "INPUT", **input_}
    if output:
        data["endpointOutput"] = {"mode": "OUTPUT", **output}
    known = {"eventId": uuid.uuid4().hex, "inferenceTime": "2026-01-31T12:00:00Z", **about}
    return json.dumps({"captureData": data, "eventMetadata": known, "eventVersion": "0"}) + "\n"


def write(folder: Path, *lines: str) -> Path:
    """Write a file where an endpoint's capture would have it; return the folder to load."""
    path = folder / ENDPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(lines)
    return folder / "captured"


CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
ONE, TWO = side(CSV, "CSV", "yes\n"), side("text/csv; charset=utf-8", "CSV", "yes\nno\n")
BOTH: list[tuple[dict[str, str], dict[str, str], list[object], list[object]]] = [
    (side(CSV, "CSV", "1,2.5,a\n3,,007\n"), TWO, [[1, 2.5, "a"], [3, None, "007"]], ["yes", "no"]),
    (side(CSV, "BASE64", "1,2\n"), side(CSV, "BASE64", "0.1,0.9\n"), [[1, 2]], [[0.1, 0.9]]),
    (side("text/csv; header=present", "CSV", "a,b\n1,2\n"), ONE, [{"a": 1, "b": 2}], ["yes"]),
    (side(CSV, "CSV", "a,b\n1,2\n3,4\n"), TWO, [{"a": 1, "b": 2}, {"a": 3, "b": 4}], ["yes", "no"]),
    (side(CSV, "CSV", 'a,"b\nc"\n'), ONE, [["a", "b\nc"]], ["yes"]),
    (side(JSON, "JSON", '{"instances": [[1, 2], [3, 4]]}'), TWO, [[1, 2], [3, 4]], ["yes", "no"]),
    (side(JSON, "JSON", '{"instances": [{"features": [1, 2]}]}'), ONE, [[1, 2]], ["yes"]),
    (side(JSON, "BASE64", '{"a": [1, 3], "b": [2, 4]}'), TWO, [{"a": 1, "b": 2}, {"a": 3, "b": 4}], ["yes", "no"]),
    (side(JSON, "JSON", '{"dataframe_split": {"columns": ["a"], "data": [[1]]}}'), ONE, [{"a": 1}], ["yes"]),
    (side(JSON, "JSON", "[1, 2, 3]"), ONE, [[1, 2, 3]], ["yes"]),
    (side(JSON, "JSON", '{"a": 1}'), side(JSON, "JSON", '{"predictions": [{"b": 2}]}'), [{"a": 1}], [{"b": 2}]),
    (side(LINES, "JSON", '{"a": 1}\n{"a": 2}\n'), side(LINES, "BASE64", '{"b": 1}\n{"b": 2}\n'),
     [{"a": 1}, {"a": 2}], [{"b": 1}, {"b": 2}]),
    (side("application/x-jsonlines", "BASE64", '{"a": 1}'), side(JSON, "JSON", "[0.5]"), [{"a": 1}], [0.5]),
    (side("text/plain", "BASE64", "good"), side("text/plain; charset=utf-8", "BASE64", "bad"), ["good"], ["bad"]),
    (side(CSV, "CSV", "1\n2\n3\n"), TWO, [[[1], [2], [3]]], [["yes", "no"]]),
]  # fmt: skip


def test_each_form_in_which_an_endpoint_captures_is_loaded_by_rows(
    run: Run, database: Database, tmp_path: Path
) -> None:
    """M-40, M-41: as text and in base64. Where request and answer have unlike numbers of rows they are one row."""
    events = [line(given, answered, eventId=f"{number:02}") for number, (given, answered, _, _) in enumerate(BOTH)]
    done = run("load", write(tmp_path, *events))
    assert (done.returncode, done.stderr) == (0, "")
    expected = [
        [f"{number:02}", row, given, answered]
        for number, (_, _, inputs, outputs) in enumerate(BOTH)
        for row, (given, answered) in enumerate(zip(inputs, outputs, strict=True))
    ]
    assert done.stdout == f"{len(expected)} new rows from 1 file\n"
    assert database.ask("select event_id, row, input, output from predictions order by event_id, row") == expected


def test_what_is_known_of_a_request_is_loaded(run: Run, database: Database, tmp_path: Path) -> None:
    known = line(side(CSV, "CSV", "1"), ONE, eventId="a", inferenceId="order-7", requestId="r", modelVersion="m")
    refused = line(None, side(JSON, "JSON", '{"error": {"code": "bad_input"}}'), eventId="b", statusCode=400)
    only_sent = line(side(CSV, "CSV", "1\n2\n"), None, eventId="c")
    assert run("load", write(tmp_path, known, refused, only_sent)).returncode == 0
    columns = "event_id, row, inference_id, request_id, model, endpoint, status, content_type, input, output"
    assert database.ask(f"select {columns} from predictions order by event_id, row") == [
        ["a", 0, "order-7", "r", "m", "churn", None, CSV, [1], "yes"],
        ["b", 0, None, None, None, "churn", 400, None, None, {"error": {"code": "bad_input"}}],
        ["c", 0, None, None, None, "churn", None, CSV, [1], None],
        ["c", 1, None, None, None, "churn", None, CSV, [2], None],
    ]
    assert database.ask("select distinct extract(epoch from at)::int from predictions") == [[1769860800]]


def test_what_postgresql_has_no_form_for_is_replaced(run: Run, database: Database, tmp_path: Path) -> None:
    document = r'{"nul": "a\u0000b", "half": "\ud800", "back": "\\u0000", "nan": NaN, "huge": 1e999}'
    assert run("load", write(tmp_path, line(side(JSON, "JSON", document), ONE, inferenceId="a\0b"))).returncode == 0
    found = {"nul": "a\ufffdb", "half": "?", "back": r"\u0000", "nan": None, "huge": None}
    assert database.ask("select inference_id, input from predictions") == [["ab", found]]


def test_a_body_that_is_no_table_is_kept_beside_by_its_digest(run: Run, database: Database, tmp_path: Path) -> None:
    picture = bytes(range(256))
    digest = hashlib.sha256(picture).hexdigest()
    events = [line(side("image/png", "BASE64", picture), ONE) for _ in range(2)]
    assert run("load", write(tmp_path, *events), "--bodies", tmp_path / "bodies").returncode == 0
    assert database.ask("select input from predictions") == [[{"sha256": digest, "bytes": 256}]] * 2
    [file] = [path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]
    assert (file.name, file.read_bytes()) == (f"{digest}.png", picture)


def test_an_endpoints_files_are_loaded_from_s3(run: Run, database: Database, tmp_path: Path) -> None:
    port = free_port()
    moto = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    moto.start()
    try:
        aws = {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_DEFAULT_REGION": "us-east-1"}
        aws |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        session = boto3.Session("t", "t", region_name="us-east-1")
        s3 = session.client("s3", endpoint_url=aws["AWS_ENDPOINT_URL"])
        s3.create_bucket(Bucket="endpoints")
        for hour in ("11", "12"):
            key = ENDPOINT.replace("/12/", f"/{hour}/")
            s3.put_object(Bucket="endpoints", Key=key, Body=line(side(CSV, "CSV", hour), ONE).encode())
        s3.put_object(Bucket="endpoints", Key="captured/other.txt", Body=b"no capture")
        assert run("load", "s3://endpoints/captured", **aws).stdout == "2 new rows from 2 files\n"
        assert run("load", "s3://endpoints/captured", **aws).stdout == "0 new rows from 0 files\n"
        done = run("load", "s3://missing/captured", **aws)
    finally:
        moto.stop()
    assert database.ask("select endpoint, input from predictions order by input") == [["churn", [11]], ["churn", [12]]]
    assert done.returncode == 1
    assert done.stderr.startswith("s3://missing/captured cannot be read: ")
    assert "NoSuchBucket" in done.stderr


# --- each row once


def test_what_was_loaded_is_not_loaded_again(run: Run, database: Database, tmp_path: Path) -> None:
    """Not from the same file, which has grown, and not from a copy of it."""
    folder = write(tmp_path, *(line(side(CSV, "CSV", str(number)), ONE) for number in range(3)))
    assert run("load", folder).stdout == "3 new rows from 1 file\n"
    assert run("load", folder).stdout == "0 new rows from 0 files\n"
    write(tmp_path, line(side(CSV, "CSV", "3"), ONE))
    assert run("load", folder).stdout == "1 new row from 1 file\n"
    shutil.copytree(folder, tmp_path / "copy")
    assert run("load", tmp_path / "copy").stdout == "0 new rows from 0 files\n"
    assert database.ask("select input from predictions order by input") == [[[number]] for number in range(4)]


def test_a_line_in_the_making_is_loaded_when_it_is_complete(run: Run, database: Database, tmp_path: Path) -> None:
    """`serve` fills its files with empty lines, and writes the first byte of a line last."""
    first, second = line(side(CSV, "CSV", "1"), ONE), line(side(CSV, "CSV", "2"), ONE)
    for unfinished in (second[:-20], "\n" + second[1:-20] + "\n" * 3_000_000):
        folder = write(tmp_path, first, unfinished)
        done = run("load", folder)
        assert (done.returncode, done.stdout) == (0, "1 new row from 1 file\n")
        (tmp_path / ENDPOINT).write_text(first + second, encoding="utf-8")
        assert run("load", folder).stdout == "1 new row from 1 file\n"
        database.ask("delete from predictions")
        database.ask("delete from loaded")
        (tmp_path / ENDPOINT).unlink()


def test_what_cannot_be_read_is_told_and_the_rest_is_loaded(run: Run, database: Database, tmp_path: Path) -> None:
    good = line(side(CSV, "CSV", "1"), ONE)
    folder = write(
        tmp_path, "no JSON\n", '{"captureData": {}}\n', good, line(side("image/png", "BASE64", "x"), ONE)[:-9] + "\n"
    )
    done = run("load", folder)
    assert done.returncode == 1
    assert done.stdout == "1 new row from 1 file\n"
    path = tmp_path / ENDPOINT
    assert done.stderr == f"Not captured requests, so left out: 2 lines in {path}, 1 line in {path}.\n"
    assert database.ask("select input from predictions") == [[[1]]]


@dataclass
class Load:
    """Clients that ask for 10,000 numbers, each until it is answered, and what became of each attempt."""

    address: str = ""
    answered: dict[str, int] = field(default_factory=dict)
    """Inference id → number."""
    failed: list[str] = field(default_factory=list)
    numbers: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def run(self) -> None:
        while True:
            try:
                number = self.numbers.get_nowait()
            except queue.Empty:
                return
            while not self.ask(number):
                time.sleep(0.05)

    def ask(self, number: int) -> bool:
        id_ = uuid.uuid4().hex
        try:
            connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
            headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Inference-Id": id_}
            connection.request("POST", "/invocations", b"%d\n" % number, headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"%.1f\n" % (2 * number))
        except (OSError, http.client.HTTPException):
            self.failed.append(id_)
            return False
        finally:
            connection.close()
        self.answered[id_] = number
        return True

    def wait(self, count: int) -> None:
        eventually(lambda: len(self.answered) >= count, 120)


DOUBLE = """
from contract.api import Rows


def load(directory):
    return None


def features(model):
    return ["number"]


def predict(model, rows: Rows):
    return {"double": 2 * rows[:, 0]}
"""


def test_ten_thousand_requests_are_each_in_the_database_once(
    project: Path, server: Postgres, database: Database, run: Run, tmp_path: Path
) -> None:
    """Though the server is killed, the loader several times, and the database goes away under it."""
    mine = Path(shutil.copytree(project, tmp_path / "mine"))
    (mine / "container/program/algorithm.py").write_text(DOUBLE, encoding="utf-8")
    (tmp_path / "model").mkdir()
    captured = tmp_path / "captured"
    captured.mkdir()
    settings = {"MODEL_SERVER_CAPTURE": str(captured), "MODEL_SERVER_WORKERS": "2"}
    log, load = tmp_path / "loader.log", Load()
    for number in range(10_000):
        load.numbers.put(number)

    def loader() -> "subprocess.Popen[bytes]":
        words = command("load", captured, "--every", "0.05")
        with log.open("ab") as output:
            return subprocess.Popen(words, cwd=project, env=variables(database), stdout=output, stderr=output)

    threads = [threading.Thread(target=load.run) for _ in range(8)]
    with ExitStack() as stack:
        up, pid = stack.enter_context(server_to_kill(mine, tmp_path, tmp_path / "serve.log", **settings))
        load.address = up.url
        loading = loader()
        for thread in threads:
            thread.start()
        for answered in range(500, 9_500, 500):
            load.wait(answered)
            if answered == 3_000:
                kill(pid)
                up, pid = stack.enter_context(server_to_kill(mine, tmp_path, tmp_path / "again.log", **settings))
                load.address = up.url
            if answered == 5_000:
                server.stop("immediate")
                eventually(lambda: b"The database does not answer" in log.read_bytes())
            if answered == 6_500:
                server.start()
            if answered % 1_500 == 0:
                loading.kill()
                loading.wait()
                loading = loader()
        for thread in threads:
            thread.join()
        kill(pid)
        loading.send_signal(signal.SIGINT)
        loading.wait()
    done = run("load", captured)
    assert (done.returncode, done.stderr) == (0, "")
    found = database.ask("select inference_id, row, input, output from predictions")
    counts = Counter(id_ for id_, *_ in found)
    assert set(counts.values()) == {1}
    assert sorted(load.answered.values()) == list(range(10_000))
    assert {id_: rest for id_, *rest in found if id_ in load.answered} == {
        id_: [0, [number], 2 * number] for id_, number in load.answered.items()
    }
    assert counts.keys() - load.answered.keys() <= set(load.failed)  # predicted, but the answer was cut off


# --- what turned out to be true


def truths(folder: Path, *rows: str) -> Path:
    path = folder / "truth.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_what_turned_out_to_be_true_is_joined_by_inference_id(run: Run, database: Database, tmp_path: Path) -> None:
    """Whenever it comes. Where the client gave no inference id it is the event's."""
    given = line(side(CSV, "CSV", "1\n2\n"), TWO, eventId="a", inferenceId="order-7")
    without = line(side(CSV, "CSV", "3\n"), ONE, eventId="b")
    early = truths(tmp_path, "inference_id,value", "order-7,yes")
    assert run("truth", early).stdout == "1 value, 0 of them for predictions in the database\n"
    assert run("load", write(tmp_path, given, without)).returncode == 0
    late = truths(tmp_path, "row,inference_id,value,at", "1,order-7,0.5,2026-02-01T00:00:00Z", ",b,no,", ",other,1,")
    assert run("truth", late).stdout == "3 values, 2 of them for predictions in the database\n"
    query = "select event_id, row, output, truth from outcomes order by event_id, row"
    assert database.ask(query) == [["a", 0, "yes", "yes"], ["a", 1, "no", 0.5], ["b", 0, "yes", "no"]]
    assert run("truth", truths(tmp_path, "inference_id,value", "order-7,no")).returncode == 0
    assert database.ask(query)[0] == ["a", 0, "yes", "no"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["id,value", "a,1"], " lacks a required column: start it with a header of inference_id, value"),
        (["inference_id,value", "a,1", ",2"], ", line 3 has no inference_id: fill it in, or leave the line out."),
        (["inference_id,value", "a,"], ", line 2 has no value: fill it in, or leave the line out."),
        (["inference_id,value", "a"], ", line 2 has another number of cells than the header."),
        (["inference_id,value", "a,1,2"], ", line 2 has another number of cells than the header."),
        (["inference_id,value,row", "a,1,x"], ", line 2 has the row 'x': give a whole number, 0 for a request's first"),
        (["inference_id,value,at", "a,1,today"], ", line 2 has the time 'today': write it as 2026-01-31T12:00:00Z."),
        (["inference_id,value", "a,1", "a,2"], ", line 3 has the same row as line 2: keep one."),
        (["inference_id,value", '"a,1'], " cannot be read as CSV: unexpected end of data."),
    ],
)
def test_a_file_of_truths_that_cannot_be_used_changes_nothing(
    run: Run, database: Database, tmp_path: Path, rows: list[str], message: str
) -> None:
    done = run("truth", truths(tmp_path, *rows))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path / 'truth.csv'}{message}")
    assert done.stderr.count("\n") == 1
    assert database.ask("select count(*) from truth") == [[0]]


# --- the tables


def test_tables_of_an_older_version_are_migrated_and_keep_their_rows(
    project: Path, run: Run, database: Database, tmp_path: Path
) -> None:
    first = (project / "stack/database/migrations/001_predictions.sql").read_text(encoding="utf-8")
    database.ask("create table schema_version (version integer primary key, at timestamptz default now())")
    database.ask(first)
    database.ask("insert into schema_version values (1)")
    database.ask("insert into predictions (event_id, row, at, output) values ('old', 0, now(), '1')")
    assert run("truth", truths(tmp_path, "inference_id,value", "old,2")).returncode == 0
    assert database.ask("select event_id, output, truth from outcomes") == [["old", 1, 2]]
    assert database.ask("select version from schema_version order by 1") == [[1], [2]]


def test_tables_of_a_newer_version_are_left_alone(run: Run, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path, line(side(CSV, "CSV", "1"), ONE))
    assert run("load", folder).returncode == 0
    database.ask("insert into schema_version values (99)")
    done = run("load", folder)
    assert done.returncode == 1
    assert done.stderr == "The tables have version 99, and this project knows 2: update the project.\n"


def test_two_loaders_at_a_time_load_each_row_once(project: Path, run: Run, database: Database, tmp_path: Path) -> None:
    """They make the tables at a time, too."""
    folder = write(tmp_path, *(line(side(CSV, "CSV", str(number)), ONE) for number in range(3_000)))
    words, environment = command("load", folder), variables(database)
    both = [subprocess.Popen(words, cwd=project, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [loader.wait() for loader in both] == [0, 0]
    assert database.ask("select count(*) as rows, count(distinct input) as inputs from predictions") == [[3_000, 3_000]]


# --- what a user can fix


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "There is no database: set DATABASE_URL, such as postgresql://user:password@localhost/models.\n"),
        (
            "http://u:secret@localhost",
            "DATABASE_URL is not an address: write postgresql://user:password@host:5432/name.\n",
        ),
        ("postgresql://u:secret@127.0.0.1:1/x", "The database does not answer: connection failed: "),
    ],
)
def test_a_database_that_is_not_there_is_told_in_a_sentence(
    run: Run, tmp_path: Path, address: str, message: str
) -> None:
    done = run("load", write(tmp_path), DATABASE_URL=address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_folder_that_is_not_there_is_told_in_a_sentence(run: Run, tmp_path: Path) -> None:
    done = run("load", tmp_path / "missing")
    assert done.returncode == 1
    assert done.stderr.startswith(f"There is no folder {tmp_path}/missing: ")
