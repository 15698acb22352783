"""What the server does with algorithms that start slowly, keep threads, fail now and then, or were packed wrongly."""

import gzip
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from contract.api import Rows
from contract.errors import RequestError
from contract.schema import Schema
from contract.serving.crash_record import CrashRecord
from contract.serving.inference import Inference
from contract.serving.request import Answer, Head, Request
from contract.settings import Settings

from faults import ALGORITHM, HEAL, SOAK, Action, double, eventually, misbehaving, row, serving_with, workers
from programs import Server, docker, inspect, serving_here, started

# A plain WSGI server, without nginx and without our worker.
GTHREAD = "gunicorn --worker-class=gthread --threads=4 --bind=127.0.0.1:{port} --pythonpath={program} wsgi:app"


@contextmanager
def serving_algorithm(
    project: Path, folder: Path, source: str, under: str = "", columns: int = 2, **settings: str
) -> Iterator[Server]:
    """A server without a container for the algorithm ``source``, with one worker unless told otherwise."""
    mine = Path(shutil.copytree(project, folder / "mine"))
    (mine / "container/program/algorithm.py").write_text(source, encoding="utf-8")
    (folder / "model").mkdir()
    (folder / "model/columns").write_text(str(columns))
    settings = {"MODEL_SERVER_WORKERS": "1", **settings}
    with serving_here(mine, folder, folder / "serve.log", under=under, **settings) as server:
        yield server


def changed(old: str, new: str) -> str:
    """The misbehaving algorithm with one change."""
    assert ALGORITHM.count(old) == 1
    return ALGORITHM.replace(old, new)


# --- starting


def test_a_first_prediction_may_take_as_long_as_any(project: Path, tmp_path: Path) -> None:
    """H-05, H-12: a model that compiles itself. The long form takes longer than a fixed limit of gunicorn's would."""
    seconds = 35 if SOAK else 3
    slow = changed(
        "    if SICK.exists()", f"    if not DONE:\n        DONE.append(time.sleep({seconds}))\n    if SICK.exists()"
    )
    slow = slow.replace('SICK = Path("/tmp/sick")', 'SICK = Path("/tmp/sick")\nDONE = []')
    with serving_algorithm(project, tmp_path, slow) as server:
        assert server.predict(row(Action.NOTHING, 2)).body == double(2)


def test_a_server_that_is_stopped_before_it_is_ready_ends_in_order(image: str, tmp_path: Path) -> None:
    """P-22: while the example is predicted, too."""
    slow = changed("    if SICK.exists()", "    time.sleep(600)\n    if SICK.exists()")
    options = misbehaving(tmp_path)
    (tmp_path / "algorithm.py").write_text(slow, encoding="utf-8")
    with started(image, *options) as name:
        eventually(lambda: docker("logs", name).stdout.count("Booting worker") >= 2)
        docker("stop", "-t", "30", name)
        assert inspect(name, "{{.State.ExitCode}}") == "0"
        assert "Traceback" not in docker("logs", name).stdout


def test_a_replacement_that_cannot_start_is_tried_again_while_others_serve(image: str, tmp_path: Path) -> None:
    """H-09: the container goes on, and is whole again once the reason has passed."""
    with serving_with(image, *misbehaving(tmp_path), "--env=MODEL_SERVER_WORKERS=2") as server:
        docker("exec", server.container, "touch", "/tmp/sick")
        docker("exec", server.container, "sh", "-c", f"kill -9 {min(workers(server))}")
        eventually(lambda: server.logged().count("the model cannot predict the example") >= 2)
        assert len(workers(server)) >= 1
        docker("exec", server.container, *HEAL)
        eventually(lambda: len(workers(server)) == 2 and all(server.ask("/ping").status == 200 for _ in range(10)), 60)
        assert server.predict(row(Action.NOTHING, 2)).body == double(2)


THREADS = {
    "a pool of Python's": ("POOL.submit(int).result()", "POOL.submit(lambda: 2 * rows[:, 1]).result()"),
    "a native library's": (
        "STARTED.append(threading.Thread(target=threading.Event().wait, daemon=True)); STARTED[0].start()",
        "2 * rows[:, 1]",
    ),
}


@pytest.mark.parametrize("threads", THREADS)
def test_a_model_with_threads_is_loaded_in_each_worker(project: Path, tmp_path: Path, threads: str) -> None:
    """No thread survives a fork: a worker would wait for it forever."""
    start, answer = THREADS[threads]
    source = changed("    seconds = directory", f"    {start}\n    seconds = directory")
    source = source.replace("2 * rows[:, 1]", answer)
    source = source.replace("SICK = Path", "STARTED = []\nPOOL = ThreadPoolExecutor()\nSICK = Path")
    source = source.replace("import time\n", "import time\nfrom concurrent.futures import ThreadPoolExecutor\n")
    with serving_algorithm(project, tmp_path, source, MODEL_SERVER_WORKERS="2") as server:
        answers = [server.predict(row(Action.NOTHING, number)).body for number in range(20)]
        assert answers == [double(number) for number in range(20)]
        assert "load() in algorithm.py started 1 thread, which a fork would lose" in server.logged()


