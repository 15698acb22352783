"""Thousands of bodies that nobody meant to send: each is answered rightly or refused, and none does harm.

The server's model repeats its input, so that an answer shows what the server has read. An oracle reads the same body
with Python's own csv, json and float: a 200 must say the same. ``SOAK=1`` asks more than ten thousand times.
"""

import codecs
import csv
import gzip
import http.client
import io
import json
import math
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hypothesis.extra.numpy as hypothesis_numpy
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from programs import Server, serving_here

SOAK = os.environ.get("SOAK") == "1"
CSV, JSON, JSON_LINES, NPY = "text/csv", "application/json", "application/jsonlines", "application/x-npy"

ECHO = '''
"""Yours: what comes in goes out."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contract.api import Feature, Predictions, Rows, TrainingJob


@dataclass(frozen=True)
class Hyperparameters:
    pass


def train(job: TrainingJob[Hyperparameters]) -> str:
    return "echo"


def save(model: str, directory: Path) -> None:
    (directory / "echo").touch()


def load(directory: Path) -> str:
    return "echo"


def features(model: str) -> list[Feature]:
    return FEATURES


def predict(model: str, rows: TYPE) -> Predictions:
    table = pd.DataFrame(rows, columns=[feature.name for feature in FEATURES])
    return {name: column.to_numpy() for name, column in table.items()}


'''


@dataclass(frozen=True)
class Column:
    """What the oracle knows of a feature."""

    name: str
    text: bool = False
    choices: tuple[str, ...] = ()
    missing: bool = False

    def declared(self) -> str:
        kind = "str" if self.text else "float"
        return f"Feature({self.name!r}, {kind}, {self.choices!r}, {self.missing}, {'x' if self.text else 0.5!r})"


Schema = list[Column]
NUMBERS: Schema = [Column("a"), Column("b"), Column("long name, with a comma")]
TABLE: Schema = [Column("a"), Column("gap", missing=True), Column("text", text=True),
                 Column("choice", text=True, choices=("x", "y, z", "é", "7"), missing=True)]  # fmt: skip
SCHEMAS = {"numbers": NUMBERS, "table": TABLE}


# The oracle


