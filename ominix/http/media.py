"""Which media types an endpoint takes."""

from __future__ import annotations

import falcon
from falcon import Request


def require(req: Request, *media_types: str) -> str:
    """The request's media type without parameters. Raises falcon's 415 unless it is one of these."""
    if req.get_header("Content-Encoding", default="identity").lower() != "identity":
        raise falcon.HTTPUnsupportedMediaType(description="Compressed request bodies are not taken.")
    given = (req.content_type or "").partition(";")[0].strip().lower()
    if given not in media_types:
        raise falcon.HTTPUnsupportedMediaType(
            description=f"Content-Type must be {' or '.join(media_types)}, not '{given or 'absent'}'."
        )
    return given
