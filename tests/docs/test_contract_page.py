"""A generated project's docs/contract.md explains every code of the contract that the project's files cite."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = "docs/contract.md"
CODE = re.compile(r"\b[A-Z]-\d\d\b")
RANGE = re.compile(r"\b([A-Z])-(\d\d) to \1-(\d\d)\b")
ROW = re.compile(r"^\| ([A-Z]-\d\d) \| (.+) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[[^]]+\]\[([^]]+)\]|\[([^]]+)\](?![\[(:])")
DEFINITION = re.compile(r"^\[([^]]+)\]: (\S+)$", re.MULTILINE)
# AWS's documentation and code, the standards and manuals of what the image is made of, and reports in public.
SOURCES = (
    "https://docs.aws.amazon.com/",
    "https://github.com/",
    "https://www.rfc-editor.org/",
    "https://docs.docker.com/",
    "https://docs.gunicorn.org/",
    "https://nginx.org/",
)
# Whose comments give the reason in words, with the code in parentheses behind it.
IN_WORDS = ("deploy", "local", "tests", "Makefile")


def texts(project: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each file that a person may read; data and locks hold no citation."""
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project).as_posix()
        if path.is_file() and path.suffix not in (".csv", ".lock") and name != PAGE:
            yield name, path.read_text(encoding="utf-8")


def codes(text: str) -> set[str]:
    """The codes in ``text``; of ``T-21 to T-23`` all three."""
    ranges = [(letter, int(first), int(last)) for letter, first, last in RANGE.findall(text)]
    between = {f"{letter}-{number:02}" for letter, first, last in ranges for number in range(first, last + 1)}
    return between | set(CODE.findall(text))


def cited(project: Path) -> dict[str, list[str]]:
    """Code → the files that cite it."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in texts(project):
        for code in codes(text):
            files[code].append(name)
    return dict(files)


@pytest.fixture
def page(project: Path) -> str:
    return (project / PAGE).read_text(encoding="utf-8")


def test_every_code_that_a_project_cites_is_explained(project: Path, page: str) -> None:
    explained = {code for code, _, _ in ROW.findall(page)}
    missing = {code: files for code, files in sorted(cited(project).items()) if code not in explained}
    assert missing == {}, f"add to {PAGE}: {', '.join(missing)}"


def test_every_row_is_cited_somewhere(project: Path, page: str) -> None:
    unused = sorted({code for code, _, _ in ROW.findall(page)} - cited(project).keys())
    assert unused == [], f"remove from {PAGE}, since no file cites them: {', '.join(unused)}"


def test_each_row_is_one_sentence_in_its_place(page: str) -> None:
    rows = ROW.findall(page)
    found = [code for code, _, _ in rows]
    assert len(rows) == len(re.findall(r"^\| [A-Z]-\d\d", page, re.MULTILINE)), "each row has three columns"
    assert found == list(dict.fromkeys(found)), "no code has two rows"
    for section in page.split("\n## ")[1:]:
        here = [code for code, _, _ in ROW.findall(section)]
        assert here == sorted(here)
        assert len({code[0] for code in here}) == 1, "a section holds one letter"
    assert [code for code, rule, _ in rows if not re.fullmatch(r"[A-Z`].*[^.]\.", rule)] == []
    assert [code for code, rule, _ in rows if re.search(r"\. [A-Z`]", rule)] == []


def test_each_row_names_a_source_that_anyone_can_open(page: str) -> None:
    sources = dict(DEFINITION.findall(page))
    named = {code: {"".join(link) for link in LINK.findall(source)} for code, _, source in ROW.findall(page)}
    assert [code for code, links in named.items() if not links] == []
    assert set().union(*named.values()) == set(sources)
    assert [address for address in sources.values() if not address.startswith(SOURCES)] == []


def test_the_page_belongs_to_the_template_and_the_readme_leads_to_it(project: Path, page: str) -> None:
    assert page.startswith("<!-- Template: ")
    assert f"]({PAGE})" in (project / "README.md").read_text(encoding="utf-8")


def test_a_comment_gives_its_reason_in_words_and_no_file_names_the_sections_of_another_page(project: Path) -> None:
    bare = [
        f"{name}: {line.strip()}"
        for name, text in texts(project)
        if name.partition("/")[0] in IN_WORDS
        for line in text.splitlines()
        if CODE.search(re.sub(r"\([A-Z]-\d\d((, | to )[A-Z]-\d\d)*\)", "", line))
    ]
    assert bare == []
    assert [name for name, text in texts(project) if re.search(r"\bcontract \d+\.\d", text)] == []
