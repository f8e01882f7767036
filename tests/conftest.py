"""The fixtures of serving.py, for every test."""

from serving import hub, pool, serve, shared_server, speech_server

__all__ = ["hub", "pool", "serve", "shared_server", "speech_server"]
