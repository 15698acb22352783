"""An algorithm that takes requests as they are, and one that only serves."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from contract import algorithm_interface
from contract.errors import BadInput, RequestError, UserError
from contract.feature import Feature
from contract.payload import Payload
from contract.predictions import as_columns, as_payloads
from contract.schema import RawSchema, Schema, of_model
from contract.serving.inference import Inference
from contract.serving.request import Answer, Head, Request
from contract.settings import Settings

from programs import Server, serving_here

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))

ALGORITHM = """
from collections.abc import Iterator
from contract.api import BadInput, Payload

CONTENT_TYPES = ["image/png", "application/x-image", "audio/*", "text/plain", "application/json"]


def load(directory):
    return (directory / "greeting").read_text()


def example(model):
    return Payload(b"an example", "text/plain")


def predict(model, requests: list[Payload]):
    if requests[0].content_type == "audio/wav":
        return pieces(requests)
    if requests[0].content_type == "application/x-image":
        return [Payload(each.body[::-1], "image/webp") for each in requests]
    if requests[0].content_type == "application/json":
        return {"forecast": [list(range(each.json()["horizon"])) for each in requests]}
    if any(each.body == b"no picture" for each in requests):
        raise BadInput("the body is no picture: send one")
    return {"greeting": [model] * len(requests), "bytes": [len(each.body) for each in requests]}


def pieces(requests):
    for begin in range(0, 9, 3):
        yield Payload(requests[0].body[begin : begin + 3], "audio/ogg")
