"""GET /health and GET /livez"""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from ominix.http import access
from ominix.http.answers import RETRY_SECONDS, Answers
from ominix.workers.pool import Pool, WorkerState

SICK = ("stalled", "failed")
MAX_REASON = 300  # characters: a bad checkpoint's may list all of its tensors


class Health:
    def __init__(self, pool: Pool, answers: Answers) -> None:
        self._pool = pool
        self._answers = answers

    def on_get(self, req: Request, resp: Response) -> None:
        states = self._pool.states()
        reason = self._trouble(states)
        body: dict[str, Any] = {"status": "unavailable" if reason else "ok"}
        if reason:
            resp.set_header("Retry-After", str(RETRY_SECONDS))
        if access.rights(req).details:  # others are told the status alone
            if reason:
                body["reason"] = reason[:MAX_REASON]
            if states:
                body["models"] = {name: _state(state) for name, state in states.items()}
        self._answers.send(resp, "health", body, status=503 if reason else 200)

    def _trouble(self, states: dict[str, WorkerState]) -> str | None:
        if self._pool.draining:
            return "the server is shutting down"
        sick = [f"{name} {s.state}: {s.reason}" for name, s in states.items() if s.state in SICK]
        return "; ".join(sick) or None


def _state(state: WorkerState) -> dict[str, Any]:
    known: dict[str, Any] = {
        "state": state.state,
        "jobs": state.jobs,
        "reason": state.reason[:MAX_REASON] if state.reason else None,
        "memory_bytes": state.memory_bytes or None,
        "idle_seconds": None if state.idle_seconds is None else round(state.idle_seconds, 1),
    }
    return {name: value for name, value in known.items() if value is not None}


class Liveness:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def on_get(self, req: Request, resp: Response) -> None:
        self._answers.send(resp, "liveness", {"status": "ok"})
