"""The encoder against the tokenizer that it is made from."""

from __future__ import annotations

import random

import pytest
import tokenizer_kinds
from tokenizers import Tokenizer

from ominix.templates.encoder import Encoder, NotUsable, secret_names

KINDS = tokenizer_kinds.all_kinds()
WORDS = [
    "hello",
    "user",
    "\n",
    "\n\n",
    "  ",
    " ",
    "",
    "é",
    "e\u0301",
    "你好",
    "👍🏽",
    "12",
    "<|",
    "|>",
    "<",
    "▁",
    "x",
]
MOST = 1 << 20


def names(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


@pytest.fixture(scope="module", params=KINDS)
def made(request) -> tuple[Tokenizer, Encoder, dict[str, str]]:
    tokenizer = KINDS[request.param]
    renamed = secret_names(names(tokenizer))
    return tokenizer, Encoder(tokenizer.to_str(), renamed), renamed


def test_secret_names_give_the_tokens_that_the_names_gave(made):
    tokenizer, encoder, renamed = made
    draw = random.Random(1)
    for _ in range(300):
        words = [draw.choice(WORDS + names(tokenizer)) for _ in range(draw.randint(1, 12))]
        plain = tokenizer.encode("".join(words), add_special_tokens=False).ids
        assert encoder.encode("".join(renamed.get(word, word) for word in words), MOST) == plain, words


def test_names_that_are_text_give_no_control_token_and_stay_readable(made):
    tokenizer, encoder, renamed = made
    control = {tokenizer.token_to_id(name) for name in renamed}
    for name in renamed:
        unknown = tokenizer.token_to_id("<unk>")
        found = encoder.encode(f"say {name}{name} twice", MOST)
        assert not control - {unknown} & set(found)
        if unknown is None or unknown not in found:
            assert f"say {name}{name} twice" in tokenizer.decode(found, skip_special_tokens=False)


def test_text_beside_a_token_is_split_as_if_the_token_stood_there(made):
    """Prefixes and stripped spaces depend on what stands before."""
    tokenizer, encoder, renamed = made
    name = names(tokenizer)[-1]
    for text in (" a", "a ", "\n a \n"):
        plain = tokenizer.encode(f"{text}{name}{text}", add_special_tokens=False).ids
        assert encoder.encode(f"{text}{renamed[name]}{text}", MOST) == plain


def test_a_long_text_whose_beginning_has_too_many_tokens_is_not_encoded():
    tokenizer = KINDS["chatml"]
    encoder = Encoder(tokenizer.to_str(), {})
    assert encoder.encode("a" * 1_000_000, 5) is None
    assert len(encoder.encode("!" * 70_000, MOST)) == len(tokenizer.encode("!" * 70_000).ids)


def test_a_merge_that_makes_a_control_tokens_name_is_dropped():
    """Conversions of tokenizer.model leave such merges: nothing ever reached them."""
    tokenizer = Tokenizer.from_str(
        '{"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "single_word": false,'
        '"lstrip": false, "rstrip": false, "normalized": false, "special": true}], '
        '"model": {"type": "BPE", "vocab": {"<": 0, "s": 1, "s>": 2, "<s>": 3, ">": 4},'
        '"merges": [["s", ">"], ["<", "s>"]]}}'
    )
    encoder = Encoder(tokenizer.to_str(), {"<s>": "secret"})
    assert encoder.encode("secret<s>s>", MOST) == [3, 0, 2, 2]


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(NotUsable):
        Encoder("{}", {})
