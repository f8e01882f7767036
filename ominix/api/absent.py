"""Paths that are not here: an endpoint of other servers, or one of ours under a slip of the pen.

The status of an endpoint that ominix lacks is 400, not 404 and not 501:
- openai-python turns a 404 into NotFoundError, and LangChain and pydantic-ai that into "model not found";
- a 501 is a server that failed: SDKs try again, and LiteLLM's router takes the whole deployment out of
  service for a while, as it does upon a 404. A 400 is final and the fault of this request alone.
A path that nobody means stays a 404.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from falcon import Request, Response

from ominix.errors import UnknownUrl, UnsupportedEndpoint

CHAT = "use POST /v1/chat/completions"
LISTEN = "use POST /v1/audio/transcriptions"
NO_STORE = "ominix keeps nothing of a request, so there is nothing to store, list or fetch"
# The path's beginning -> what it is, and what to do instead.
ELSEWHERE = {
    "/v1/responses": f"The Responses API is not supported yet; {CHAT} (clients have a switch for it)",
    "/v1/completions": f"Completions of bare text are not supported; {CHAT}",
    "/v1/messages": f"Anthropic's Messages API is not supported yet; {CHAT} through an OpenAI client",
    "/v1/embeddings": "Embeddings are not supported yet; name another server for them",
    "/v1/rerank": "Reranking is not supported; name another server for it",
    "/v1/audio/speech": "Speech synthesis is not supported; ominix turns speech into text",
    "/v1/audio/voices": "Speech synthesis is not supported, so there are no voices",
    "/v1/realtime": f"The Realtime API is not supported; {LISTEN}, with stream=true for text as it comes",
    "/v1/images": "Images are not supported; ominix serves speech and chat models",
    "/v1/videos": "Videos are not made here; ominix serves speech and chat models",
    "/v1/moderations": "Moderation is not supported; name another server for it",
    "/v1/assistants": f"Assistants are not supported; {CHAT}",
    "/v1/threads": f"Threads are not supported; {CHAT} with the whole conversation",
    "/v1/conversations": f"Conversations are not kept; {CHAT} with the whole conversation",
    "/v1/files": f"Files are not supported: {NO_STORE}",
    "/v1/uploads": f"Uploads are not supported: {NO_STORE}; for recordings {LISTEN}",
    "/v1/batches": f"Batches are not supported: {NO_STORE}; send requests side by side",
    "/v1/vector_stores": f"Vector stores are not supported: {NO_STORE}",
    "/v1/containers": f"Containers are not supported: {NO_STORE}",
    "/v1/evals": f"Evaluations are not supported; {CHAT}",
    "/v1/fine_tuning": "Fine-tuning is not supported; 'ominix pull' fetches models that others have tuned",
    "/v1/organization": "There is no organization here: the server is yours",
    "/api": "This is the address of another server's API; ominix speaks OpenAI's, under /v1",
}
CLOSE = 0.85  # of 1: how alike two paths are of which one may mean the other


class Absent:
    """Answers every request that no route takes."""

    def __init__(self, routes: Iterable[str]) -> None:
        self._routes = sorted(route for route in routes if "{" not in route and route not in ("/", "/v1"))

    def __call__(self, req: Request, resp: Response, **_: str) -> None:
        """A sink of falcon's. Raises UnsupportedEndpoint or UnknownUrl."""
        path = re.sub(r"^(/v1)*/", "/v1/", req.path)
        behind = [route for route in self._routes if path.endswith(route.removeprefix("/v1"))]
        lacking = _elsewhere(req.path) or _elsewhere(path)
        if lacking and not behind:
            raise UnsupportedEndpoint(f"{lacking}. /docs lists the endpoints.")
        alike = difflib.get_close_matches(path[:200], self._routes, 1, CLOSE)
        advice = "/docs lists the endpoints."
        if behind:
            advice = f"Did you mean {max(behind, key=len)}? The base URL of OpenAI clients ends in /v1."
        elif alike:
            advice = f"Did you mean {alike[0]}?"
        raise UnknownUrl(f"There is nothing at {req.method} {req.path[:200]}. {advice}")


def _elsewhere(path: str) -> str | None:
    found = (text for begin, text in ELSEWHERE.items() if path == begin or path.startswith(f"{begin}/"))
    return next(found, None)
