"""The installed `ominix` script starts here."""

from __future__ import annotations

from ominix import import_path


def main() -> int:
    import_path.drop_current_folder()
    from ominix.__main__ import main as command_line  # not earlier: it imports the standard library

    return command_line()
