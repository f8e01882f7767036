"""What a chat request says of the form of its answer: `response_format`, as a grammar for the worker.

Whether a schema can be obeyed is found out there: here nothing is known of compilers.
"""

from __future__ import annotations

import json

from ominix.http.schemas import JsonObject
from ominix.wire.jobs import Grammar

ANY_OBJECT = '{"type":"object"}'


def asked(fields: JsonObject) -> Grammar | None:
    """Of a checked request. A schema keeps its order: properties are written in it."""
    form = fields.get("response_format") or {"type": "text"}
    match form["type"]:
        case "json_object":
            return Grammar("json_schema", ANY_OBJECT)
        case "json_schema":
            schema = form["json_schema"].get("schema")
            text = ANY_OBJECT if schema is None else json.dumps(schema, ensure_ascii=False)
            return Grammar("json_schema", text)
        case "regex":
            return Grammar("regex", form["regex"])
        case "grammar":
            return Grammar("lark", form["grammar"])
    return None
