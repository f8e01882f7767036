"""contract.toml, the tests that name its lines, and the page that shows both. Reads tests, runs none."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("contract.toml")
PAGE = ROOT / "docs" / "clients.md"
MARKS = {"passed": "yes", "failed": "**no**", "skipped": "not run"}


def lines() -> dict[str, str]:
    """Id to what clients rely on, in the file's order."""
    return dict(_flat(tomllib.loads(FILE.read_text("utf-8")), ""))


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


def named() -> dict[str, list[str]]:
    """Line to the tests that name it, as path::function."""
    found: dict[str, list[str]] = {}
    for folder in ("tests", "contract_tests"):
        for path in sorted((ROOT / folder).rglob("test_*.py")):
            for test, line in _marks(ast.parse(path.read_text("utf-8"))):
                found.setdefault(line, []).append(f"{path.relative_to(ROOT)}::{test}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.contract":
                    yield from ((node.name, ast.literal_eval(line)) for line in mark.args)


def rows(outcomes: Mapping[str, str]) -> list[str]:
    """The page's table; `outcomes` has passed, failed or skipped by test."""
    tests = named()
    shown = []
    for line, text in lines().items():
        held = tests.get(line, [])
        worst = min((outcomes.get(test, "skipped") for test in held), default="skipped")
        names = ", ".join(f"`{test.rpartition('::')[2]}`" for test in held)
        shown.append(f"| `{line}` | {text} | {MARKS[worst]} | {names} |")
    return shown
