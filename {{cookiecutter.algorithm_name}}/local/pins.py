"""Template: what the locks pin, and whether they match the requirements and each other: ``python -m local.pins``."""

import hashlib
import re
import sys
from pathlib import Path

from local.project import ROOT, LocalError

ALL = "requirements-dev.lock"  # everything in .venv; the other locks pin a part of it
FILES = ("container/requirements.txt", "container/requirements-serving.txt", "container/requirements-training.txt")
GPU = "container/requirements-gpu.txt"  # used instead of requirements.txt, if it exists
# A package in a lock: name, version or address, then indented lines of hashes. Some occur twice, with markers.
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(==[^\s;\\]+| @ [^\s;\\]+).*(?:\n[ \t].*)*\n?", re.MULTILINE)
MARK = re.compile(r"^(<<<<<<< |=======$|>>>>>>> )", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Check the locks, or print what pins the package ``arguments[0]``. An error prints one sentence and returns 1."""
    try:
        if arguments:
            print(pinned(arguments[0]), end="")
        else:
            check()
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check() -> None:
    """Raises ``LocalError`` if `make lock` would write another lock, as far as the project's files show it."""
    texts = {lock: read(lock) for lock in inputs()}
    for lock, files in inputs().items():
        if MARK.search(texts[lock]):
            raise LocalError(f"{lock} has conflict marks: run `make lock`, which writes it again.")
        if heading(files) not in texts[lock].splitlines():
            raise LocalError(f"{lock} does not match the requirements files: run `make lock`.")
    everything = versions(texts[ALL])
    for lock in (file.replace(".txt", ".lock") for file in FILES):
        for name, version in versions(texts[lock]).items():
            if everything.get(name) != version:
                raise LocalError(
                    f"{lock} has {name}{version} and {ALL} {name}{everything.get(name, ' not at all')}, so the image "
                    "and .venv would differ: run `make lock`."
                )


def inputs() -> dict[str, tuple[str, ...]]:
    """Each lock, with the requirements files that decide what it holds."""
    together: tuple[str, ...] = ("requirements-dev.txt", *FILES)
    found = dict.fromkeys([ALL, *(file.replace(".txt", ".lock") for file in FILES)], together)
    if (ROOT / GPU).exists():
        found |= dict.fromkeys([GPU.replace(".txt", end) for end in (".lock", "-training.lock")], (GPU, *FILES[1:]))
    return found


def heading(files: tuple[str, ...]) -> str:
    """The line of a lock that says what it was made from. Comments and white space do not count."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for file in files for line in [file, *read(file).splitlines()]]
    words = " ".join(lines).split()
    return f"# requirements: {hashlib.sha256(' '.join(words).encode()).hexdigest()[:16]}"


def blocks(lock: str) -> dict[str, str]:
    """Package → its lines in the text of a lock."""
    found: dict[str, str] = {}
    for match in PIN.finditer(lock):
        found[match[1]] = found.get(match[1], "") + match[0]
    return found


def versions(lock: str) -> dict[str, str]:
    """Package → its version as in ``==1.0``. If it differs between platforms, all versions."""
    return {name: " or ".join(match[2] for match in PIN.finditer(text)) for name, text in blocks(lock).items()}


def without_marks(lock: str) -> str:
    """One version of each package, from either side of a merge: uv prefers versions from the lock that it replaces."""
    return "".join(f"{name}{version}\n" for name, version in {pin[1]: pin[2] for pin in PIN.finditer(lock)}.items())


def merged(base: str, ours: str, theirs: str) -> str:
    """The lock ``ours``. Versions that are the same in ``base`` are replaced by those in ``theirs``."""
    before, mine = versions(base), versions(ours)
    new = {name: text for name, text in blocks(theirs).items() if mine.get(name) == before.get(name)}
    options = [line for line in ours.splitlines() if line.startswith("-")]
    return "\n".join(options) + "\n" * bool(options) + "".join((blocks(ours) | new).values())


def pinned(name: str) -> str:
    """The lines that pin a package in the developer's lock, which may have conflict marks elsewhere."""
    found = next((match[0] for match in PIN.finditer(read(ALL)) if match[1] == name), None)
    if found is None:
        raise LocalError(f"{ALL} does not pin {name}: restore it with `git checkout HEAD -- {ALL}`.")
    return found


def read(file: str) -> str:
    """The text of a lock or a requirements file."""
    path = Path(ROOT, file)
    if not path.exists():
        remedy = "run `make lock`" if file.endswith(".lock") else "create it; it may be empty"
        raise LocalError(f"{file} is missing: {remedy}.")
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
