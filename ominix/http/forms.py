"""Multipart forms: the file as a descriptor, the other fields as text turned into what their schema says."""

from __future__ import annotations

import binascii
import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from falcon import Request

from ominix.errors import InvalidRequest, too_large
from ominix.http import bodies, schemas
from ominix.http.multipart import CHUNK_BYTES, Form, Part, malformed

UPLOAD_FLAG = "--max-upload-mib"  # of `ominix serve`
MAX_FIELDS = 512
MAX_FIELD_BYTES = 64 << 10
MAX_TEXT = 1 << 20  # characters of all fields but the file; a hundred keywords have 100,000 at most
MAX_ITEMS = 1000  # of one array, and values in one field's JSON
NUMBER = re.compile(r"-?[0-9]{0,15}\.?[0-9]{1,40}([eE][-+]?[0-9]{1,2})?")
BRACKETED = re.compile(r"([a-z_]+)\[([a-z_]+)\]")  # chunking_strategy[type]
INDEXED = re.compile(r"\[[0-9]*\]$")  # include[], include[0]
BOOLEANS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


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


@dataclass(frozen=True)
class FileForm:
    """What a form's file is: the schema marks it by the format "audio"."""

    schema: str
    max_bytes: int
    head: bytes = b""  # is put in front of a file that is no WAV: raw samples have none

    @property
    def field(self) -> str:
        kinds = schemas.properties(self.schema)
        return next(name for name, kind in kinds.items() if kind.get("format") == "audio")


def read(req: Request, schema: str, max_bytes: int) -> tuple[schemas.JsonObject, Upload]:
    """The checked fields and the uploaded file, which the caller closes. Raises InvalidRequest, TooLarge."""
    return read_file(req, FileForm(schema, max_bytes), {})


def read_file(
    req: Request, form: FileForm, query: Mapping[str, list[str]]
) -> tuple[schemas.JsonObject, Upload]:
    """As `read`; fields may stand in the query too, and then the whole body may be the file."""
    if (req.content_length or 0) > form.max_bytes + MAX_FIELD_BYTES:
        raise too_large("The upload", form.max_bytes, UPLOAD_FLAG, size_bytes=req.content_length or 0)
    is_bare = not (req.content_type or "").lower().startswith("multipart/")
    upload = Upload(_unnamed_file(None if is_bare else req.env["wsgi.input"]))
    try:
        texts = {name: list(values) for name, values in query.items()}
        if is_bare:
            _save(iter(lambda: req.bounded_stream.read(CHUNK_BYTES), b""), upload, form)
            texts[form.field] = [""]
        else:
            _receive(req, upload, form, texts)
        _close_body(req, upload)
        fields = schemas.checked(form.schema, _encodable(_typed(texts, form)))
    except BaseException:
        upload.close()
        raise
    return fields, upload


def decoded(text: str, param: str) -> Upload:
    """A file that came as base64, the caller's to close. Raises InvalidRequest."""
    try:
        data = binascii.a2b_base64(text.rpartition(",")[2], strict_mode=True)  # some send a data: URL
    except ValueError:
        raise InvalidRequest(f"'{param}' is not base64.", param=param, code="invalid_value") from None
    upload = Upload(_unnamed_file(None))
    upload.write(data)
    os.lseek(upload.descriptor, 0, os.SEEK_SET)
    return upload


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


def _receive(req: Request, upload: Upload, form: FileForm, texts: dict[str, list[str]]) -> None:
    size = 0
    file = form.field
    for part in Form(req.bounded_stream, req.content_type or "", MAX_FIELDS):
        if part.name != file:
            text = _text(part)
            size += len(part.name) + len(text)
            if size > MAX_TEXT:
                raise malformed(f"its fields have more than {MAX_TEXT} characters together")
            texts.setdefault(part.name, []).append(text)
        elif file in texts:
            raise InvalidRequest("The form has two files: send one a request.", param=file)
        else:
            _save(part.chunks(), upload, form)
            texts[file] = [""]


def _close_body(req: Request, upload: Upload) -> None:
    req.env["wsgi.input"].close()  # it may share its position with the upload: nobody else is to move it
    os.ftruncate(upload.descriptor, upload.size_bytes)
    os.lseek(upload.descriptor, 0, os.SEEK_SET)


