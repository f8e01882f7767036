"""mlx-lm's BatchGenerator: a sequence answers the same in company as alone."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import BatchGenerator, generate_step
from mlx_lm.utils import load_model

from ominix.models.minicpm_sala import loader

CASES = Path(__file__).parents[1] / "golden" / "minicpm_sala"
LENGTHS = [3, 50, 97, 130, 1, 95]  # dense_len is 96: some are dense, some sparse, some cross over
ANSWER = 8  # tokens


@pytest.fixture(scope="module")
def model():
    loader.register()
    return load_model(CASES / "case_c_decode_crossing")[0]


@pytest.fixture(scope="module")
def prompts():
    return [np.random.default_rng(n).integers(4, 128, n).tolist() for n in LENGTHS]


def answers(model, prompts, caches=None, **options):
    """Of every prompt the tokens, the logprobs of each step (ANSWER, V) and the cache at the end."""
    generator = BatchGenerator(model, max_tokens=ANSWER, **options)
    uids = generator.insert(prompts, caches=caches)
    tokens, logprobs, ends = {u: [] for u in uids}, {u: [] for u in uids}, {}
    while responses := generator.next_generated():
        for r in responses:
            tokens[r.uid].append(r.token)
            logprobs[r.uid].append(np.array(r.logprobs))
            if r.finish_reason:
                ends[r.uid] = r.prompt_cache
    generator.close()
    return [(tokens[u], np.stack(logprobs[u]), ends[u]) for u in uids]


@pytest.mark.slow
@pytest.mark.parametrize("step", [2048, 13])
def test_unequal_prompts_together_answer_as_they_do_alone(model, prompts, step):
    together = answers(model, prompts, prefill_step_size=step, prefill_batch_size=3, completion_batch_size=5)

    for prompt, (tokens, logprobs, _) in zip(prompts, together, strict=True):
        [(want_tokens, want, _)] = answers(model, [prompt], prefill_step_size=step)
        assert tokens == want_tokens
        np.testing.assert_allclose(logprobs, want, atol=2e-4)


@pytest.mark.slow
def test_the_batch_answers_as_the_plain_generator_does(model, prompts):
    for prompt, (tokens, _, _) in zip(prompts, answers(model, prompts), strict=True):
        plain = generate_step(mx.array(prompt), model, max_tokens=ANSWER)
        assert tokens == [token for token, _ in plain]


@pytest.mark.slow
def test_a_sequence_that_joins_later_disturbs_nobody(model, prompts):
    generator = BatchGenerator(model, max_tokens=ANSWER)
    found = {}
    late = iter(prompts[1:])
    generator.insert([prompts[0]])
    while responses := generator.next_generated():
        for r in responses:
            found.setdefault(r.uid, []).append(r.token)
        for prompt in [next(late, None)]:
            if prompt is not None:
                generator.insert([prompt])
    generator.close()

    assert list(found.values()) == [tokens for tokens, _, _ in answers(model, prompts)]


def test_removing_a_sequence_leaves_the_others_as_they_are(model, prompts):
    generator = BatchGenerator(model, max_tokens=ANSWER)
    uids = generator.insert(prompts[:4])
    found = {u: [] for u in uids}
    for step in range(100):
        for r in generator.next_generated():
            found[r.uid].append(r.token)
        if step == 3:
            generator.remove([uids[0], uids[2]])
    generator.close()

    want = answers(model, prompts[:4])
    assert [found[uids[i]] for i in (1, 3)] == [want[i][0] for i in (1, 3)]


@pytest.mark.slow
def test_a_kept_cache_continues_a_conversation(model, prompts):
    """Turn two on turn one's cache, in company, twice: as if all had been read at once."""
    [(said, _, kept)] = answers(model, [prompts[1]])
    question = prompts[2][:30]

    [(want, want_logprobs, _)] = answers(model, [prompts[1] + said + question], prefill_step_size=1)
    [(want_other, _, _)] = answers(model, [prompts[3]])
    for first in (1, 0):  # the kept cache itself goes in: a batch must leave it as it is
        order = [(question, kept), (prompts[3], model.make_cache())][:: 1 if first == 0 else -1]
        found = answers(model, [prompt for prompt, _ in order], caches=[cache for _, cache in order])
        assert found[first][0] == want
        np.testing.assert_allclose(found[first][1], want_logprobs, atol=2e-4)
        assert found[1 - first][0] == want_other
        assert {c.size() for c in kept} == {len(prompts[1]) + ANSWER}


def test_an_extracted_cache_is_not_written_on_by_the_batch(model, prompts):
    generator = BatchGenerator(model, max_tokens=30)
    [uid] = generator.insert([prompts[3]])
    for _ in range(5):
        generator.next_generated()
    cache, tokens = generator.extract_cache([uid])[uid]
    tokens = list(tokens)
    for _ in range(10):
        generator.next_generated()
    generator.close()

    assert [c.size() for c in cache] == [len(tokens)] * len(cache)
    fresh = model.make_cache()
    model(mx.array([tokens[: LENGTHS[3]]]), fresh)
    for token in tokens[LENGTHS[3] :]:
        model(mx.array([[token]]), fresh)
    after, want = (np.array(model(mx.array([[7]]), c)) for c in (cache, fresh))
    np.testing.assert_allclose(after, want, atol=2e-4)