PACKED = {
    "a top folder": (
        "model holds only the folder 'model': pack only the files, with `tar -czf model.tar.gz -C model .`."
    ),
    "nothing": "model is empty: use the model.tar.gz of a training job, which holds the files that save() wrote.",
    "the archive itself": "model holds the archive 'model.tar.gz' itself: unpack it there.",
}


@pytest.mark.parametrize("mistake", PACKED)
def test_a_model_that_was_packed_wrongly_is_told_in_one_sentence(image: str, tmp_path: Path, mistake: str) -> None:
    """H-09, L-06: it says what is there and how to pack it, and no traceback hides that."""
    if mistake == "a top folder":
        (tmp_path / "model").mkdir()
        (tmp_path / "model/model.onnx").touch()
    elif mistake == "the archive itself":
        tarfile.open(tmp_path / "model.tar.gz", "w:gz").close()
    done = docker("run", "--rm", f"--volume={tmp_path}:/opt/ml/model:ro", image, "serve")
    assert done.returncode == 1
    messages = [json.loads(line)["message"] for line in (done.stdout + done.stderr).splitlines()]
    assert messages[-1] == f"The model cannot be loaded: /opt/ml/{PACKED[mistake]}"
    assert "Traceback" not in done.stdout + done.stderr


def test_a_column_that_predict_does_not_return_ends_the_start(image: str, tmp_path: Path) -> None:
    """P-35: else each request would be answered 406."""
    options = [*misbehaving(tmp_path), "--env=SAGEMAKER_INFERENCE_OUTPUT=nocol"]
    done = docker("run", "--rm", *options, image, "serve")
    assert done.returncode == 1
    sentence = (
        "SAGEMAKER_INFERENCE_OUTPUT names the column 'nocol', which predict() does not return: it returns double."
    )
    assert sentence in done.stdout + done.stderr


# --- predictions that fail


def requests(*rows: bytes) -> list[Request]:
    return [Request(Head.read({b"content-type": b"text/csv"}), body, 0.0) for body in rows]


def directly(places: Sequence[int], function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


NUMBER = Schema(["number"], lambda model, rows: None)


class Counting:
    """An algorithm in memory that fails for negative numbers and counts its calls."""

    Hyperparameters = None
    calls = 0

    def predict(self, model: object, rows: Rows) -> dict[str, Rows]:
        self.calls += 1
        if (rows < 0).any():
            raise ValueError("negative")
        return {"double": 2 * rows[:, 0]}


@pytest.mark.parametrize(("bad", "most_calls"), [((), 1), ((5,), 13), ((63,), 13), ((0, 40), 67), (range(64), 67)])
def test_bad_requests_are_found_among_many_with_few_predictions(bad: tuple[int, ...], most_calls: int) -> None:
    """One that fails costs a few calls, many never more than one by one would; each answer comes when it is ready."""
    algorithm: Any = Counting()
    inference = Inference(algorithm, None, NUMBER, Settings.from_environment())
    bodies = [b"-1" if number in bad else b"%d" % number for number in range(64)]
    found: dict[int, Answer] = {}
    calls_at_answer = []
    for answers in inference.answers(requests(*bodies), directly):
        calls_at_answer.append(algorithm.calls)
        found |= dict(answers)
    assert sorted(found) == list(range(64))
    for number, answer in found.items():
        assert isinstance(answer.error, ValueError) if number in bad else answer.body == b"%.1f\n" % (2 * number)
    assert algorithm.calls <= most_calls
    assert len(set(calls_at_answer)) == len(calls_at_answer)


def test_a_request_that_cannot_be_read_costs_no_prediction() -> None:
    algorithm: Any = Counting()
    inference = Inference(algorithm, None, NUMBER, Settings.from_environment())
    [[(place, answer)]] = inference.answers(
        requests(b"many"), lambda places, function, *arguments: function(*arguments)
    )
    assert place == 0
    assert isinstance(answer.error, RequestError)
    assert algorithm.calls == 0


def test_each_prediction_has_the_whole_time_limit(project: Path, tmp_path: Path) -> None:
    """H-12: where one of many fails, the others' predictions one after the other may take longer in all."""
    slow = changed("    for action", "    time.sleep(0.25)\n    for action")
    with (
        serving_algorithm(project, tmp_path, slow, MODEL_SERVER_TIMEOUT="2") as server,
        ThreadPoolExecutor(48) as clients,
    ):
        bodies = [row(Action.RAISE if number % 8 == 0 else Action.NOTHING, number) for number in range(48)]
        answers = list(clients.map(server.predict, bodies))
        assert Counter(answer.status for answer in answers) == {200: 42, 500: 6}
        assert all(answer.body == double(n) for n, answer in enumerate(answers) if answer.status == 200)
        assert "this worker is replaced" not in server.logged()


def test_a_failure_that_has_passed_is_forgotten_under_load(project: Path, tmp_path: Path) -> None:
    """H-05: any prediction that works shows that the model is well, however many requests wait."""
    sick = tmp_path / "sick"
    source = changed('Path("/tmp/sick")', f"Path({str(sick)!r})")
    stop = Event()

    def load(server: Server) -> None:
        while not stop.is_set():
            server.predict(row(Action.NOTHING, 1))

    with serving_algorithm(project, tmp_path, source) as server, ThreadPoolExecutor(8) as clients:
        for _ in range(8):
            clients.submit(load, server)
        try:
            sick.touch()
            eventually(lambda: server.ask("/ping").status == 503)
            sick.unlink()
            eventually(lambda: server.ask("/ping").status == 200)
        finally:
            stop.set()


def test_a_prediction_that_hangs_is_ended_under_any_wsgi_server(project: Path, tmp_path: Path) -> None:
    """H-12, H-47: the request is told so, and its process is replaced."""
    with serving_algorithm(project, tmp_path, ALGORITHM, under=GTHREAD, MODEL_SERVER_TIMEOUT="1") as server:
        answer = server.predict(row(Action.BLOCK))
        assert (answer.status, answer.message) == (503, "the prediction took longer than MODEL_SERVER_TIMEOUT allows")
        eventually(lambda: answers(server))


def answers(server: Server) -> bool:
    try:
        return server.predict(row(Action.NOTHING, 1)).body == double(1)
    except OSError:
        return False


def test_flasks_own_errors_have_their_own_codes(project: Path, tmp_path: Path) -> None:
    """H-55: a mistake of the server's is not taken for an unknown path."""
    with serving_algorithm(project, tmp_path, ALGORITHM, under=GTHREAD, MODEL_SERVER_BODY_MB="1") as server:
        answer = server.predict(b"1,2\n" * 400_000)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "too_large")


