"""Another program on the port, and another operating system: one sentence, or no difference."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from answering import Handler, served
from projects import make, run


class Page(Handler):
    """Answers everything with a page."""

    status, page, kind = 200, b"<html>Welcome</html>", "text/html"

    def do_GET(self) -> None:
        self.body()
        self.answer(self.status, self.page, {"Content-Type": self.kind})

    do_POST = do_GET


class Refusal(Page):
    status, page = 405, b"<h1>Method not allowed</h1>"


class Json(Page):
    status, page, kind = 400, b'{"error": "no such thing"}', "application/json"


class Unreadable(Page):
    status, page, kind = 400, b'{"error": ', "application/json"


@contextmanager
def paged(handler: type[Page]) -> Iterator[int]:
    with served(handler) as address:
        yield int(address.rpartition(":")[2])


@contextmanager
def spoken(words: bytes) -> Iterator[int]:
    """A program that is no web server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                clients.append(client)
                client.sendall(words)

        clients: list[socket.socket] = []
        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for client in clients:
            client.close()


PROGRAMS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "a page": lambda: paged(Page),
    "a refusal": lambda: paged(Refusal),
    "other JSON": lambda: paged(Json),
    "broken JSON": lambda: paged(Unreadable),
    "no HTTP": lambda: spoken(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "silence": lambda: spoken(b""),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_predictions_are_not_taken_from_another_program(mine: Path, program: str) -> None:
    with PROGRAMS[program]() as port:
        done = make(mine, "predict", PORT=str(port))
    assert done.returncode != 0
    assert done.stdout == ""
    sentence, _ = done.stderr.splitlines()  # and what make says
    assert sentence == (
        f"Another program is on port {port}: choose another port for `make serve` and `make predict`, "
        f"such as PORT={port + 1}."
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_port_in_use_is_named_on_whichever_address_it_is(mine: Path, address: str) -> None:
    (mine / "opt_ml/model").mkdir(parents=True)
    (mine / "opt_ml/model/any.bin").touch()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no address {address}")
    with listener:
        port = listener.getsockname()[1]
        done = make(mine, "serve", DOCKER="no", PORT=str(port))
    assert done.returncode != 0
    sentence, _ = done.stderr.splitlines()
    assert sentence == f"Port {port} is in use: choose another, such as PORT={port + 1}."


def test_a_notebook_needs_nothing_that_windows_lacks(mine: Path) -> None:
    """A Python without the modules that only Unix has stands for Windows."""
    cells = """
import sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
import local.__main__
from local import job, model, predict
import algorithm, pandas
trained = algorithm.train(job(n_estimators=3))
print(len(predict(pandas.read_csv("data/predict.csv"), trained)))
"""
    done = run(mine, sys.executable, "-c", cells)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "52"
