"""Multipart forms: the file as a descriptor, the other fields as text turned into what their schema says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from typing import Any

import falcon
from falcon import Request
from falcon.media.multipart import MultipartForm, MultipartFormHandler

from ominix.errors import InvalidRequest, TooLarge
from ominix.http import schemas

CHUNK_BYTES = 1 << 20
MAX_FIELDS = 512
MAX_FIELD_BYTES = 64 << 10
NUMBER = re.compile(r"-?[0-9]{0,15}\.?[0-9]{1,40}([eE][-+]?[0-9]{1,2})?")
BRACKETED = re.compile(r"([a-z_]+)\[([a-z_]+)\]")  # chunking_strategy[type]
INDEXED = re.compile(r"\[[0-9]*\]$")  # include[], include[0]


class Upload:
    """An open file that has no name: nothing of it outlives its last descriptor, whoever is killed."""

    def __init__(self, descriptor: int) -> None:
        """The descriptor is closed with it."""
        self.descriptor = descriptor
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.descriptor, rest, self.size_bytes)
            self.size_bytes += written
            rest = rest[written:]

    def close(self) -> None:
        os.close(self.descriptor)


def handler() -> MultipartFormHandler:
    """falcon's parser with our bounds."""
    made = MultipartFormHandler()
    made.parse_options.max_body_part_count = MAX_FIELDS
    made.parse_options.max_body_part_buffer_size = MAX_FIELD_BYTES
    return made


def read(req: Request, schema: str, max_bytes: int) -> tuple[schemas.JsonObject, Upload]:
    """The checked fields and the uploaded file, which the caller closes. Raises InvalidRequest, TooLarge."""
    if (req.content_length or 0) > max_bytes + MAX_FIELD_BYTES:
        raise TooLarge(f"The upload has {req.content_length} bytes; the limit is {max_bytes}.")
    upload = Upload(_unnamed_file(req.env["wsgi.input"]))
    try:
        texts = _receive(req, upload, max_bytes)
        fields = schemas.checked(schema, _typed(texts, schema))
    except BaseException:
        upload.close()
        raise
    return fields, upload


def _unnamed_file(body: object) -> int:
    """A descriptor to write the upload to.

    waitress keeps a large body in a temporary file without a name. The upload is a part of it, and is moved
    to its front while it is read: what is written has been read already, since the part's headers come
    before. So the recording never lies on the disk twice. Smaller bodies are in memory.
    """
    if isinstance(body, io.BufferedRandom) and not os.fstat(body.fileno()).st_nlink:
        return os.dup(body.fileno())
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _receive(req: Request, upload: Upload, max_bytes: int) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    try:
        form: MultipartForm = req.get_media()
        for part in form:
            if part.name == "file" and "file" not in texts:
                _save(part.stream, upload, max_bytes)
                texts["file"] = [""]
            elif part.name and part.name != "file":
                texts.setdefault(part.name, []).append(part.get_text() or "")
    except (falcon.HTTPInvalidHeader, falcon.MediaMalformedError, falcon.MediaNotFoundError) as error:
        raise _malformed(error.description) from None
    except ValueError:  # a part that is not in the charset it names
        raise _malformed("a field is not text") from None
    req.env["wsgi.input"].close()  # it may share its position with the upload: nobody else is to move it
    os.ftruncate(upload.descriptor, upload.size_bytes)
    os.lseek(upload.descriptor, 0, os.SEEK_SET)
    return texts


def _malformed(reason: str | None) -> InvalidRequest:
    return InvalidRequest(f"The multipart form cannot be read: {reason}", code="invalid_multipart")


def _save(stream: Any, upload: Upload, max_bytes: int) -> None:  # falcon's buffered reader has no type
    while chunk := stream.read(CHUNK_BYTES):
        if upload.size_bytes + len(chunk) > max_bytes:
            raise TooLarge(f"The file is larger than the limit of {max_bytes} bytes.", param="file")
        upload.write(chunk)


def _typed(texts: dict[str, list[str]], schema: str) -> schemas.JsonObject:
    """`x[]`, `x[0]`, `x` and repeated fields are arrays, `x[y]` an object; text becomes the schema's type."""
    kinds = schemas.properties(schema)
    fields: schemas.JsonObject = {}
    objects: dict[str, schemas.JsonObject] = {}
    for key, values in texts.items():
        bracketed = BRACKETED.fullmatch(key)
        name = INDEXED.sub("", key)
        kind = kinds.get(name, {})
        if bracketed:
            objects.setdefault(bracketed[1], {})[bracketed[2]] = _number_or_text(values[-1])
        elif any(branch.get("type") == "array" for branch in (kind, *kind.get("anyOf", []))):
            fields.setdefault(name, []).extend(v for value in values for v in _items(value))
        elif values[-1] != "":
            fields[name] = _value(values[-1], kind)
        elif name == "file":
            fields[name] = ""
    for name in objects.keys() & fields.keys():
        raise InvalidRequest(f"'{name}' is given as a whole and in parts.", param=name, code="invalid_value")
    return {**fields, **objects}


def _items(value: str) -> list[str]:
    """An array may also come as one JSON text."""
    if value.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(value)
            return [str(item) for item in parsed]
    return [value] if value else []


def _value(text: str, kind: schemas.JsonObject) -> object:
    """What does not parse stays text, and the schema's check says so."""
    if kind.get("type") in ("number", "integer"):
        return _number_or_text(text)
    if kind.get("type") == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if text.startswith(("{", '"')) and "anyOf" in kind:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text


def _number_or_text(text: str) -> object:
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text
