"""What the tests of both ``build_and_push`` scripts share: what a run looks like, and the page of cases.

A file of such tests ends with one that calls ``check_page``.
"""

import base64
import fcntl
import json
import os
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from engines import need_buildx
from projects import TEMPLATE
from registry import PASSWORD, PRIVATE

BOTH = ["--platform", "linux/amd64,linux/arm64"]


SMALL = "FROM scratch\nCOPY program /opt/program\n"


BROKEN = "FROM scratch\nCOPY absent.txt /\n"  # which builders name in words of their own


# A Dockerfile whose image says how many bytes of secrets the build had.
MOUNTS = """ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE} AS base
RUN --mount=type=cache,target=/cache \\
    --mount=type=secret,id=netrc --mount=type=secret,id=PIP_INDEX_URL \\
    cat /run/secrets/* 2>/dev/null | wc -c >/found
FROM scratch
COPY --from=base /found /found
"""
INDEX = "https://kim:open-sesame@pypi.example.com/simple"


class Run(NamedTuple):
    """What a user sees of a run, and which docker and aws commands it took."""

    status: int
    stdout: str
    stderr: str
    commands: list[str]

    @property
    def reference(self) -> str:
        """The last line, which other programs read."""
        assert self.status == 0, self.stderr
        return self.stdout.splitlines()[-1]

    @property
    def error(self) -> str:
        """The one sentence that a failed run ends with."""
        assert self.status == 1, self.stderr
        assert not self.stdout, "another program could take this for a reference"
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert errors == self.stderr.splitlines()[-1:], self.stderr
        assert "Traceback" not in self.stderr
        return errors[0].removeprefix("error: ")