"""


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("raw")
    mine = Path(shutil.copytree(project, folder / "mine"))
    (mine / "container/program/algorithm.py").write_text(ALGORITHM, encoding="utf-8")
    (folder / "opt_ml/model").mkdir(parents=True)
    (folder / "opt_ml/model/greeting").write_text("hello", encoding="utf-8")
    with serving_here(mine, folder / "opt_ml", folder / "log") as server:
        yield server


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("image/png", PNG), ("IMAGE/PNG", PNG), ("text/plain; charset=latin-1", "Tromsø".encode("latin-1"))],
)
def test_a_request_comes_to_predict_as_it_is(server: Server, content_type: str, body: bytes) -> None:
    """H-21: whatever bytes it has, with its content type."""
    answer = server.predict(body, content_type, Accept="application/json; columns=all")
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {"predictions": [{"greeting": "hello", "bytes": len(body)}]}


def test_the_answer_may_be_any_of_the_usual_forms(server: Server) -> None:
    """H-24: JSON where the request prefers none."""
    assert server.predict(PNG, "image/png").body == b'{"predictions":[{"greeting":"hello"}]}\n'
    assert server.predict(PNG, "image/png", Accept="text/csv; columns=all").body == b"hello,264\n"
    assert server.predict(PNG, "image/png", Accept="application/x-npy").status == 406
    assert server.predict(PNG, "image/png", Accept="image/webp").status == 406


def test_the_answer_may_be_bytes_of_a_type_of_its_own(server: Server) -> None:
    """H-24."""
    for accept in ("*/*", "image/webp", ""):
        answer = server.predict(PNG, "application/x-image", Accept=accept)
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/webp", PNG[::-1])


def test_a_document_may_ask_for_more_values_than_it_holds(server: Server) -> None:
    """H-21, H-58."""
    answer = server.predict(b'{"horizon": 12}', "application/json")
    assert json.loads(answer.body) == {"predictions": [{"forecast": list(range(12))}]}
    assert server.predict(b'{"horizon": ', "application/json").message == "the body is not JSON"
    assert server.predict(b"\xff", "application/json").message == "the body cannot be read as text in utf-8"


def test_pieces_may_be_bytes_of_a_type_of_their_own(server: Server) -> None:
    """H-60."""
    answer = server.predict(b"123456789", "audio/wav")
    assert (answer.headers["Content-Type"], answer.body) == ("audio/ogg", b"123456789")


def test_what_the_algorithm_does_not_take_is_refused_with_what_it_takes(server: Server) -> None:
    """H-43: and OpenAPI lists the same."""
    for content_type in ("image/jpeg", "text/csv", ""):
        answer = server.predict(PNG, content_type)
        assert answer.status == 415
        assert answer.message == (
            "send one of image/png, application/x-image, audio/*, text/plain, application/json and say so in "
            "Content-Type"
        )
    content = json.loads(server.ask("/openapi.json").body)["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert sorted(content) == ["application/json", "application/x-image", "audio/*", "image/png", "text/plain"]


def test_predict_may_refuse_a_request(server: Server) -> None:
    """H-42, H-55."""
    answer = server.predict(b"no picture", "image/png")
    assert (answer.status, answer.message) == (400, "the body is no picture: send one")
    assert server.ask("/ping").status == 200
    assert server.predict(PNG, "image/png").status == 200


# In one process


def directly(places: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def test_a_request_that_predict_refuses_takes_no_other_with_it() -> None:
    """H-42, H-47: each refusal says what is wrong, with the row where there are rows."""

    def predict(model: object, rows: Any) -> Any:
        for place, [value] in enumerate(rows):
            if value < 0:
                raise BadInput("holds a negative price", row=place)
        return {"double": 2 * rows[:, 0]}

    algorithm: Any = SimpleNamespace(predict=predict)
    inference = Inference(algorithm, None, Schema(["price"], predict), Settings.from_environment())
    bodies = [b"1", b"2", b"3\n-4\n5", b"6", b"7\n8"]
    requests = [Request(Head.read({b"content-type": b"text/csv"}), body, 0.0) for body in bodies]
    found: dict[int, Answer] = {}
    for answers in inference.answers(requests, directly):
        found |= dict(answers)
    assert [found[place].body for place in (0, 1, 3, 4)] == [b"2.0\n", b"4.0\n", b"12.0\n", b"14.0\n16.0\n"]
    error = found[2].error
    assert isinstance(error, RequestError)
    assert (error.status, error.message) == (400, "row 2 holds a negative price")


@pytest.mark.parametrize("row", [3, 99, -1])
def test_a_row_that_the_request_does_not_have_is_not_named_as_its_own(row: int) -> None:
    """H-42: whatever ``predict`` has counted."""

    def predict(model: object, rows: Any) -> Any:
        raise BadInput("holds a negative price", row=row)

    algorithm: Any = SimpleNamespace(predict=predict)
    inference = Inference(algorithm, None, Schema(["price"], predict), Settings.from_environment())
    requests = [Request(Head.read({b"content-type": b"text/csv"}), body, 0.0) for body in (b"1\n2\n3", b"1")]
    found: dict[int, Answer] = {}
    for answers in inference.answers(requests, directly):
        found |= dict(answers)
    errors = [found[place].error for place in (0, 1)]
    assert [getattr(error, "status", 500) for error in errors] == [400, 400]
    about = "a row holds a negative price; which one is unknown, as predict() in algorithm.py named row="
    assert list(map(str, errors)) == [f"{about}{row} of {count}" for count in ("3 rows", "1 row")]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: as_columns({"a": [1, 2]}, 1), "returned the column 'a' with shape (2,) for 1 row: return one value "),
        (lambda: as_payloads([Payload(b"", "a/b"), 1], 1), "returned 2 values, among them a Payload, for 1 request: "),
        (lambda: Feature("a", str, ("x",)).from_text("y"), "is not the only value that the model knows: x"),
    ],
)
def test_one_is_not_counted_as_many(mistake: Callable[[], object], sentence: str) -> None:
    """H-55: a sentence is a sentence."""
    with pytest.raises((UserError, ValueError)) as told:
        mistake()
    assert sentence in str(told.value)


def test_an_answer_in_pieces_is_checked_by_its_first_one() -> None:
    """H-05, H-60: whoever asks, and however many rows a piece answers."""
    algorithm: Any = SimpleNamespace(predict=lambda model, rows: iter([{"a": [row]} for row in rows]))
    assert list(algorithm_interface.predict(algorithm, None, [1.0, 2.0, 3.0])) == ["a"]
    inference = Inference(algorithm, None, Schema(["price"], algorithm.predict), Settings.from_environment())
    called: list[str] = []

    def run(places: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
        called.append(function.__name__)
        return function(*arguments)

    inference.predict_example(run)
    assert called == ["predict_examples"]


def test_a_payload_is_text_in_its_charset() -> None:
    """H-21."""
    assert Payload("Tromsø".encode("latin-1"), "text/plain; charset=latin-1").text == "Tromsø"
    with pytest.raises(BadInput, match="the body cannot be read as text in nonsense"):
        _ = Payload(b"x", "text/plain; charset=nonsense").text


@pytest.mark.parametrize(
    ("pieces", "sentence"),
    [
        ([[1.0], "two"], "predict() in algorithm.py returned str: return a dict of named columns such as "),
        (
            [{"a": [1.0]}, {"b": [1.0]}],
            "predict() in algorithm.py yielded other columns than at first: yield the same ",
        ),
        (
            [{"a": [1.0]}, Payload(b"2", "text/csv")],
            "predict() in algorithm.py returned a Payload for one of several rows: return columns.",
        ),
    ],
)
def test_pieces_have_the_same_columns(pieces: list[Any], sentence: str) -> None:
    """H-60, H-61."""
    algorithm: Any = SimpleNamespace(predict=lambda model, rows: iter(pieces))
    schema = Schema(["price"], lambda model, rows: None)
    inference = Inference(algorithm, None, schema, Settings.from_environment())
    [[(_, answer)]] = inference.answers([Request(Head.read({b"content-type": b"text/csv"}), b"1\n2", 0.0)], directly)
    with pytest.raises(UserError) as mistake:
        list(answer.pieces or iter(()))
    assert str(mistake.value).startswith(sentence)
    head = Head.read({b"content-type": b"text/csv", b"accept": b"application/x-npy"})
    [[(_, refused)]] = inference.answers([Request(head, b"1\n2", 0.0)], directly)
    assert str(refused.error) == "the answer comes in pieces, but an array cannot: accept CSV"


def pieces_of(answer: Answer) -> tuple[bytes, str]:
    """What is sent of a streamed answer, and the mistake that ends it."""
    sent = answer.body
    try:
        for piece in answer.pieces or iter(()):
            assert piece  # an empty one would end the answer
            sent += piece
    except UserError as error:
        return sent, str(error)
    return sent, str(answer.error or "")


def answers_to(
    bodies: Sequence[bytes], schema: Schema | RawSchema, predict: Callable[[object, Any], Any]
) -> list[tuple[bytes, str]]:
    """For each of some requests that come together, what is sent of its answer, and the mistake that ends it."""
    inference = Inference(SimpleNamespace(predict=predict), None, schema, Settings.from_environment())
    requests = [Request(Head.read({b"content-type": b"text/csv"}), body, 0.0) for body in bodies]
    found = dict(chain.from_iterable(inference.answers(requests, directly)))
    return [pieces_of(found[place]) for place in range(len(bodies))]


PRICES = Schema(["price"], lambda model, rows: None)


@pytest.mark.parametrize(
    ("pieces", "sent", "counts"),
    [
        ([], b"", "0 values for 2 rows"),
        ([[1.0]], b"1.0\n", "1 values for 2 rows"),
        ([[1.0], []], b"1.0\n", "1 values for 2 rows"),
        ([[1.0, 2.0, 3.0]], b"", "3 values for 2 rows"),
        ([[1.0], [2.0, 3.0]], b"1.0\n", "3 values for 2 rows"),
        ([[1.0], [2.0], [3.0]], b"1.0\n2.0\n", "3 values for 2 rows"),
        ([[1.0, 2.0]], b"1.0\n2.0\n", ""),
        ([[], [1.0], [], [2.0], []], b"1.0\n2.0\n", ""),
    ],
)
def test_pieces_hold_one_value_for_each_row(pieces: list[Any], sent: bytes, counts: str) -> None:
    """H-46, H-58, H-60: in as many pieces as it likes."""
    [found] = answers_to([b"1\n2"], PRICES, lambda model, rows: iter(pieces))
    sentence = f"predict() in algorithm.py yielded {counts}: yield one value for each row."
    assert found == (sent, sentence if counts else "")


def test_pieces_for_other_rows_take_no_other_request_with_them() -> None:
    """H-58, H-60: a request that is asked for with others has its own values."""

    def predict(model: object, rows: Any) -> Iterator[Any]:
        for [value] in rows:
            yield {"double": [2 * value] * int(value)}  # one value for the row 1, two for the row 2

    mistake = "predict() in algorithm.py yielded 2 values for 1 rows: yield one value for each row."
    assert answers_to([b"1", b"2", b"1\n1", b"1\n2"], PRICES, predict) == [
        (b"2.0\n", ""),
        (b"", mistake),
        (b"2.0\n2.0\n", ""),
        (b"2.0\n", mistake.replace("2 values for 1", "3 values for 2")),
    ]


def test_a_row_may_be_answered_with_pieces_of_a_payload() -> None:
    """H-60: one row alone."""
    payloads = [Payload(b"1", "text/x"), Payload(b"", "text/x"), Payload(b"2", "text/x")]
    found = answers_to([b"1", b"1\n2"], PRICES, lambda model, rows: iter(payloads))
    assert found == [
        (b"12", ""), (b"", "predict() in algorithm.py returned a Payload for one of several rows: return columns.")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "sent", "mistake"),
    [
        ([Payload(b"one", "text/x")] * 3, b"oneoneone", ""),
        ([Payload(b"one", "text/x"), Payload(b"", "text/x"), Payload(b"two", "text/x")], b"onetwo", ""),
        ([Payload(b"", "text/x"), Payload(b"two", "text/x")], b"two", ""),
        ([Payload(b"", "text/x")], b"", ""),
        ([[Payload(b"one", "text/x")], [Payload(b"two", "text/x")]], b"onetwo", ""),
        (
            [{"token": ["a"]}, {"token": []}, {"token": ["b", "c"]}],
            b'{"token":"a"}\n{"token":"b"}\n{"token":"c"}\n',
            "",
        ),
        ([], b"", "yielded 0 values for a request: yield at least one value."),
        (
            [Payload(b"one", "text/x"), Payload(b"two", "text/y")],
            b"one",
            "yielded other content types than at first: yield the same ones.",
        ),
        (
            [{"token": ["a"]}, Payload(b"two", "text/y")],
            b'{"token":"a"}\n',
            "yielded other content types than at first: yield the same ones.",
        ),
        (
            [Payload(b"one", "text/x"), {"token": ["a"]}],
            b"one",
            "yielded other columns than at first: yield the same ones.",
        ),
    ],
)
def test_a_request_as_it_is_may_have_any_number_of_pieces(pieces: list[Any], sent: bytes, mistake: str) -> None:
    """H-60: of one kind; and one that is empty is not its end."""
    schema = RawSchema(["text/csv"], None)
    found = answers_to([b"a", b"b"], schema, lambda model, requests: iter(pieces))
    assert found == [(sent, f"predict() in algorithm.py {mistake}" if mistake else "")] * 2


def takes_payloads(model: object, requests: list[Payload]) -> Any: ...


@pytest.mark.parametrize("types", [None, [], "image/png", ["png"]])
def test_the_types_must_be_said(tmp_path: Path, types: object) -> None:
    """H-21."""
    with pytest.raises(UserError, match=r'add a line such as CONTENT_TYPES = \["image/png"\]\.$'):
        of_model(SimpleNamespace(predict=takes_payloads, CONTENT_TYPES=types), None, tmp_path)


def test_an_example_must_be_a_request(tmp_path: Path) -> None:
    """H-05."""
    algorithm = SimpleNamespace(predict=takes_payloads, CONTENT_TYPES=["image/png"], example=lambda model: b"png")
    with pytest.raises(
        UserError, match=r"^example\(\) in algorithm\.py returned bytes: return a request such as Payload"
    ):
        of_model(algorithm, None, tmp_path)


def test_one_type_alone_need_not_be_named(tmp_path: Path) -> None:
    """H-22."""
    schema = of_model(SimpleNamespace(predict=takes_payloads, CONTENT_TYPES=["image/png"]), None, tmp_path)
    assert isinstance(schema, RawSchema)
    predict: Any = SimpleNamespace(predict=lambda model, requests: [each._replace(body=b"!") for each in requests])
    inference = Inference(predict, None, schema, Settings.from_environment())
    [[(_, answer)]] = inference.answers([Request(Head.read({}), PNG, 0.0)], directly)
    assert (answer.format.media_type, answer.body) == ("image/png", b"!")
