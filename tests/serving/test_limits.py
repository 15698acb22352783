"""What the server does where it is asked for more than it can give, and in places that give it little."""

import asyncio
import gzip
import importlib
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from contract.api import Rows

from faults import (
    SOAK,
    Action,
    Client,
    Connection,
    Tally,
    beside,
    double,
    eventually,
    load,
    misbehaving,
    quantile,
    record,
    request,
    row,
    serving_with,
    workers,
)
from forms import long_after
from programs import Answer, Server, docker, inspect, lay_out

WORKERS, QUEUE, TIMEOUT = 2, 8, 2
SMALL = {
    "MODEL_SERVER_WORKERS": WORKERS, "MODEL_SERVER_QUEUE": QUEUE, "MODEL_SERVER_TIMEOUT": TIMEOUT,
    "MODEL_SERVER_BATCH": 1, "MODEL_SERVER_BODY_MB": 1,
}  # fmt: skip
WITHOUT_NGINX = "--volume=/dev/null:/usr/sbin/nginx:ro"
ANYWHERE = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--user=12345:54321"]


def variables(values: dict[str, int]) -> list[str]:
    return [f"--env={name}={value}" for name, value in values.items()]


@pytest.fixture(scope="module", params=["nginx", "gunicorn alone"])
def small(request: pytest.FixtureRequest, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all limits set low, behind nginx and without."""
    options = [*misbehaving(tmp_path_factory.mktemp("small")), *variables(SMALL)]
    if request.param != "nginx":
        options.append(WITHOUT_NGINX)
    with serving_with(image, *options) as server:
        yield server


@pytest.fixture(scope="module")
def plain(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with no setting but two workers."""
    with serving_with(image, *misbehaving(tmp_path_factory.mktemp("plain")), "--env=MODEL_SERVER_WORKERS=2") as server:
        yield server


def ask_at_once(server: Server, requests: list[bytes]) -> list[tuple[Answer, float]]:
    """The answers to requests that are sent at the same time, each on a connection of its own, and their times."""
    answers: list[tuple[Answer, float]] = []

    async def ask(sent: bytes) -> tuple[Answer, float]:
        connection = await Connection.open(server)
        began = time.monotonic()
        try:
            return await connection.ask(sent), time.monotonic() - began
        finally:
            await connection.close()

    async def ask_all() -> None:
        answers.extend(await asyncio.gather(*map(ask, requests)))

    with beside(ask_all()):
        pass
    return answers


def ask(server: Server, sent: bytes) -> Answer:
    [(answer, _)] = ask_at_once(server, [sent])
    return answer


# --- more than it can do


def test_a_full_queue_refuses_at_once(small: Server) -> None:
    """H-45, H-47, H-55: 503 and not 429, when to come back, and the reason; what was admitted is answered."""
    answers = ask_at_once(small, [request(row(Action.SLEEP, 0.2))] * 60)
    good = [answer for answer, _ in answers if answer.status == 200]
    refusals = [answer for answer, _ in answers if answer.status != 200]
    slowest = max(seconds for answer, seconds in answers if answer.status != 200)
    record("full queue", answered=len(good), refused=len(refusals), slowest_refusal_ms=round(1000 * slowest))
    assert len(good) >= QUEUE
    assert {answer.body for answer in good} == {double(0.2)}
    assert {answer.status for answer in refusals} == {503}
    assert {answer.headers["Retry-After"] for answer in refusals} == {"1"}
    assert {code(answer) for answer in refusals} == {"overloaded"}
    assert slowest < 2


def code(answer: Answer) -> str:
    assert answer.message
    return str(json.loads(answer.body)["error"]["code"])


@pytest.mark.parametrize("action", long_after(1, [Action.SLEEP, Action.BURN]))
def test_ten_times_the_load_costs_little_of_what_is_answered(image: str, tmp_path: Path, action: Action) -> None:
    """H-47: predictions that wait, and predictions that need the processor the refusals need too."""
    seconds, lasting, amount = 0.04, 20.0 if SOAK else 4.0, iter(range(10**9))

    def body(_: int) -> tuple[bytes, bytes]:
        value = seconds + next(amount) / 2**40
        return row(action, value), double(value)

    with serving_with(image, *misbehaving(tmp_path), *variables(SMALL), "--cpus=1") as server:
        peak, _ = goodput(server, [Client(body)] * 8, lasting)
        capacity = peak / lasting
        clients = round(10 * capacity * 0.2)  # each sends five requests a second
        under_load, tally = goodput(server, [Client(body, think=0.2)] * clients, lasting)
    record(f"goodput {action.name}", peak=round(capacity, 1), offered=round(tally.sent / lasting, 1),
           under_load=round(under_load / lasting, 1), ratio=round(under_load / peak, 2), **tally.figures())  # fmt: skip
    assert not tally.lost
    assert not tally.wrong
    assert not tally.shapeless
    assert set(tally.statuses) == {200, 503}
    assert under_load >= (0.8 if SOAK else 0.5) * peak


def goodput(server: Server, clients: list[Client], seconds: float) -> tuple[int, Tally]:
    """How many predictions these clients get in this time, once they are under way."""
    with load(server, clients) as tally:
        time.sleep(1)
        before = tally.statuses[200]
        time.sleep(seconds)
        after = tally.statuses[200]
    return after - before, tally


def test_clients_that_send_a_byte_a_second_cost_no_worker(plain: Server) -> None:
    """H-07, H-10."""
    count, lasting = 500, 45 if SOAK else 5  # after 60 they would be told that they are too slow
    sent = request(row(Action.NOTHING, 1))
    stop = Event()
    opened: list[Connection] = []

    async def trickle() -> None:
        connection = await Connection.open(plain, 20)
        opened.append(connection)
        for byte in sent:
            connection.writer.write(bytes([byte]))
            await asyncio.sleep(1)
            if stop.is_set():
                break
        await connection.close()

    async def trickle_all() -> None:
        await asyncio.gather(*(trickle() for _ in range(count)))

    def usual(number: int) -> tuple[bytes, bytes]:
        return row(Action.NOTHING, number), double(number)

    with load(plain, [Client(usual, think=0.01)] * 4) as alone:
        time.sleep(2)
    with beside(trickle_all()):
        eventually(lambda: len(opened) == count)
        with load(plain, [Client(usual, think=0.01)] * 4) as tally:
            time.sleep(lasting)
        stop.set()
    record("slow clients", slow=count, p50_ms=round(1000 * quantile(tally.seconds, 0.5), 1),
           p99_ms=round(1000 * quantile(tally.seconds, 0.99), 1),
           p99_ms_without=round(1000 * quantile(alone.seconds, 0.99), 1), **tally.figures())  # fmt: skip
    assert tally.answered > 50
    assert set(tally.statuses) == {200}
    assert not tally.lost
    assert not tally.wrong


def test_a_flood_of_large_bodies_stays_within_the_memory(image: str, tmp_path: Path) -> None:
    """H-13, P-51; V-32, V-41: whatever is not admitted is refused, and the kernel kills nobody."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((65_536, 32)))
    body = buffer.getvalue()
    sent = request(body, "application/x-npy")
    options = [*misbehaving(tmp_path, columns="32"), "--memory=512m", "--memory-swap=512m"]
    options.append("--env=MODEL_SERVER_BODY_MB=32")  # by default it takes less
    statuses: list[int] = []

    async def flood(server: Server) -> None:
        for _ in range(5 if SOAK else 2):
            connection = await Connection.open(server)
            try:
                statuses.append((await connection.ask(sent)).status)
            finally:
                await connection.close()

    async def flood_all(server: Server) -> None:
        await asyncio.gather(*(flood(server) for _ in range(24)))

    with serving_with(image, *options) as server:
        with beside(flood_all(server)):
            pass
        peak = int(docker("exec", server.container, "cat", MEMORY_PEAK).stdout or 0)
        record("flood", megabytes=len(body) // 2**20, peak_megabytes=peak // 2**20,
               statuses={status: statuses.count(status) for status in set(statuses)})  # fmt: skip
        assert kills(server) == 0
        assert server.ask("/ping").status == 200
    assert 200 in statuses
    assert set(statuses) <= {200, 413, 503}


MEMORY_PEAK = "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"


def kills(server: Server) -> int:
    """How many processes the kernel has killed for want of memory."""
    files = "/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control"
    text = docker("exec", server.container, "sh", "-c", f"cat {files} 2>/dev/null").stdout
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def test_two_hundred_requests_leave_the_memory_as_it_was(image: str, tmp_path: Path) -> None:
    """P-51; V-41: in 512 MB."""
    requests = 20_000 if SOAK else 400
    options = [*misbehaving(tmp_path), *ANYWHERE, "--memory=512m", "--memory-swap=512m"]
    with serving_with(image, *options) as server:
        sizes = []
        for _ in range(3):
            for number in range(requests // 2):
                assert server.predict(row(Action.NOTHING, number)).status == 200
            sizes.append(resident(server))
        record("memory", requests=requests, megabytes=[size // 2**20 for size in sizes])
        assert kills(server) == 0
    assert sizes[2] < 1.1 * sizes[1]


def resident(server: Server) -> int:
    """The bytes of all processes' own memory."""
    script = "grep -h '^RssAnon' /proc/[0-9]*/status"
    lines = docker("exec", server.container, "sh", "-c", script).stdout.splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines)


