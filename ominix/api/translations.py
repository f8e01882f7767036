"""POST /v1/audio/translations: refused in so many words, since no model here translates speech."""

from __future__ import annotations

from falcon import Request, Response

from ominix.errors import InvalidRequest
from ominix.http import forms, media
from ominix.library.catalog import Catalog


class Translations:
    def __init__(self, catalog: Catalog, *, max_bytes: int) -> None:
        self._catalog = catalog
        self._max_bytes = max_bytes

    def on_post(self, req: Request, resp: Response) -> None:
        media.require(req, "multipart/form-data")
        fields, upload = forms.read(req, "translation_form", self._max_bytes)
        upload.close()
        model = self._catalog.able(fields["model"], "transcribe")
        raise InvalidRequest(
            f"The model '{model.id}' writes down what is said in the language it is said in; it does not "
            "translate. Models that can: none yet. Use /v1/audio/transcriptions, and have a chat model "
            "translate the text.",
            param="model",
            code="translation_not_supported",
        )
