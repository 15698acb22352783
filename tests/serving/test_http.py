"""HTTP/1.1 as RFC 9110 and RFC 9112 have it, byte for byte: behind nginx, and where the worker is asked directly.

Where the two may rightly differ a test says so. No test waits for a time: what hangs fails after ``SECONDS``.
"""

import json
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from faults import Cut, eventually
from http_bytes import (
    ALGORITHM,
    LONG,
    PIECE_BYTES,
    STREAMING,
    WAIT,
    Site,
    Wire,
    amounts,
    chunked,
    double,
    get,
    head,
    post,
    post_chunked,
    row,
    site,
    statuses,
    until_closed,
    with_body,
)
from programs import Answer

QUEUE, BODY_LIMIT = 4, 2**20
SMALL = {"MODEL_SERVER_WORKERS": "1", "MODEL_SERVER_BATCH": "1", "MODEL_SERVER_BODY_MB": "1"}
FRONTS = ["worker", "nginx"]
GONE = get("/gone", "Connection: close")
"""A request that ends the connection: where it is answered, by 404, the server has gone on to it."""


def serve(
    request: pytest.FixtureRequest, factory: pytest.TempPathFactory, algorithm: str, queue: int
) -> Iterator[Site]:
    image = request.getfixturevalue("image") if request.param == "nginx" else ""
    project = request.getfixturevalue("project")
    with site(factory.mktemp("http"), algorithm, image, project, MODEL_SERVER_QUEUE=str(queue), **SMALL) as made:
        yield made


@pytest.fixture(scope="module", params=FRONTS)
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One worker with few places in its queue. Shared: each test leaves them free."""
    yield from serve(request, tmp_path_factory, ALGORITHM, QUEUE)


@pytest.fixture(scope="module", params=FRONTS)
def streams(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One worker that answers piece by piece and has places for two."""
    yield from serve(request, tmp_path_factory, STREAMING, 2)


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


# --- connections


def test_a_connection_serves_many_requests(http: Site) -> None:
    """H-14."""
    with http.wire() as wire:
        for _ in range(200):
            amount = next(amounts)
            assert wire.ask(post(amount)).body == double(amount)
            assert wire.ask(get()).status == 200
        assert statuses([wire.ask(get("/gone")), wire.ask(get("/invocations")), wire.ask(post(1, path="/gone"))]) == [
            404, 405, 404,
        ]  # fmt: skip
        assert wire.ask(get()).status == 200


def test_an_idle_connection_stays_usable_while_others_are_served(http: Site) -> None:
    """H-14."""
    with http.wire() as idle:
        assert idle.ask(get()).status == 200
        for _ in range(50):
            assert http.ask(get()).status == 200
        amount = next(amounts)
        assert idle.ask(post(amount)).body == double(amount)


@pytest.mark.parametrize("option", ["close", "Close", "keep-alive, close", "foo,CLOSE"])
@pytest.mark.parametrize("path", ["/ping", "/invocations", "/gone"])
def test_the_connection_closes_when_the_client_asks_for_it(http: Site, option: str, path: str) -> None:
    amount = next(amounts)
    send = post(amount, f"Connection: {option}") if path == "/invocations" else get(path, f"Connection: {option}")
    [answer] = until_closed(http, send)
    assert answer.headers["Connection"].lower() == "close"
    assert answer.status == (404 if path == "/gone" else 200)


def test_nothing_is_answered_after_a_request_that_ends_the_connection(http: Site) -> None:
    assert statuses(until_closed(http, get("/ping", "Connection: close") + get("/gone"))) == [200]
    first, second = next(amounts), next(amounts)
    [answer] = until_closed(http, post(first, "Connection: close") + post(second))
    assert answer.body == double(first)
    assert not http.begun(second)


@pytest.mark.parametrize("path", ["/ping", "/invocations", "/gone"])
def test_http_1_0_closes_after_the_answer(http: Site, path: str) -> None:
    amount = next(amounts)
    send = post(amount, version="1.0") if path == "/invocations" else get(path, version="1.0")
    [answer] = until_closed(http, send + get(version="1.0"))
    assert answer.status == (404 if path == "/gone" else 200)
    assert answer.headers["Transfer-Encoding"] is None


def test_http_1_0_needs_no_host(http: Site) -> None:
    assert statuses(until_closed(http, b"GET /ping HTTP/1.0\r\n\r\n")) == [200]


def test_http_1_0_is_kept_where_both_sides_say_so(http: Site) -> None:
    """A server need not; but one that says keep-alive must keep, and one that does not must close."""
    with http.wire() as wire:
        for _ in range(3):
            amount = next(amounts)
            answer = wire.ask(post(amount, "Connection: keep-alive", version="1.0"))
            assert answer.body == double(amount)
            assert answer.headers["Transfer-Encoding"] is None
            if (answer.headers["Connection"] or "").lower() != "keep-alive":
                assert wire.ended()
                return
        assert wire.ask(get(version="1.0")).status == 200
        assert wire.ended()


def test_a_client_that_sends_no_more_still_gets_its_answer(http: Site) -> None:
    """Behind nginx it may not: nginx takes a client that has closed its half for one that has gone."""
    amount = next(amounts)
    with http.wire() as wire:
        wire.send(post(amount))
        wire.socket.shutdown(1)
        if not http.nginx or not wire.ended():
            assert wire.answer().body == double(amount)
            assert wire.ended()
    assert http.predicts()


def test_a_client_that_sends_no_more_gets_an_answer_that_takes_long(http: Site) -> None:
    """As above, while the prediction runs."""
    amount = next(amounts)
    with http.wire() as wire:
        wire.send(post(amount, action=WAIT))
        http.wait_until_begun(amount)
        wire.socket.shutdown(1)
        assert http.ask(get()).status == 200
        http.open_gate(amount)
        if not http.nginx or not wire.ended():
            assert wire.answer().body == double(amount)
            assert wire.ended()
    eventually(http.predicts)


# --- pipelining


def test_pipelined_requests_are_answered_in_their_order(http: Site) -> None:
    """More than there are places in the queue, as they are answered one after the other."""
    some = [next(amounts) for _ in range(60)]
    requests = [
        part for amount in some
        for part in (post(amount), get(), get("/gone"), post_chunked(chunked(row(amount))), post(amount, path="/gone"))
    ]  # fmt: skip
    with http.wire() as wire:
        wire.send(b"".join(requests))
        for amount in some:
            assert wire.answer().body == double(amount)
            assert wire.answer().status == 200
            assert wire.answer().status == 404
            assert wire.answer().body == double(amount)
            assert wire.answer().status == 404
        assert wire.ask(get()).status == 200


def test_a_pipelined_ping_waits_for_the_prediction_before_it(http: Site) -> None:
    """Answers keep the order of requests, and other connections' pings do not wait (H-07)."""
    amount = next(amounts)
    with http.wire() as wire:
        wire.send(post(amount, action=WAIT) + get("/ping", "X-Request-Id: pipelined") + get("/gone"))
        http.wait_until_begun(amount)
        assert http.ask(get()).status == 200
        http.open_gate(amount)
        assert wire.answer().body == double(amount)
        assert statuses([wire.answer(), wire.answer()]) == [200, 404]


def test_a_bad_body_among_pipelined_requests_spoils_no_other(http: Site) -> None:
    first, last = next(amounts), next(amounts)
    with http.wire() as wire:
        wire.send(post(first) + with_body(b"1,2,3\n") + post(last))
        answers = [wire.answer() for _ in range(3)]
    assert statuses(answers) == [200, 400, 200]
    assert [answers[0].body, answers[2].body] == [double(first), double(last)]


def test_what_came_before_an_unreadable_request_is_answered(http: Site) -> None:
    """In order: the good ones, then 400, then the end of the connection."""
    amount = next(amounts)
    answers = until_closed(http, post(amount) + get() + b"no HTTP\r\n\r\n" + GONE)
    assert statuses(answers) == [200, 200, 400]
    assert answers[0].body == double(amount)


def test_empty_lines_before_a_request_are_ignored(http: Site) -> None:
    """RFC 9112, 2.2: some clients send one after a body."""
    assert statuses(until_closed(http, b"\r\n" + with_body(row(1)) + b"\r\n" + GONE)) == [200, 404]


# --- bodies


def test_a_request_may_be_cut_at_any_byte(http: Site) -> None:
    amount = next(amounts)
    check_every_cut(http, post(amount), amount)


def test_a_chunked_request_may_be_cut_at_any_byte(http: Site) -> None:
    """H-15: with extensions and trailers."""
    amount = next(amounts)
    body = row(amount)
    coded = chunked(body[:3], body[3:], extension=b';a=b;c="d e"', trailers=b"X-Late: 1\r\n")
    check_every_cut(http, post_chunked(coded), amount)


def check_every_cut(http: Site, request: bytes, amount: int) -> None:
    """Send it in two parts, for each place; another connection's answer shows that the first has arrived."""
    with http.wire() as wire, http.wire() as other:
        for place in range(1, len(request)):
            wire.send(request[:place])
            assert other.ask(get()).status == 200
            assert wire.ask(request[place:]).body == double(amount), place


def test_a_slow_client_blocks_no_other(http: Site) -> None:
    """H-07: a byte at a time, and others are answered in between."""
    slow, quick = next(amounts), next(amounts)
    with http.wire() as wire, http.wire() as other:
        for number, byte in enumerate(post(slow)):
            wire.send(bytes([byte]))
            assert other.ask(post(quick) if number % 4 == 0 else get()).status == 200
        assert wire.answer().body == double(slow)


@pytest.mark.parametrize("path", ["/invocations", "/%69nvocations"])
def test_a_body_may_come_in_chunks(http: Site, path: str) -> None:
    """H-15: of any size, with extensions and trailers; the path that Flask answers too."""
    amount = next(amounts)
    body = row(amount)
    late = b"Content-Type: application/x-unknown\r\nX-Request-Id: late\r\nX-Late: 1\r\n"
    with http.wire() as wire:
        for coded in (
            chunked(body),
            chunked(*(bytes([byte]) for byte in body)),
            chunked(body, extension=b";name=value"),
            chunked(body, extension=b';name="a \\" b";other'),
            chunked(body, trailers=late),
            chunked(body).replace(b"7\r\n", b"00000007\r\n", 1),
        ):
            answer = wire.ask(post_chunked(coded, path=path))
            assert (answer.status, answer.body) == (200, double(amount))
            assert answer.headers["X-Request-Id"] != "late"
        assert wire.ask(post_chunked(chunked(body)).replace(b"chunked", b"Chunked")).body == double(amount)


def test_large_chunked_bodies_are_read(http: Site) -> None:
    line = row(next(amounts))
    body = line * (BODY_LIMIT // 4 // len(line))
    pieces = [body[place : place + 9_999] for place in range(0, len(body), 9_999)]
    answer = http.ask(post_chunked(chunked(*pieces)))
    assert (answer.status, answer.body.count(b"\n")) == (200, body.count(b"\n"))


@pytest.mark.parametrize("path", ["/ping", "/gone", "/invocations"])
def test_a_body_that_nobody_wants_is_no_request(http: Site, path: str) -> None:
    """The bytes of a body are never taken for the next request, whatever the answer was."""
    amount = next(amounts)
    hidden = post(amount)
    with http.wire() as wire:
        for method in ("GET", "POST", "DELETE", "HEAD"):
            for coding in (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"):
                body = chunked(hidden) if "chunked" in coding else hidden
                answer = wire.ask(head(f"{method} {path} HTTP/1.1", coding) + body, to_head=method == "HEAD")
                assert answer.status in ((200,) if path == "/ping" else (400, 404, 405)) or method == "DELETE"
                assert wire.ask(get("/gone")).status == 404
    assert not http.begun(amount)


@pytest.mark.parametrize("path", ["/invocations", "/gone", "/ping"])
def test_a_body_over_the_limit_is_refused_and_the_client_can_read_that(http: Site, path: str) -> None:
    """H-13, H-44: by its length or as it comes. Then the connection is closed, or the next request is answered."""
    body = row(next(amounts)) * (BODY_LIMIT // 7 + 10_000)
    pieces = [body[place : place + 65_536] for place in range(0, len(body), 65_536)]
    for sent in (with_body(body, path=path), post_chunked(chunked(*pieces), path=path)):
        with http.wire() as wire:
            answer = wire.ask(sent)
            if path == "/invocations" or http.nginx:
                assert (answer.status, code(answer)) == (413, "too_large")
                assert answer.message.endswith("send less, or raise MODEL_SERVER_BODY_MB")
            else:
                assert answer.status in ((200, 413) if path == "/ping" else (404, 413))
            usable_or_closed(wire, answer)
    assert http.predicts()


def test_a_body_far_over_the_limit_is_refused(http: Site) -> None:
    """The server need not read all of it; it keeps none of it, and other clients are served."""
    with http.wire() as wire:
        try:
            wire.send(head("POST /invocations HTTP/1.1", "Content-Length: 100000000"))
            answer = wire.answer()
        except Cut:
            pytest.fail("the connection was cut before the answer")
        assert (answer.status, code(answer)) == (413, "too_large")
    assert http.predicts()


def usable_or_closed(wire: Wire, answer: Answer) -> None:
    """Whether a connection is closed as announced, or answers the next request, the body having been sent."""
    if (answer.headers["Connection"] or "").lower() == "close":
        assert wire.ended()
        return
    try:
        wire.send(get("/gone"))
        following = wire.answer()
    except (Cut, ConnectionError):
        return
    assert following.status == 404


def test_a_client_that_waits_for_100_continue_gets_it(http: Site) -> None:
    """H-15: then the answer, on a connection that stays usable; also for a body in chunks, and what Flask answers."""
    with http.wire() as wire:
        for expect in ("Expect: 100-continue", "expect: 100-Continue"):
            for path in ("/invocations", "/%69nvocations"):
                amount = next(amounts)
                for request in (post(amount, expect, path=path), post_chunked(chunked(row(amount)), expect, path=path)):
                    lines, _, body = request.partition(b"\r\n\r\n")
                    wire.send(lines + b"\r\n\r\n")
                    assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
                    answer = wire.ask(body)
                    assert (answer.status, answer.body, wire.interim) == (200, double(amount), [])


def test_a_body_that_came_with_its_head_needs_no_100_continue(http: Site) -> None:
    """A server may leave it out; it may not send it twice, nor after the answer, nor to HTTP/1.0."""
    amount = next(amounts)
    with http.wire() as wire:
        for _ in range(2):
            assert wire.ask(post(amount, "Expect: 100-continue")).body == double(amount)
            assert wire.interim in ([], [100])
        assert wire.ask(get()).status == 200
        assert wire.interim == []
        assert wire.ask(get("/ping", "Expect: 100-continue")).status == 200
    [answer] = until_closed(http, post(amount, "Expect: 100-continue", version="1.0"))
    assert answer.body == double(amount)


def test_http_1_0_is_sent_no_100_continue(http: Site) -> None:
    amount = next(amounts)
    lines, _, body = post(amount, "Expect: 100-continue", version="1.0").partition(b"\r\n\r\n")
    with http.wire() as wire:
        wire.send(lines + b"\r\n\r\n")
        assert http.ask(get()).status == 200  # the head has arrived
        assert wire.ask(body).body == double(amount)
        assert wire.interim == []


def test_100_continue_waits_for_the_answer_before_it(http: Site) -> None:
    """An interim answer is part of its own request's answer, so it comes after that of the request before."""
    first, second = next(amounts), next(amounts)
    lines, _, body = post(second, "Expect: 100-continue").partition(b"\r\n\r\n")
    with http.wire() as wire:
        wire.send(post(first, action=WAIT) + lines + b"\r\n\r\n")
        http.wait_until_begun(first)
        assert http.ask(get()).status == 200
        http.open_gate(first)
        assert wire.answer().body == double(first)
        assert wire.interim == []
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        assert wire.ask(body).body == double(second)


def test_a_client_that_asks_first_is_told_that_its_body_is_too_large(http: Site) -> None:
    """H-44: before it sends. Then the connection is closed, or the body is read and the next request answered."""
    size = BODY_LIMIT + 100_000
    with http.wire() as wire:
        answer = wire.ask(head("POST /invocations HTTP/1.1", "Expect: 100-continue", f"Content-Length: {size}"))
        assert (answer.status, code(answer)) == (413, "too_large")
        if (answer.headers["Connection"] or "").lower() != "close":
            try:
                wire.send(b"x" * size + GONE)
                assert wire.answer().status == 404
            except (Cut, ConnectionError):
                pass
    assert http.predicts()


def test_an_unknown_expectation_is_refused_or_ignored(http: Site) -> None:
    [answer] = until_closed(http, post(next(amounts), "Expect: a-miracle", "Connection: close"))
    assert answer.status in (200, 417)


# --- clients that leave


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_that_ends_too_soon_is_never_predicted(http: Site, coding: str) -> None:
    """Though its first line is a complete row. Its place in the queue is given back."""
    left = [next(amounts) for _ in range(2 * QUEUE)]
    for number, amount in enumerate(left):
        whole = row(amount) + row(1)
        request = with_body(whole)[:-7] if coding == "length" else post_chunked(chunked(row(amount), row(1)))[:-12]
        if coding == "chunked" and number % 2:
            request = post_chunked(chunked(row(amount)))[:-2]  # all but the last line
        with http.wire() as wire:
            wire.send(request)
            assert http.ask(get()).status == 200  # it has arrived
            if number % 3 == 0:
                wire.socket.shutdown(1)
                assert all(answer.status == 400 for answer in rest_of(wire))
    eventually(http.predicts)
    last = next(amounts)
    assert http.ask(post(last)).body == double(last)
    assert http.begun(last)
    assert [amount for amount in left if http.begun(amount)] == []


def rest_of(wire: Wire) -> list[Answer]:
    answers = []
    while not wire.ended():
        answers.append(wire.answer())
    return answers


def test_bodies_under_way_take_no_place_that_a_whole_request_needs_for_ever(http: Site) -> None:
    """Clients that have sent a part hold the queue's places at most until they leave."""
    wires = [http.wire() for _ in range(3 * QUEUE)]
    for wire in wires:
        wire.send(post(next(amounts))[:-1])
    assert http.ask(get()).status == 200
    for wire in wires:
        wire.close()
    eventually(http.predicts)


def test_clients_that_leave_while_they_wait_give_their_places_back(http: Site) -> None:
    """One while its prediction runs, the others in the queue; twice, so that a leak would show."""
    for _ in range(2):
        some = [next(amounts) for _ in range(QUEUE)]
        wires = [http.wire() for _ in some]
        for wire, amount in zip(wires, some, strict=True):
            wire.send(post(amount, action=WAIT))
        http.wait_until_begun(*some)
        for wire in wires:
            wire.close()
        for amount in some:
            http.open_gate(amount)
        eventually(http.predicts)
    all_places_are_free(http)


def all_places_are_free(http: Site) -> None:
    """Fill the queue: no place has leaked, and there is not one more."""

    def filled() -> bool:
        some = [next(amounts) for _ in range(QUEUE)]
        wires = [http.wire() for _ in some]
        try:
            for wire, amount in zip(wires, some, strict=True):
                wire.send(post(amount, action=WAIT))
            http.wait_until_begun(*some)
            for amount in some:
                http.open_gate(amount)
            return statuses([wire.answer() for wire in wires]) == [200] * QUEUE
        finally:
            for wire in wires:
                wire.close()

    eventually(filled)


def test_a_client_that_leaves_pipelined_requests_gives_their_places_back(http: Site) -> None:
    amount = next(amounts)
    with http.wire() as wire:
        wire.send(post(amount, action=WAIT) + post(next(amounts)) * 20)
        http.wait_until_begun(amount)
    http.open_gate(amount)
    eventually(http.predicts)
    all_places_are_free(http)


def test_clients_that_do_not_read_their_answers_give_their_places_back(http: Site) -> None:
    """They leave with an answer larger than what the system buffers."""
    for _ in range(2 * QUEUE):
        with http.wire(4096) as wire:
            wire.send(post(8_000_000, action=LONG))
            assert wire.begin()[0] == 200
        eventually(http.predicts)
    all_places_are_free(http)


def test_a_slow_reader_gets_all_of_a_large_answer(http: Site) -> None:
    """And others are answered while it does not read."""
    size = 8_000_000
    with http.wire(4096) as wire:
        wire.send(post(size, action=LONG) + get("/gone"))
        status, headers = wire.begin()
        assert (status, headers["Content-Length"]) == (200, str(size + 1))
        for _ in range(5):
            assert http.predicts()
        assert wire.exactly(size + 1) == b"x" * size + b"\n"
        assert wire.answer().status == 404


# --- what is answered


@pytest.mark.parametrize(
    ("path", "status"), [("/ping", 200), ("/gone", 404), ("/invocations", 405), ("/execution-parameters", 200)]
)
def test_head_is_answered_without_a_body(http: Site, path: str, status: int) -> None:
    """H-03: the next answer on the connection follows the headers at once."""
    with http.wire() as wire:
        answer = wire.ask(get(path, method="HEAD"), to_head=True)
        assert answer.status == status
        same = wire.ask(get(path))
        assert same.status == status
        assert answer.headers["Content-Length"] in (None, same.headers["Content-Length"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_method_that_is_not_allowed_is_a_405_that_says_which_is(http: Site, method: str) -> None:
    """H-03."""
    answer = http.ask(get("/invocations", method=method))
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("method", ["BREW", "get", "TRACE", "CONNECT", "PROPFIND", "QUERY", "GETX", "G-T"])
@pytest.mark.parametrize("path", ["/ping", "/invocations"])
def test_a_strange_method_is_refused(http: Site, method: str, path: str) -> None:
    """400, 405 or 501, and nothing is taken for what it is not."""
    answers = until_closed(http, get(path, method=method) + GONE)
    assert answers[0].status in (400, 405, 501)
    assert statuses(answers[1:]) in ([], [404])


@pytest.mark.parametrize("path", ["/ping", "/ping?", "/ping?a=b&c=%20", "http://example.com/ping", "/%70ing"])
def test_targets_that_are_ping(http: Site, path: str) -> None:
    """H-02, H-03: a query, the absolute form of proxies, and another spelling of the same path."""
    for method in ("GET", "POST"):
        answer = http.ask(head(f"{method} {path} HTTP/1.1", "Content-Length: 0"))
        assert (answer.status, answer.body) == (200, b"")
    with http.wire() as wire:
        assert wire.ask(get(path, method="HEAD"), to_head=True).status == 200
        assert wire.ask(get()).status == 200


@pytest.mark.parametrize(
    "path",
    ["/invocations", "/invocations?", "/invocations?a=b", "http://model.aws.local:8080/invocations", "/%69nvocations",
     "http://example.com/invocations?a=/ping"],
)  # fmt: skip
def test_targets_that_are_invocations(http: Site, path: str) -> None:
    """H-02, H-03."""
    amount = next(amounts)
    answer = http.ask(post(amount, path=path))
    assert (answer.status, answer.body) == (200, double(amount))


@pytest.mark.parametrize(
    "path",
    ["/ping/", "/pingfoo", "/Ping", "/ping%2F", "/ping%3Fa", "/invocations/", "/x?/ping",
     "/invocationsfoo", "/ping;a", "http://example.com", "http://example.com/", "/", "/?/invocations"],
)  # fmt: skip
def test_targets_that_are_neither(http: Site, path: str) -> None:
    """H-03: paths are matched exactly."""
    amount = next(amounts)
    assert http.ask(post(amount, path=path)).status == 404
    assert http.ask(get(path)).status == 404
    assert not http.begun(amount)


@pytest.mark.parametrize(
    "path", ["/../ping", "/./ping", "/%2e%2e/ping", "/a/../invocations", "/%00", "/%zz", "/%", "*", "//ping", "//a"]
)
def test_odd_targets_are_answered(http: Site, path: str) -> None:
    """Whether dots are resolved is left to the server; an error is one of the client's."""
    answers = until_closed(http, get(path) + GONE)
    assert answers[0].status in (200, 400, 404, 405)
    assert statuses(answers[1:]) in ([], [404])


@pytest.mark.parametrize("host", ["169.254.1.2:8080", "model.aws.local:8080", "[::1]:8080", ""])
def test_any_host_is_answered(http: Site, host: str) -> None:
    """H-02. An empty one is what RFC 9112, 3.2, has a client send that knows none; nginx refuses it."""
    answer = http.ask(get("/ping", f"Host: {host}"))
    assert answer.status == 200 or (http.nginx and not host and answer.status == 400)


@pytest.mark.parametrize("path", ["/ping", "/execution-parameters", "/gone", "/invocations", "good", "bad"])
def test_every_answer_says_when_it_was_made(http: Site, path: str) -> None:
    """RFC 9110, 6.6.1: a server with a clock sends a date; and in the one form that RFC 9110, 5.6.7 has for it."""
    requests = {"good": post(next(amounts)), "bad": with_body(b"x")}
    answer = http.ask(requests.get(path) or get(path))
    text = answer.headers["Date"]
    assert text
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", text)
    assert parsedate_to_datetime(text).tzinfo


@pytest.mark.parametrize("path", ["/invocations", "/%69nvocations"])
def test_an_answer_carries_the_requests_id(http: Site, path: str) -> None:
    """The client's, where it is asked directly; nginx may give its own. An error and the log say the same."""
    good = http.ask(post(next(amounts), "X-Request-Id: the-clients-own", path=path))
    bad = http.ask(with_body(b"x", "X-Request-Id: the-clients-own", path=path))
    assert (good.status, bad.status) == (200, 400)
    assert json.loads(bad.body)["error"]["id"] == bad.headers["X-Request-Id"]
    for answer in (good, bad):
        number = answer.headers["X-Request-Id"]
        assert number == "the-clients-own" or (http.nginx and re.fullmatch("[0-9a-f]{32}", number))
        http.wait_until_logged(f'"{number}"')


def test_a_request_without_an_id_is_given_one(http: Site) -> None:
    some = {http.ask(request).headers["X-Request-Id"] for request in (post(1), post(1), with_body(b"x"))}
    assert len(some) == 3
    assert all(re.fullmatch("[0-9a-f-]{32,36}", number) for number in some)


@pytest.mark.parametrize("number", ["x" * 5000, "caf\xe9", "a\tb", "", '{"}', "a b"])
def test_an_odd_id_does_no_harm(http: Site, number: str) -> None:
    """It is echoed only as what it is, or another takes its place."""
    for request in (post(next(amounts), f"X-Request-Id: {number}"), with_body(b"x", f"X-Request-Id: {number}")):
        answer = http.ask(request)
        assert answer.status in (200, 400)
        echoed = answer.headers["X-Request-Id"]
        assert number.startswith(echoed) or re.fullmatch("[0-9a-f-]{32,36}", echoed)
        assert len(echoed) <= 64


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(get("/" + "a" * 40_000), id="path"),
        pytest.param(get("/ping?" + "a" * 40_000), id="query"),
    ],
)
def test_a_request_line_that_is_too_long_is_a_414(http: Site, request_bytes: bytes) -> None:
    """The client can read it, as the server does not reset a connection that has bytes to read."""
    assert statuses(until_closed(http, request_bytes + GONE)) == [414]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["X: " + "a" * 100_000], id="one long"),
        pytest.param([f"X-{number}: {'a' * 1000}" for number in range(200)], id="large in all"),
        pytest.param([f"X-{number}: a" for number in range(20_000)], id="many"),
    ],
)
@pytest.mark.parametrize("path", ["/ping", "/invocations"])
def test_headers_that_are_too_large_or_too_many_are_refused(http: Site, headers: list[str], path: str) -> None:
    """431, or nginx's 400."""
    amount = next(amounts)
    request = get(path, *headers) if path == "/ping" else post(amount, *headers)
    [answer] = until_closed(http, request + GONE)
    assert answer.status in (400, 431)
    assert not http.begun(amount)


