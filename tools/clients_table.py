"""Runs every test that names a line of the contract and writes docs/clients.md. See tools/clients_table."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "contract_tests"))
import table  # noqa: E402  # lies beside the tests

HEAD = """# What clients rely on

Written by `tools/clients_table` from a run of the tests; the lines are those of
[contract.toml](../contract_tests/contract.toml). Clients were unmodified: {versions}.

| line | what clients rely on | holds | tests |
| --- | --- | --- | --- |
"""
SELECTION = "contract and not soak and not big and not reference"


class Outcomes:
    """A plug-in of pytest that keeps the worst outcome of each test function."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.when == "call" or report.outcome != "passed":
            self.found[test] = min(self.found.get(test, "skipped"), report.outcome)


def versions() -> str:
    folder = ROOT / ".venv" / "clients"
    (site,) = folder.glob("lib/python*/site-packages")
    found = {d.metadata["Name"]: d.version for d in metadata.distributions(path=[str(site)])}
    node = json.loads((folder / "node_modules" / "openai" / "package.json").read_text("utf-8"))
    named = {
        "openai-python": metadata.version("openai"),
        "openai-node": node["version"],
        "LiteLLM": found["litellm"],
        "langchain-openai": found["langchain-openai"],
    }
    return ", ".join(f"{name} {version}" for name, version in named.items())


def main() -> int:
    outcomes = Outcomes()
    if pytest.main(["-m", SELECTION, *sys.argv[1:]], plugins=[outcomes]) > pytest.ExitCode.TESTS_FAILED:
        return 1
    rows = table.rows(outcomes.found)
    table.PAGE.write_text(HEAD.format(versions=versions()) + "\n".join(rows) + "\n", "utf-8")
    wrong = [row for row in rows if f"| {table.MARKS['passed']} |" not in row]
    print(f"{table.PAGE}: {len(rows)} lines, {len(wrong)} do not hold", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
