"""The pages that describe the tree describe this tree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_stands_in_the_page_of_structures_and_no_other():
    rows = re.findall(r"^\| `(ominix[\w.]*)` \|", (ROOT / "docs" / "structures.md").read_text("utf-8"), re.M)
    packages = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "ominix").rglob("__init__.py")
    }
    assert sorted(rows) == sorted(packages)
