"""tools/test_models: a dozen kinds of architectures, and the table that comes of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tools.architectures import table
from tools.architectures.row import Row, row

# K; R+K; latent; experts; S; S+K; a state that padding would spoil; one row; quantized, half precision
KINDS = {
    "qwen3": "padded", "gpt_oss": "padded", "deepseek_v3": "padded", "mixtral": "padded",
    "mamba2": "padded", "lfm2": "padded", "qwen3_5": "padded", "nemotron_h": "unpadded",
    "jamba": "unpadded", "gemma2": "one row", "llama@mxfp4": "padded", "qwen2@4bit": "padded",
}  # fmt: skip
WAYS = ("reversed", "reuse")  # a whole run of tools/test_models asks in more


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", KINDS)
def test_an_architecture_answers_as_mlx_lm_does_alone_and_in_a_crowd(name):
    found = row(name, WAYS)
    assert (found.made, found.refused, found.wrong) == ("", "", {})
    assert found.batching == KINDS[name]
    assert found.felt > 0.02


@pytest.mark.slow
def test_an_architecture_without_a_row_says_what_it_lacks():
    from tools.architectures import configs  # brings mlx

    @dataclasses.dataclass
    class Arguments:
        model_type: str
        hidden_size: int
        prompt_width: int

    with pytest.raises(ValueError, match="nobody wrote what prompt_width of new is"):
        configs.filled(Arguments, "new", {})


def right(name: str) -> Row:
    return Row(name, caches="4K", batching="padded")


def test_only_what_changed_is_news():
    page = table.written(
        f"above\n{table.BEGIN}\n{table.END}\nbelow\n", table.lines(map(right, "abc")), "Today."
    )
    assert page.startswith("above\n") and page.endswith("\nbelow\n")
    assert "**3 checkpoints: 3 right, 0 wrong, 0 refused, 0 not made.** Today." in page

    committed = table.read(page)
    now = table.lines(
        [right("a"), Row("b", caches="4K", batching="padded", wrong={"crowd": "dies"}), right("d")]
    )
    assert table.news(committed, now, all_names=None) == [
        "-| `b` | 4K | padded | right |  |",
        "+| `b` | 4K | padded | wrong | crowd: dies |",
        "+| `d` | 4K | padded | right |  |",
    ]
    assert "-| `c` | 4K | padded | right |  |" in table.news(committed, now, all_names="abd")
    assert table.news(committed, committed, all_names="abc") == []


def test_a_table_is_written_in_the_order_of_all_checkpoints_without_those_that_are_gone():
    committed, found = table.lines([right("b"), right("gone")]), table.lines([right("a")])
    assert list(table.merged(committed, found, ["a", "b", "new"])) == ["a", "b"]


@pytest.mark.slow
def test_answers_may_part_only_where_two_tokens_are_equally_likely():
    from tools.architectures.asking import Answer
    from tools.architectures.ways import BOUND, difference

    near, apart = np.log(np.array([0.5, 0.4999, 0.0001])), np.log(np.array([0.6, 0.3, 0.1]))

    def answer(*tokens: int, logprobs=near) -> Answer:
        return Answer(tokens, tuple(float(logprobs[t]) for t in tokens), "", "length", len(tokens), 0)

    assert difference([(0, near), (0, apart)], answer(1, 2)) < BOUND  # what follows has another beginning
    assert difference([(0, apart)], answer(1, logprobs=apart)) == pytest.approx(math.log(2))
    assert difference([(0, near)], answer()) == math.inf
