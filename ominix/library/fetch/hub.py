"""The hub: what a repository holds, and one file of it, resumed and verified. For the fetching child alone.

huggingface_hub finds the hub, its token and its proxies, and names its errors. The list and the bytes are
read here, within bounds of size and time: its own hf_hub_download starts a broken-off file over (2.4: every
call writes to a new temporary file), and a model's file has gigabytes. Plain HTTP, not Xet, for the same
reason: what is there of a file is a prefix of it, and can be resumed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import httpx2  # huggingface_hub's own HTTP client: its errors are the ones to name
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from ominix.errors import DownloadFailed
from ominix.library.fetch import listing
from ominix.library.fetch.listing import DIGEST, File, Listing, NotAListing
from ominix.library.fetch.whole import is_whole

CHUNK_BYTES = 1 << 20
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # between tries that got nothing; then it has failed
PASSING = (408, 429, 500, 502, 503, 504)  # statuses that may be better next time
ABSENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
ABSENT_TRIES = 1  # more, where nothing has been heard of a hub yet: a person waits for the sentence
LIST_SECONDS = 20.0  # of silence, while the list of files is awaited
MOST_ASKED = 1000  # files whose size the list does not tell
MOST_REDIRECTS = 10
PACE_SECONDS, PACE_BYTES = 60.0, 60 << 10  # a file grows by so much in each such time, or its download ends
ERRORS = (
    httpx2.RequestError, httpx2.InvalidURL, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled,
)  # fmt: skip
# Endings of what a download may need: of others nothing is asked where the list has names alone.
MODEL_FILES = (".json", ".safetensors", ".model", ".txt", ".jinja", ".npz", ".bin")
SIZE = re.compile(r"[0-9]{1,18}")

log = logging.getLogger("ominix.library")
T = TypeVar("T")


class Hub:
    """One repository. All methods raise DownloadFailed; OSError where the disk is to blame."""

    def __init__(
        self,
        repo_id: str,
        *,
        endpoint: str | None = None,  # None: HF_ENDPOINT, or the public hub
        pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
        list_seconds: float = 3 * LIST_SECONDS,
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        """`list_seconds`: for the whole list; `pace_seconds`: in which a file has to grow by PACE_BYTES."""
        self.repo_id = repo_id
        self._endpoint = endpoint or constants.ENDPOINT
        self._pauses_seconds = pauses_seconds
        self._list_seconds = list_seconds
        self._pace_seconds = pace_seconds

    def listing(self) -> Listing:
        revision, files = self._persist(self._listed)
        unknown = [name for name, file in files.items() if file is None and name.endswith(MODEL_FILES)]
        if len(unknown) > MOST_ASKED:
            raise DownloadFailed(
                "hub", f"The hub's list of '{self.repo_id}' has no sizes, and too many files to ask for each."
            )
        known = {name: file or self._described(name, revision) for name, file in files.items()}
        return Listing(revision, known)

    def _listed(self) -> tuple[str, dict[str, File | None]]:
        url = f"{self._endpoint}/api/models/{self.repo_id}?blobs=true"
        end = time.monotonic() + self._list_seconds
        data = bytearray()
        with opened(url, build_hf_headers(), LIST_SECONDS) as response:
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > listing.MOST_BYTES or time.monotonic() > end:
                    raise DownloadFailed("hub", f"The hub's list of '{self.repo_id}' does not end.")
        try:
            return listing.parse(bytes(data))
        except NotAListing as error:
            raise DownloadFailed(
                "hub", f"The hub's list of '{self.repo_id}' cannot be understood: {error}."
            ) from None

    def _described(self, name: str, revision: str) -> File:
        """A file that the list only names, as far as its headers tell."""
        if not name.endswith(MODEL_FILES):
            return File(name, None, "", is_sha256=False)
        url = hf_hub_url(self.repo_id, name, revision=revision, endpoint=self._endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        response = self._persist(
            lambda: get_session().head(url, headers=headers, timeout=LIST_SECONDS, follow_redirects=True)
        )
        if not response.is_success:
            return File(name, None, "", is_sha256=False)
        return _file_of_headers(name, [answer.headers for answer in (*response.history, response)])

    def fetch(self, file: File, revision: str, target: Path, progress: Callable[[int], None]) -> None:
        """Make `target` that file. `progress` hears each count of new bytes, negative for bytes given up."""
        if file.digest and target.is_file() and _matches(file, target):
            return
        partial = target.with_name(f"{file.name}.{file.digest[:16]}.partial")
        if not file.digest:  # what is there may be of another commit
            progress(-_size(partial) - _size(target))
            partial.unlink(missing_ok=True)
        for _ in range(2):  # what was resumed may have been bad from the start: once more from there
            self._persist(lambda: self._receive(file, revision, partial, progress), partial)
            if _matches(file, partial):
                partial.replace(target)
                return
            progress(-partial.stat().st_size)
            partial.unlink()
        raise DownloadFailed(
            "corrupt",
            f"{file.name} arrived twice with other bytes than the hub says it has; try again later.",
        )

    def _receive(self, file: File, revision: str, partial: Path, progress: Callable[[int], None]) -> None:
        """Go on with the file where it is, to its end."""
        url = hf_hub_url(self.repo_id, file.name, revision=revision, endpoint=self._endpoint)
        with partial.open("ab") as out:
            have = out.tell()
            if file.size is None:  # nobody can tell how far it is
                out.truncate(0)
                progress(-have)
                have = 0
            elif have >= file.size:
                return
            headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={have}-"}
            timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
            with opened(url, headers, timeout) as response:
                pace = Pace(self._pace_seconds)
                if response.status_code != 206:  # the range was not heeded
                    out.truncate(0)
                    progress(-have)
                for chunk in response.iter_raw():
                    out.write(chunk)
                    progress(len(chunk))
                    if not pace.keeps_up(len(chunk)):
                        raise DownloadFailed("hub", f"The hub sends {file.name} too slowly; try again later.")
                    if file.size is not None and out.tell() > file.size:
                        break  # more than the hub promised: never fill the disk with it
        if file.size is not None and partial.stat().st_size < file.size:
            raise httpx2.RemoteProtocolError(f"{file.name} ended early")

    def _persist(self, action: Callable[[], T], growing: Path | None = None) -> T:
        """`action`, tried again while the trouble may pass. A try that made a file grow does not count."""
        failures = 0
        while True:
            before = _size(growing)
            try:
                return action()
            except ERRORS as error:
                failures = 1 if _size(growing) > before else failures + 1
                is_absent = isinstance(error, ABSENT) and growing is None
                pauses = self._pauses_seconds[: ABSENT_TRIES if is_absent else None]
                if not _may_pass(error) or failures > len(pauses):
                    raise self._failure(error) from error
                log.info("%s: %s; trying again", self.repo_id, error)
                time.sleep(self._pauses_seconds[failures - 1])

    def _failure(self, error: Exception) -> DownloadFailed:
        repo = f"The repository '{self.repo_id}'"
        if isinstance(error, OfflineModeIsEnabled):
            return DownloadFailed("offline", "HF_HUB_OFFLINE is set: nothing may be downloaded.")
        if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
            return DownloadFailed(
                "not_found",
                f"{repo} does not exist, or is private: then set HF_TOKEN to a token that may read it.",
            )
        if isinstance(error, GatedRepoError) or _status(error) in (401, 403):
            return DownloadFailed(
                "gated", f"{repo} is gated or private: ask for access on the hub and set HF_TOKEN."
            )
        if isinstance(error, (RevisionNotFoundError, RemoteEntryNotFoundError, HFValidationError)):
            return DownloadFailed("not_found", f"{repo} lacks what its list of files names; try again.")
        if isinstance(error, HfHubHTTPError):
            return DownloadFailed(
                "hub", f"The hub answers {_status(error)} for '{self.repo_id}'; try again later."
            )
        if not isinstance(error, httpx2.TransportError):
            what = type(error).__name__
            return DownloadFailed("hub", f"The hub's answers for '{self.repo_id}' lead nowhere ({what}).")
        return DownloadFailed(
            "offline",
            f"The hub at {self._endpoint} cannot be reached ({type(error).__name__}). Behind a proxy set "
            "HTTPS_PROXY; a mirror is named in HF_ENDPOINT; without a network copy the model's folder into "
            "OMINIX_HOME/models by hand (OMINIX_HOME is ~/.ominix unless it is set).",
        )


@contextlib.contextmanager
def opened(url: str, headers: Mapping[str, str], timeout_seconds: float) -> Iterator[httpx2.Response]:
    """An answer whose body is still to be read.

    Redirects are followed here, and the bodies of errors not read: httpx and huggingface_hub would read them
    whole, however long they are. httpx keeps the token from other hosts. Raises ERRORS.
    """
    client = get_session()
    request: httpx2.Request | None = client.build_request(
        "GET", url, headers=dict(headers), timeout=timeout_seconds
    )
    for _ in range(MOST_REDIRECTS):
        assert request
        response = client.send(request, stream=True, follow_redirects=False)
        with contextlib.closing(response):
            request = response.next_request
            if request is None:
                _raise_for_status(response)
                yield response
                return
    raise httpx2.TooManyRedirects("too many redirects")


def _raise_for_status(response: httpx2.Response) -> None:
    if not response.is_success:
        kept = {k: v for k, v in response.headers.items() if k.startswith("x-error-")}
        hf_raise_for_status(httpx2.Response(response.status_code, headers=kept, request=response.request))
        raise httpx2.RequestError(f"HTTP {response.status_code}", request=response.request)


class Pace:
    """Whether a body comes fast enough to end some day."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since, self._bytes = time.monotonic(), 0

    def keeps_up(self, count: int) -> bool:
        self._bytes += count
        now = time.monotonic()
        if now - self._since < self._seconds:
            return True
        enough = self._bytes >= PACE_BYTES
        self._since, self._bytes = now, 0
        return enough


def _status(error: Exception) -> int:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else 0


def _may_pass(error: Exception) -> bool:
    return isinstance(error, httpx2.TransportError) or _status(error) in PASSING


def _file_of_headers(name: str, answers: Sequence[Mapping[str, str]]) -> File:
    """`answers`: the headers on the way to the file, redirects too. An ETag counts if it is the hub's."""
    last = answers[-1]
    size = next((a["x-linked-size"] for a in answers if "x-linked-size" in a), last.get("content-length", ""))
    tags = [a.get("x-linked-etag") or a.get("etag", "") for a in answers if "x-repo-commit" in a]
    digests = [tag for tag in (text.removeprefix("W/").strip('"') for text in tags) if DIGEST.fullmatch(tag)]
    digest = max(digests, key=len, default="")
    return File(name, int(size) if SIZE.fullmatch(size) else None, digest, is_sha256=len(digest) == 64)


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except FileNotFoundError:
        return 0


def _matches(file: File, path: Path) -> bool:
    size = path.stat().st_size
    if size != file.size and file.size is not None:
        return False
    if not file.digest:
        return is_whole(file.name, path)
    # Git hashes a header with the size and then the bytes.
    state = hashlib.sha256() if file.is_sha256 else hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest() == file.digest
