"""Whisper's vocabularies: ids by arithmetic, text and bytes both ways."""

from __future__ import annotations

import pytest

from ominix.models.whisper.tokenizer import LANGUAGES, TIMESTAMPS, SpecialTokens, Vocabulary

# "suppress_tokens" of OpenAI's published files, without those that are special tokens
BASE = (
    "1 2 7 8 9 10 14 25 26 27 28 29 31 58 59 60 61 62 63 90 91 92 93 359 503 522 542 873 893 902 918 "
    "922 931 1350 1853 1982 2460 2627 3246 3253 3268 3536 3846 3961 4183 4667 6585 6647 7273 9061 9383 "
    "10428 10929 11938 12033 12331 12562 13793 14157 14635 15265 15618 16553 16604 18362 18956 20075 "
    "21675 22520 26130 26161 26435 28279 29464 31650 32302 32470 36865 42863 47425 49870 50254"
)


@pytest.fixture(scope="module")
def multilingual():
    return Vocabulary(multilingual=True)


@pytest.fixture(scope="module")
def english():
    return Vocabulary(multilingual=False)


@pytest.mark.parametrize(
    ("size", "end", "translate", "no_speech", "no_timestamps"),
    [
        (51864, 50256, 50357, 50361, 50362),
        (51865, 50257, 50358, 50362, 50363),
        (51866, 50257, 50359, 50363, 50364),
    ],
)
def test_special_ids_follow_from_the_vocabulary_s_size(size, end, translate, no_speech, no_timestamps):
    tokens = SpecialTokens(size)
    assert (tokens.end, tokens.start, tokens.translate) == (end, end + 1, translate)
    assert (tokens.no_speech, tokens.no_timestamps) == (no_speech, no_timestamps)
    assert tokens.first_timestamp + TIMESTAMPS == size
    assert tokens.seconds(size - 1) == 30.0


def test_languages_have_their_ids():
    tokens = SpecialTokens(51865)
    assert (tokens.language("en"), tokens.language("zh"), tokens.language("su")) == (50259, 50260, 50357)
    with pytest.raises(ValueError, match="yue"):
        tokens.language("yue")
    assert SpecialTokens(51866).language("yue") == 50358
    assert len(set(LANGUAGES)) == 100


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="51867"):
        SpecialTokens(51867)


def test_text_gets_the_published_ids(multilingual, english):
    assert english.encode("Hello, world!") == [15496, 11, 995, 0]
    assert multilingual.encode(" And so my fellow Americans") == [400, 370, 452, 7177, 6280]
    assert multilingual.encode("<|endoftext|>")[0] == 27  # text is never a special token


@pytest.mark.parametrize("text", ["It's 42 «Größe» 你好世界  \n", "🎵 مرحبا\t", "", "\x00\x7f\xad"])
def test_text_goes_there_and_back(multilingual, english, text):
    for vocabulary in (multilingual, english):
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_every_token_has_bytes_and_special_ones_have_none(multilingual):
    assert multilingual.bytes_of(0) == b"!"
    assert multilingual.bytes_of(256) == b" t"
    assert all(multilingual.bytes_of(i) for i in range(50256))
    assert [multilingual.bytes_of(i) for i in (50256, 50257, 51864)] == [b""] * 3


def test_symbols_are_those_of_the_published_list(multilingual):
    assert " ".join(map(str, multilingual.symbols)) == BASE
