"""schemathesis: every check, every phase, against a live server and in-process. Set by schemathesis.toml."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import hooks
import psutil
import pytest
import schemathesis
from hub import model_files
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from serving import eventually

from ominix.http import access
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.downloads import Downloads
from ominix.library.records import Records
from ominix.server.app import create_app
from ominix.server.gate import Origins
from ominix.workers.pool import Pool

HERE = Path(__file__).parent
SETTINGS = HERE / "schemathesis.toml"
# tools/test_contract_long sets more of them, and another seed each time.
EXAMPLES = os.environ.get("OMINIX_CONTRACT_EXAMPLES", "40")
SEED = os.environ.get("OMINIX_CONTRACT_SEED", "20260226")
GROWTH_BYTES = 40 << 20  # what a run may leave in the server's memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(max(600, int(EXAMPLES) * 20))]


@pytest.fixture
def models(hub):
    """Small models to download, which the scripted engine serves."""
    for name in ("a/tiny", "b/small"):
        hub.add(name, model_files(20_000, model_type="scripted"))
    return hub


@pytest.mark.contract("transport.error-shape", "transport.request-id", "transport.retry-after")
def test_a_live_server_keeps_to_its_document(models, serve, tmp_path):
    server = serve("--scripted", "--strict", "--stall-seconds", "5")
    server.chat("hello")
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", SETTINGS, "run",
        f"{server.url}/openapi.json", "--max-examples", EXAMPLES, "--seed", SEED,
        "--no-color",
    ]  # fmt: skip
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        hooks.HOME_VARIABLE: str(server.home),
        hooks.URL_VARIABLE: server.url,
    }
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    print("\n".join(line[:800] for line in (done.stdout + done.stderr).splitlines()))
    assert done.returncode == 0
    assert "passed" in done.stdout or "No issues found" in done.stdout
    assert server.chat("hello")[0] == 200
    grown = process.memory_info().rss - before
    print(f"the server grew by {grown >> 20} MiB")
    assert grown < GROWTH_BYTES
    assert eventually(lambda: not server.uploads())


@pytest.fixture
def application(models, tmp_path) -> Iterator:
    """The app as a WSGI callable, with a real pool and real downloads."""
    records = Records(tmp_path)
    catalog = Catalog(tmp_path / "models", {}, records=records, embedded=EMBEDDED, scripted=True)
    pool, downloads = Pool(jobs_per_worker=8, stall_seconds=5.0), Downloads(tmp_path)
    yield access.logged(create_app(pool, catalog, downloads, Origins(()), strict=True))
    downloads.close()
    pool.close()


@pytest.mark.contract("transport.error-shape", "transport.request-id")
def test_the_application_keeps_to_its_document(application, tmp_path, monkeypatch):
    monkeypatch.setenv(hooks.HOME_VARIABLE, str(tmp_path))
    settings = tomllib.loads(SETTINGS.read_text("utf-8"))
    generation = {**settings["generation"], "max-examples": max(10, int(EXAMPLES) // 4)}
    config = SchemathesisConfig.from_dict({**settings, "seed": int(SEED), "generation": generation})
    schema = schemathesis.openapi.from_wsgi("/openapi.json", application, config=config)
    seen, wrong = 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            seen += len(event.recorder.cases)
            wrong += failures(event.recorder)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            pytest.fail(str(event))
    print(f"{seen} requests")
    assert not wrong, "\n\n".join(wrong[:5])
    assert seen > 300


def failures(recorder) -> list[str]:
    """What went wrong, what was answered, and how to do it again."""
    found = []
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is Status.FAILURE:
                response = recorder.interactions[case_id].response
                answer = response.content[:500] if response else b""
                found.append(f"{check.name}: {answer!r}\n{check.failure_info.code_sample[:3000]}")
    return found
