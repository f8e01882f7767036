"""What a hub says that a repository holds. In: the bytes of its answer. Out: files. None of it is believed.

A size is a number, a digest is hexadecimal (its beginning becomes part of a file's name), a name is one of a
file at the top of the repository. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 48 << 20  # of the answer: 200,000 files
MOST_FILES = 20_000  # at the top
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REVISION = re.compile(r"[0-9a-f]{40}")
NAME = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True)
class File:
    """One file of a commit. `digest` is the sha256 of large files, git's hash of small ones.

    Mirrors may tell less. What is not known is not checked, and a part of such a file is not resumed later.
    """

    name: str
    size: int | None
    digest: str  # "": not known
    is_sha256: bool


@dataclass(frozen=True)
class Listing:
    revision: str  # the commit
    files: dict[str, File]  # those at the top of the repository, by name


class NotAListing(ValueError):
    """Its text says what cannot be understood: "the size of config.json"."""


def parse(data: bytes) -> tuple[str, dict[str, File | None]]:
    """The commit, and the files by name; None for one that is only named. Raises NotAListing."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise NotAListing("it is not JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("siblings", []), list):
        raise NotAListing("it has no files")
    siblings = answer.get("siblings", [])
    revision = answer.get("sha")
    names = [_name(sibling) for sibling in siblings]
    files = {name: _file(name, s) for name, s in zip(names, siblings, strict=True) if name is not None}
    if len(files) > MOST_FILES:
        raise NotAListing(f"it has more than {MOST_FILES} files")
    return revision if isinstance(revision, str) and REVISION.fullmatch(revision) else "main", files


def _name(sibling: Any) -> str | None:
    """None for one that is not at the top, or has a name that no file of a model has."""
    name = sibling.get("rfilename") if isinstance(sibling, dict) else None
    if not isinstance(name, str):
        raise NotAListing("a file has no name")
    return name if NAME.fullmatch(name) and name not in (".", "..") and _is_unicode(name) else None


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half a surrogate
        return False
    return True


def _file(name: str, sibling: dict[str, Any]) -> File | None:
    lfs = sibling.get("lfs")
    if isinstance(lfs, dict):
        size, digest = lfs.get("size"), lfs.get("sha256") or ""
    elif lfs is None:
        size, digest = sibling.get("size"), sibling.get("blobId") or ""
    else:
        raise NotAListing(f"what it says of {name}")
    return None if size is None else _checked(name, size, digest, is_sha256=lfs is not None)


def _checked(name: str, size: Any, digest: Any, *, is_sha256: bool) -> File:
    if type(size) is not int or not 0 <= size < 1 << 60:
        raise NotAListing(f"the size of {name}")
    if not isinstance(digest, str) or (digest and not DIGEST.fullmatch(digest)):
        raise NotAListing(f"the hash of {name}")
    return File(name, size, digest, is_sha256=is_sha256 and bool(digest))
