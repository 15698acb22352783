"""Pages, messages and comments use plain words: those that readers stumbled over have a replacement."""

import re
import subprocess
from pathlib import Path

import pytest

from projects import TEMPLATE

WORDS = {
    r"whoever|whosoever": "who, anyone who",
    r"mend|mends|mended|mending": "fix",
    r"likewise": "too, the same way",
    r"the begin": "the start",
    r"rid of": "without, remove",
    r"anew": "again",
    r"lest|thus|hence|thereby|whereof|therein|thereof|hitherto": "so, in it, of it",
    r"for ever": "forever",
    r"commonest": "most common",
    r"as it stands|as they stand": "as it is, unchanged",
    r"goes by": "follows, uses",
    r"for want of": "without, because there is no",
    r"nothing but": "only",
    r"and the like|or the like": "such as",
    r"whatever goes wrong": "any error",
    r"without a word": "silently, without a message",
    r"it seems": "seems to",
    r"what it weighs": "size",
    r"somebody else": "someone else",
    r"spelt|misspelt|fulfil": "spelled, misspelled, match",
    r"environment of its own|environments of their own": "its own environment",
    r"(?<!here )is no (?:account|address|column|dataclass|feature|file|JSON|model|number|registry|table)": "is not a",
    r"behaviour|colour|favour|licence|cancelled|labelled|modelling|normalis\w+|organis\w+": "American spelling",
}
PATTERN = re.compile(rf"(?<![`\w-])({'|'.join(WORDS)})(?![\w`])", re.IGNORECASE)
PROGRAMS = [
    f"{{{{cookiecutter.algorithm_name}}}}/{name}"
    for name in ("*.py", "*.sh", "*.yml", "*.yaml", "*.html", "*.conf", "*serve", "*train", "*Dockerfile", "Makefile")
]
KEY = re.compile(r"""(?:"|found\.)commonest\b""")  # of evaluation.json, which is read elsewhere too
SHOWN_AS_BAD = re.compile(r"## Style.*?\n\n(?=One word)", re.DOTALL)


def files(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout.splitlines()
    return [TEMPLATE / name for name in listed if (TEMPLATE / name).exists()]


@pytest.mark.parametrize("page", files("*.md"), ids=lambda page: page.relative_to(TEMPLATE).as_posix())
def test_a_page_uses_plain_words(page: Path) -> None:
    assert advice_on(SHOWN_AS_BAD.sub("", page.read_text(encoding="utf-8"))) == {}


def test_messages_and_comments_of_a_project_use_plain_words() -> None:
    programs = files(*PROGRAMS)
    texts = {path.relative_to(TEMPLATE).as_posix(): path.read_text(encoding="utf-8") for path in programs}
    found = {name: advice_on(KEY.sub("", text)) for name, text in texts.items()}
    assert len(programs) > 150
    assert {name: advice for name, advice in found.items() if advice} == {}


def advice_on(text: str) -> dict[str, str]:
    return {
        word: next(good for bad, good in WORDS.items() if re.fullmatch(bad, word, re.IGNORECASE))
        for word in {found.group(1) for found in PATTERN.finditer(text)}
    }
