from __future__ import annotations

import socket

import pytest
from falcon import testing

from ominix.errors import Forbidden, NotAuthenticated, OminixError
from ominix.http import access
from ominix.library.catalog import Catalog
from ominix.library.downloads import Downloads
from ominix.server.app import create_app
from ominix.server.gate import OPEN_PATHS, Call, Gate, Origins
from ominix.workers.pool import Pool

CHAT = "/v1/chat/completions"
LAN = "10.0.0.7"


def ask(gate: Gate, method: str = "GET", path: str = "/v1/models", address: str = "127.0.0.1", **headers):
    """Whether the caller is told everything but paths, or the code of the refusal."""
    named = {"HOST": "localhost:8080", **headers}
    try:
        return gate.check(Call(method, path, named, address)).details
    except OminixError as error:
        assert isinstance(error, (Forbidden, NotAuthenticated))
        return error.code


def gate(keys=(), names=(), origins=(), admin_keys=()) -> Gate:
    return Gate(tuple(keys), tuple(names), Origins(tuple(origins)), tuple(admin_keys))


def sees_paths(gate: Gate, address: str = "127.0.0.1", **headers) -> bool:
    return gate.check(Call("GET", "/v1/models", {"HOST": "localhost", **headers}, address)).paths


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST", "localhost.", "my.box:1",
        "192.168.1.20:8080", "[fe80::1]", "10.0.0.1", "studio.local:8080", "host.docker.internal:8080",
        socket.gethostname(),
    ],
)  # fmt: skip
def test_addresses_and_names_that_no_stranger_can_own_pass(host):
    for name in ("my.box", "My.Box.", "my.box:8080"):
        assert ask(gate(names=[name]), HOST=host) is True


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io", "[::1].evil.example",
     "evil.local.example", "localhost:80@evil.example", "[::1"],
)  # fmt: skip
def test_other_host_names_are_refused(host):
    assert ask(gate(), HOST=host) == "host_not_allowed"
    assert ask(gate(["one"]), path="/", HOST=host) is False or host.count("[") or "@" in host


def test_a_star_allows_any_host():
    assert ask(gate(names=["*"]), HOST="evil.example") is True


def test_with_a_key_any_name_is_right():
    """`--host 0.0.0.0 --api-key KEY`, as the README says, answered everybody 403."""
    assert ask(gate(["one"]), HOST="my-server.example:8080", AUTHORIZATION="Bearer one") is True


@pytest.mark.contract("transport.keys")
@pytest.mark.parametrize(
    "headers",
    [
        {"AUTHORIZATION": "Bearer two"},
        {"AUTHORIZATION": "bearer  two "},
        {"API_KEY": "two"},
        {"X_API_KEY": "two"},
    ],
)
def test_any_configured_key_in_any_usual_header_passes(headers):
    assert ask(gate(["one", "two"]), **headers) is True


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"AUTHORIZATION": "Bearer"}, "missing_api_key"),
        ({"AUTHORIZATION": "Basic b25l"}, "missing_api_key"),
        ({"AUTHORIZATION": "Bearer three"}, "invalid_api_key"),
        ({"API_KEY": "on"}, "invalid_api_key"),
        ({"AUTHORIZATION": "Bearer \xe9"}, "invalid_api_key"),
    ],
)
def test_a_missing_or_wrong_key_is_refused(headers, code):
    assert ask(gate(["one"]), **headers) == code


def test_what_is_told_without_a_key():
    """The list: these paths when they are read, nothing else. /health tells its status alone."""
    keyed = gate(["one"])
    documents = ("/docs", "/favicon.ico")
    assert ("/", "/v1", "/health", "/livez", "/openapi.json", *documents) == OPEN_PATHS
    for path in OPEN_PATHS:
        assert ask(keyed, path=path) is False
        assert ask(keyed, path=path, method="HEAD") is False
        assert ask(keyed, path=path, method="POST") == "missing_api_key"
        assert ask(keyed, path=path, AUTHORIZATION="Bearer one") is True
    for path in ("/v1/models", "/health/x", "/docs2", "/v1/x", CHAT, "*"):
        assert ask(keyed, path=path) == "missing_api_key"