def test_a_head_without_end_is_refused(http: Site) -> None:
    """Before it takes memory: a line, a header or empty lines that go on and on."""
    for begin, more in ((b"GET /", b"a"), (b"GET /ping HTTP/1.1\r\nHost: x\r\nX: ", b"a"), (b"", b"\r\n")):
        with http.wire() as wire:
            try:
                wire.send(begin + more * 500_000)
                if not more.strip():  # lines may be ignored for as long as they come
                    assert wire.ask(get()).status in (200, 400, 431)
                    continue
                assert wire.answer().status in (400, 414, 431)
            except ConnectionError:
                pass  # it was refused while it came
            assert wire.ended()
    assert http.predicts()


def test_headers_of_a_usual_size_are_taken(http: Site) -> None:
    amount = next(amounts)
    headers = [f"X-{number}: {'a' * 60}" for number in range(90)]
    assert http.ask(post(amount, *headers, "X-Long: " + "a" * 7000)).body == double(amount)
    assert http.ask(get("/ping?" + "a" * 7000)).status == 200


@pytest.mark.parametrize("path", ["/invocations", "/%69nvocations"])
def test_a_name_with_an_underscore_is_not_that_with_a_hyphen(http: Site, path: str) -> None:
    """WSGI knows one spelling for both, so that one could be given for the other."""
    amount = next(amounts)
    forged = ("Content_Length: 1", "Content_Type: application/x-unknown", "Transfer_Encoding: chunked")
    answer = http.ask(post(amount, *forged, path=path))
    assert (answer.status, answer.body) == (200, double(amount))


