"""The documents say what is true: docs/contract.md and the tests that cite its rows, and the links in every page."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from projects import TEMPLATE

ROW = re.compile(r"\b[PTHBASMLEC]-\d\d\b")


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


def listed() -> dict[str, list[str]]:
    """Row → the tests that docs/contract.md names for it."""
    lines = (TEMPLATE / "docs/contract.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if ROW.match(line.removeprefix("| "))]
    return {row: re.findall(r"`([^`]+)`", tests) for row, _, tests in cells}


def test_each_contract_row_is_listed_with_the_tests_that_cite_it() -> None:
    assert listed() == cited()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(TEMPLATE / "docs").glob("*.md")])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = TEMPLATE / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank nor a comment; docstrings count."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_the_contracts_implementation_stays_small() -> None:
    """As docs/decisions.md says: 5,394 lines of code without algorithm.py, 250 lines a module, 99 before an edit."""
    program = TEMPLATE / "{{cookiecutter.algorithm_name}}/container/program"
    files = [path for path in program.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert lengths.pop("algorithm.py") < 100
    assert max(lengths.values()) <= 250
    assert sum(lines_of_code(path) for path in files if path.name != "algorithm.py") <= 5394
