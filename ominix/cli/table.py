"""Tables as commands print them: columns as wide as their longest cell, two spaces between."""

from __future__ import annotations

from collections.abc import Sequence

from ominix.cli import terminal


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        terminal.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def size(count: int | None) -> str:
    """As people write it: 9.60 GB."""
    if count is None:
        return "?"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.2f} {name}"
    return f"{count} B"
