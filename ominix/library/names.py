"""Names of repositories, and the ids that models from them get here."""

from __future__ import annotations

import re

from ominix.errors import Conflict, InvalidRequest
from ominix.families.table import KNOWN
from ominix.library.folders import Folders
from ominix.library.records import DownloadRecord

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
WEB_ADDRESS = re.compile(
    r"(?:https?://[^/\s]+/|hf://|(?:www\.)?(?:huggingface\.co|hf\.co)/)(?P<name>[^/\s?#]+/[^/\s?#]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[^/?#]+))?(?:[/?#].*)?"
)
BITS = re.compile(r"-(?:\d+bit|bf16|fp16)$")
RESERVED = ("download", "downloads", "load", "unload")  # words of the API's paths


def checked_repo_id(repo_id: str) -> str:
    """Raises InvalidRequest for what cannot be the name of a repository."""
    if not REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id[-1] in ".-":
        raise InvalidRequest(
            f"'{repo_id[:100]}' is not a repository: "
            f"write owner/name, as in {next(iter(KNOWN.repositories.values()))}.",
            param="repo_id",
        )
    return repo_id


def pasted(text: str) -> str:
    """The name in what people paste: a web address of a repository, `hf.co/owner/name`, or a plain name.

    Raises InvalidRequest for an address of another version than the newest.
    """
    found = WEB_ADDRESS.fullmatch(text.strip())
    if found is None:
        return text.strip()
    if found["revision"] not in (None, "main"):
        raise InvalidRequest(f"{text} is one version of a repository; only the newest (main) can be pulled")
    return found["name"]


def in_bits(repo_id: str, bits: str) -> str:
    """Of `owner/name-4bit` the repository with other weights: `owner/name-8bit`."""
    return f"{BITS.sub('', repo_id)}-{bits}" if bits else repo_id


def new_id(name: str, folders: Folders) -> str:
    """A name that the user gives to a new model. Raises InvalidRequest, Conflict."""
    if not MODEL_ID.fullmatch(name):
        raise InvalidRequest(
            f"'{name[:100]}' cannot be the name of a model: take letters, digits, '.', '_' and '-', "
            "96 at most, the first a letter or a digit"
        )
    if name.lower() in RESERVED:
        raise InvalidRequest(
            f"a model named '{name}' could not be asked for: /v1/models/{name.lower()} means something else"
        )
    if name.lower() in folders.names_in_use():
        raise Conflict(f"{folders.final(name)} is there already, or being downloaded")
    return name


def id_for(repo_id: str, records: dict[str, DownloadRecord], folders: Folders) -> str:
    """The id it has, or the one it gets: its name; with its owner where the name is taken."""
    for model_id, record in records.items():
        if record.repo_id.lower() == repo_id.lower():
            return model_id
    owner, _, name = repo_id.partition("/")
    if folders.is_model(repo_id):
        return repo_id  # another program's folder, in its layout
    if folders.is_model(name) and name not in records:
        return name  # put here by hand: taken for what it is called
    taken = folders.names_in_use() | {model_id.lower() for model_id in records} | set(RESERVED)
    candidates = [name, f"{owner}--{name}", *(f"{owner}--{name}-{n}" for n in range(2, 100))]
    return next(candidate for candidate in candidates if candidate.lower() not in taken)
