from __future__ import annotations

import pytest

from ominix.families import qwen3_asr
from ominix.text import languages


@pytest.mark.parametrize(
    ("config", "is_aligner"),
    [
        ({"architectures": ["Qwen3ASRForConditionalGeneration"]}, False),
        ({"architectures": ["Qwen3ForcedAligner"]}, True),
        ({"architectures": ["Qwen3ASRForTokenClassification"]}, True),
        ({"thinker_config": {"classify_num": 5000}}, True),
        ({"thinker_config": {"model_type": "qwen3_forced_aligner"}}, True),
        ({"thinker_config": {"model_type": "qwen3_asr_thinker"}}, False),
        ({"thinker_config": 5, "architectures": 5}, False),
        ({"model_type": "qwen3_forced_aligner"}, True),
    ],
)
def test_an_aligner_is_told_from_a_recogniser(config, is_aligner):
    config = {"model_type": "qwen3_asr", **config}
    assert qwen3_asr.ALIGNER.claims(config) == is_aligner
    assert qwen3_asr.RECOGNISER.claims(config) == (not is_aligner)


@pytest.mark.parametrize(
    "config", [{}, {"model_type": 5}, {"model_type": ["qwen3_asr"]}, {"model_type": "qwen3"}]
)
def test_other_models_are_neither(config):
    assert not qwen3_asr.ALIGNER.claims(config)
    assert not qwen3_asr.RECOGNISER.claims(config)


def test_it_knows_languages_that_the_table_of_languages_has():
    assert len(qwen3_asr.RECOGNISER.languages) == 30
    assert set(languages.LANGUAGES) >= qwen3_asr.RECOGNISER.languages
