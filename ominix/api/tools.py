"""What a chat request says of tools, in today's form and in the older one of functions.

In: a checked request. Out: the tools that the model may call, and how far it is free not to. A tool that the
request does not allow is as good as absent: the model does not see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ominix.errors import InvalidRequest
from ominix.http.schemas import JsonObject


@dataclass(frozen=True)
class ToolUse:
    tools: tuple[dict[str, Any], ...] = ()  # {"type": "function", "function": {...}}
    choice: Literal["auto", "required"] = "auto"
    parallel: bool = True


NO_TOOLS = ToolUse()


def asked(fields: JsonObject) -> ToolUse:
    """Raises InvalidRequest for a choice of tools that are not there."""
    tools = tuple({**each, "function": _given(each["function"])} for each in fields.get("tools", ()))
    use = _chosen(tools, fields.get("tool_choice"), "tool_choice", parallel=fields["parallel_tool_calls"])
    functions = tuple({"type": "function", "function": _given(each)} for each in fields.get("functions", ()))
    older = _chosen(functions, _newer(fields.get("function_call")), "function_call", parallel=False)
    if use.tools and older.tools:
        raise InvalidRequest("'functions' is the older form of 'tools'; send one of them.", param="functions")
    return older if older.tools else use


def _newer(function_call: Any) -> Any:
    """`function_call`, as a tool_choice."""
    return (
        {"type": "function", "function": function_call} if isinstance(function_call, dict) else function_call
    )


def _given(function: JsonObject) -> JsonObject:
    """Templates ask whether a field is there: those that are null are not."""
    return {key: value for key, value in function.items() if value is not None}


def _chosen(tools: tuple[dict[str, Any], ...], choice: Any, param: str, *, parallel: bool) -> ToolUse:
    """`choice`: as the schema of tool_choice has it, or None."""
    if choice == "none":
        return NO_TOOLS
    if choice is None or choice == "auto":
        return ToolUse(tools, "auto", parallel) if tools else NO_TOOLS
    if choice == "required":
        if not tools:
            raise InvalidRequest(f"'{param}' is \"required\", but there are no tools to call.", param=param)
        return ToolUse(tools, "required", parallel)
    if choice["type"] == "function":
        return ToolUse(_named(tools, [choice["function"]["name"]], param), "required", parallel)
    allowed = choice["allowed_tools"]
    names = [each["function"]["name"] for each in allowed["tools"]]
    return ToolUse(_named(tools, names, param), allowed["mode"], parallel)


def _named(tools: tuple[dict[str, Any], ...], names: list[str], param: str) -> tuple[dict[str, Any], ...]:
    there = {tool["function"]["name"] for tool in tools}
    missing = next((name for name in names if name not in there), None)
    if missing is not None:
        raise InvalidRequest(f"'{param}' names '{missing[:60]}', which is not among the tools.", param=param)
    return tuple(tool for tool in tools if tool["function"]["name"] in names)
