"""Turns between clients, so that a flood of one does not hold up another.

Wherever somebody waits, the same rules hold. `FairQueue`: the client whose turn is longest ago is next, and
each client's own items keep their order. `Served` tells the same to schedulers, which first ask who has the
fewest places. `guests`: so many places beyond a bound are for clients that have none, so a client that holds
all others leaves room. A client's name is opaque (wire/jobs.Caller). Knows nothing of what waits.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

GUEST_SHARE = 4  # one place beyond a bound for so many within it


def guests(places: int) -> int:
    """How many places beyond these are for clients that have none: one at least."""
    return max(1, places // GUEST_SHARE)


class Served:
    """When each client that is here had its last turn, in turns: 0 for none."""

    def __init__(self) -> None:
        self._count = 0
        self._last: dict[str, int] = {}

    def last(self, client: str) -> int:
        return self._last.get(client, 0)

    def add(self, client: str) -> None:
        self._count += 1
        self._last[client] = self._count

    def keep(self, clients: Collection[str]) -> None:
        """Forget all but these."""
        self._last = {client: turn for client, turn in self._last.items() if client in clients}

    def copy(self) -> Served:
        other = Served()
        other._count, other._last = self._count, dict(self._last)
        return other


class FairQueue(Generic[Item]):
    """One client after the other, an item each. Not thread-safe."""

    def __init__(self, client_of: Callable[[Item], str]) -> None:
        self._client_of = client_of
        self._waiting: dict[str, deque[Item]] = {}  # by client, in the order of their turns; none is empty
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """Not in the order of their turns."""
        return itertools.chain.from_iterable(self._waiting.values())

    def append(self, item: Item) -> None:
        self._waiting.setdefault(self._client_of(item), deque()).append(item)
        self._count += 1

    def popleft(self) -> Item:
        """Raises IndexError if nobody waits."""
        if not self._waiting:
            raise IndexError("nobody waits")
        client = next(iter(self._waiting))
        items = self._waiting.pop(client)
        item = items.popleft()
        self._count -= 1
        if items:
            self._waiting[client] = items  # behind all others
        return item

    def remove(self, item: Item) -> None:
        """Raises ValueError if it does not wait."""
        client = self._client_of(item)
        items = self._waiting.get(client, deque())
        items.remove(item)
        self._count -= 1
        if not items:
            del self._waiting[client]