# --- other protocols


@pytest.mark.parametrize(
    "upgrade",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13"),
        ("Connection: keep-alive, upgrade", "Upgrade: foo/1"),
        ("Connection: Upgrade",),
        ("Upgrade: h2c",),
    ],
    ids=["h2c", "websocket", "foo", "no protocol", "no option"],
)
def test_an_upgrade_is_ignored_or_refused(http: Site, upgrade: tuple[str, ...]) -> None:
    """RFC 9110, 7.8; nginx ignores it. Where it is refused, the connection is closed.

    The body is the request's own: it is predicted or left, and never taken for the next request.
    """
    amount, hidden = next(amounts), post(next(amounts))
    for request in (post(amount, *upgrade), post_chunked(chunked(row(amount)), *upgrade)):
        answers = until_closed(http, request + GONE)
        assert statuses(answers) in ([TAKEN] if http.nginx or len(upgrade) == 1 else [TAKEN, REFUSED, NOT_IMPLEMENTED])
        assert answers[0].status != 200 or answers[0].body == double(amount)
    assert statuses(until_closed(http, get("/ping", *upgrade) + GONE)) in (TAKEN, REFUSED, NOT_IMPLEMENTED)
    assert statuses(until_closed(http, with_body(hidden, *upgrade) + GONE)) in ([400, 404], REFUSED, NOT_IMPLEMENTED)


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", id="HTTP/2"),
        pytest.param(bytes.fromhex("16030100c8010000c40303") + bytes(200), id="TLS"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
        pytest.param(b"\x00" * 64 + b"\r\n\r\n", id="zeros"),
        pytest.param(b"EHLO example.com\r\n", id="SMTP"),
    ],
)
def test_another_protocol_is_refused(http: Site, greeting: bytes) -> None:
    """With 400 or 505, or without a word, but never left waiting."""
    assert statuses(until_closed(http, greeting)) in ([400], [505], [])