def _text(part: Part) -> str:
    """What is typed as JSON may be the bare text, too; null means absent, as in a JSON request."""
    text = part.text(MAX_FIELD_BYTES)
    if part.is_json and text[:1] in ('"', "n"):
        with contextlib.suppress(ValueError):
            parsed = _json(part.name, text)
            return parsed if isinstance(parsed, str) else ""
    return text


def _save(chunks: Iterable[bytes], upload: Upload, form: FileForm) -> None:
    for chunk in chunks:
        if upload.size_bytes + len(chunk) > form.max_bytes:
            raise too_large("The file", form.max_bytes, UPLOAD_FLAG, param=form.field)
        if not upload.size_bytes and not chunk.startswith(b"RIFF"):
            upload.write(form.head)
        upload.write(chunk)


def _typed(texts: dict[str, list[str]], form: FileForm) -> schemas.JsonObject:
    """`x[]`, `x[0]`, `x` and repeated fields are arrays, `x[y]` an object; text becomes the schema's type."""
    kinds = schemas.properties(form.schema)
    fields: schemas.JsonObject = {}
    objects: dict[str, schemas.JsonObject] = {}
    for key, values in texts.items():
        bracketed = BRACKETED.fullmatch(key)
        name = INDEXED.sub("", key)
        kind = kinds.get(name, {})
        if bracketed and bracketed[1] in kinds:
            objects.setdefault(bracketed[1], {})[bracketed[2]] = _number_or_text(_single(key, values))
        elif any(branch.get("type") == "array" for branch in (kind, *kind.get("anyOf", []))):
            items = fields.setdefault(name, [])
            items.extend(item for value in values for item in _items(name, value))
            if len(items) > MAX_ITEMS:
                raise _too_many(name)
        elif name == form.field or (kind and _single(name, values)):
            fields[name] = _value(name, _single(name, values), kind)
    for name in objects.keys() & fields.keys():
        raise InvalidRequest(f"'{name}' is given as a whole and in parts.", param=name, code="invalid_value")
    empty = [name for name, value in fields.items() if value == []]  # an empty field is an absent one
    return {name: value for name, value in {**fields, **objects}.items() if name not in empty}


def _encodable(fields: schemas.JsonObject) -> schemas.JsonObject:
    """Raises InvalidRequest for half a surrogate pair, which a field's JSON may hold as an escape."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise malformed("a field has half a surrogate pair, which is no character") from None
    return fields


def _single(name: str, values: list[str]) -> str:
    """Raises InvalidRequest for different values: whichever counted, the other would be lost."""
    given = {value for value in values if value != ""}
    if len(given) > 1:
        raise InvalidRequest(
            f"'{name}' is given twice, with different values.", param=name, code="invalid_value"
        )
    return next(iter(given), "")


def _items(name: str, value: str) -> list[Any]:
    """An array may also come as one JSON text, or joined by commas."""
    if value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            items: list[Any] = _json(name, value)
            return items
    return [item.strip() for item in value.split(",") if item.strip()]


def _value(name: str, text: str, kind: schemas.JsonObject) -> object:
    """What does not parse stays text, and the schema's check says so."""
    if kind.get("type") in ("number", "integer"):
        return _number_or_text(text.strip())
    if kind.get("type") == "boolean":
        return BOOLEANS.get(text.strip().lower(), text)
    if "enum" in kind:
        return text.strip()
    if text.startswith(("{", '"')) and "anyOf" in kind:
        with contextlib.suppress(ValueError):
            return _json(name, text)
    return text


def _json(name: str, text: str) -> Any:  # whatever JSON can say
    """Raises ValueError for what is no JSON, InvalidRequest for more of it than any field needs."""
    if bodies.values_of(text) > MAX_ITEMS:
        raise _too_many(name)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError from None


def _too_many(name: str) -> InvalidRequest:
    return InvalidRequest(f"'{name}' has more than {MAX_ITEMS} values.", param=name, code="invalid_value")


def _number_or_text(text: str) -> object:
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text