# --- settings


def test_a_body_over_the_limit_is_refused(small: Server) -> None:
    """H-13, H-15, H-55, P-35; V-32: by its length, while it comes in pieces, and once it is unpacked."""
    line = row(Action.NOTHING, 1)
    under, over = (line * (size // len(line)) for size in (2**20, 2**20 + 100_000))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (over[:500_000], over[500_000:])) + b"0\r\n\r\n"
    chunked = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    packed = request(gzip.compress(over), "text/csv", "Content-Encoding: gzip")
    assert ask(small, request(under)).body == double(1) * under.count(b"\n")
    for sent in (request(over), chunked, packed):
        answer = ask(small, sent)
        assert (answer.status, code(answer)) == (413, "too_large")
        assert answer.message.startswith("the body is over 1")
        assert answer.message.endswith(": send less, or raise MODEL_SERVER_BODY_MB")


def test_a_prediction_over_the_limit_is_ended(small: Server) -> None:
    """H-12, H-47, P-35: behind nginx the other requests are answered meanwhile."""
    late: list[Answer] = []
    asking = Thread(target=lambda: late.append(ask(small, request(row(Action.SLEEP, 2 * TIMEOUT + 1)))))
    asking.start()
    time.sleep(0.5)
    if "nginx" in docker("top", small.container).stdout:
        answers = [ask(small, request(row(Action.NOTHING, number))) for number in range(50)]
        assert [answer.body for answer in answers] == [double(number) for number in range(50)]
    asking.join()
    assert (late[0].status, code(late[0]), late[0].headers["Retry-After"]) == (503, "timeout", "1")
    eventually(lambda: len(workers(small)) == WORKERS)


def test_batch_transform_is_told_what_it_may_ask_for(small: Server, plain: Server) -> None:
    """B-02, B-03, B-04, B-05: without BatchStrategy, whose spelling in AWS's documents the SDKs refuse."""
    for server, megabytes in ((small, 1), (plain, 6)):
        told = json.loads(server.ask("/execution-parameters").body)
        assert told == {"MaxConcurrentTransforms": WORKERS, "MaxPayloadInMB": megabytes}
        assert told["MaxConcurrentTransforms"] * told["MaxPayloadInMB"] <= 100


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "99999"), ("MODEL_SERVER_WORKERS", "two"), ("MODEL_SERVER_THREADS", "0"),
        ("MODEL_SERVER_TIMEOUT", "3601"), ("MODEL_SERVER_QUEUE", "-1"), ("MODEL_SERVER_BATCH", "1.5"),
        ("MODEL_SERVER_BODY_MB", "6MB"), ("MODEL_SERVER_METRICS", "maybe"),
    ],
)  # fmt: skip
def test_a_bad_value_of_any_variable_ends_serve_with_one_sentence(image: str, variable: str, text: str) -> None:
    """P-35; V-40."""
    done = docker("run", "--rm", f"--env={variable}={text}", image, "serve")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert json.loads(line)["message"].startswith(f"serve: {variable} is '{text}': give ")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--cpus=1"], 1),
        (["--cpus=0.5", "--memory=512m"], 1),
        (["--cpuset-cpus=0"], 1),
        (["--memory=150m"], 1),
        (["--cpus=0.5", "--memory=512m", "--env=MODEL_SERVER_WORKERS=3"], 3),
    ],
)
def test_there_are_as_many_workers_as_processors_and_memory_allow(
    image: str, tmp_path: Path, options: list[str], count: int
) -> None:
    """P-50, P-51, M-30, S-06; V-40: a quota is also what limits an inference component."""
    with serving_with(image, *misbehaving(tmp_path), *options) as server:
        eventually(lambda: len(workers(server)) == count)
        assert server.predict(row(Action.NOTHING, 1)).body == double(1)


