"""The contract as code: requests and responses held to the JSON Schemas of schemas/.

Knows JSON Schema and the sentences for people; nothing of HTTP. The files name no model: where they say
"${name}", the families' facts are filled in.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators

from ominix.errors import InvalidRequest
from ominix.families import table
from ominix.families.family import NO_TASK, TASKS

JsonObject = dict[str, Any]  # what json.loads gives: its values are anything
# Of a body, and of each branch of an anyOf: enough to choose the most telling one. A list may hold 50,000
# values, and the error of one costs as much as a hundred of them that are right.
MAX_ERRORS = 16


@cache
def _documents() -> dict[str, JsonObject]:
    package = Path(__file__).parents[1]
    installed = package / "contract"  # where setup.cfg puts them; in a checkout they lie beside it
    folder = installed if installed.is_dir() else package.parent / "schemas"
    facts = _facts()
    return {file.name: _filled(json.loads(file.read_text("utf-8")), facts) for file in folder.glob("*.json")}


def _facts() -> dict[str, list[str]]:
    """What stands for each placeholder: in an enumeration its items, in a text all of them."""
    aligners = [name for family in table.KNOWN.able("align") for name in family.aliases]
    facts = {
        "abilities": table.KNOWN.abilities,
        "asked_tasks": table.tasks(),
        "tasks": [*TASKS.values(), NO_TASK],
        "any_speech_model": list(table.ANY_MODEL["transcribe"]),
        "speech_model": [table.recommended("transcribe")],
        "aligner": aligners[:1],
    }
    return {f"${{{name}}}": found for name, found in facts.items()}


def _filled(node: Any, facts: Mapping[str, list[str]]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, facts) for key, value in node.items()}
    if isinstance(node, list):
        return [filled for item in node for filled in _items(item, facts)]
    if isinstance(node, str) and "${" in node:
        for placeholder, found in facts.items():
            node = node.replace(placeholder, ", ".join(found))
    return node


def _items(item: Any, facts: Mapping[str, list[str]]) -> list[Any]:
    """What a list's item becomes: a placeholder that stands alone is as many items as its fact has."""
    return facts[item] if isinstance(item, str) and item in facts else [_filled(item, facts)]


