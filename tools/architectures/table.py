"""The table in docs/models.md: written from rows, read again, compared.

A row of the page is a checkpoint's; the lines above it are totals and where they come from. A run of a few
checkpoints is compared with their rows alone, and `merged` replaces these alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tools.architectures.row import Row

BEGIN, END = "<!-- written by tools/test_models -->", "<!-- end of what is written -->"
HEAD = (
    "| checkpoint | caches | rows | result | why not, or what is wrong |",
    "| --- | --- | --- | --- | --- |",
)
RESULTS = ("right", "wrong", "refused", "not made")
_LINE = re.compile(r"^\| `(?P<name>[^`]+)` \|.*\| (?P<result>right|wrong|refused|not made) \|.*\|$")

Lines = dict[str, str]  # of the table, by checkpoint


def lines(rows: Iterable[Row]) -> Lines:
    return {row.name: _line(row) for row in rows}


def _line(row: Row) -> str:
    wrong = "; ".join(f"{way}: {what}" for way, what in row.wrong.items())
    why = (row.made or row.refused or wrong).replace("|", "\\|")
    return f"| `{row.name}` | {row.caches} | {row.batching} | {row.verdict} | {why} |"


def read(page: str) -> Lines:
    """The rows of a page that was written before; none of one that was not."""
    found = (_LINE.match(line) for line in page.splitlines())
    return {match["name"]: match[0] for match in found if match}


def news(committed: Lines, found: Lines, all_names: Collection[str] | None) -> list[str]:
    """What has changed, as lines of a diff. `all_names`: of a whole run, so that others are gone."""
    changed = [name for name in found if committed.get(name) != found[name]]
    gone = [name for name in committed if all_names is not None and name not in all_names]
    diff: list[str] = []
    for name in sorted({*changed, *gone}):
        diff += [f"-{committed[name]}"] if name in committed else []
        diff += [f"+{found[name]}"] if name in found else []
    return diff


def merged(committed: Lines, found: Lines, all_names: Collection[str]) -> Lines:
    known = committed | found
    return {name: known[name] for name in all_names if name in known}


def written(page: str, table: Lines, source: str) -> str:
    """The page with this table. `source`: machine, day, command, versions."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    results = [match["result"] for line in table.values() if (match := _LINE.match(line))]
    totals = ", ".join(f"{results.count(result)} {result}" for result in RESULTS)
    body = [f"**{len(table)} checkpoints: {totals}.** {source}", "", *HEAD, *table.values()]
    return f"{before}{BEGIN}\n" + "\n".join(body) + f"\n{END}{after}"
