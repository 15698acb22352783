"""The documents say what is true: docs/contract.md and the tests that cite its rows, and the links in every page."""

import ast
import re
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from projects import TEMPLATE

ROW = re.compile(r"\b[PTHBASMLEC]-\d\d\b")
LINE = re.compile(r"^\| ([A-Z]-\d\d) \| .+ \| (.+) \|$", re.MULTILINE)


def cited() -> dict[str, list[str]]:
    """Row → the tests that cite it, in a docstring or a comment, as ``file::test``."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((TEMPLATE / "tests").rglob("test_*.py"), key=lambda path: path.name):
        source = path.read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.get_source_segment(source, node) or ""
                for row in sorted(set(ROW.findall(text))):
                    rows[row].append(f"{path.name}::{node.name}")
    return dict(rows)


def listed() -> dict[str, dict[str, str]]:
    """Part of docs/contract.md → row → the last cell of its line."""
    parts = (TEMPLATE / "docs/contract.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: dict(LINE.findall(part)) for part in parts}


def test_each_contract_row_is_listed_with_the_tests_that_cite_it_or_with_the_reason_for_none() -> None:
    *tested, untested = listed().values()
    named = {row: re.findall(r"`([^`]+)`", tests) for part in tested for row, tests in part.items()}
    assert named == cited()
    assert named.keys().isdisjoint(untested)


def test_the_contract_page_counts_its_rows() -> None:
    page = (TEMPLATE / "docs/contract.md").read_text(encoding="utf-8")
    *tested, untested = listed().values()
    with_test = Counter(row[0] for part in tested for row in part)
    without = Counter(row[0] for row in untested)
    counts = re.findall(r"^\| ([A-Z]) \| .* \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert counts == [(letter, str(count), str(without[letter])) for letter, count in with_test.items()]


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *TEMPLATE.glob("docs/*.md"), *TEMPLATE.glob("{{*/docs/*.md")]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = TEMPLATE / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_the_projects_readme_is_short_and_leads_to_each_page() -> None:
    project = TEMPLATE / "{{cookiecutter.algorithm_name}}"
    text = (project / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    pages = {path.relative_to(project).as_posix() for path in (project / "docs").glob("*.md")}
    assert pages == {target for target in re.findall(r"\]\(([^)]+)\)", text) if target.startswith("docs/")}


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank nor a comment; docstrings count."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_the_contracts_implementation_stays_small() -> None:
    """As docs/decisions.md says: 5,704 lines of code without algorithm.py, 250 lines a module, 99 before an edit."""
    program = TEMPLATE / "{{cookiecutter.algorithm_name}}/container/program"
    files = [path for path in program.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert lengths.pop("algorithm.py") < 100
    assert max(lengths.values()) <= 250
    assert sum(lines_of_code(path) for path in files if path.name != "algorithm.py") <= 5704


def test_the_newest_version_in_the_changelog_is_the_projects(project: Path) -> None:
    """And each version with an upgrade note has it as its first part, where `make update` finds it."""
    changelog = (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    versions = [heading for heading in headings if heading != "Unreleased"]
    assert headings.index(versions[0]) <= 1
    assert [heading for heading in versions if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading)] == []
    pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["tool"]["cookiecutter-sagemaker-container"]["template-version"] == versions[0].split()[0]
    later = [part for part in changelog.split("\n## ") if "### Upgrade" in part.partition("\n### ")[2]]
    assert later == []
