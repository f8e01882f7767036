"""Tools in a prompt: shown by the model's template, or written into the messages where it shows none.

The words for templates without tools are those of Hermes, which more models have seen in training
than any other: tools in the system message, calls between <tool_call> marks, results in the user's turn.
Knows nothing of tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from ominix.errors import JobRefused
from ominix.models.call_formats import HERMES, CallFormat

Messages = Sequence[dict[str, Any]]
PROBE: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "probe_of_tools",
        "description": "",
        "parameters": {"type": "object", "properties": {"x": {"type": "string", "description": ""}}},
    },
}
NO_ARGUMENTS = {"type": "object", "properties": {}}
WORDS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> \
XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


class ToolSupport:
    """Of one model. The preparation's thread alone calls it."""

    def __init__(self, own: CallFormat, render: Callable[..., str]) -> None:
        """`own`: how it writes calls if its template shows tools. `render`: messages and the template's
        options to a prompt's text; raises JobRefused."""
        self._own = own
        self._render = render

    @cached_property
    def is_shown(self) -> bool:
        """Whether the template shows tools: it is asked once, with one."""
        try:
            text = self._render([{"role": "user", "content": "x"}], tools=[PROBE])
        except JobRefused:
            return False
        return str(PROBE["function"]["name"]) in text

    @property
    def format(self) -> CallFormat:
        return self._own if self.is_shown else HERMES

    def applied(self, messages: Messages, tools: Messages) -> tuple[Messages, dict[str, Any]]:
        """What the template is given: messages, and options."""
        if not tools and not any(m["role"] == "tool" or m.get("tool_calls") for m in messages):
            return messages, {}
        if not self.is_shown:
            return written(messages, shown(tools)), {}
        return [self._as_template_wants(m) for m in messages], {"tools": shown(tools)} if tools else {}

    @cached_property
    def _takes_objects(self) -> bool:
        """Whether arguments of earlier calls may be objects. Most templates write them; some want text."""
        function = {"name": "f", "arguments": {"x": 1}}
        call = {"id": "a1b2c3d4e", "type": "function", "function": function}
        result = {"role": "tool", "name": "f", "content": "1", "tool_call_id": call["id"]}
        user = {"role": "user", "content": "x"}
        try:
            self._render([user, {"role": "assistant", "content": "", "tool_calls": [call]}, result])
        except JobRefused:
            return False
        return True

    def _as_template_wants(self, message: dict[str, Any]) -> dict[str, Any]:
        found = dict(message)
        if message.get("tool_calls"):
            found["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        if message.get("tool_call_id") and self._own.short_ids:
            found["tool_call_id"] = _short(message["tool_call_id"])
        return found

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = dict(call["function"])
        arguments = _object(function.get("arguments"))
        function["arguments"] = arguments if self._takes_objects else _written(arguments)
        found = {**call, "function": function}
        if self._own.short_ids:
            found["id"] = _short(str(call.get("id")))
        return found


def shown(tools: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As templates and parsers take them: each with a description and parameters."""
    return [{"type": "function", "function": _function(tool["function"])} for tool in tools]


def _function(given: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"name": given["name"], "description": "", "parameters": NO_ARGUMENTS, **given}
    return {key: value for key, value in whole.items() if key != "strict"}  # that is for the grammar


def written(messages: Messages, tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages for a template that shows neither tools nor calls. A system message comes first."""
    found: list[dict[str, Any]] = []
    before = ""  # the role
    for message in messages:
        text = f"<tool_response>\n{message['content']}\n</tool_response>"
        if message["role"] != "tool":
            found.append(_with_calls(message))
        elif before == "tool":  # results of one turn are one message: roles take turns
            found[-1]["content"] += f"\n{text}"
        else:
            found.append({"role": "user", "content": text})
        before = message["role"]
    if not tools:
        return found
    words = WORDS.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
    if found and found[0]["role"] == "system":
        return [{**found[0], "content": f"{found[0]['content']}\n\n{words}"}, *found[1:]]
    return [{"role": "system", "content": words}, *found]


def _with_calls(message: dict[str, Any]) -> dict[str, Any]:
    calls = [_call(call["function"]) for call in message.get("tool_calls") or ()]
    content = "\n".join(text for text in (str(message["content"]), *calls) if text)
    return {**{k: v for k, v in message.items() if k != "tool_calls"}, "content": content}


def _object(arguments: Any) -> Any:
    """Arguments as an object; what is none stays as it is."""
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(arguments)
            return found if isinstance(found, dict) else arguments
    return arguments or {}


def _written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _short(id: str) -> str:
    """Of nine letters, the same for the same id."""
    is_short = len(id) == 9 and id.isascii() and id.isalnum()
    return id if is_short else hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:9]


def _call(function: Mapping[str, Any]) -> str:
    arguments = _object(function.get("arguments"))
    call = json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"
