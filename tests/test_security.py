"""`SECURITY.md` names a test for each line of its table, and the tests are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "SECURITY.md").read_text()
WHO = ("With a malicious file", "With an account", "With another's link", "On the network")


def rows(who: str) -> list[list[str]]:
    """The cells of the table under one kind of attacker, without its head."""
    section = TEXT.split(f"\n### {who}\n", 1)[1].split("\n##", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| can")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named_in(cell: str) -> list[tuple[str, str]]:
    """File and function of each test that a cell names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)


@pytest.mark.parametrize("who", WHO)
def test_each_line_says_what_and_by_which_tests_it_is_shown(who: str) -> None:
    assert {row[0] for row in rows(who)} == {"can", "cannot"}
    for verb, what, shown in rows(who):
        named = named_in(shown)
        assert named, f"{who} {verb} {what}: shown by nothing"
        assert ", ".join(f"`{file}::{name}`" for file, name in named) == shown
        for file, name in named:
            tree = ast.parse((ROOT / file).read_text())
            there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in there, f"{file} has no {name}"


def test_the_sections_are_those_of_the_tests() -> None:
    section = TEXT.split("\n## Who can do what\n", 1)[1].split("\n## ", 1)[0]
    assert tuple(re.findall(r"^### (.+)$", section, re.MULTILINE)) == WHO
    n_rows = sum(len(rows(who)) for who in WHO)
    assert n_rows == len(re.findall(r"^\| (?!what|---)\S+ \|", section, re.MULTILINE)) > 25