@pytest.mark.parametrize(
    "options",
    [["--tmpfs=/dev/shm:ro"], ["--shm-size=4k"], ["--cpus=0.5", "--memory=512m", "--memory-swap=512m"]],
    ids=["no shared memory", "no room in shared memory", "half a processor"],
)
def test_it_serves_anywhere(image: str, tmp_path: Path, options: list[str]) -> None:
    """P-20, P-42, S-03, S-04, S-05; V-20, V-21, V-41: as any user, with nothing to write to but /tmp."""
    with serving_with(image, *misbehaving(tmp_path), *ANYWHERE, *options) as server:
        for number in range(200):
            assert server.predict(row(Action.NOTHING, number)).body == double(number)
        assert "denied" not in server.logged()
        assert kills(server) == 0
        docker("stop", "-t", "30", server.container)
        assert inspect(server.container, "{{.State.ExitCode}}") == "0"


def test_a_long_prediction_is_waited_for_where_that_is_allowed(image: str, tmp_path: Path) -> None:
    """H-11, H-12, A-04; V-33."""
    seconds, limit = (90.0, 120) if SOAK else (3.0, 6)
    options = [*misbehaving(tmp_path), f"--env=MODEL_SERVER_TIMEOUT={limit}"]
    with serving_with(image, *options) as server:
        [(answer, took)] = ask_at_once(server, [request(row(Action.SLEEP, seconds))])
    record("long prediction", seconds=round(took, 1))
    assert (answer.status, answer.body) == (200, double(seconds))


