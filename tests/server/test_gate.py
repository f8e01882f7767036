from __future__ import annotations

import pytest
from falcon import testing

from ominix.library.catalog import Catalog
from ominix.library.downloads import Downloads
from ominix.server.app import create_app
from ominix.server.gate import Gate
from ominix.workers.pool import Pool


@pytest.fixture
def client(tmp_path):
    pool = Pool(jobs_per_worker=1, stall_seconds=1.0)

    def make(api_keys=(), allowed_hosts=(), allowed_origins=()):
        gate = Gate(api_keys, allowed_hosts, allowed_origins)
        app = create_app(pool, Catalog(tmp_path / "models"), Downloads(tmp_path), gate, strict=True)
        return testing.TestClient(app, headers={"Host": "localhost"})

    yield make
    pool.close()


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST", "my.box:1"])
def test_loopback_names_and_allowed_hosts_pass(client, host):
    allowed = client(allowed_hosts=("my.box",))
    assert allowed.simulate_get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"])
def test_other_host_names_are_refused(client, host):
    answer = client().simulate_get("/v1/models", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "host_not_allowed"


def test_a_star_allows_any_host(client):
    answer = client(allowed_hosts=("*",)).simulate_get("/livez", headers={"Host": "evil.example"})
    assert answer.status_code == 200


@pytest.mark.contract("transport.keys")
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer two"},
        {"authorization": "bearer  two "},
        {"api-key": "two"},
        {"x-api-key": "two"},
    ],
)
def test_any_configured_key_in_any_usual_header_passes(client, headers):
    assert client(api_keys=("one", "two")).simulate_get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Bearer"}, "missing_api_key"),
        ({"Authorization": "Basic b25l"}, "missing_api_key"),
        ({"Authorization": "Bearer three"}, "invalid_api_key"),
        ({"api-key": "on"}, "invalid_api_key"),
        ({"Authorization": "Bearer \xe9"}, "invalid_api_key"),
    ],
)
def test_a_missing_or_wrong_key_is_401(client, headers, code):
    answer = client(api_keys=("one",)).simulate_get("/v1/models", headers=headers)
    assert answer.status_code == 401
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["type"] == "authentication_error"


def test_health_needs_no_key(client):
    assert client(api_keys=("one",)).simulate_get("/health").status_code == 200


@pytest.mark.contract("transport.keys")
def test_any_key_is_fine_while_none_is_configured(client):
    answer = client().simulate_get("/v1/models", headers={"Authorization": "Bearer sk-whatever"})
    assert answer.status_code == 200


@pytest.mark.contract("transport.cors")
def test_cors_is_off_by_default(client):
    answer = client().simulate_get("/livez", headers={"Origin": "https://page.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_foreign_page_may_not_post(client):
    answer = client().simulate_post("/v1/chat/completions", headers={"Origin": "https://page.example"})
    assert answer.json["error"]["code"] == "origin_not_allowed"
    same = {"Origin": "http://localhost:8080", "Host": "localhost:8080"}
    assert client().simulate_post("/v1/chat/completions", headers=same).status_code == 415


@pytest.mark.contract("transport.cors")
def test_an_allowed_origin_gets_its_headers_and_preflight(client):
    allowed = client(allowed_origins=("https://page.example",), api_keys=("one",))
    origin = {"Origin": "https://page.example"}
    answer = allowed.simulate_get("/livez", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    preflight = allowed.simulate_options(
        "/v1/chat/completions", headers={**origin, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    other = allowed.simulate_get("/livez", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers
