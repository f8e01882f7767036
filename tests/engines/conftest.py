"""Engine tests that compute run twice on a CPU: on the layers of ominix.cpu, and on mlx-lm's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ominix.cpu import backend


@pytest.fixture(scope="module", params=[backend.FAST, pytest.param(backend.PLAIN, marks=pytest.mark.slow)])
def cpu(request: pytest.FixtureRequest) -> Iterator[backend.Backend]:
    """The backend; `tiny_chat` and the servers of these tests take its mode from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMINIX_CPU", request.param)
        yield backend.prepare(request.param)
