"""`ominix serve --ignore-unsupported`: clients that always ask for more than is there get an answer."""

from __future__ import annotations

import pytest
from serving import RunningServer

pytestmark = pytest.mark.slow

TOOL = {"type": "custom", "custom": {"name": "f"}}


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    running = RunningServer(tmp_path_factory.mktemp("home"), "--scripted", "--strict", "--ignore-unsupported")
    yield running
    running.stop()


def test_what_is_not_there_is_left_out_and_named(lenient):
    asked = {"tools": [TOOL], "tool_choice": "auto", "modalities": ["audio"]}
    for stream in (False, True):
        status, headers, _ = lenient.chat("say yes", stream=stream, **asked)
        assert (status, headers["X-Ominix-Ignored"]) == (200, "modalities, tools")


def test_other_answers_have_no_such_header(lenient):
    status, headers, _ = lenient.chat("say yes", tools=[])
    assert (status, headers["X-Ominix-Ignored"]) == (200, None)


def test_what_is_wrong_is_refused_all_the_same(lenient):
    status, _, body = lenient.chat("say yes", tools=[TOOL], temperature=7)
    assert (status, body["error"]["param"]) == (400, "temperature")
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    status, _, body = lenient.chat(image)
    assert (status, body["error"]["param"]) == (400, "messages[0].content[0].type")