@dataclass
class Script:
    """One of the two scripts, in the shell of a user whom AWS knows."""

    command: list[str]
    home: Path
    scratch: Path
    path: str
    environment: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    landed: list[str] = field(default_factory=lambda: ["-"])

    def __call__(self, project: Path, *options: str, cwd: Path | None = None, **environment: str | None) -> Run:
        """Run it in ``project``. A variable that is None in ``environment`` is not set."""
        with self.started(project, *options, cwd=cwd, **environment) as process:
            return self.ended(process)

    @contextmanager
    def started(
        self, project: Path, *options: str, cwd: Path | None = None, **environment: str | None
    ) -> Iterator["subprocess.Popen[str]"]:
        """Start it, as a shell would: in a process group of its own."""
        self.log.write_text("")
        chosen = {**self.environment, "COMMANDS": str(self.log), **environment}
        command = [*self.command[:-1], str(project / "container" / self.command[-1]), *options]
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={name: value for name, value in chosen.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            yield process

    def ended(self, process: "subprocess.Popen[str]") -> Run:
        """Wait for its end, and note what it was."""
        stdout, stderr = process.communicate(timeout=300)
        self.runs.append(Run(process.returncode, stdout, stderr, self.log.read_text().splitlines()))
        return self.runs[-1]

    @property
    def log(self) -> Path:
        """The file with the commands that it runs."""
        return self.scratch.with_name("commands")


def name_for(tmp_path: Path) -> str:
    return tmp_path.name.replace("_", "-").lower()


class Outcome(NamedTuple):
    """How a case ended: the exit codes of its runs, the tags that landed, and the last line of the last run."""

    codes: str
    tags: str
    last_line: str


OUTCOMES: defaultdict[str, dict[str, Outcome]] = defaultdict(dict)  # case → script → outcome


def outcome(script: Script, tmp_path: Path) -> Outcome:
    """The outcome, without what differs from run to run, and without what docker and the AWS clients complain of."""
    codes = ", ".join(str(run.status) for run in script.runs)
    stdout, stderr = next(((run.stdout, run.stderr) for run in script.runs[-1:]), ("", ""))
    said = [line for line in stderr.splitlines() if line.startswith(("==> ", "error: "))]
    last = "".join((stdout.splitlines() or said)[-1:])
    if script.runs[-1:] and script.runs[-1].status == 2:
        last = "error: ...: see --help"
    if script.runs[-1:] and script.runs[-1].status > 128:
        last = "interrupted in mid-line"  # docker's lines and the script's may stand in any order then
    if last.startswith("{"):
        last = f"JSON: {', '.join(json.loads(last))}"
    seen = [text.replace(str(tmp_path), "...").replace(name_for(tmp_path), "NAME") for text in (*script.landed, last)]
    for pattern, word in (
        (r"\b[0-9]{12}\.[0-9a-z.-]+(:[0-9]+)?", "HOST"),
        (r"[0-9a-f]{64}", "..."),
        (r"\b[0-9a-f]{12}\b", "COMMIT"),
        (r"\b20\d{6}T\d{6}Z", "TIME"),
        (r" \(.*\)", " (...)"),
        (r"only [0-9]+ kB", "only ... kB"),
    ):
        seen = [re.sub(pattern, word, text) for text in seen]
    return Outcome(codes, ", ".join(sorted(seen[:-1])), seen[-1])


def git(project: Path, *arguments: str) -> str:
    """Run git in ``project`` and return what it prints."""
    command = ["git", "-C", str(project), "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def committed(project: Path) -> str:
    """Make ``project`` a git repository and return its commit."""
    git(project, "init", "--quiet")
    git(project, "remote", "add", "origin", "https://me:secret@example.com/team/algorithm.git")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "first", "--date", "2001-02-03T04:05:06Z")
    return git(project, "rev-parse", "HEAD")


def choose(publish: Script, builder: str) -> None:
    """Let ``docker build`` use this builder."""
    publish.environment["DOCKER_BUILDKIT"] = "0" if builder == "classic" else "1"
    if builder == "buildx":
        need_buildx()


def prepare_secrets(publish: Script, small: Path) -> None:
    """Let ``small`` be built with ``MOUNTS``, and the user have a password for an index."""
    (small / "container/Dockerfile").write_text(MOUNTS)
    (small / "container/build-args.txt").write_bytes(b"# one\r\n\r\nGPU=no\r\nBASE_IMAGE=python:3.12-slim-bookworm")
    (publish.home / ".netrc").write_text("machine pypi.example.com login kim password open-sesame\n")


def size_of_secrets(reference: str, folder: Path) -> int:
    """How many bytes of secrets the build of an image of ``MOUNTS`` had."""
    created = subprocess.run(["docker", "create", reference, "-"], capture_output=True, text=True, check=True)
    container = created.stdout.strip()
    subprocess.run(["docker", "cp", f"{container}:/found", str(folder)], check=True, capture_output=True)
    subprocess.run(["docker", "rm", container], check=True, capture_output=True)
    return int((folder / "found").read_text())


def settle(publish: Script, login: str, server: str = PRIVATE) -> Path:
    """Log in a user with docker, as one of the ways of keeping passwords does it, and return docker's configuration."""
    auth = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode() if server == PRIVATE else "bWU6bXk="
    settings = {
        "file": json.dumps({"auths": {server: {"auth": auth}}}),
        "keychain": '{"credsStore": "test"}\n',
        "helper": json.dumps({"credHelpers": {server: "test"}, "HttpHeaders": {"X-Mine": "}"}}, indent=1),
        "nothing": "{ }",
        "no JSON": "",
    }
    config = publish.home / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text(settings[login])
    helper = publish.home.parent / "bin" / "docker-credential-test"
    answer = json.dumps({"ServerURL": PRIVATE, "Username": "AWS", "Secret": PASSWORD})
    helper.write_text(
        f'#!/bin/sh\nread -r server\necho "$1 $server" >>"$COMMANDS.helper"\n'
        f'case $1 in list) echo "{{}}" ;; get) [ "$server" = {PRIVATE} ] || exit 1\necho \'{answer}\' ;; esac\n'
    )
    helper.chmod(0o755)
    return config


def asked_of_helper(publish: Script) -> list[str]:
    """What docker asked of the helper that keeps passwords."""
    file = Path(f"{publish.log}.helper")
    return file.read_text().splitlines() if file.exists() else []


def engine() -> str:
    """The address of Docker's engine."""
    inspect = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()


def path_without(program: str, path: str, tmp_path: Path) -> str:
    """A folder with all the programs of ``path`` but one."""
    folder = tmp_path / "others"
    folder.mkdir()
    for directory in map(Path, path.split(":")):
        for file in directory.iterdir() if directory.is_dir() else ():
            if file.name != program and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
    return str(folder)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The page of cases


PAGE = TEMPLATE / "docs/publishing.md"
HEAD = [["case", "`.sh`", "`.py`", "tags in the registry", "last line"], ["---"] * 5]
Row = list[str]


def rows_of(page: str) -> list[Row]:
    """The rows of the page's table."""
    lines = [line for line in page.splitlines() if line.startswith("| ")][2:]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]


def claim_of(case: str) -> str:
    """The test that a case is one of, in words."""
    return case.partition("[")[0]


def claims() -> set[str]:
    """All tests of both scripts, in words."""
    files = (TEMPLATE / "tests/publishing").glob("test_publish*.py")
    names = (re.findall(r"^def test_(\w+)", file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)
    return {name.replace("_", " ") for found in names for name in found}


def check_page() -> None:
    """The cases that ran so far ended alike with both scripts, and as the page shows.

    With WRITE_PAGE=1 it is made to show that; the cases of tests that did not run stay as they are.
    """
    for case, seen in OUTCOMES.items():
        assert len(set(seen.values())) == 1, f"{case}: {seen}"
    ran = {case: next(iter(seen.values())) for case, seen in OUTCOMES.items() if len(seen) == 2}
    rows = [[case, row.codes, row.codes, row.tags, row.last_line] for case, row in ran.items() if row.codes]
    with PAGE.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other files' tests may run in other processes
        page = file.read()
        if os.environ.get("WRITE_PAGE"):
            others = claims() - set(map(claim_of, ran))
            table = [*HEAD, *sorted(rows + [row for row in rows_of(page) if claim_of(row[0]) in others])]
            page = page.partition("| case |")[0] + "".join(f"| {' | '.join(row)} |\n" for row in table)
            file.seek(0)
            file.write(page)
            file.truncate()
    shown = rows_of(page)
    assert [row for row in rows if row not in shown] == [], "WRITE_PAGE=1 writes them"
    assert {claim_of(row[0]) for row in shown} - claims() == set()
