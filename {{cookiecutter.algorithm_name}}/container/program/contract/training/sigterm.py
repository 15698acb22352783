"""Template: on SIGTERM a training job is asked for the model so far, then ended in time (P-21, P-27).

A thread waits for the signal, because Python's own handlers run only once native code has returned.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import FrameType

from contract.errors import counted

DEFAULT_SECONDS = 110  # SageMaker kills the process 120 seconds after SIGTERM
SHARE_OF_TRAIN = 0.8  # of these seconds; the rest is for saving the model


class Stopped(BaseException):
    """Raised in ``train()`` if it does not return in time. No ``except Exception`` catches it."""


class Phase(Enum):
    """How far the job has come. The value is the last line of the log if the job is cut off there."""

    STARTING = "algorithm.py cannot be interrupted: ending without a model, checkpoints are kept"
    TRAINING = "train() cannot be interrupted: ending without a model, checkpoints are kept"
    SAVING = "The model was not saved in time: ending without a model, checkpoints are kept"
    SAVED = "The process did not end by itself: ending, the model is saved"
    FOLLOWING = "The leader did not say in time how the job ended: ending"


class Stop:
    """Whether the job was told to end, and how far it has come."""

    def __init__(self) -> None:
        self.asked = False
        self.phase = Phase.STARTING
        self.seconds = DEFAULT_SECONDS

    def watch(self, when_asked: Callable[[], object], when_cut_off: Callable[[], object]) -> None:
        """Wait for SIGTERM from now on. The callbacks run in another thread."""
        self._inlet, self._outlet = socket.socketpair()
        self._outlet.setblocking(False)
        signal.set_wakeup_fd(self._outlet.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)  # Python writes the signal's number to the socket.
        signal.signal(signal.SIGALRM, self._interrupt)
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=self._watch, args=[when_asked, when_cut_off], daemon=True).start()

    def _watch(self, when_asked: Callable[[], object], when_cut_off: Callable[[], object]) -> None:
        while self._inlet.recv(1)[0] != signal.SIGTERM:
            pass
        begun, seconds_to_return = time.monotonic(), SHARE_OF_TRAIN * self.seconds
        self.asked = True
        when_asked()
        saved = f"; the model is saved if train() returns it within {counted(round(seconds_to_return), 'second')}"
        print(f"SIGTERM: stopping{saved if self.phase is Phase.TRAINING else ''}", flush=True)
        while self.phase is Phase.TRAINING and time.monotonic() < begun + seconds_to_return:
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        time.sleep(max(0, begun + self.seconds - time.monotonic()))
        when_cut_off()
        print(self.phase.value, flush=True)
        os._exit(0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.phase in (Phase.STARTING, Phase.TRAINING):
            raise Stopped


def _forget() -> None:
    """Undo ``watch`` in a child process: ending one must not look like stopping the job."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
