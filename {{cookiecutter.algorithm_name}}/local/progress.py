"""Template: shows a build in few lines: each step that takes time, and how long it took."""

import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, NamedTuple

LENGTH = 90  # of a step's line
SECONDS = 0.5  # of silence until the running step is shown; a faster step is not shown


class Build(NamedTuple):
    """A build that has ended."""

    log: str
    status: int
    told: bool
    """Whether any step took time."""


class Progress:
    """Shows the steps of a build, from the output of either builder."""

    def __init__(self) -> None:
        self.told = False
        self._steps: dict[str, tuple[str, float]] = {}  # number → the step, and when it started
        self._named = ""  # the number of the step at the end of an unfinished line
        self._ended: list[str] = []  # the lines of steps that have ended since

    def line(self, text: str) -> None:
        """Read a line of the builder."""
        if found := re.match(r"#(\d+) (.*)", text):  # from BuildKit, which runs several steps at a time
            self._event(found[1], found[2])
        elif found := re.match(r"Step (\d+)/\d+ : (.*)", text):
            self._done_all()
            self._steps[found[1]] = found[2], time.monotonic()
        elif text.startswith(" ---> Using cache"):
            self._steps.clear()
        elif text.startswith("Successfully built"):
            self._done_all()

    def idle(self) -> None:
        """Show the step that is running, when nothing has been printed for a while."""
        for number, (step, began) in self._steps.items():
            if not self._named and time.monotonic() - began > SECONDS:
                self._named = number
                self._print(f"  {shown(step)} ... ")

    def end(self) -> None:
        """End an unfinished line."""
        if self._named:
            self._end_line("\n")

    def _event(self, number: str, text: str) -> None:
        if re.match(r"DONE|CACHED|ERROR|CANCELED", text):
            self._done(number)
        elif number not in self._steps and not re.match(r"\[internal\]|\[auth\]|building with|\d", text):
            self._steps[number] = text, time.monotonic()
        else:
            self.idle()

    def _done_all(self) -> None:
        for number in list(self._steps):
            self._done(number)

    def _done(self, number: str) -> None:
        step, began = self._steps.pop(number, ("", time.monotonic()))
        took = time.monotonic() - began
        if number == self._named:
            self._end_line(f"{took:.1f} s\n")
        elif took > SECONDS:
            line = f"  {shown(step)} ... {took:.1f} s\n"
            if self._named:
                self._ended.append(line)
            else:
                self._print(line)

    def _end_line(self, text: str) -> None:
        self._print("".join([text, *self._ended]))
        self._named = ""
        self._ended.clear()

    def _print(self, text: str) -> None:
        self.told = True
        print(text, end="", file=sys.stderr, flush=True)


def shown(step: str) -> str:
    """A step in one line of bounded length."""
    line = " ".join(re.sub(r"--mount=\S+", "", step).split())
    return line if len(line) <= LENGTH else line[: LENGTH - 3] + "..."


def follow(command: list[str]) -> Build:
    """Run ``command``, a build, and show its steps on stderr."""
    log: list[str] = []
    progress = Progress()
    merged = subprocess.STDOUT
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=merged, text=True, errors="replace") as process:
        for text in _lines(process.stdout):
            if text:
                log.append(text)
                progress.line(text)
            else:
                progress.idle()
    progress.end()
    return Build("".join(log), process.returncode, progress.told)


def _lines(output: IO[str] | None) -> Iterator[str]:
    """The lines as they come, and an empty line whenever none came for a while."""
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in output or ():
            waiting.put(line)
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = waiting.get(timeout=SECONDS)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line
