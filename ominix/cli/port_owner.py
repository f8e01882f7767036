"""Who has a port that `ominix serve` could not have: another ominix, or the program that the system names.

Asks with the standard library alone, since the server imports no HTTP client; a second at most.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

ASK_SECONDS = 1.0
LISTENING = "0A"  # in /proc/net/tcp


def of(host: str, port: int) -> str:
    """A few words: "another ominix answers there", "python3 (pid 12) has it"; "" if nobody can tell."""
    if _is_ominix(host, port):
        return "another ominix answers there"
    return next((f"{name} (pid {pid}) has it" for pid, name in _listeners(port)), "")


def _is_ominix(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", "/livez")
        return bool(json.loads(connection.getresponse().read(1000)) == {"status": "ok"})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _listeners(port: int) -> Iterator[tuple[int, str]]:
    """Processes that listen on it, as far as Linux shows them; other systems show none without a tool."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                yield int(process.name), (process / "comm").read_text().strip()


def _listening_inodes(port: int) -> Iterator[str]:
    """See proc_pid_net(5): columns are number, local address, remote address, state, ..., inode."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]
