from __future__ import annotations

import pytest

from ominix.api.tools import NO_TOOLS, ToolUse, asked
from ominix.errors import InvalidRequest
from ominix.http import schemas


def tool(name: str) -> dict:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


F, G = tool("f"), tool("g")
NAMED_G = {"type": "function", "function": {"name": "g"}}


def use(**fields) -> ToolUse:
    hello = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    return asked(schemas.checked("chat_completion_request", {**hello, **fields}))


def allowed(mode: str, *tools: dict) -> dict:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@pytest.mark.contract("chat.tools.choice")
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolUse((F, G))),
        ("auto", ToolUse((F, G))),
        ("none", NO_TOOLS),
        ("required", ToolUse((F, G), "required")),
        (NAMED_G, ToolUse((G,), "required")),
        (allowed("auto", NAMED_G), ToolUse((G,))),
        (allowed("required", NAMED_G, F), ToolUse((F, G), "required")),
    ],
)
def test_a_choice_says_which_tools_the_model_sees(choice, expected):
    assert use(tools=[F, G], tool_choice=choice) == expected


def test_no_tools_are_as_good_as_none():
    assert use(tools=[], tool_choice="auto") == use(tool_choice="none") == use(tools=None) == NO_TOOLS


@pytest.mark.contract("chat.tools.choice")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"tool_choice": NAMED_G, "tools": [F]}, "tool_choice"),
        ({"tool_choice": allowed("auto", NAMED_G), "tools": [F]}, "tool_choice"),
        ({"tool_choice": "any", "tools": [F]}, "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": [F]}, "tool_choice.function"),
        ({"tool_choice": {"type": "allowed_tools"}, "tools": [F]}, "tool_choice.allowed_tools"),
        ({"tools": [F], "functions": [G["function"]]}, "functions"),
        ({"function_call": {"name": "g"}, "functions": [F["function"]]}, "function_call"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_name(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        use(**fields)
    assert caught.value.param == param


def test_fields_that_are_null_are_not_shown_to_a_template():
    given = {"type": "function", "function": {"name": "f", "description": None, "strict": None}}
    assert use(tools=[given]).tools == ({"type": "function", "function": {"name": "f"}},)


@pytest.mark.contract("chat.tools.functions")
def test_functions_are_the_older_form_and_allow_one_call():
    functions = [F["function"], G["function"]]
    assert use(functions=functions) == ToolUse((F, G), "auto", parallel=False)
    assert use(functions=functions, function_call="none") == NO_TOOLS
    assert use(functions=functions, function_call={"name": "g"}) == ToolUse((G,), "required", parallel=False)
    assert use(tools=[F], parallel_tool_calls=False).parallel is False
