"""Which requests may have a body, and how large a one. Read off the app's routes: there is no second list."""

from __future__ import annotations

import re

import falcon
from falcon import Request, Response, inspect

from ominix.errors import TooLarge, too_large
from ominix.http.forms import MAX_FIELD_BYTES, UPLOAD_FLAG

SMALL_BODY_BYTES = 64 << 10  # what asks for no work of a model: a name, perhaps a flag
CHAT_PATH = "/v1/chat/completions"
CHAT_FLAG = "--max-chat-mib"
SMALL_PATHS = re.compile(r"/v1/models(/.*)?", re.DOTALL)
FIELD = re.compile(r"\{(\w+)(:path)?\}")


class Endpoints:
    def __init__(
        self, app: falcon.App[Request, Response], max_upload_bytes: int, max_chat_bytes: int
    ) -> None:
        # A form's other fields come on top of its file.
        self._max_bytes = max_upload_bytes + MAX_FIELD_BYTES
        self._max_chat_bytes = max_chat_bytes
        self._routes = [
            (method.method, _pattern(route.path))
            for route in inspect.inspect_routes(app)
            for method in route.methods
            if not method.internal  # falcon's own, which refuse
        ]

    def body_limit(self, method: str, path: str) -> int | None:
        """In bytes; None: nothing here takes this method, so there is no need to read on."""
        if not any(method == known and pattern.fullmatch(path) for known, pattern in self._routes):
            return None
        is_small = method != "POST" or SMALL_PATHS.fullmatch(path)
        if is_small:
            return SMALL_BODY_BYTES
        return min(self._max_bytes, self._max_chat_bytes) if path == CHAT_PATH else self._max_bytes

    def refusal(self, path: str, limit_bytes: int, size_bytes: int = 0) -> TooLarge:
        """Of a body beyond its limit. `size_bytes`: 0 if it is not known."""
        flag, shown = UPLOAD_FLAG, limit_bytes - MAX_FIELD_BYTES
        if SMALL_PATHS.fullmatch(path) or path == CHAT_PATH:
            flag, shown = (CHAT_FLAG if path == CHAT_PATH else ""), limit_bytes
        return too_large("The upload", shown, flag, size_bytes=size_bytes)


def _pattern(template: str) -> re.Pattern[str]:
    """falcon's `/a/{b}/{c:path}` as a regular expression."""
    parts, at = [], 0
    for field in FIELD.finditer(template):
        parts += [re.escape(template[at : field.start()]), ".+" if field[2] else "[^/]+"]
        at = field.end()
    return re.compile("".join(parts) + re.escape(template[at:]), re.DOTALL)
