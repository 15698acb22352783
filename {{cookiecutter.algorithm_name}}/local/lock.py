"""Template: pins the packages of the requirements files, with hashes: ``make lock``."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from local.pins import ALL, FILES, GPU, MARK, heading, inputs, read, without_marks
from local.project import ROOT, VENV, LocalError

COMPILE = [
    *["pip", "compile", "--quiet", "--system-certs", "--universal", "--python-version=3.11", "--fork-strategy=fewest"],
    *["--generate-hashes", "--custom-compile-command=make lock"],
]
INDEX = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host)[\s=]")
PASSWORD = re.compile(r"://[^/\s]*@|\$\{")
# uv has its own variables, and does not read pip's.
VARIABLES = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX"}


def main(options: list[str]) -> int:
    """Write all locks; ``options`` are uv's, such as ``--upgrade``. An error prints one sentence and returns 1."""
    try:
        refuse_marks()
        lock_for_cpu(options)
        if (ROOT / GPU).exists():
            lock_for_gpu(options)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def refuse_marks() -> None:
    """Raises ``LocalError`` if a requirements file has conflict marks. In a lock they do no harm."""
    for file in {file for files in inputs().values() for file in files}:
        for number, line in enumerate(read(file).splitlines(), start=1):
            if MARK.match(line):
                raise LocalError(
                    f"{file}, line {number}, is a conflict mark: keep what is right, then run `make lock`."
                )


def lock_for_cpu(options: list[str]) -> None:
    """Pin the image's packages and the developer's together, and write the part of each file."""
    indexes = [line for file in FILES for line in index_lines(file)]
    _compile(["requirements-dev.txt", *sorted(FILES)], ALL, indexes, options)
    for file in FILES:
        _compile([file], file.replace(".txt", ".lock"), indexes, ["-c", ALL, *options])


def lock_for_gpu(options: list[str]) -> None:
    """Pin the packages of the image for a GPU together, with the same versions of what the server needs."""
    training, serving = "container/requirements-training.txt", "container/requirements-serving"
    indexes = [line for file in (GPU, training, f"{serving}.txt") for line in index_lines(file)]
    everything = "container/requirements-gpu-training.lock"
    _compile([GPU, training], everything, indexes, ["-c", f"{serving}.lock", *options])
    _compile([GPU], GPU.replace(".txt", ".lock"), indexes, ["-c", everything, *options])


def index_lines(file: str) -> list[str]:
    """The lines that say where packages come from. Raises ``LocalError`` for a password in one."""
    found = []
    for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), start=1):
        if INDEX.match(line.strip()):
            if PASSWORD.search(line):
                raise LocalError(
                    f"{file}, line {number}: the user or variable in this address would be in the locks and the image: "
                    "remove it, and write the user and password in ~/.netrc, or the address in PIP_EXTRA_INDEX_URL."
                )
            found.append(line.strip())
    return found


def _compile(files: list[str], lock: str, indexes: list[str], options: list[str]) -> None:
    """Write ``lock``, with the lines ``indexes`` at its top. uv's own could hold passwords of the environment."""
    if (ROOT / lock).exists() and MARK.search(read(lock)):
        (ROOT / lock).write_text(without_marks(read(lock)), encoding="utf-8")
    own = {uv: os.environ[pip] for pip, uv in VARIABLES.items() if os.environ.get(pip)}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as more:
        more.write("\n".join(indexes) + "\n")
        more.flush()
        command = [str(VENV / "bin" / "uv"), *COMPILE, *options, *files, more.name, "-o", lock]
        done = subprocess.run(command, cwd=ROOT, env=own | os.environ, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise LocalError(f"{' and '.join(files)} cannot be pinned: the lines above say why.")
    _insert(ROOT / lock, [heading(inputs()[lock]), *dict.fromkeys(indexes)])


def _insert(lock: Path, more: list[str]) -> None:
    lines = lock.read_text(encoding="utf-8").splitlines()
    head = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    lines[head:head] = more
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
