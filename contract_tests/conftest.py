"""The fixtures of serving.py, for every test."""

from serving import pool, serve, shared_server

__all__ = ["pool", "serve", "shared_server"]
