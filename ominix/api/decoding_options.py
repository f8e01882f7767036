"""How a recording is gone through. In: a checked request's fields. Out: the job that they make of a job."""

from __future__ import annotations

from msgspec import structs

from ominix.errors import InvalidRequest
from ominix.http.schemas import JsonObject
from ominix.wire.jobs import Cutting, SearchOptions, TranscriptionJob


def applied(job: TranscriptionJob, fields: JsonObject) -> TranscriptionJob:
    """The job as these fields want it. Raises InvalidRequest for those that do not fit together."""
    strategy = fields.get("chunking_strategy", "auto")
    sequential = strategy == "sequential" or (isinstance(strategy, dict) and strategy["type"] == "sequential")
    previous_text = fields.get("condition_on_previous_text", False)
    if previous_text and not sequential:
        raise InvalidRequest(
            "'condition_on_previous_text' needs chunking_strategy 'sequential': clips that are cut at pauses "
            "are heard side by side, without the text before them.",
            param="condition_on_previous_text",
            code="invalid_value",
        )
    multilingual = fields.get("multilingual", False)
    if multilingual and job.language:
        raise InvalidRequest(
            f"'multilingual' finds the language of each part of the recording; leave out {job.language}.",
            param="multilingual",
            code="invalid_value",
        )
    return structs.replace(
        job,
        cutting=_cutting(strategy),
        sequential=sequential,
        previous_text=previous_text,
        search=SearchOptions(fields.get("beam_size", 1), fields.get("best_of", 1)),
        multilingual=multilingual,
    )


def _cutting(strategy: str | JsonObject) -> Cutting:
    """OpenAI's numbers and defaults for server_vad, our own for auto."""
    if isinstance(strategy, str):
        return Cutting()
    return Cutting(
        threshold=strategy.get("threshold", 0.5),
        padding_seconds=strategy.get("prefix_padding_ms", 300) / 1000,
        silence_seconds=strategy.get("silence_duration_ms", 200) / 1000,
        shortest_seconds=0.0,
    )