MANAGING = [
    ("POST", "/v1/models/download"), ("DELETE", "/v1/models/a"), ("DELETE", "/v1/models/a/b"),
    ("DELETE", "/v1/models/downloads/a"), ("POST", "/v1/models/a/load"), ("POST", "/v1/models/a/unload"),
]  # fmt: skip
ONE, ROOT = {"AUTHORIZATION": "Bearer one"}, {"X_API_KEY": "root"}


@pytest.mark.parametrize(("method", "path"), MANAGING)
def test_with_an_admin_key_nobody_else_manages_models(method, path):
    both, open_to_all = gate(["one"], admin_keys=["root"]), gate(admin_keys=["root"])
    assert ask(both, method, path, **ROOT) is True
    assert ask(both, method, path, **ONE) == "admin_key_required"
    assert ask(both, method, path) == "missing_api_key"
    assert ask(open_to_all, method, path) == "missing_api_key"
    assert ask(open_to_all, method, path, **ONE) == "admin_key_required"
    assert ask(open_to_all, method, path, **ROOT) is True
    assert ask(gate(["one"]), method, path, **ONE) is True  # without one every key manages
    assert ask(gate(), method, path) is True


def test_an_admin_key_changes_nothing_for_work_and_questions():
    both = gate(["one"], admin_keys=["root"])
    for key in (ONE, ROOT):
        assert ask(both, "POST", CHAT, **key) is True
        assert ask(both, "GET", "/v1/models/downloads", **key) is True
    assert ask(both, "POST", CHAT) == "missing_api_key"
    assert ask(gate(admin_keys=["root"]), "POST", CHAT) is True


def test_who_sees_paths_of_the_machine():
    """On the machine itself, or with the admin key; a proxy on it may bring anybody."""
    assert sees_paths(gate())
    assert sees_paths(gate(["one"]), **ONE)
    assert sees_paths(gate(["one"], admin_keys=["root"]), LAN, **ROOT)
    assert not sees_paths(gate(), LAN)
    assert not sees_paths(gate(["one"]), LAN, **ONE)
    assert not sees_paths(gate(["one"], admin_keys=["root"]), **ONE)
    for header in ("X_FORWARDED_FOR", "FORWARDED", "VIA"):
        assert not sees_paths(gate(), **{header: "for=10.0.0.9"})


@pytest.mark.contract("transport.keys")
def test_any_key_is_fine_while_none_is_configured():
    assert ask(gate(), AUTHORIZATION="Bearer sk-whatever") is True


