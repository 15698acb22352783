"""Runs a module, a file or `-c CODE` as a Python on Windows would: without what only POSIX has.

``python without_posix.py -m deploy --help``
"""

import importlib.abc
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

WITHOUT_HELP = ("asyncio", "multiprocessing.connection", "socketserver", "subprocess", "tempfile")
"""They know Windows themselves, and are not ours: they are loaded before anything is gone."""
MODULES = {"curses", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "uvloop"}
NAMES: dict[ModuleType, str] = {
    os: "fork forkpty register_at_fork getuid geteuid getgid getegid setuid setgid getpgid setpgid setsid killpg nice "
    "sched_getaffinity wait waitid WNOHANG O_NONBLOCK O_ASYNC mkfifo chown fchown fchmod getloadavg statvfs pread",
    signal: "SIGKILL SIGALRM SIGHUP SIGCHLD SIGUSR1 SIGUSR2 SIGQUIT SIGPIPE SIGIO SIGSTOP pthread_sigmask pthread_kill "
    "sigwait sigpending sigtimedwait sigwaitinfo alarm setitimer siginterrupt",
    socket: "AF_UNIX",
}


class Missing(importlib.abc.MetaPathFinder):
    """Finds that a module is not there."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(kind: str, *arguments: str) -> None:
    for name in WITHOUT_HELP:
        importlib.import_module(name)
    sys.meta_path.insert(0, Missing())
    for name in MODULES:
        sys.modules.pop(name, None)
    for module, names in NAMES.items():
        for name in names.split():
            delattr(module, name)
    sys.path[0] = str(Path.cwd() if kind in ("-c", "-m") else Path(kind).parent)
    sys.argv = [kind, *arguments]
    if kind == "-c":
        exec(arguments[0], {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = list(arguments)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(kind, run_name="__main__")


main(*sys.argv[1:])