class Refused(Exception):
    """No row can be read from this."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Refused("a key twice")
    return dict(pairs)


def parsed(text: bytes) -> Any:
    return json.loads(text, object_pairs_hook=unique)


def require_names(given: list[str], schema: Schema) -> None:
    absent = [column for column in schema if column.name not in given]
    if not all(column.missing for column in absent):
        raise Refused("a name less")
    if absent and len(given) > len(schema) - len(absent):
        raise Refused("a name less, and another")


def in_order(instance: Any, schema: Schema) -> list[Any]:
    if isinstance(instance, dict) and isinstance(instance.get("features"), list):
        instance = instance["features"]
    if isinstance(instance, dict):
        require_names(list(instance), schema)
        return [instance.get(column.name) for column in schema]
    if not isinstance(instance, list):
        raise Refused("no row")
    return instance


def named(names: list[Any], rows: list[Any]) -> list[Any]:
    if len(set(map(str, names))) < len(names):
        raise Refused("a name twice")
    if not all(isinstance(row, list) for row in rows):
        raise Refused("no row")
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def instances(document: Any, schema: Schema) -> list[Any]:
    if not isinstance(document, dict):
        return list(document)
    for wrapper in ("instances", "inputs", "dataframe_records", "dataframe_split"):
        if wrapper in document:
            return instances(document[wrapper], schema)
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        return named(document["columns"], document["data"])
    known = {column.name: document[column.name] for column in schema if column.name in document}
    if known and all(isinstance(column, list) for column in known.values()):
        return named(list(known), [list(row) for row in zip(*known.values(), strict=True)])
    if not known and "features" not in document:
        raise Refused("no rows")
    return [document]


def of_value(value: Any, column: Column) -> Any:
    if value is None or value == "" or value != value:
        if column.missing:
            return None
    elif column.text:
        if isinstance(value, str) and (value in column.choices or not column.choices):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(float(value)):
        return float(value)
    raise Refused("a bad value")


GAPS = ("", "na", "n/a", "nan", "null", "none", "<na>", "#n/a")


def of_text(cell: str, column: Column) -> Any:
    if column.text:
        return of_value(cell, column)
    return of_value(None if cell.strip().lower() in GAPS else float(cell), column)


def under(header: list[str], rows: list[list[str]], schema: Schema) -> list[list[str]]:
    names = [cell.strip() for cell in header]
    require_names(names, schema)
    if any(names.count(column.name) > 1 for column in schema):
        raise Refused("a name twice")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [[row.get(column.name, "") for column in schema] for row in found]


def oracle(body: bytes, media: str, charset: str, header: bool, schema: Schema) -> list[list[Any]]:
    """The rows of a body. Raises an exception of any kind where it has none."""
    if codecs.lookup(charset).name not in ("utf-8", "ascii"):
        body = body.decode(charset).encode()
    if media == CSV:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
        cells = [row for row in rows if "".join(row).strip() or len(row) > 1]
        cells = under(cells[0], cells[1:], schema) if header else cells
        read = [[of_text(cell, column) for cell, column in zip(row, schema, strict=True)] for row in cells]
    elif media == NPY:
        array = np.atleast_2d(np.load(io.BytesIO(body), allow_pickle=False).astype(np.float64))
        read = [[of_value(cell, column) for cell, column in zip(row, schema, strict=True)] for row in array.tolist()]
    else:
        body = body.removeprefix(codecs.BOM_UTF8)
        lines = [line for line in re.split(rb"\r\n|\r|\n", body) if line.strip()]
        rows = [parsed(line) for line in lines] if media == JSON_LINES else instances(parsed(body), schema)
        read = [
            [of_value(cell, column) for cell, column in zip(in_order(row, schema), schema, strict=True)] for row in rows
        ]
    if not read:
        raise Refused("no rows")
    return read


# The requests


@dataclass(frozen=True)
class Request:
    body: bytes
    media: str = CSV
    charset: str = "utf-8"
    header: bool = False
    packed: bool = False
    sound: bool = False
    """Whether the body was made as the documents say, and not changed after."""

    def headers(self) -> dict[str, str]:
        more = ("; header=present" if self.header else "") + (
            f"; charset={self.charset}" if self.charset != "utf-8" else ""
        )
        encoding = {"Content-Encoding": "gzip"} if self.packed else {}
        return {"Content-Type": self.media + more, "Accept": "application/json; columns=all", **encoding}

    def sent(self) -> bytes:
        return gzip.compress(self.body, 1, mtime=0) if self.packed else self.body


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMERALS = st.one_of(
    FINITE.map(repr), st.integers(-(10**25), 10**25).map(str), st.floats(-1e300, 1e300).map("{:.3e}".format),
    st.sampled_from(["0", "-0", "+1", ".5", "5.", "1E5", "1e-400", "00012", " 7", "7 ", "\t7", "1" * 300]),
)  # fmt: skip
ODD = st.sampled_from(
    ["", "nan", "NaN", "inf", "-Infinity", "1e999", "NA", "null", "None", "true", "1_000", "0x1p3", "1,5", "1 2", "1d5",
     "--1", "1e", "٣", "\uff11", "\u00a01", "\x00", "'1'", "=1+1", "#1", "1j", "1/2", "1;2", "½", "\x1c1", "9" * 400],
)  # fmt: skip
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(list('",\r\n\t é')), max_size=12
)


def cell_for(column: Column, sound: bool) -> st.SearchStrategy[str]:
    """A cell of CSV, not yet quoted."""
    good = NUMERALS if not column.text else st.sampled_from(column.choices) if column.choices else WORDS.filter(bool)
    if column.missing:
        good |= st.just("")
    return good if sound else good | ODD | WORDS


def value_for(column: Column, sound: bool) -> st.SearchStrategy[Any]:
    """A value of JSON."""
    good: st.SearchStrategy[Any] = FINITE | st.integers(-(2**70), 2**70)
    if column.text:
        good = st.sampled_from(column.choices) if column.choices else WORDS.filter(bool)
    if column.missing:
        good |= st.none()
    return good if sound else good | ANYTHING


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.sampled_from(["\ud800"])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def quoted(cell: str, always: bool) -> str:
    return '"' + cell.replace('"', '""') + '"' if always or any(mark in cell for mark in '",\r\n') else cell


@st.composite
def csv_bodies(draw: st.DrawFn, schema: Schema, sound: bool) -> Request:
    header, end = draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    row = st.tuples(*(cell_for(column, sound) for column in schema)).map(list)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    if not sound and draw(st.integers(0, 4)) == 0:
        rows[draw(st.integers(0, len(rows) - 1))] *= draw(st.sampled_from([0, 2, 50]))
    if header or (not sound and draw(st.booleans())):
        rows.insert(0, [column.name for column in schema])
    lines = [
        ",".join(quoted(cell, draw(st.booleans())) for cell in row) + end * draw(st.integers(1, 3)) for row in rows
    ]
    text = draw(st.sampled_from(["", "\ufeff", end])) + "".join(lines)
    charset = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "latin-1", "ascii"]))
    text = text.removeprefix("\ufeff") if charset != "utf-8" else text
    return Request(
        text.encode(charset, "replace"), CSV, charset, header, sound=sound and charset in ("utf-8", "utf-16")
    )


@st.composite
def documents(draw: st.DrawFn, schema: Schema, sound: bool) -> Request:
    names = [column.name for column in schema]
    rows = draw(st.lists(st.tuples(*(value_for(column, sound) for column in schema)).map(list), min_size=1, max_size=6))
    named = [dict(draw(st.permutations(list(zip(names, row, strict=True))))) for row in rows]
    mixed = [draw(st.sampled_from([row, one])) for row, one in zip(rows, named, strict=True)]
    forms = [
        rows, named, mixed, {"instances": mixed}, {"columns": names, "data": rows}, {"inputs": named},
        {"dataframe_split": {"columns": names, "data": rows}}, [{"features": row} for row in rows], named[0],
        {name: [row[number] for row in rows] for number, name in enumerate(names)},
    ]  # fmt: skip
    document = draw(st.sampled_from(forms))
    if not sound:
        document = draw(st.just(document) | ANYTHING | st.builds(lambda key: {key: document}, st.text(max_size=9)))
    ascii_, indent = draw(st.booleans()), draw(st.sampled_from([None, 0, 1]))
    if draw(st.booleans()) and isinstance(document, list):
        lines = [json.dumps(row, ensure_ascii=ascii_) for row in document]
        return Request(
            draw(st.sampled_from(["\n", "\r\n", "\n \n"])).join(lines).encode("utf-8", "replace"),
            JSON_LINES,
            sound=sound,
        )
    text = json.dumps(document, ensure_ascii=ascii_, indent=indent)
    return Request(text.encode("utf-8", "replace"), JSON, sound=sound)


@st.composite
def arrays(draw: st.DrawFn, schema: Schema, sound: bool) -> Request:
    kinds = (
        hypothesis_numpy.floating_dtypes()
        | hypothesis_numpy.integer_dtypes()
        | hypothesis_numpy.unsigned_integer_dtypes()
    )
    shapes: st.SearchStrategy[tuple[int, ...]] = st.tuples(st.integers(1, 5), st.just(len(schema)))
    if not sound:
        kinds = kinds | hypothesis_numpy.scalar_dtypes()
        shapes = shapes | hypothesis_numpy.array_shapes(max_dims=4, min_side=0, max_side=4)
    array = draw(hypothesis_numpy.arrays(kinds, shapes))
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array, order=draw(st.sampled_from(["C", "F"]))), allow_pickle=False)
    return Request(
        file.getvalue(), NPY, sound=sound and bool(np.isfinite(array.astype(np.float64)).all()) and schema is NUMBERS
    )


@st.composite
def changed(draw: st.DrawFn, requests: st.SearchStrategy[Request]) -> Request:
    """A body with some bytes changed, or under another name than its own."""
    request = draw(requests)
    body = bytearray(request.body)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        piece = draw(
            st.binary(max_size=4)
            | st.sampled_from([b'"', b",", b"\n", b"[", b"{", b"}", b"]", b"(", b":", b"\\", b"1"])
        )
        body[place : place + draw(st.integers(0, 8))] = piece * draw(st.sampled_from([1, 1, 1, 300]))
    media = draw(st.sampled_from([request.media] * 9 + [CSV, JSON, JSON_LINES, NPY]))
    return Request(bytes(body), media, request.charset, request.header)


def requests(schema: Schema) -> st.SearchStrategy[Request]:
    """Of all kinds: as they should be, with odd values, with changed bytes, and noise."""
    makers: list[Callable[[Schema, bool], st.SearchStrategy[Request]]] = [csv_bodies, documents, arrays]
    sound = st.one_of([maker(schema, True) for maker in makers])
    odd = st.one_of([maker(schema, False) for maker in makers])
    noise = st.builds(Request, st.binary(max_size=200), st.sampled_from([CSV, JSON, JSON_LINES, NPY]))
    packed = st.builds(lambda request: Request(**{**vars(request), "packed": True}), sound)
    return st.one_of(sound, odd, odd, changed(sound), changed(odd), noise, packed)


# The server


class Client:
    """One connection that is used again and again; a request in its log is one that the server survived."""

    def __init__(self, server: Server) -> None:
        address = urlsplit(server.url)
        self.connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self.statuses = Counter[int]()

    def ask(self, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        """Status and document; an answer of another form than JSON is a failure."""
        self.connection.request("POST", "/invocations", body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.statuses[answer.status] += 1
        assert answer.getheader("Content-Type") == JSON, content
        assert answer.status == 200 or 400 <= answer.status < 500, content
        document = json.loads(content, parse_constant=pytest.fail)
        if answer.status != 200:
            assert set(document["error"]) == {"code", "message", "id"}
            assert len(content) < 2048
        return answer.status, document


Served = tuple[Server, Schema, Client]


@pytest.fixture(scope="module", params=list(SCHEMAS))
def server(request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers that repeat what they read, of numbers alone or of a table with texts and gaps."""
    schema = SCHEMAS[request.param]
    place = tmp_path_factory.mktemp(request.param)
    mine = Path(shutil.copytree(project, place / "mine"))
    source = ECHO.lstrip().replace("TYPE", "Rows" if schema is NUMBERS else "pd.DataFrame")
    declared = ", ".join(column.declared().replace(", x)", ", 'x')") for column in schema)
    (mine / "container/program/algorithm.py").write_text(source + f"FEATURES = [{declared}]\n", encoding="utf-8")
    (place / "model").mkdir()
    with serving_here(mine, place, place / "serve.log", MODEL_SERVER_WORKERS="2") as server:
        client = Client(server)
        with closing(client.connection):
            yield server, schema, client


