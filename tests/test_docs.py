"""The documents say what is true: docs/contract.md and the tests that cite its rows, and the links in every page."""

import ast
import re
import subprocess
from collections import defaultdict

import pytest

from conftest import TEMPLATE

ROW = re.compile(r"\b[PTHBASMLEC]-\d\d\b")


def cited() -> dict[str, list[str]]:
    """Row → the tests that cite it, in a docstring or a comment, as ``file::test``."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((TEMPLATE / "tests").glob("test_*.py")):
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


def test_the_contracts_implementation_stays_small() -> None:
    """docs/decisions.md promises: 1,500 lines without algorithm.py, 250 a module; and a first edit below 100."""
    tracked = ["git", "ls-files", "{{cookiecutter.algorithm_name}}/container/program"]
    names = subprocess.run(tracked, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout.splitlines()
    lines = {name: len((TEMPLATE / name).read_text(encoding="utf-8").splitlines()) for name in names}
    [algorithm] = [lines.pop(name) for name in names if name.endswith("algorithm.py")]
    assert algorithm < 100
    assert sum(lines.values()) <= 1500
    assert max(lines.values()) <= 250
