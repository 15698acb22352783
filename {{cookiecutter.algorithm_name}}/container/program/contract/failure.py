"""Template: what a failed job says, in the log and in the failure file (T-43, T-44)."""

import errno
import re
import signal
import sys
import traceback
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from pathlib import Path

from contract.algorithm_interface import origin
from contract.errors import UserError
from contract.libraries import missing_library
from contract.resources import memory

MORE = "Choose an instance type with more memory, or hold less in memory at a time."
GPU = "A GPU needs an image built with `make image GPU=yes` and an instance type with a GPU, such as ml.g5.xlarge."
REMEDIES: dict[type[BaseException], str] = {
    MemoryError: MORE,
    ModuleNotFoundError: "Add the package to container/requirements.txt and run `make lock`.",
    SystemExit: "Return or raise an exception instead of ending the program.",
}
"""For exceptions whose cause lies outside algorithm.py."""
LENGTH = 500  # of an exception's message: the remedy must be among the first 800 characters (T-43)


def describe(error: BaseException) -> str:
    """One sentence for a user's mistake; for anything else a sentence and the traceback."""
    if isinstance(error, UserError):
        return str(error)
    reason = f"{type(error).__name__}: {error}".strip(": ").partition("\n")[0][:LENGTH].rstrip(".")
    trace = "".join(traceback.format_exception(error))
    return f"{origin(error)} raised {reason}.{_remedy(error)}\n\n{trace}"


def packing_mistake(model: Path) -> str:
    """Say what is wrong with a model directory that is empty or was packed in the wrong way; else return nothing."""
    found = sorted(model.iterdir()) if model.is_dir() else []
    if not found:
        return f"{model} is empty: use the model.tar.gz of a training job, which holds the files that save() wrote."
    if len(found) > 1:
        return ""
    inside, remedy = found[0].name, f"pack only the files, with `tar -czf model.tar.gz -C {found[0].name} .`"
    if found[0].is_dir():
        return f"{model} holds only the folder '{inside}': {remedy}."
    return f"{model} holds the archive '{inside}' itself: unpack it there." if inside.endswith(".tar.gz") else ""


def _remedy(error: BaseException) -> str:
    if isinstance(error, BrokenExecutor) or getattr(error, "returncode", 0) == -signal.SIGKILL:
        return f" A process that it started was killed, most likely because memory ran out. {MORE}"
    if getattr(error, "errno", 0) == errno.ENOSPC:
        return " Give the job a larger volume, or write less."
    if notes := getattr(error, "__notes__", None):
        return f" {notes[0]}"
    if re.search(r"NVIDIA driver|CUDA driver|CUDA enabled|CUDA-capable|libcuda\.so", str(error)):
        return f" {GPU}"
    if library := missing_library(error):
        return f" Add {library[1]}"
    return next((f" {remedy}" for kind, remedy in REMEDIES.items() if isinstance(error, kind)), "")


def report(error: BaseException, path: Path) -> None:
    """Log the reason, then write it to the failure file, so it is logged even if the file cannot be written."""
    reason = describe(error)
    print(reason, file=sys.stderr, flush=True)
    _write(path, reason)


def foresee(path: Path) -> None:
    """Write the likely reason in advance: a process that is killed cannot write one (T-45)."""
    _write(
        path,
        "The job ended before it could say why, most likely because it used more memory than the "
        f"{memory() / 2**20:,.0f} MB it has. {MORE} Otherwise, native code failed or os._exit() was called: "
        "the end of the log shows where.",
    )


def withdraw(path: Path) -> None:
    """Remove the failure file."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _write(path: Path, reason: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reason, encoding="utf-8", errors="backslashreplace")
    except OSError as unwritable:
        print(f"The failure file {path} cannot be written: {unwritable.strerror}.", file=sys.stderr, flush=True)
