"""JSON request bodies: bytes in, fields held to their schema out. Hostile input ends in a clear 400.

All this runs under the interpreter's one lock, so what a body may cost is bounded before it is parsed: its
values are counted in its bytes, at some 200 MB a second. A text may be as long as the body.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any, NoReturn

from falcon import Request

from ominix.errors import InvalidRequest, too_large
from ominix.http import schemas
from ominix.http.media import require

LONG_NUMBER = re.compile(rb"[0-9]{19}")  # what 64 bits may not hold
MAX_DEPTH = 64  # nesting of objects and arrays; OpenAI's deepest request needs about ten
MAX_VALUES = 50_000  # of a body; 4,096 messages of two parts each have 33,000
MAX_NUMBER = 400  # characters of one number; the longest that a program writes has 330
# A text that is not closed goes to the end. Nothing is ever read twice, so the time is linear.
TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
# The look behind keeps the time linear: no place of a number but its first is tried.
TOO_LONG_NUMBER = re.compile(rb"(?<![-+.0-9eE])[-+.0-9eE]{%d}" % (MAX_NUMBER + 1))


def read_json(req: Request, schema: str, max_bytes: int) -> schemas.JsonObject:
    """The body's fields. Raises InvalidRequest, TooLarge, or falcon's 415."""
    return _checked(schema, *_read_value(req, max_bytes))


def read_supported(req: Request, schema: str, max_bytes: int) -> tuple[schemas.JsonObject, list[str]]:
    """As `read_json`, without the fields that ask for what is not there yet, and their names."""
    value, has_long_numbers = _read_value(req, max_bytes)
    ignored = schemas.unsupported(schema, value) if isinstance(value, dict) else []
    if ignored:
        value = {name: item for name, item in value.items() if name not in ignored}
    return _checked(schema, value, has_long_numbers), ignored


def _read_value(req: Request, max_bytes: int) -> tuple[Any, bool]:
    """What the JSON body says, and whether it may hold a number that 64 bits cannot."""
    require(req, "application/json")
    body = read(req, max_bytes)
    return parse(body), bool(LONG_NUMBER.search(body))


def _checked(schema: str, value: Any, has_long_numbers: bool) -> schemas.JsonObject:
    fields: schemas.JsonObject = schemas.checked(schema, value)
    return _within_64_bits(fields) if has_long_numbers else fields


def read(req: Request, max_bytes: int) -> bytes:
    if (req.content_length or 0) > max_bytes:
        raise too_large("The body", max_bytes, size_bytes=req.content_length or 0)
    body: bytes = req.bounded_stream.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise too_large("The body", max_bytes)
    return body


def parse(body: bytes, most_values: int = MAX_VALUES) -> Any:  # whatever JSON can say
    """Raises InvalidRequest for what is not clean JSON: bad syntax, NaN, duplicate keys, lone surrogates.

    The same for more than `most_values` (objects and arrays count, too), and for absurdly long numbers.
    """
    _check_size(body, most_values)
    try:
        value = json.loads(
            body.decode("utf-8-sig"),  # some clients send a byte-order mark
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
        _depth(value)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _bad("it has half a surrogate pair, which is no character") from None
    except UnicodeDecodeError:
        raise _bad("it is not UTF-8") from None
    except RecursionError:
        raise _bad("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _bad(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise _bad("it has a number that is too long") from None
    return value


def _check_size(body: bytes, most_values: int) -> None:
    # A value has a key and a text at most. Counted first: `sub` makes objects of what lies between texts.
    most_texts = 2 * most_values
    if sum(1 for _ in itertools.islice(TEXT.finditer(body), most_texts + 1)) > most_texts:
        raise _bad(f"it has more than {most_values} values")
    bare = TEXT.sub(b"", body)
    values = _count(bare)
    if values > most_values:
        raise _bad(f"it has about {values} values, and {most_values} are allowed")
    if TOO_LONG_NUMBER.search(bare):
        raise _bad("it has a number that is too long")


def values_of(text: str) -> int:
    """How many values this JSON has, at most."""
    return _count(TEXT.sub(b"", text.encode()))


def _count(bare: bytes) -> int:
    """Of JSON without its texts: each value begins an object or an array, or follows a comma."""
    return 1 + bare.count(b",") + bare.count(b"[") + bare.count(b"{")


def _bad(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The body is not valid JSON: {reason}.", code="invalid_json")


def _refuse_constant(name: str) -> NoReturn:
    raise _bad(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _bad(f"{text[:20]} is too large a number")
    return number


def _within_64_bits(value: Any) -> Any:
    """Larger integers as floats, as in JavaScript: no message to a worker could hold them otherwise."""
    if isinstance(value, dict):
        return {key: _within_64_bits(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_within_64_bits(item) for item in value]
    is_large = isinstance(value, int) and not -(1 << 63) <= value < 1 << 64
    return _finite(str(value)) if is_large else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _bad("an object has the same key twice")
    return fields


def _depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise _bad("it is nested too deeply")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        if isinstance(child, (dict, list)):
            _depth(child, depth + 1)
