"""GET /, /v1, /openapi.json and /docs: what the server can do, for programs and for people."""

from __future__ import annotations

from html import escape
from typing import Any

import falcon
from falcon import Request, Response

from ominix.http import schemas
from ominix.http.answers import json_bytes

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c1c1e;background:#fff;overflow-wrap:anywhere}"
    "h2{margin-top:2.5rem;border-top:1px solid #d8d8dc;padding-top:1rem}"
    "code,pre{font:14px ui-monospace,monospace}pre{background:#f4f4f6;padding:.8rem;overflow:auto}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #e4e4e8;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}@media(prefers-color-scheme:dark){body{color:#eee;"
    "background:#18181b}pre{background:#26262a}td,th,h2{border-color:#3a3a40}}"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"

# Three bars of a level meter; browsers ask for an icon with every page.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<rect width="16" height="16" rx="4" fill="#2563eb"/>'
    '<path d="M4 6v4M8 3v10M12 6v4" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>'
)


class Icon:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "image/svg+xml"
        resp.set_header("Cache-Control", "max-age=86400")
        resp.data = ICON.encode()


class Index:
    """What stands at the base URL of clients: people who open it are led to the page."""

    def on_get(self, req: Request, resp: Response) -> None:
        resp.set_header("Vary", "Accept")
        if "text/html" in req.accept:
            raise falcon.HTTPFound("/docs")
        document = schemas.openapi()
        about = {"name": document["info"]["title"], "version": document["info"]["version"]}
        endpoints = [f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods]
        links = {"docs": "/docs", "openapi": "/openapi.json", "endpoints": endpoints}
        resp.content_type = "application/json"
        resp.data = json_bytes({**about, **links})


class OpenApi:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/json"
        resp.data = json_bytes(schemas.openapi())


class Docs:
    """One page without scripts or anything from elsewhere. Also answers /."""

    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Content-Security-Policy", POLICY)
        resp.data = page(schemas.openapi(), f"{req.scheme}://{req.netloc}").encode()


def page(document: dict[str, Any], address: str) -> str:
    parts = document["components"]["schemas"]
    endpoints = [
        _endpoint(method, path, operation, parts)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="/favicon.ico" type="image/svg+xml"><title>{info["title"]}</title>'
        f"<style>{STYLE}</style><h1>{info['title']} {info['version']}</h1><p>{escape(info['description'])}"
        f"<p>Base URL for OpenAI clients: <code>{escape(address)}/v1</code>. "
        'For programs: <a href="/openapi.json">openapi.json</a>.' + "".join(endpoints) + "</html>"
    )


def _endpoint(method: str, path: str, operation: dict[str, Any], parts: dict[str, Any]) -> str:
    title = escape(operation["summary"])
    text = escape(operation.get("description", ""))
    contents = operation.get("requestBody", {}).get("content", {})
    tables = [
        f"<h3>Request: <code>{kind}</code></h3>" + _fields(body["schema"], parts)
        for kind, body in contents.items()
    ]
    answers = "".join(
        f"<tr><td><code>{status}</code><td>{escape(answer['description'])}"
        for status, answer in sorted(operation["responses"].items())
    )
    return (
        f"<h2>{title}</h2><pre>{method.upper()} {escape(path)}</pre><p>{text}"
        + "".join(tables)
        + f"<h3>Answers</h3><table>{answers}</table>"
    )


def _fields(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    body = parts[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    required = body.get("required", [])
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' (required)' if name in required else ''}"
        f"<td>{escape(_type(spec))}<td>{escape(spec.get('description', ''))}{_default(spec)}"
        for name, spec in body.get("properties", {}).items()
    ]
    return f"<table><tr><th>Field<th>Type<th>Meaning{''.join(rows)}</table>"


def _type(spec: dict[str, Any]) -> str:
    if "enum" in spec:
        return " | ".join(str(value) for value in spec["enum"])
    if "anyOf" in spec:
        return " | ".join(_type(branch) for branch in spec["anyOf"])
    kinds = spec.get("type", "object")
    return kinds if isinstance(kinds, str) else " | ".join(kinds)


def _default(spec: dict[str, Any]) -> str:
    return f" Default: <code>{escape(str(spec['default']))}</code>." if "default" in spec else ""
