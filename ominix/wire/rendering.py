"""What a worker and its template child say to each other. `transport` carries it.

Down goes one Render at a time, back comes Rendered or RenderRefused. The child's death reads as end-of-file.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


class Render(Struct, frozen=True, array_like=True, tag=True):
    """Render a chat template with these variables."""

    template: str
    variables: dict[str, Any]  # plain JSON values: what is there depends on the template
    max_chars: int  # of what it writes


class Rendered(Struct, frozen=True, array_like=True, tag=True):
    text: str


class RenderRefused(Struct, frozen=True, array_like=True, tag=True):
    """The template raises an error of its own, or is broken."""

    reason: str


Answer = Rendered | RenderRefused
ANSWERS = msgspec.msgpack.Decoder(Answer)
COMMANDS = msgspec.msgpack.Decoder(Render)
