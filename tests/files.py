"""Files for jobs, which name them by open descriptors."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import structs

from ominix.wire.jobs import TranscriptionJob


def opened(path: str | Path) -> int:
    """For the engine that gets the job to close."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def again(job: TranscriptionJob) -> TranscriptionJob:
    """The same job with a descriptor of its own: an engine closes the one that it gets."""
    return structs.replace(job, audio=opened(f"/dev/fd/{job.audio}"))