def test_no_request_waits_for_a_busy_worker_while_another_is_free(plain: Server) -> None:
    """H-47: one slow prediction, and quick ones one after the other; nginx's own turns would send some behind it."""
    slow: list[Answer] = []
    asking = Thread(target=lambda: slow.append(plain.predict(row(Action.SLEEP, 3))))
    asking.start()
    time.sleep(0.5)  # until it has begun, which nobody can see from outside
    quick = [plain.predict(row(Action.NOTHING, number)).body for number in range(12)]
    waited = bool(slow)
    asking.join()
    assert quick == [double(number) for number in range(12)]
    assert not waited
    assert [answer.body for answer in slow] == [double(3)]


def test_an_idle_connection_is_used_again(plain: Server) -> None:
    """H-14; V-34."""
    answers: list[Answer] = []

    async def ask_twice() -> None:
        connection = await Connection.open(plain)
        try:
            answers.append(await connection.ask(request(row(Action.NOTHING, 1))))
            await asyncio.sleep(60 if SOAK else 6)
            assert not connection.closed
            answers.append(await connection.ask(request(row(Action.NOTHING, 2))))
        finally:
            await connection.close()

    with beside(ask_twice()):
        pass
    assert [answer.body for answer in answers] == [double(1), double(2)]


# --- no cross-talk


def test_no_request_gets_the_answer_of_another(image: str, project: Path, tmp_path: Path) -> None:
    """H-16, H-42, H-58; V-51: two clients, 500 requests each over four connections, every fourth with a mistake."""
    tree = lay_out(tmp_path, project)
    assert docker("run", "--rm", f"--volume={tree}:/opt/ml", image, "train").returncode == 0
    algorithm = importlib.import_module("algorithm")
    model = algorithm.load(tree / "model")
    rows = np.loadtxt(project / "data/predict.csv", delimiter=",", skiprows=1)
    expected = algorithm.predict(model, rows)
    options = [f"--volume={tree / 'model'}:/opt/ml/model:ro", "--env=MODEL_SERVER_WORKERS=1"]
    options.append("--env=SAGEMAKER_INFERENCE_OUTPUT=all")
    connections, each = 8, 2500 if SOAK else 125
    done: list[str] = []

    async def client(server: Server, seed: int) -> None:
        chance = random.Random(seed)
        connection = await Connection.open(server)
        try:
            for number in range(each):
                if connection.last:  # nginx parts after a thousand requests
                    await connection.close()
                    connection = await Connection.open(server)
                chosen = [chance.randrange(len(rows)) for _ in range(chance.randint(1, 12))]
                if number % 4 == 3:
                    broken = chance.randrange(len(chosen))
                    answer = await connection.ask(request(csv_of(rows[chosen], broken)))
                    assert answer.status == 400
                    assert answer.message == f"row {broken + 1}, column 'mean_area' is not a finite number"
                    done.append("bad")
                    continue
                answer = await connection.ask(request(csv_of(rows[chosen])))
                assert answer.status == 200
                lines = [line.split(",") for line in answer.body.decode().splitlines()]
                assert [line[0] for line in lines] == [expected["label"][index] for index in chosen]
                for position, name in enumerate(list(expected)[1:], 1):
                    values = [float(line[position]) for line in lines]
                    assert values == pytest.approx([expected[name][index] for index in chosen], abs=1e-6)
                done.append("good")
        finally:
            await connection.close()

    async def all_clients(server: Server) -> None:
        await asyncio.gather(*(client(server, seed) for seed in range(connections)))

    with serving_with(image, *options) as server:
        with beside(all_clients(server)):
            pass
        events = [json.loads(line) for line in server.logged().splitlines() if '"id"' in line]
    together = sum(event.get("together", 1) > 1 for event in events)
    record("cross-talk", good=done.count("good"), bad=done.count("bad"), predicted_together=together)
    assert len(done) == connections * each
    assert together > each


def csv_of(rows: Rows, broken: int | None = None) -> bytes:
    lines = [[repr(float(value)) for value in values] for values in rows]
    if broken is not None:
        lines[broken][3] = "many"
    return "\n".join(",".join(line) for line in lines).encode()
