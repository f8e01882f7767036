"""The tools that break the code on purpose still find what they want to break."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("tool", ["mutate_contract", "mutate_sala"])
def test_every_text_that_is_to_be_broken_stands_in_its_file_once(tool):
    listed = _tool(tool).listed()
    assert len(listed) > 40
    found = {name: file.read_text("utf-8").count(text) for name, (file, text) in listed.items()}
    assert {name: count for name, count in found.items() if count != 1} == {}
