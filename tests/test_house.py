"""Functions and modules stay small: what grows past these sizes hides a second subject."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_FUNCTION_LINES, MOST_MODULE_LINES = 40, 400


def test_no_function_and_no_module_is_too_long():
    too_long = []
    for file in sorted((ROOT / "ominix").rglob("*.py")):
        text = file.read_text("utf-8")
        name = str(file.relative_to(ROOT))
        if text.count("\n") > MOST_MODULE_LINES:
            too_long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    too_long.append(f"{name}: {node.name} has {lines} lines")
    assert not too_long