@pytest.mark.parametrize(
    "headers",
    [
        {"ORIGIN": "https://page.example"},
        {"ORIGIN": "null"},  # sandboxed frames, redirects, forms without a referrer
        {"ORIGIN": "HTTP://LOCALHOST:8080"},
        {"ORIGIN": "http://localhost:8080.evil.example"},
        {"ORIGIN": "chrome-extension://abc"},
        {"ORIGIN": ""},
        {"ORIGIN": "http://localhost:8080, https://page.example"},
        {"SEC_FETCH_SITE": "cross-site"},
        {"SEC_FETCH_SITE": "same-site"},
        {"SEC_FETCH_SITE": "Cross-Site"},
        {"SEC_FETCH_SITE": "none, cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "BREW"])
def test_a_foreign_page_may_start_and_change_nothing(headers, method):
    assert ask(gate(), method, CHAT, **headers) == "origin_not_allowed"
    assert ask(gate(), "GET", **headers) is True  # it cannot read the answer
    assert ask(gate(origins=["*"]), method, CHAT, ORIGIN="null") is True


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ORIGIN": "http://localhost:8080"},
        {"ORIGIN": "http://localhost:8080", "SEC_FETCH_SITE": "same-origin"},
        {"SEC_FETCH_SITE": "none"},
        {"ORIGIN": "https://app.example", "SEC_FETCH_SITE": "cross-site"},
    ],
)
def test_its_own_pages_allowed_ones_and_programs_may(headers):
    assert ask(gate(origins=["https://app.example"]), "POST", CHAT, address=LAN, **headers) is True


@pytest.mark.parametrize("origin", ["http://localhost:3000", "app://-", "tauri://localhost", "file://"])
def test_desktop_apps_and_pages_of_localhost_may_call_on_loopback(origin):
    assert ask(gate(), "POST", CHAT, ORIGIN=origin, SEC_FETCH_SITE="same-site") is True
    assert ask(gate(), "POST", CHAT, address=LAN, ORIGIN=origin) == "origin_not_allowed"


@pytest.fixture
def client(tmp_path):
    pool = Pool(jobs_per_worker=1, stall_seconds=1.0)

    def make(*allowed):
        app = create_app(
            pool, Catalog(tmp_path / "models"), Downloads(tmp_path), Origins(allowed), strict=True
        )
        app = access.logged(app)
        return testing.TestClient(app, headers={"Host": "localhost"})

    yield make
    pool.close()


@pytest.mark.contract("transport.cors")
def test_cors_is_off_by_default(client):
    answer = client().simulate_get("/livez", headers={"Origin": "https://page.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.contract("transport.cors")
@pytest.mark.parametrize("origin", ["https://page.example", "tauri://localhost"])
def test_an_allowed_origin_gets_its_headers_and_preflight(client, origin):
    allowed = client("https://page.example")
    headers = {"Origin": origin}
    answer = allowed.simulate_get("/livez", headers=headers)
    assert answer.headers["access-control-allow-origin"] == origin
    preflight = allowed.simulate_options(CHAT, headers={**headers, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for method in ("GET", "POST", "DELETE"):
        assert method in preflight.headers["access-control-allow-methods"].split(", ")
    assert "access-control-allow-private-network" not in preflight.headers
    other = allowed.simulate_get("/livez", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_preflight_is_answered_in_full(client):
    headers = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    for asked, allowed in (
        ("authorization,content-type,x-stainless-os", "authorization,content-type,x-stainless-os"),
        ("x; evil", "*, Authorization, Content-Type"),
        (None, "*, Authorization, Content-Type"),
    ):
        named = {**headers, **({"Access-Control-Request-Headers": asked} if asked else {})}
        answer = client("https://page.example").simulate_options(CHAT, headers=named)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-headers"] == allowed
        assert answer.headers["access-control-allow-private-network"] == "true"
    answer = client().simulate_options(CHAT, headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def caller(gate: Gate, key: str | None = None, address: str = LAN):
    headers = {"HOST": "localhost"} | ({"AUTHORIZATION": f"Bearer {key}"} if key else {})
    return gate.check(Call("POST", CHAT, headers, address)).caller


def test_each_key_is_a_tenant_under_an_opaque_name():
    one = gate(["alice", "bob"], admin_keys=["root"])
    names = [caller(one, key).tenant for key in ("alice", "bob", "root")]

    assert len({*names, ""}) == 4
    assert caller(one, "alice", "10.9.9.9") == caller(one, "alice")
    assert caller(one, "alice").client == caller(one, "alice").tenant
    assert caller(gate(["alice"]), "alice").tenant != names[0]  # another start, other names


def test_without_keys_all_are_one_tenant_and_each_address_is_a_client():
    """A key that nobody checks says nothing: whoever sends many would be many clients."""
    one = gate()
    assert caller(one, "any").tenant == caller(one).tenant == ""
    assert caller(one, "any") == caller(one, "other") == caller(one)
    assert caller(one).client != caller(one, address="10.0.0.8").client
    assert caller(one, address=f"::ffff:{LAN}") == caller(one)
    assert caller(one, address="2001:db8::1") == caller(one, address="2001:db8::2:3%eth0")
    assert caller(one, address="2001:db8::1") != caller(one, address="2001:db8:0:1::1")
    assert LAN not in caller(one).client


def test_who_needs_no_key_is_no_tenant_beside_an_admin_key():
    one = gate(admin_keys=["root"])
    assert caller(one, "any").tenant == ""
    assert caller(one, "root").tenant
