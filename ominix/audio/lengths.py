"""How long a recording is, in words."""

from __future__ import annotations


def spelled(seconds: float) -> str:
    """In hours, the unit of --max-audio-hours, if it is long."""
    if seconds < 3600:
        return f"{round(seconds, 1):g} seconds"
    hours = f"{round(seconds / 3600, 2):.12g}"
    return "1 hour" if hours == "1" else f"{hours} hours"
