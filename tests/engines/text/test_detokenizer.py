"""Text out of tokens, for each way in which tokenizers write text."""

from __future__ import annotations

import json
import random

import pytest
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ominix.engines.text.detokenizer import SPACE, Detokenizer, _byte_letters

WORDS = ["Hello", "world", "an", "em", "oji", ".", ","]


def byte_level() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_piece(*, trims: bool) -> Tokenizer:
    pieces = [f"<0x{b:02X}>" for b in range(256)] + [SPACE + w for w in WORDS] + WORDS + [SPACE]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [], byte_fallback=True))
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * trims)
    return tokenizer


def word_level() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate([*WORDS, "##s", "[UNK]"])}))
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return tokenizer


KINDS = {
    "byte level": byte_level,
    "sentence piece": lambda: sentence_piece(trims=True),
    "sentence piece without a leading space": lambda: sentence_piece(trims=False),
    "words": word_level,
}


def wrapped(tmp_path, tokenizer):
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(facts | {"clean_up_tokenization_spaces": False})
    )
    return load_tokenizer(tmp_path)


def random_ids(tokenizer, rng: random.Random) -> list[int]:
    """Words as tokens where there are such, other characters as their bytes where there are such."""
    vocabulary = tokenizer.get_vocab()
    letters = {byte: letter for letter, byte in _byte_letters().items()}
    ids = []
    for _ in range(12):
        piece = rng.choice([*WORDS, *(SPACE + word for word in WORDS), "é", "😀", "漢", "##s"])
        raw = [vocabulary.get(f"<0x{b:02X}>", vocabulary.get(letters[b])) for b in piece.encode()]
        is_token = piece in vocabulary and piece != "é"  # which is also byte-level BPE's letter for E9
        ids += [vocabulary[piece]] if is_token else [i for i in raw if i is not None]
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_add_up_to_what_the_tokenizer_decodes(tmp_path, kind):
    tokenizer = wrapped(tmp_path, KINDS[kind]())
    rng = random.Random(2)
    for _ in range(20):
        ids = random_ids(tokenizer, rng)
        text = Detokenizer(tokenizer).text()

        assert ids
        assert "".join(text.add(token) for token in ids) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_marks_in_the_text(tmp_path, kind):
    tokenizer = wrapped(tmp_path, KINDS[kind]())
    detokenizer = Detokenizer(tokenizer)
    end = tokenizer.convert_tokens_to_ids("<end>")

    text = detokenizer.text().add(end)

    assert (detokenizer.marks.spelled(text), detokenizer.marks.silenced(text)) == ("<end>", "")
    assert detokenizer.token_bytes(end) == b""


@pytest.mark.contract("chat.stream.utf8")
def test_a_character_of_byte_tokens_comes_whole(tmp_path):
    tokenizer = wrapped(tmp_path, sentence_piece(trims=True))
    text = Detokenizer(tokenizer).text()

    assert [text.add(byte) for byte in "é😀".encode()] == ["", "é", "", "", "", "😀"]


@pytest.mark.contract("chat.stream.utf8")
def test_runs_of_byte_tokens_are_never_said_twice(tmp_path):
    """mlx-lm's detokenizer for any tokenizer takes back what it said of a run of bytes that goes on."""
    tokenizer = sentence_piece(trims=False)
    steps = [decoders.ByteFallback(), decoders.Replace(SPACE, " "), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)  # in no order that mlx-lm knows
    text = Detokenizer(wrapped(tmp_path, tokenizer)).text()

    said = [text.add(byte) for byte in "😀😃하\n\u1112\u1161 é".encode()]

    assert "".join(said) == "😀😃하\n\u1112\u1161 é"
    assert said[3] == "😀"


def test_a_mark_ends_a_character_of_byte_tokens(tmp_path):
    tokenizer = wrapped(tmp_path, sentence_piece(trims=True))
    text = Detokenizer(tokenizer).text()
    end = tokenizer.convert_tokens_to_ids("<end>")

    assert [text.add(0xC3), text.add(end)[:-1], text.add(0xA9)] == ["", "\ufffd", "\ufffd"]


def test_a_token_outside_the_vocabulary_says_nothing(tmp_path):
    assert Detokenizer(wrapped(tmp_path, byte_level())).text().add(10**6) == ""
