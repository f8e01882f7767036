from __future__ import annotations

import pytest

from ominix.families.tasks import task_of


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"model_type": "qwen3_asr", "architectures": ["Qwen3ASRForConditionalGeneration"]}, "speech"),
        ({"model_type": "qwen3_asr", "architectures": ["Qwen3ForcedAligner"]}, "aligner"),
        ({"model_type": "qwen3_asr", "architectures": ["Qwen3ASRForTokenClassification"]}, "aligner"),
        ({"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}}, "aligner"),
        ({"model_type": "qwen3_asr", "thinker_config": {"model_type": "qwen3_forced_aligner"}}, "aligner"),
        ({"model_type": "qwen3_asr", "thinker_config": {"model_type": "qwen3_asr_thinker"}}, "speech"),
        ({"model_type": "qwen3_asr", "thinker_config": 5}, "speech"),
        ({"model_type": "qwen3_forced_aligner"}, "aligner"),
        ({"model_type": "minicpm_sala"}, "chat"),
        ({"model_type": "whisper"}, "unknown"),
        ({"architectures": 5}, "unknown"),
    ],
)
def test_the_config_says_what_a_model_is_for(config, task):
    assert task_of(config) == task
