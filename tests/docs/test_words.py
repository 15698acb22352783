"""Pages and messages use plain words: those that readers stumbled over have a replacement."""

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
    r"behaviour|colour|favour|licence|cancelled|labelled|modelling|normalis\w+|organis\w+": "American spelling",
}
PATTERN = re.compile(rf"(?<![`\w-])({'|'.join(WORDS)})(?![\w`])", re.IGNORECASE)
SHOWN_AS_BAD = re.compile(r"## Style.*?\n\n(?=One word)", re.DOTALL)


def pages() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout.splitlines()
    return [TEMPLATE / name for name in listed if (TEMPLATE / name).exists()]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(TEMPLATE).as_posix())
def test_a_page_uses_plain_words(page: Path) -> None:
    text = SHOWN_AS_BAD.sub("", page.read_text(encoding="utf-8"))
    advice = {
        word: next(good for bad, good in WORDS.items() if re.fullmatch(bad, word, re.IGNORECASE))
        for word in {found.group(1) for found in PATTERN.finditer(text)}
    }
    assert advice == {}
