"""Template: the versions of the template, and the project as each of them generates it, for `make update`."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from local.git import git, run_git
from local.project import ROOT, VENV, LocalError

RECORD = ROOT / ".cruft.json"  # what this project was made from, in cruft's form, so that cruft works too
OWN_VENV = VENV / "update"  # for cookiecutter, whose packages could conflict with the project's
INSTALL = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]


def recorded() -> dict[str, Any]:
    """The record. Raises ``LocalError`` if it is missing or damaged."""
    if not RECORD.exists():
        raise LocalError(".cruft.json is missing, which says where the template is: docs/updating.md shows one.")
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
        texts = [record["template"], record.get("commit") or "", *record["context"]["cookiecutter"].values()]
    except (ValueError, LookupError, TypeError, AttributeError):
        texts = [None]
    if not all(isinstance(text, str) for text in texts):
        raise LocalError(".cruft.json is damaged: docs/updating.md shows what it must hold.")
    return record


def write(record: dict[str, Any]) -> None:
    """Write the record, as cruft does."""
    text = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
    RECORD.write_text(text, encoding="utf-8", newline="\n")


def version_in(project: Path) -> str:
    """The template's version in a project's pyproject.toml. Empty in one that is older than the first version."""
    tools = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    return str(tools.get("cookiecutter-sagemaker-container", {}).get("template-version", ""))


@dataclass(frozen=True)
class Versions:
    """A clone of the template, with the commit that the project was made from and the one to update it to."""

    clone: Path
    directory: str
    """The template's folder in the clone."""
    old: str
    new: str
    answers: dict[str, str]

    @property
    def template(self) -> Path:
        """The folder of the template."""
        return self.clone / self.directory

    def is_update(self) -> bool:
        """Whether the new commit has anything that the old one does not have."""
        return run_git("merge-base", "--is-ancestor", self.new, self.old, folder=self.clone).returncode != 0

    def generate(self, commit: str, parent: Path) -> Path:
        """Make the project in a folder below ``parent``, with the answers that it has, and return that folder."""
        git("checkout", "--quiet", "--force", "--detach", commit, folder=self.clone)
        if not (self.template / "cookiecutter.json").is_file():
            raise LocalError(f"The template's commit {commit[:7]} has no cookiecutter.json: correct .cruft.json.")
        parent.mkdir(parents=True)
        answers, config = parent.with_suffix(".answers.json"), parent.with_suffix(".config.json")
        answers.write_text(json.dumps({"cookiecutter": self.context()}), encoding="utf-8")
        # The user's own configuration and replay files are not used.
        places = dict.fromkeys(["cookiecutters_dir", "replay_dir"], str(self.clone.parent))
        config.write_text(json.dumps(places), encoding="utf-8")
        options = ["--replay-file", answers, "--config-file", config, "--accept-hooks", "no", "--output-dir", parent]
        command = [self.python(), "-m", "cookiecutter", *map(str, options), str(self.template)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode != 0:
            sys.stderr.write(done.stdout + done.stderr)
            raise LocalError(f"cookiecutter cannot use the template's commit {commit[:7]}: the lines above say why.")
        return next(path for path in parent.iterdir() if path.is_dir())

    def context(self) -> dict[str, Any]:
        """What the template asks and sets, with the project's answers. A new question has its default."""
        questions: dict[str, Any] = json.loads((self.template / "cookiecutter.json").read_text(encoding="utf-8"))
        asked = {name: default for name, default in questions.items() if not name.startswith("_")}
        defaults = {name: default[0] if isinstance(default, list) else default for name, default in asked.items()}
        return questions | {name: self.answers.get(name, default) for name, default in defaults.items()}

    def python(self) -> str:
        """A Python with the version of cookiecutter that the new version of the template pins."""
        lock = git("show", f"{self.new}:./requirements.lock", folder=self.template) + "\n"
        locked = re.search(r"^cookiecutter==([^\s\\]+)", lock, re.MULTILINE)
        if importlib.util.find_spec("cookiecutter") and locked and metadata.version("cookiecutter") == locked[1]:
            return sys.executable
        python, ready, wanted = OWN_VENV / "bin/python", OWN_VENV / "ready", OWN_VENV / "requirements.lock"
        if not ready.exists() or ready.read_text(encoding="utf-8") != lock:
            print(f"installing cookiecutter into {os.path.relpath(OWN_VENV)}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", OWN_VENV], check=True)
            wanted.write_text(lock, encoding="utf-8")
            if subprocess.run([python, *INSTALL, wanted], check=False).returncode != 0:
                raise LocalError("cookiecutter cannot be installed: the lines above say why.")
            wanted.rename(ready)
        return str(python)


def fetch(record: dict[str, Any], wanted: str, folder: Path) -> Versions:
    """Clone the template into ``folder``. The new version is ``wanted``, a tag, branch or commit, or else the newest.

    Raises ``LocalError`` if the template or one of the versions does not exist.
    """
    address, clone = record["template"], folder / "template"
    cloned = run_git("clone", "--quiet", "--", address, clone)
    if cloned.returncode != 0:
        said = (cloned.stderr.strip().splitlines() or ["git says nothing"])[-1]
        raise LocalError(
            f"git cannot read the template at {address} ({said}): "
            'write the address of its git repository to "template" in .cruft.json.'
        )
    version = version_in(ROOT)
    from_ = record.get("commit") or (f"v{version}" if version else "")
    old, new = commit_of(from_, clone), commit_of(wanted or newest(clone), clone)
    if not old:
        raise LocalError(
            f"The template at {address} has no {from_ or 'known version'}, from which this project was made: "
            'write the tag or the commit to "commit" in .cruft.json.'
        )
    if not new:
        raise LocalError(
            f"The template at {address} has no tag, branch or commit {wanted!r}: correct TEMPLATE_VERSION."
        )
    return Versions(clone, record.get("directory") or "", old, new, record["context"]["cookiecutter"])


def commit_of(name: str, clone: Path) -> str:
    """The commit of a tag, a branch or a part of a commit. Empty if there is none."""
    for known in (name, f"origin/{name}") if name and not name.startswith("-") else ():
        found = run_git("rev-parse", "--verify", "--quiet", known + "^{commit}", folder=clone)
        if found.returncode == 0:
            return found.stdout.strip()
    return ""


def newest(clone: Path) -> str:
    """The newest tag of the form v1.2.3, or else the default branch."""
    tags = git("tag", "--list", "v*", "--sort=-version:refname", folder=clone).split()
    return next((tag for tag in tags if re.fullmatch(r"v\d+(\.\d+)*", tag)), "HEAD")
