from __future__ import annotations

from types import SimpleNamespace

import falcon
import pytest
from falcon import testing

from ominix.api.health import MAX_REASON, Health
from ominix.http.access import RIGHTS, Rights
from ominix.http.answers import Answers
from ominix.workers.pool import WorkerState

FAILED = {"bad": WorkerState("failed", 0, "tensor " * 50_000)}


@pytest.fixture
def client():
    app = falcon.App()
    app.add_route(
        "/health", Health(SimpleNamespace(states=lambda: FAILED, draining=False), Answers(strict=True))
    )
    return testing.TestClient(app)


def test_reasons_are_cut(client):
    """A bad checkpoint's names all of its tensors: megabytes in each answer."""
    told = client.simulate_get("/health").json
    assert len(told["reason"]) == len(told["models"]["bad"]["reason"]) == MAX_REASON
    assert told["reason"].startswith("bad failed: tensor")


def test_without_the_key_the_status_is_all(client):
    answer = client.simulate_get("/health", extras={RIGHTS: Rights(details=False)})
    assert (answer.status_code, answer.json) == (503, {"status": "unavailable"})
    assert answer.headers["retry-after"]
