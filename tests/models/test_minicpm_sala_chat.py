"""Prompts in ChatML with one BOS, and the tokens that end an answer."""

import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ominix.models.minicpm_sala import chat

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
CHATML = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(params=[lambda t: t, TokenizerWrapper], ids=["transformers", "mlx_lm"])
def tokenizer(request):
    """Llama-like: it puts <s> in front of what it encodes, and knows the special tokens."""
    names = ["<unk>", "<s>", "</s>", "<|im_end|>", "<|im_start|>", "\n", *map(chr, range(32, 127))]
    inner = Tokenizer(BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>"))
    inner.add_special_tokens([AddedToken(name, normalized=False) for name in names[:5]])
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return request.param(
        PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="<|im_end|>")
    )


def spelt(tokenizer, tokens):
    return "".join(tokenizer.convert_ids_to_tokens(tokens))


def test_without_a_template_the_prompt_is_chatml(tokenizer):
    assert tokenizer.chat_template is None
    assert spelt(tokenizer, chat.prompt_tokens(tokenizer, MESSAGES)) == "<s>" + CHATML


def test_thinking_is_on_and_switched_off_by_an_empty_think_block(tokenizer):
    off = chat.prompt_tokens(tokenizer, MESSAGES, enable_thinking=False)
    on = chat.prompt_tokens(tokenizer, MESSAGES, enable_thinking=True)

    assert spelt(tokenizer, off) == "<s>" + CHATML + "<think>\n\n</think>\n\n"
    assert on == chat.prompt_tokens(tokenizer, MESSAGES)


@pytest.mark.parametrize("begin", ["", "<s>", "<s><s>", "{{ bos_token }}"])
def test_there_is_one_bos_whatever_the_checkpoints_template_says(tokenizer, begin):
    tokenizer.chat_template = begin + "{{ messages[1]['content'] }}|{{ enable_thinking }}"

    for thinking in (True, False):
        tokens = chat.prompt_tokens(tokenizer, MESSAGES, enable_thinking=thinking)
        assert spelt(tokenizer, tokens) == f"<s>hi|{thinking}"
    assert spelt(tokenizer, chat.prompt_tokens(tokenizer, MESSAGES)) == "<s>hi|True"


@pytest.mark.parametrize(
    ("eos", "stops"),
    [(None, [2, 73440]), (2, [2, 73440]), ([2, 73440], [2, 73440]), ([3, 2], [2, 3, 73440])],
)
def test_answers_stop_at_the_releases_tokens_and_the_configs(eos, stops):
    assert chat.stop_tokens({"eos_token_id": eos}) == stops
