"""Messages as chat templates expect them. The prompts themselves are tested with the engine."""

from __future__ import annotations

import pytest

from ominix.engines.text.prompts import template_messages
from ominix.wire.jobs import Message


@pytest.mark.contract("chat.roles")
def test_there_is_one_system_message_and_it_comes_first():
    messages = [
        Message("system", "one"),
        Message("user", "two"),
        Message("developer", "three"),
        Message("assistant", "four"),
    ]

    assert template_messages(messages) == [
        {"role": "system", "content": "one\n\nthree"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "four"},
    ]
    assert template_messages(messages[1:2]) == [{"role": "user", "content": "two"}]


@pytest.mark.contract("chat.content")
def test_each_content_is_one_text():
    assert template_messages([Message("user", ("two", "fold")), Message("assistant")]) == [
        {"role": "user", "content": "twofold"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.contract("chat.tool-turns")
def test_fields_that_the_client_left_out_stay_out():
    call = {"function": {"name": "f"}}

    assert template_messages(
        [Message("assistant", tool_calls=(call,)), Message("tool", "5", name="f", tool_call_id="1")]
    ) == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "5", "name": "f", "tool_call_id": "1"},
    ]
