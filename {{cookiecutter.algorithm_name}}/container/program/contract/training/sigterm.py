"""Template: what SIGTERM does to a training job: it asks for the model so far, then insists (P-21, P-27).

A thread does it, because Python's own handlers wait for native code to return.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

SECONDS = 8  # for train() to return once asked, and as many once interrupted: the platform kills after 120


class Stopped(BaseException):
    """Raised in ``train()`` where it was asked to return and did not. No ``except Exception`` catches it."""


class Stop:
    """Whether the job was told to end."""

    def __init__(self) -> None:
        self.asked = False
        """Whether the job is to end."""
        self.patient = False
        """Whether ``train()`` runs, which may yet return a model."""
        self._over = threading.Event()

    def watch(self, told: Callable[[], object]) -> None:
        """Wait for SIGTERM from now on, and call ``told`` when it comes."""
        self._inlet, self._outlet = socket.socketpair()
        self._outlet.setblocking(False)
        signal.set_wakeup_fd(self._outlet.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)  # the byte in the socket tells
        signal.signal(signal.SIGALRM, self._interrupt)
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=self._watch, args=[told], daemon=True).start()

    def over(self) -> None:
        """Nothing is to be interrupted any more: there is a model, and saving it takes no long."""
        self._over.set()

    def _watch(self, told: Callable[[], object]) -> None:
        while self._inlet.recv(1)[0] != signal.SIGTERM:
            pass
        self.asked = True
        told()
        print(f"SIGTERM: stopping; what train() returns within {SECONDS} seconds is saved", flush=True)
        if self._over.wait(SECONDS if self.patient else 0):
            return
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        if not self._over.wait(SECONDS):
            print("train() cannot be interrupted: ending without a model, checkpoints stay", flush=True)
            os._exit(0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._over.is_set():
            raise Stopped


def _forget() -> None:
    """A child that is terminated is no stop of the job: it must not write into the socket of its parent."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