# --- the crash record


def test_the_crash_record_counts_predictions_that_were_begun_and_never_ended() -> None:
    """Whatever the number of workers, an entry is found by the request's id alone."""
    record = CrashRecord()
    first, second = "0123456789abcdef" * 2, "012fffffffffffff" * 2
    record.begin([first, second])
    record.begin([first])
    assert [record.deaths(first), record.deaths(second)] == [2, 1]
    record.end([first])
    assert [record.deaths(first), record.deaths(second)] == [0, 1]


def test_the_crash_record_keeps_the_newest_of_very_many_ids() -> None:
    record = CrashRecord()
    ids = [f"{number:032x}" for number in range(100)]  # all in one place
    record.begin(ids)
    assert record.deaths(ids[-1]) == 1
    assert sum(map(record.deaths, ids)) == 8


@pytest.mark.parametrize("id_", ["", "x" * 32, "-12" + "0" * 29, "é" * 32, "0" * 33, " 12" + "0" * 29])
def test_ids_that_are_not_nginxs_are_not_recorded(id_: str) -> None:
    """Without nginx a client may send any id, and the same one twice."""
    record = CrashRecord()
    record.begin([id_, id_])
    assert record.deaths(id_) == 0
    record.end([id_])


# --- bodies


def test_a_body_that_packs_very_well_is_unpacked(project: Path, tmp_path: Path) -> None:
    """H-29: one-hot columns do. Only the unpacked size is limited."""
    body = b"0,1," + b",".join([b"0"] * 998) + b"\n"
    packed = gzip.compress(body * 2000)
    assert len(packed) * 300 < len(body) * 2000
    with serving_algorithm(project, tmp_path, ALGORITHM, columns=1000) as server:
        answer = server.predict(packed, Content_Encoding="gzip")
        assert (answer.status, answer.body.count(b"\n")) == (200, 2000)


# --- the log


def test_every_answer_is_logged_with_its_trace(project: Path, tmp_path: Path) -> None:
    """P-53: also of paths and methods that do not exist."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with serving_algorithm(project, tmp_path, ALGORITHM) as server:
        asked = [server.ask("/nope", traceparent=trace), server.ask("/invocations", traceparent=trace)]
        asked.append(server.predict(row(Action.NOTHING, 1), traceparent=trace))
        ids = [answer.headers["x-request-id"] for answer in asked]
        eventually(lambda: all(id_ in server.logged() for id_ in ids))
        events = {event.get("id"): event for event in map(json.loads, server.logged().splitlines())}
    assert [(events[id_]["status"], events[id_]["traceparent"]) for id_ in ids] == [(s, trace) for s in (404, 405, 200)]
    assert all({"time", "level"} <= set(event) for event in events.values())


def test_metrics_tell_of_workers_that_were_replaced(image: str, tmp_path: Path) -> None:
    """M-50."""
    options = [*misbehaving(tmp_path), "--env=MODEL_SERVER_WORKERS=2", "--env=MODEL_SERVER_METRICS=true"]
    with serving_with(image, *options, "--env=IMAGE_REVISION=abc123") as server:
        eventually(lambda: "model_workers 2.0" in metrics(server))
        assert "model_worker_restarts_total 0.0" in metrics(server)
        docker("exec", server.container, "sh", "-c", f"kill -9 {min(workers(server))}")
        eventually(lambda: "model_worker_restarts_total 1.0" in metrics(server))
        eventually(lambda: "model_workers 2.0" in metrics(server))
        assert 'served_by="abc123"' in metrics(server)


def metrics(server: Server) -> str:
    return server.ask("/metrics").body.decode()