def _any_of(validator: Any, branches: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """jsonschema's own, but for the errors that it collects of each branch: see MAX_ERRORS."""
    context: list[ValidationError] = []
    for index, branch in enumerate(branches):
        errors = list(islice(validator.descend(instance, branch, schema_path=index), MAX_ERRORS))
        if not errors:
            return
        context += errors
    yield ValidationError("fits none of the alternatives", context=context)


_extended: Any = validators.extend  # jsonschema gives it no types
_Validator = _extended(Draft202012Validator, {"anyOf": _any_of})


@cache
def _validator(name: str) -> Any:  # jsonschema has no type for a validator
    return _Validator(_whole(_documents()[f"{name}.json"]))


def _whole(node: Any) -> Any:
    """With the schemas that it refers to in their places: references take a third of a check's time."""
    if isinstance(node, list):
        return [_whole(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _whole(_documents()[node["$ref"]])
    return {key: _whole(value) for key, value in node.items() if key not in ("$id", "$schema")}


def warm() -> None:
    """Compile every schema now rather than under the first request."""
    for file_name, body in _documents().items():
        if "$id" in body:
            _validator(file_name.removesuffix(".json"))


def checked(name: str, fields: object) -> JsonObject:
    """`fields` with null fields dropped and defaults filled. Raises InvalidRequest for the first error."""
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    given = {key: value for key, value in fields.items() if value is not None}
    errors = _errors(name, given)
    if errors:
        raise _refusal(min(errors, key=lambda e: (len(e.absolute_path), str(e.json_path))))
    defaults = {key: spec["default"] for key, spec in properties(name).items() if "default" in spec}
    return {**defaults, **given}


def _errors(name: str, fields: JsonObject) -> list[ValidationError]:
    """A size stands before what it bounds in the schema; nothing is looked at behind a wrong one."""
    errors: list[ValidationError] = []
    for error in _validator(name).iter_errors(fields):
        errors.append(error)
        if len(errors) == MAX_ERRORS or error.validator in ("maxItems", "maxProperties"):
            break
    return errors


def unsupported(name: str, fields: JsonObject) -> list[str]:
    """The optional fields that ask for what is not there yet."""
    errors = map(_most_telling, itertools.islice(_validator(name).iter_errors(fields), MAX_ERRORS))
    found = {str(e.absolute_path[0]) for e in errors if e.absolute_path and _annotation(e, "x-unsupported")}
    return sorted(found.difference(_documents()[f"{name}.json"]["required"]))


def properties(name: str) -> JsonObject:
    """Field name to its schema."""
    found: JsonObject = _documents()[f"{name}.json"]["properties"]
    return found


def mismatch(name: str, body: object) -> str | None:
    """How `body` breaks the schema, or None."""
    error = next(_validator(name).iter_errors(body), None)
    return error and f"{name}: {path_of(error)}: {error.message[:200]}"


def path_of(error: ValidationError) -> str:
    """`messages[1].content`."""
    steps = [f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.absolute_path]
    return "".join(steps).lstrip(".")


def _refusal(error: ValidationError) -> InvalidRequest:
    error = _most_telling(error)
    path = path_of(error)
    unsupported = _annotation(error, "x-unsupported")
    if unsupported:
        return InvalidRequest(unsupported, param=path, code="unsupported_parameter")
    if error.validator == "required":
        needed: Any = error.validator_value  # a list, by the validator's definition
        given: Any = error.instance  # an object, likewise
        missing = next(key for key in needed if key not in given)
        path = f"{path}.{missing}".lstrip(".")
        return InvalidRequest(f"'{path}' is required.", param=path, code="missing_required_parameter")
    return InvalidRequest(f"'{path}' {_sentence(error)}.", param=path or None, code=_code(error))


def _annotation(error: ValidationError, name: str) -> Any:
    """Our own keyword beside the one that failed; None without it."""
    beside: Any = error.schema  # an object, unless the schema is `true`
    return beside.get(name) if isinstance(beside, dict) else None


def _most_telling(error: ValidationError) -> ValidationError:
    """Of an anyOf the deepest error in a branch that takes this kind of value; itself if there is none."""
    branches: dict[object, list[ValidationError]] = {}
    for below in error.context or []:
        branches.setdefault(below.schema_path[0], []).append(below)
    fitting = [below for found in branches.values() if not any(map(_is_other_kind, found)) for below in found]
    return _most_telling(max(fitting, key=lambda e: len(e.absolute_path))) if fitting else error


def _is_other_kind(error: ValidationError) -> bool:
    """Whether the branch of an anyOf is not meant for such a value at all."""
    return not error.path and error.validator in ("type", "const", "enum")


def _code(error: ValidationError) -> str:
    if error.validator == "type":
        return "invalid_type"
    served_elsewhere = error.validator == "maximum" and _annotation(error, "x-more-elsewhere")
    return "unsupported_value" if served_elsewhere else "invalid_value"


def _sentence(error: ValidationError) -> str:
    limit: Any = error.validator_value  # the schema's own, of any kind
    value: Any = error.instance  # what the client sent, of any kind
    given = json.dumps(value)[:60]
    sentences: dict[str, Callable[[], str]] = {
        "type": lambda: f"must be {_kinds(limit)}, not {_kind(value)}",
        "enum": lambda: f"must be one of {', '.join(json.dumps(v) for v in limit)}, not {given}",
        "const": lambda: f"must be {json.dumps(limit)}, not {given}",
        "minimum": lambda: f"must be at least {limit}, not {given}",
        "exclusiveMinimum": lambda: f"must be more than {limit}, not {given}",
        "maximum": lambda: f"must be at most {limit}, not {given}",
        "minItems": lambda: f"must have at least {limit} item(s)",
        "maxItems": lambda: f"must have at most {limit} items, not {len(value)}",
        "maxProperties": lambda: f"must have at most {limit} entries",
        "minLength": lambda: "must not be empty",
        "maxLength": lambda: f"must have at most {limit} characters, not {len(value)}",
        "pattern": lambda: f"must be {_annotation(error, 'x-must-be')}, not {given}",
        "anyOf": lambda: f"must be {' or '.join(_alternatives(limit))}, not {_shown(value)}",
    }
    sentence = sentences.get(str(error.validator))
    return sentence() if sentence else f"is not valid: {error.message[:120]}"


def _alternatives(branches: list[JsonObject]) -> list[str]:
    """What may stand there, each in words; null is as good as absent, so nobody is told of it."""
    found = []
    for branch in branches:
        values = branch.get("enum", [branch["const"]] if "const" in branch else [])
        found += [json.dumps(value) for value in values]
        found += [_kinds(branch["type"])] if "type" in branch and branch["type"] != "null" else []
    return found


def _shown(value: object) -> str:
    """Text and numbers as they are, else the kind."""
    return _kind(value) if isinstance(value, dict | list) else json.dumps(value)[:60]


def _kinds(names: str | list[str]) -> str:
    listed = [names] if isinstance(names, str) else [n for n in names if n != "null"]
    return " or ".join(_article(name) for name in listed)


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else kind if kind == "null" else f"a {kind}"


def _kind(value: object) -> str:
    kinds = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}
    return _article("null" if value is None else kinds.get(type(value), "object"))


@cache
def openapi() -> JsonObject:
    """The OpenAPI document as one piece: the schema files moved under components/schemas."""
    documents = _documents()
    parts = {
        name.removesuffix(".json"): _published(body) for name, body in documents.items() if "$id" in body
    }
    whole = json.loads(json.dumps(documents["openapi.json"]))
    whole["components"]["schemas"] = parts
    return dict(_with_local_references(whole))


def _published(body: JsonObject) -> JsonObject:
    """As a client may take it: an optional field of a request may also be null, which means absent."""
    shown = {key: value for key, value in body.items() if not key.startswith("$")}
    if body["$id"].endswith("_request.json"):
        branches = [body, *body.get("anyOf", [])]  # one of those it must have
        required = {name for branch in branches for name in branch.get("required", [])}
        shown["properties"] = {
            name: spec if name in required else _or_null(spec) for name, spec in body["properties"].items()
        }
    return shown


def _or_null(spec: JsonObject) -> JsonObject:
    outside = {key: value for key, value in spec.items() if key in ("description", "default")}
    inside = {key: value for key, value in spec.items() if key not in outside}
    return {**outside, "anyOf": [inside, {"type": "null"}]}


def _with_local_references(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_local_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if isinstance(target, str) and target.endswith(".json"):
        return {"$ref": f"#/components/schemas/{target.removesuffix('.json')}"}
    return {key: _with_local_references(value) for key, value in node.items()}
