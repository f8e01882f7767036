"""What the caches hold: constant for lightning layers, growing seldom for sparse ones."""

import copy
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache
from mlx_lm.utils import load_model

from ominix.models.minicpm_sala import loader
from ominix.models.minicpm_sala.cache import LightningCache, SparseCache
from ominix.models.minicpm_sala.storage import Buffer

CASE = Path(__file__).parents[1] / "golden" / "minicpm_sala" / "case_b_sparse_prefill"


@pytest.fixture(scope="module")
def model():
    loader.register()
    return load_model(CASE)[0]


def test_a_buffer_copies_what_it_holds_only_a_few_times():
    buffer, capacities = Buffer(step=64), set()
    for i in range(3000):
        buffer.append(mx.full((2, 1, 4), i))
        capacities.add(buffer.storage.shape[1])

    assert len(capacities) < 30
    assert max(capacities) <= 3000 * 9 / 8 + 64
    assert buffer.first(3000)[1, :, 0].tolist() == list(range(3000))


def test_a_buffer_takes_many_tokens_at_once_and_none():
    buffer = Buffer(step=16)
    for n in (0, 40, 0, 100):
        buffer.append(mx.ones((1, n, 2)))

    assert buffer.length == 140 and buffer.storage.shape == (1, 160, 2)
    assert buffer.storage.sum().item() == 280


def test_copies_of_a_buffer_share_storage_until_one_is_written():
    one = Buffer(step=16)
    one.append(mx.zeros((1, 3, 1)))
    other = copy.deepcopy(one)

    one.append(mx.ones((1, 1, 1)))
    other.append(mx.full((1, 1, 1), 2.0))

    assert one.first(4)[0, :, 0].tolist() == [0, 0, 0, 1]
    assert other.first(4)[0, :, 0].tolist() == [0, 0, 0, 2]


def test_lightning_layers_need_the_same_memory_for_any_length(model):
    cache = model.make_cache()
    sizes = []
    for n in (1, 100, 1, 300):
        model(mx.ones((1, n), mx.int32), cache)
        sizes.append([c.nbytes for c in cache if isinstance(c, LightningCache)])

    assert sizes == [[8 * 8 * 8 * 4] * 2] * 4
    assert all(c.recurrent_state.dtype == mx.float32 for c in cache if isinstance(c, LightningCache))


def test_the_state_stays_float32_in_a_bf16_model():
    model, _ = load_model(CASE)
    model.set_dtype(mx.bfloat16)
    cache = model.make_cache()
    for n in (20, 1):
        model(mx.ones((1, n), mx.int32), cache)

    assert cache[1].recurrent_state.dtype == mx.float32
    assert cache[0].sequences[0].keys.storage.dtype == mx.bfloat16


def test_caches_say_what_mlx_lm_asks(model):
    cache = model.make_cache()
    assert all(c.empty() and c.size() == 0 and c.nbytes == 0 for c in cache)
    assert not can_trim_prompt_cache(cache)

    model(mx.ones((1, 33), mx.int32), cache)

    assert not any(c.empty() for c in cache)
    assert {c.size() for c in cache} == {c.offset for c in cache} == {33}
    assert all(c.nbytes == sum(a.nbytes for a in c.state) > 0 for c in cache)


def test_a_first_call_with_several_texts_makes_a_batch_of_them(model):
    cache = model.make_cache()
    for n in (5, 1):
        model(mx.ones((3, n), mx.int32), cache)

    assert all([row.offset for row in c.rows] == [6, 6, 6] for c in cache)


def test_rows_can_be_taken_out_put_together_and_left_out(model):
    merged = []
    for n in (4, 9, 6):
        cache = model.make_cache()
        model(mx.full((1, n), n), cache)
        merged.append(cache)
    batch = [type(layer[0]).merge(layer) for layer in zip(*merged, strict=True)]
    for c in batch:
        c.filter([2, 0])
        c.extend(c.extract(0))

    for c, layer in zip(batch, zip(*merged, strict=True), strict=True):
        assert [row.offset for row in c.rows] == [6, 4, 6]
        for i, source in enumerate((2, 0, 2)):
            for have, want in zip(c.extract(i).state, layer[source].state, strict=True):
                assert mx.array_equal(have, want)


def test_mlx_lms_prompt_store_keeps_and_returns_the_caches(model):
    store, tokens = LRUPromptCache(), list(range(4, 44))
    cache = model.make_cache()
    model(mx.array([tokens]), cache)
    store.insert_cache("sala", tokens, cache)

    found, rest = store.fetch_nearest_cache("sala", [*tokens, 7, 8])

    assert rest == [7, 8] and isinstance(found[0], SparseCache)
    assert store.nbytes == sum(c.nbytes for c in cache)
    whole = model(mx.array([[*tokens, 7, 8]]))[0, -1]
    assert mx.allclose(model(mx.array([rest]), found)[0, -1], whole, atol=2e-4)
    assert cache[0].size() == 40