# --- what is not quite HTTP

ROW = b"0,0000\n"  # of seven bytes, in place of which each case has a row of its own
HIDDEN = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n" + ROW
REFUSED, NOT_IMPLEMENTED, TOO_LARGE, VERSION = [400], [501], [413], [505]
TAKEN = [200, 404]
"""The request is read as what it says, and so is the one after it."""
LAST = [200]
"""The request is read as what it says, and the connection is closed after it."""
REFUSED_BEHIND_NGINX = [400, 404]
"""nginx knows where the request ends, and goes on to the next one."""


def length(*values: str, body: bytes = ROW) -> bytes:
    return head("POST /invocations HTTP/1.1", *(f"Content-Length: {value}" for value in values)) + body


def coding(*headers: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    return head(f"POST /invocations HTTP/{version}", *headers) + (chunked(ROW) if body is None else body)


def sized(text: bytes, data: bytes = ROW) -> bytes:
    """A chunk whose size is written so."""
    return coding("Transfer-Encoding: chunked", body=text + b"\r\n" + data + b"\r\n0\r\n\r\n")


def header(line: str) -> bytes:
    return head("POST /invocations HTTP/1.1", "Content-Length: 7", line) + ROW


CODINGS = {
    "xchunked": [], "identity": [], "chunked, identity": [], "chunked, chunked": [], "chunked;q=1": [],
    '"chunked"': [], "\x0bchunked": [], "chunked\x0b": [], "": [], "gzip": [], "gzip, chunked": [], "chunked,": [TAKEN],
    ",chunked": [TAKEN], "identity, chunked": [], "chunke": [], "\tchunked": [TAKEN], "chunked\t": [TAKEN],
    "chunked ": [TAKEN], "CHUNKED": [TAKEN], "\xa0chunked": [],
}  # fmt: skip
LENGTHS = {
    "-7": [], "+7": [], "": [], "seven": [], "0x7": [], "7.0": [], "0_7": [], "7;": [], "7 7": [], "\xb7": [],
    "7,8": [], "7, 7": [TAKEN], "007": [TAKEN], "\t7": [TAKEN], "7 ": [TAKEN], "18446744073709551616": [TOO_LARGE],
    "18446744073709551623": [TOO_LARGE], "9" * 30: [TOO_LARGE],
}  # fmt: skip
SIZES = {
    b"": [], b"g": [], b"-7": [], b"+7": [], b"0x7": [], b" 7": [TAKEN], b"0_7": [], b"7 ": [TAKEN], b"7 ;a=b": [TAKEN],
    b"7;a\x01": [TAKEN], b"7;a=\"b": [TAKEN], b"7;\rb": [], b"10000000000000007": [TOO_LARGE],
    b"f" * 17: [TOO_LARGE], b"8": [TAKEN], b"6": [], b"7;" + b"a" * 200: [TAKEN], b"7\t": [TAKEN],
}  # fmt: skip
HEADERS = {
    "Content-Length : 9": [], "Transfer-Encoding : chunked": [], "Transfer-Encoding\t: chunked": [], "X : a": [],
    "X Y: a": [], "X: a\r\n b": [TAKEN], "X: a\r\n\tb": [TAKEN], "X: a\r\n Content-Length: 9": [TAKEN],
    "no colon": [TAKEN], "nocolon": [TAKEN], ": empty": [TAKEN], "X\x00: a": [], "X: a\x00b": [], "\xe9: a": [TAKEN],
    "X: a\x01b": [TAKEN, REFUSED_BEHIND_NGINX], "X: a\x7fb": [TAKEN, REFUSED_BEHIND_NGINX], "X: \xe9": [TAKEN],
    "X: a\rb": [], "X: a\nY: b": [TAKEN], "X: a\rContent-Length: 9": [], "X(): a": [TAKEN],
    "Transfer_Encoding: chunked": [TAKEN], "Content_Length: 9": [TAKEN], "X:": [TAKEN], "X:a": [TAKEN],
}  # fmt: skip
FIRST_LINES = {
    b"GET /ping HTTP/2.0": [VERSION], b"GET /ping HTTP/1.2": [VERSION, TAKEN], b"GET /ping HTTP/0.9": [VERSION],
    b"GET /ping HTTP/11.1": [VERSION], b"GET /ping http/1.1": [VERSION], b"GET /ping HTTP/1": [VERSION],
    b"GET /ping HTTP/1.10": [VERSION, TAKEN], b"GET /ping HTTP/1.1 ": [TAKEN], b"GET  /ping HTTP/1.1": [TAKEN],
    b"GET\t/ping\tHTTP/1.1": [TAKEN], b"GET /pi ng HTTP/1.1": [], b"GET ping HTTP/1.1": [], b" GET /ping HTTP/1.1": [],
    b"GET /\x00 HTTP/1.1": [], b"GET /ping\x00 HTTP/1.1": [],
    b"GET /ping\x7f HTTP/1.1": [[404, 404], REFUSED_BEHIND_NGINX],
    b"GET /\xc3\xa9 HTTP/1.1": [[404, 404], REFUSED_BEHIND_NGINX],
    b"GET /ping#a HTTP/1.1": [TAKEN, [404, 404]], b"GET /ping\rX HTTP/1.1": [],
    b"GET /ping FTP/1.1": [VERSION],
}  # fmt: skip
CHUNKED = "Transfer-Encoding: chunked"
OTHERS = {
    "the length twice": (length("7", "7"), [TAKEN]),
    "two lengths": (length("7", str(7 + len(HIDDEN)), body=ROW + HIDDEN), []),
    "two lengths, the longer first": (length(str(7 + len(HIDDEN)), "7", body=ROW + HIDDEN), []),
    "a length and chunks": (coding("Content-Length: 9", CHUNKED), [LAST]),
    "chunks and a length": (coding(CHUNKED, "Content-Length: 9"), [LAST]),
    "a length that hides chunks": (coding("Content-Length: 5", CHUNKED, body=b"0\r\n\r\n" + HIDDEN), []),
    "a length and another coding": (coding("Content-Length: 7", "Transfer-Encoding: xchunked", body=ROW), []),
    "a coding on two lines": (coding("Transfer-Encoding: gzip", CHUNKED), []),
    "no coding and chunked": (coding("Transfer-Encoding: identity", CHUNKED), []),
    "chunked twice": (coding(CHUNKED, CHUNKED), []),
    "chunked and no coding": (coding(CHUNKED, "Transfer-Encoding: identity"), []),
    "a folded coding": (coding("Transfer-Encoding:\r\n chunked"), [TAKEN]),
    "chunks in HTTP/1.0": (coding(CHUNKED, version="1.0"), [LAST, NOT_IMPLEMENTED]),
    "chunks in HTTP/1.0, kept": (coding(CHUNKED, "Connection: keep-alive", version="1.0"), [LAST, NOT_IMPLEMENTED]),
    "a chunk that is longer": (coding(CHUNKED, body=b"7\r\n" + ROW + b"X\r\n0\r\n\r\n"), []),
    "a chunk's end by LF": (coding(CHUNKED, body=b"7\r\n" + ROW + b"\n0\r\n\r\n"), [TAKEN]),
    "a chunk's size by LF": (coding(CHUNKED, body=b"7\n" + ROW + b"\r\n0\r\n\r\n"), [TAKEN]),
    "an extension by LF": (coding(CHUNKED, body=b"7;a\n" + ROW + b"\r\n0\r\n\r\n"), [TAKEN]),
    "the last chunk by LF": (coding(CHUNKED, body=b"7\r\n" + ROW + b"\r\n0\n\n"), [TAKEN]),
    "a bad trailer": (coding(CHUNKED, body=chunked(ROW, trailers=b"X Y: a\r\n")), [TAKEN]),
    "a length as a trailer": (coding(CHUNKED, body=chunked(ROW, trailers=b"Content-Length: 9\r\n")), [TAKEN]),
    "a coding as a trailer": (coding(CHUNKED, body=chunked(ROW, trailers=b"Transfer-Encoding: x\r\n")), [TAKEN]),
    "lines by LF": (b"GET /ping HTTP/1.1\nHost: x\n\n", [TAKEN]),
    "lines by CR": (b"GET /ping HTTP/1.1\rHost: x\r\r", []),
    "the last line by LF": (b"GET /ping HTTP/1.1\r\nHost: x\r\n\n", [TAKEN]),
    "no host": (b"GET /ping HTTP/1.1\r\n\r\n", []),
    "two hosts": (b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", []),
    "a blank before the first header": (b"GET /ping HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", [TAKEN]),
    "bytes after a body": (length("7", body=ROW + b"more"), [[200, 400]]),
}  # fmt: skip
CASES = {
    **{f"coding {text!r}": (coding(f"Transfer-Encoding: {text}"), more) for text, more in CODINGS.items()},
    **{f"length {text!r}": (length(text), more) for text, more in LENGTHS.items()},
    **{f"size {text[:20]!r}": (sized(text), more) for text, more in SIZES.items()},
    **{f"header {text!r}": (header(text), more) for text, more in HEADERS.items()},
    **{f"line {text!r}": (text + b"\r\nHost: x\r\n\r\n", more) for text, more in FIRST_LINES.items()},
    **OTHERS,
}
ONLY_TAKEN = {"header 'X:'", "header 'X:a'", "header 'X: \xe9'", "coding 'CHUNKED'", "length '007'"}


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_quite_http_is_refused_or_read_as_it_is(http: Site, name: str) -> None:
    """RFC 9112: 400 and the end of the connection; or, where that is safe, as it was meant. Never a request more.

    A coding that is not known may be a 501, a number that is too large a 413.
    """
    request, more = CASES[name]
    amount = next(amounts)
    own = b"0,%04d\n" % (amount % 10_000)
    answers = until_closed(http, request.replace(ROW, own) + GONE)
    allowed = [*more, REFUSED, NOT_IMPLEMENTED] if "coding" in name else [*more, REFUSED]
    assert statuses(answers) in ([TAKEN] if name in ONLY_TAKEN else allowed)
    if request.startswith(b"POST") and answers[0].status == 200:
        assert answers[0].body == double(amount)
    else:
        assert not http.begun(amount)


def test_a_chunk_of_endless_size_is_refused_once_it_is_over_the_limit(http: Site) -> None:
    """2**64 - 1 is a size like others to some parsers: it does not overflow, and its data are counted as they come."""
    with http.wire() as wire:
        try:
            wire.send(post_chunked(b"f" * 16 + b"\r\n"))
            wire.send(b"0,1\n" * (BODY_LIMIT // 4 + 1000))
            answer = wire.answer()
        except ConnectionError:
            answer = wire.answer()  # it was refused while it came
        assert answer.status in (400, 413)
    assert http.predicts()


@pytest.mark.parametrize("size", ["9223372036854775807", "18446744073709551615", "1099511627776"])
def test_a_length_that_no_memory_holds_is_refused_at_once(http: Site, size: str) -> None:
    with http.wire() as wire:
        assert wire.ask(length(size, body=b"")).status in (400, 413)
    assert http.predicts()


def test_chunks_whose_sizes_outweigh_their_data_are_read_or_refused(http: Site) -> None:
    """An extension or trailers without end cost memory in some parsers."""
    amount = next(amounts)
    for coded in (
        chunked(row(amount), extension=b";" + b"a" * 3_000_000),
        chunked(row(amount), trailers=b"".join(b"X-%d: a\r\n" % number for number in range(200_000))),
        chunked(row(amount), trailers=b"X: " + b"a" * 3_000_000 + b"\r\n"),
    ):
        with http.wire() as wire:
            try:
                wire.send(post_chunked(coded))
                answer = wire.answer()
            except (ConnectionError, Cut):
                continue  # it was refused while it came
            assert answer.status in (200, 400, 413, 431)
    assert http.predicts()


# --- answers that come piece by piece


def stream(count: int, *headers: str, version: str = "1.1") -> bytes:
    return with_body(b"0,%d\n" % count, *headers, version=version)


def piece(number: int) -> bytes:
    return b"%d" % (number % 10) * PIECE_BYTES + b"\n"


@pytest.fixture
def quiet(streams: Site) -> Site:
    """All its places are free."""

    def free() -> bool:
        with streams.wire() as first, streams.wire() as second:
            for wire in (first, second):
                wire.send(stream(1))
            return statuses([first.answer(), second.answer()]) == [200, 200]

    eventually(free)
    return streams


def test_a_stream_arrives_whole_and_the_next_request_follows(quiet: Site) -> None:
    """H-60."""
    with quiet.wire() as wire:
        wire.send(stream(5) + stream(2) + get("/gone"))
        for count in (5, 2):
            answer = wire.answer()
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.body == b"".join(map(piece, range(count)))
        assert wire.answer().status == 404


def test_http_1_0_gets_a_stream_until_the_connection_closes(quiet: Site) -> None:
    """It knows no chunks; and with keep-alive it could not see the end."""
    for headers in ((), ("Connection: keep-alive",)):
        [answer] = until_closed(quiet, stream(3, *headers, version="1.0"))
        assert answer.status == 200
        assert answer.headers["Transfer-Encoding"] is None
        assert answer.body == b"".join(map(piece, range(3)))


def test_a_slow_reader_gets_all_of_a_stream(quiet: Site) -> None:
    """And others are answered while it does not read."""
    with quiet.wire(4096) as wire:
        wire.send(stream(64) + get("/gone"))
        status, _ = wire.begin()
        assert status == 200
        for _ in range(5):
            assert quiet.ask(get()).status == 200
        assert quiet.ask(stream(2)).body == piece(0) + piece(1)
        assert b"".join(wire.chunks()) == b"".join(map(piece, range(64)))
        assert wire.answer().status == 404


def test_streams_hold_their_places_until_they_have_been_sent(quiet: Site) -> None:
    """H-47: of two places both are taken while two streams are read, and each is given back at its stream's end."""
    with quiet.wire(4096) as first, quiet.wire(4096) as second:
        for wire in (first, second):
            wire.send(stream(128))
            assert wire.begin()[0] == 200
        refused = quiet.ask(stream(1))
        assert refused.status == 503
        assert (code(refused), refused.headers["Retry-After"]) == ("overloaded", "1")
        assert sum(map(len, first.chunks())) == 128 * (PIECE_BYTES + 1)
        eventually(lambda: quiet.ask(stream(1)).status == 200)


def test_clients_that_leave_in_mid_stream_give_their_places_back(quiet: Site) -> None:
    """H-61: and the work ends."""
    count = next(amounts)
    for _ in range(3):
        with quiet.wire(4096) as first, quiet.wire(4096) as second:
            for wire in (first, second):
                wire.send(stream(count))
                assert wire.begin()[0] == 200
                assert next(wire.chunks())
        eventually(lambda: quiet.ask(stream(1)).status == 200)
    eventually(lambda: quiet.said.read_text().count(f"the stream {count} ends;") == 6)


def test_a_stream_that_fails_is_not_taken_for_a_complete_one(quiet: Site) -> None:
    """H-61: the connection ends before the last chunk, and the place is given back."""
    for _ in range(3):
        with quiet.wire() as wire:
            wire.send(stream(-2) + get("/gone"))
            assert wire.begin()[0] == 200
            with pytest.raises(Cut):
                list(wire.chunks())
    eventually(lambda: quiet.ask(stream(1)).status == 200)


def test_a_request_pipelined_behind_a_stream_waits_for_its_end(quiet: Site) -> None:
    with quiet.wire(4096) as wire:
        wire.send(stream(32) + get() + stream(1))
        assert wire.answer().body == b"".join(map(piece, range(32)))
        assert wire.answer().status == 200
        assert wire.answer().body == piece(0)
