from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ominix.errors import InvalidRequest
from ominix.families import table
from ominix.http import schemas

MODEL_NAMES = re.compile(r"qwen|whisper-|minicpm|llama", re.IGNORECASE)
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def refused(**fields) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        schemas.checked("chat_completion_request", {**HELLO, **fields})
    return caught.value


def test_defaults_are_filled_and_null_is_absent():
    fields = schemas.checked("chat_completion_request", {**HELLO, "temperature": None, "seed": None})
    assert fields["temperature"] == 0.7
    assert fields["stream"] is False
    assert "seed" not in fields


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"temperature": "hot"}, "temperature", "must be a number, not a string"),
        ({"temperature": 3}, "temperature", "at most 2, not 3"),
        ({"temperature": True}, "temperature", "must be a number, not a boolean"),
        ({"max_tokens": 1.5}, "max_tokens", "must be an integer, not a number"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hi"}, "messages", "must be an array, not a string"),
        ({"messages": [{"role": "user"}, {"role": "bot"}]}, "messages[1].role", "must be one of"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is required"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a string or an array"),
        ({"stop": ["a"] * 65}, "stop", "at most 64 items, not 65"),
        ({"stop": 5}, "stop", "must be a string or an array, not 5"),
        ({"stop": ["a", 5]}, "stop[1]", "must be a string, not a number"),
        ({"logit_bias": {"12": 400}}, "logit_bias.12", "at most 100"),
        ({"n": 9}, "n", "at most 8"),
    ],
)
def test_the_first_error_names_the_field_and_what_to_do(fields, param, sentence):
    error = refused(**fields)
    assert error.param == param
    assert sentence in error.message
    assert f"'{param}'" in error.message


KINDS = {str: "a string", list: "an array", dict: "an object", bool: "a boolean", int: "a number"}
ODD: tuple = (5, True, "", "odd", "x" * 50_000, [], ["odd"], ["x"] * 5000, [5], [[]], {}, {"type": "odd"})


def _odd_values(schema: dict) -> Iterator[object]:
    """Of any kind, and nearly right ones: those an example of an array's items would be, too long, empty."""
    yield from ODD
    for branch in schema.get("anyOf", []):
        first = next(iter(branch.get("enum", [branch.get("const", "odd")])))
        yield from (first, [first], [first] * 5000, {"type": "server_vad", "threshold": 7})


@pytest.mark.parametrize(
    "name", ["chat_completion_request", "chat_message", "transcription_form", "transcription_request"]
)
def test_no_refusal_says_that_a_value_is_of_another_kind_than_it_is(name):
    """Five stop texts were "not a string or an array"."""
    whole = {**HELLO, "role": "user", "file": "", "file_path": "a.wav"}
    seen = 0
    for field, schema in schemas.properties(name).items():
        for value in _odd_values(schema):
            try:
                schemas.checked(name, {**whole, field: value})
            except InvalidRequest as error:
                wanted = re.search(r"must be (?!one of)(.*), not", error.message)
                if error.param == field and wanted:
                    assert KINDS[type(value)] not in wanted[1].split(" or "), (field, value, error.message)
                    seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("image_url", "Images cannot"),
        ("input_audio", "Audio cannot"),
        ("file", "Files cannot"),
        ("x", "type"),
    ],
)
def test_a_part_that_is_no_text_is_refused_by_name(kind, sentence):
    error = refused(messages=[{"role": "user", "content": [{"type": kind}]}])
    assert error.param == "messages[0].content[0].type"
    assert sentence in error.message


def test_fields_that_ask_for_what_is_not_there_are_found():
    asked = {
        **HELLO,
        "tools": [{"type": "custom"}],
        "tool_choice": {"type": "custom"},
        "modalities": ["text", "audio"],
        "temperature": 7,
    }
    found = ["modalities", "tool_choice", "tools"]
    assert schemas.unsupported("chat_completion_request", asked) == found
    assert schemas.unsupported("chat_completion_request", HELLO) == []


def test_a_missing_field_is_named():
    with pytest.raises(InvalidRequest, match="'model' is required") as caught:
        schemas.checked("chat_completion_request", {"messages": []})
    assert caught.value.code == "missing_required_parameter"


@pytest.mark.parametrize("body", [[], "x", 3, None])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        schemas.checked("chat_completion_request", body)


def test_unknown_fields_pass():
    assert schemas.checked("chat_completion_request", {**HELLO, "store": True})["store"] is True


def test_a_response_that_breaks_its_schema_is_found():
    assert schemas.mismatch("liveness", {"status": "ok"}) is None
    assert "status" in str(schemas.mismatch("liveness", {"status": "fine"}))


def test_every_schema_file_is_valid_and_every_reference_resolves():
    schemas.warm()
    names = {path.name for path in (Path(__file__).parents[2] / "schemas").glob("*.json")}
    assert names == set(schemas._documents())
    text = json.dumps(schemas.openapi())
    parts = schemas.openapi()["components"]["schemas"]
    targets = {t.split('"')[0] for t in text.split("#/components/schemas/")[1:]}
    assert targets <= set(parts)
    assert '.json"' not in text


def test_the_files_name_no_model_but_the_document_does():
    """What can be served is said by the families alone; examples may name models."""
    document = schemas.openapi()["components"]["schemas"]
    assert "${" not in json.dumps(schemas.openapi())
    assert document["model"]["properties"]["abilities"]["items"]["enum"] == table.KNOWN.abilities
    assert document["model"]["properties"]["task"]["enum"] == ["chat", "speech", "aligner", "unknown"]
    model = document["transcription_form"]["properties"]["model"]
    assert all(name in model["description"] for name in table.ANY_MODEL["transcribe"])
    assert model["default"] == table.ANY_MODEL["transcribe"][0] == table.recommended("transcribe")
    for file in (Path(__file__).parents[2] / "schemas").glob("*.json"):
        named = [line for line in file.read_text("utf-8").splitlines() if MODEL_NAMES.search(line)]
        assert not named, (file, named)


def patterns(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node
        node = list(node.values())
    for inner in node if isinstance(node, list) else []:
        yield from patterns(inner)


@pytest.mark.parametrize("kind", ["_request", "_form"])
def test_nobody_is_answered_with_a_regular_expression(kind):
    folder = Path(__file__).parents[2] / "schemas"
    found = [p for file in folder.glob(f"*{kind}.json") for p in patterns(json.loads(file.read_text()))]
    assert found
    assert all("x-must-be" in pattern for pattern in found)


def test_a_channel_that_is_none_is_refused_in_words():
    with pytest.raises(InvalidRequest) as refusal:
        schemas.checked("transcription_form", {"file": "", "channel": "blue"})
    said = "'channel' must be left, right, separate, or a channel's number, 0 to 99, not \"blue\"."
    assert (refusal.value.param, refusal.value.message) == ("channel", said)
