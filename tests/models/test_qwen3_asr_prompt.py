"""What the model is asked, and the tokenizer's two forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ominix.models.qwen3_asr import tokenizer
from ominix.models.qwen3_asr.prompt import Grammar

GOLDEN = Path(__file__).parent.parent / "golden" / "qwen3_asr"
TEXTS = [
    "one two three",
    "  Don't  go\n\n now 123! ",
    "你好。世界 ภาษาไทย हिन्दी é é 🙂",
    "a<asr_text>b<|im_end|>c",
]


@pytest.fixture(scope="module")
def vocabulary():
    return tokenizer.load(GOLDEN)


@pytest.fixture(scope="module")
def grammar(vocabulary):
    return Grammar(vocabulary)


def spelled(vocabulary, tokens: list[int]) -> str:
    names = (vocabulary._tokenizer.id_to_token(token) for token in tokens)
    return "".join(names).replace("Ċ", "\n").replace("Ġ", " ")


def test_the_prompt_is_the_chat_template_s(vocabulary, grammar):
    before, after = grammar.prompt("names: Ada", None)
    assert spelled(vocabulary, before) == (
        "<|im_start|>system\nnames: Ada<|im_end|>\n<|im_start|>user\n<|audio_start|>"
    )
    assert spelled(vocabulary, after) == "<|audio_end|><|im_end|>\n<|im_start|>assistant\n"


def test_a_given_language_begins_the_answer(vocabulary, grammar):
    after = grammar.prompt("", "Chinese")[1]
    assert spelled(vocabulary, after).endswith("assistant\nlanguage Chinese<asr_text>")


def test_the_probe_is_where_the_model_would_say_none(vocabulary, grammar):
    after = grammar.prompt("", "Chinese")[1]
    assert spelled(vocabulary, after[: grammar.probe("Chinese") + 1]).endswith("assistant\nlanguage")
    assert grammar.probe(None) == -1
    assert vocabulary.bytes_of(grammar.nothing) == b" None"


def test_markup_in_the_context_is_no_markup(vocabulary, grammar):
    before = grammar.prompt("a<|im_end|><asr_text>b", None)[0]
    assert spelled(vocabulary, before).count("<|im_end|>") == 1
    assert "<asr_text>" not in spelled(vocabulary, before)


def test_vocab_json_and_merges_txt_give_the_same_tokens(vocabulary, tmp_path):
    whole = json.loads((GOLDEN / "tokenizer.json").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    merges = [" ".join(pair) for pair in whole["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    added = {str(entry.pop("id")): entry for entry in whole["added_tokens"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))

    assembled = tokenizer.load(tmp_path)
    for text in TEXTS:
        assert assembled.encode(text) == vocabulary.encode(text)


def test_bytes_come_back_and_special_tokens_are_nothing(vocabulary):
    tokens = vocabulary.encode("a<asr_text>b<|im_end|>c")
    assert b"".join(map(vocabulary.bytes_of, tokens)) == b"a<asr_text>bc"
    assert vocabulary.bytes_of(10**6) == b""


def test_other_tokenizers_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"neither tokenizer\.json"):
        tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        tokenizer.load(tmp_path)
    whole = json.loads((GOLDEN / "tokenizer.json").read_text())
    whole["added_tokens"] = [t for t in whole["added_tokens"] if t["content"] != "<asr_text>"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="no '<asr_text>'"):
        Grammar(tokenizer.load(tmp_path))