def memory(server: Server) -> int:
    """What the workers hold that no other process shares or can give back, in bytes."""
    pids = set(re.findall(r"Booting worker with pid: (\d+)", server.logged()))
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError):  # a worker that was replaced, which other tests are about
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            total += sum(int(size) for size in re.findall(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)) * 1024
    assert total
    return total


def without_gaps(rows: list[list[Any]]) -> list[list[Any]]:
    """NaN and None are null in an answer."""
    return [[None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows]


def run(test: Callable[[Any], None], strategy: st.SearchStrategy[Any], count: int) -> None:
    """Try ``test`` on many examples: always the same ones, but where a soak is asked for."""

    @given(strategy)
    @settings(
        max_examples=count, deadline=None, derandomize=not SOAK, database=None, suppress_health_check=list(HealthCheck)
    )
    def one(example: Any) -> None:
        test(example)

    one()


def test_no_body_is_read_wrongly(server: Served) -> None:
    """H-42, H-55, H-56, H-58, B-07; V-30: and the workers are no larger after it, nor are they others."""
    address, schema, client = server

    def ask(request: Request) -> None:
        status, document = client.ask(request.sent(), request.headers())
        if status == 200:
            answered = [list(row.values()) for row in document["predictions"]]
            assert answered == without_gaps(
                oracle(request.body, request.media, request.charset, request.header, schema)
            )
        else:
            assert not request.sound, document

    run(ask, requests(schema), 100)
    workers, before = set(re.findall(r"Booting worker with pid: (\d+)", address.logged())), memory(address)
    run(ask, requests(schema), 5000 if SOAK else 300)
    assert memory(address) - before < 2 * 25_000_000
    assert set(re.findall(r"Booting worker with pid: (\d+)", address.logged())) == workers
    assert client.statuses[200] > sum(client.statuses.values()) / 5
    assert client.statuses[400] > sum(client.statuses.values()) / 5


HEADER = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60)
KINDS = st.sampled_from(
    [
        CSV,
        JSON,
        JSON_LINES,
        NPY,
        "application/x-jsonlines",
        "text/*",
        "*/*",
        "application/*",
        "text/html",
        "",
        "a/b",
        ";",
        ",",
    ]
)
PARAMETER = HEADER.filter(str.isalnum) | st.sampled_from(["q", "charset", "header", "columns", "charset*", "columns*0"])
VALUE = HEADER | st.sampled_from(
    ["0", "1", "0.5", "1e9", "nan", "-1", '"', '"a,b"', "all", "present", "utf-16", "rot13", "utf-8''%00"]
)
PARAMETERS = st.lists(st.builds("; {}={}".format, PARAMETER, VALUE), max_size=4).map("".join)
MEDIA = st.lists(st.builds("{}{}".format, KINDS | HEADER, PARAMETERS), min_size=1, max_size=4).map(", ".join)


