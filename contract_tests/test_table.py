"""The contract and its tests fit each other."""

from __future__ import annotations

import table


def test_every_line_has_a_test():
    assert set(table.lines()) - set(table.named()) == set()


def test_no_test_names_a_line_that_is_not_there():
    lines = table.lines()
    assert {line: tests for line, tests in table.named().items() if line not in lines} == {}


def test_the_page_shows_every_line_and_that_it_holds():
    """tools/clients_table writes the page anew."""
    shown = [row.split(" | ") for row in table.PAGE.read_text("utf-8").splitlines() if row.startswith("| `")]
    assert {row[0].strip("| `"): row[1] for row in shown} == table.lines()
    assert {row[0]: row[2] for row in shown if row[2] != table.MARKS["passed"]} == {}
