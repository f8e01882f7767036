from __future__ import annotations

import json
import re
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
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
            'must be "text", not "image_url"',
        ),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "must be a string or an array"),
        ({"logit_bias": {"12": 400}}, "logit_bias.12", "at most 100"),
        ({"n": 9}, "n", "at most 8"),
    ],
)
def test_the_first_error_names_the_field_and_what_to_do(fields, param, sentence):
    error = refused(**fields)
    assert error.param == param
    assert sentence in error.message
    assert f"'{param}'" in error.message


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