def test_no_header_confuses(server: Served) -> None:
    """H-20, H-21, H-24, H-26, H-29; V-37: any Content-Type, Accept, encoding and attributes: an answer or a 4xx."""
    _, schema, client = server
    body = ",".join('"y, z"' if column.choices else "1" for column in schema).encode()

    def ask(headers: dict[str, str]) -> None:
        client.connection.request(
            "POST", "/invocations", body, {name: value.strip() for name, value in headers.items()}
        )
        answer = client.connection.getresponse()
        content = answer.read()
        client.statuses[answer.status] += 1
        assert answer.status in (200, 400, 406, 415), content
        assert b"<html" not in content.lower()
        kind = str(answer.getheader("Content-Type"))
        assert kind.split(";")[0] in (CSV, JSON, JSON_LINES, NPY)
        assert answer.status == 200 or set(json.loads(content)["error"]) == {"code", "message", "id"}

    names = ["Content-Encoding", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id", "X-Request-Id"]
    optional = dict.fromkeys(names, HEADER) | {"Content-Type": MEDIA, "Accept": MEDIA}
    run(ask, st.fixed_dictionaries({}, optional=optional), 2000 if SOAK else 150)
    assert client.statuses[200]
    assert client.statuses[415]


def test_the_description_tells_what_is_answered(server: Served) -> None:
    """H-42, H-56: a JSON body that it allows gets a 200, and every other one a 4xx."""
    address, _, client = server
    document = json.loads(address.ask("/openapi.json").body)
    operation = schemathesis.openapi.from_dict(document)["/invocations"]["POST"]

    def answered(wanted: int) -> Callable[[Any], None]:
        def ask(case: Any) -> None:
            text = json.dumps(case.body) if case.media_type == JSON and not isinstance(case.body, bytes) else case.body
            body = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
            status, answer = client.ask(body, {"Content-Type": case.media_type, "Accept": JSON})
            assert status == wanted or (case.media_type == CSV and status in (200, 400)), (case.body, answer)

        return ask

    for mode, wanted in ((GenerationMode.POSITIVE, 200), (GenerationMode.NEGATIVE, 400)):
        before = client.statuses[wanted]
        run(answered(wanted), operation.as_strategy(generation_mode=mode), 500 if SOAK else 50)
        assert client.statuses[wanted] > before


def test_many_clients_at_once_are_not_mixed_up(server: Served) -> None:
    """H-16; V-51: what is read together is answered apart, whoever errs beside."""
    address, schema, _ = server
    wrong: list[object] = []

    def work(number: int) -> None:
        client = Client(address)
        with closing(client.connection):
            for count in range(400 if SOAK else 60):
                row = [repr(number + count / 1000)] + [
                    "y, z" if column.choices else str(count) for column in schema[1:]
                ]
                good = ",".join(quoted(cell, column.text) for cell, column in zip(row, schema, strict=True))
                status, document = client.ask(good.encode() if count % 3 else b"1,bad", Request(b"").headers())
                if (status == 200) != bool(count % 3) or (
                    status == 200 and document["predictions"][0]["a"] != float(row[0])
                ):
                    wrong.append(document)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
