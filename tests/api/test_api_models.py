from __future__ import annotations

import json
from pathlib import Path

import pytest
from falcon import testing

from ominix.http import access
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.downloads import Downloads
from ominix.library.records import Records
from ominix.server.app import create_app
from ominix.server.gate import Origins
from ominix.workers.pool import Pool

CONFIGS = {
    "llama": {"model_type": "llama"},
    "asr": {"model_type": "qwen3_asr"},
    "whisper-base": {"model_type": "whisper", "encoder_layers": 6, "decoder_layers": 6, "vocab_size": 51865},
    "aligner": {"model_type": "qwen3_forced_aligner"},
}


def put(models: Path, name: str, config: dict, weights: bytes = b"12345") -> None:
    (models / name).mkdir(parents=True)
    (models / name / "config.json").write_text(json.dumps(config))
    (models / name / "model.safetensors").write_bytes(weights)


@pytest.fixture
def client(tmp_path):
    for name, config in CONFIGS.items():
        put(tmp_path / "models", name, config)
    (tmp_path / "models" / "torn").mkdir()
    records = Records(tmp_path)
    records.put("such", repo_id="a/such", state="failed", reason="not_found", message="No such repository.")
    pool, downloads = Pool(jobs_per_worker=1, stall_seconds=1.0), Downloads(tmp_path)
    catalog = Catalog(tmp_path / "models", records=records, embedded=EMBEDDED)
    app = create_app(pool, catalog, downloads, Origins(()), strict=True)
    yield testing.TestClient(access.logged(app), headers={"Host": "localhost"})
    downloads.close()
    pool.close()


def listed(client, **query: str) -> set[str]:
    return {model["id"] for model in client.simulate_get("/v1/models", params=query).json["data"]}


def test_the_list_has_what_requests_can_be_made_to(client):
    """Chat programs offered failed downloads, aligners and the demo models as chat models."""
    assert listed(client) == {"llama", "asr", "whisper-base", "torn"}
    for name, status in {
        "such": "failed",
        "aligner": "ready",
        "tiny-asr": "ready",
        "tiny-aligner": "ready",
    }.items():
        answer = client.simulate_get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json["id"], answer.json["status"]) == (200, name, status)


def test_the_list_narrowed_down_to_a_task(client):
    assert listed(client, task="chat") == {"llama"}
    assert listed(client, task="transcribe") == listed(client, task="speech") == {"asr", "whisper-base"}
    assert listed(client, task="translate") == {"whisper-base"}
    assert "aligner" in listed(client, task="align")
    for wrong in ("singing", ""):
        answer = client.simulate_get("/v1/models", params={"task": wrong})
        assert (answer.status_code, answer.json["error"]["param"]) == (400, "task")
