"""The pages: what a browser is led to, and what a program is told."""

from __future__ import annotations

import falcon
import pytest
from falcon import testing

from ominix.api.documents import Docs, Icon, Index

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture(scope="module")
def client():
    app = falcon.App()
    app.add_route("/v1", Index())
    app.add_route("/docs", Docs())
    app.add_route("/favicon.ico", Icon())
    return testing.TestClient(app)


def test_the_base_url_leads_a_browser_to_the_page(client):
    answer = client.simulate_get("/v1", headers={"Accept": CHROME})
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


@pytest.mark.parametrize("accept", ["*/*", "application/json", None])
def test_the_base_url_lists_the_endpoints_for_programs(client, accept):
    answer = client.simulate_get("/v1", headers={"Accept": accept} if accept else {})
    assert answer.status_code == 200
    assert "POST /v1/chat/completions" in answer.json["endpoints"]
    assert answer.json["docs"] == "/docs"


def test_the_page_fits_a_phone_and_has_an_icon(client):
    page = client.simulate_get("/docs")
    assert 'name="viewport" content="width=device-width' in page.text
    assert 'rel="icon" href="/favicon.ico"' in page.text
    assert "img-src 'self'" in page.headers["content-security-policy"]
    icon = client.simulate_get("/favicon.ico")
    assert (icon.headers["content-type"], icon.text[:4]) == ("image/svg+xml", "<svg")
