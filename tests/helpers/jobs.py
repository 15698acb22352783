"""A training job under way: its output, its end, and changes to its algorithm."""

import contextlib
import signal
import subprocess
from pathlib import Path

import pytest


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read the output up to a line with ``text``."""
    assert process.stdout
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"train ended with {process.wait()} and never said {text!r}")


def output_of(process: subprocess.Popen[str], seconds: float) -> str:
    """The rest of the output. The process is killed after ``seconds``, as the platform does."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=seconds)[0]
    process.kill()
    return process.communicate()[0] + "\nKILLED"


def stop(process: subprocess.Popen[str], seconds: float = 30) -> str:
    process.send_signal(signal.SIGTERM)
    return output_of(process, seconds)


def changed(project: Path, *changes: tuple[str, str]) -> Path:
    """The project, with changes in algorithm.py."""
    source = project / "container/program/algorithm.py"
    text = source.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    return project
