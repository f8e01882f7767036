from __future__ import annotations

import pytest

from ominix.errors import InvalidRequest
from ominix.library.names import in_bits, pasted


@pytest.mark.parametrize(
    "text",
    [
        "owner/name",
        " owner/name ",
        "https://huggingface.co/owner/name",
        "https://huggingface.co/owner/name/",
        "https://huggingface.co/owner/name/tree/main",
        "https://huggingface.co/owner/name/blob/main/config.json",
        "https://huggingface.co/owner/name?library=mlx#files",
        "https://hub.example.org:8000/owner/name",
        "huggingface.co/owner/name",
        "hf.co/owner/name",
        "hf://owner/name",
    ],
)
def test_what_people_paste_is_a_name(text):
    assert pasted(text) == "owner/name"


def test_another_version_is_not_quietly_the_newest():
    with pytest.raises(InvalidRequest, match="only the newest"):
        pasted("https://huggingface.co/owner/name/tree/v1.0")


@pytest.mark.parametrize(
    ("repo_id", "bits", "meant"),
    [
        ("owner/name", "8bit", "owner/name-8bit"),
        ("owner/name-4bit", "8bit", "owner/name-8bit"),
        ("owner/name-8bit", "bf16", "owner/name-bf16"),
        ("owner/name-4bit", "", "owner/name-4bit"),
    ],
)
def test_bits_behind_a_colon_choose_the_repository(repo_id, bits, meant):
    assert in_bits(repo_id, bits) == meant
