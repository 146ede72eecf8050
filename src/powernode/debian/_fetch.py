# SPDX-License-Identifier: MIT
"""One file over HTTP into a partial file: its size and SHA-256 checked while it streams, resumed where it broke off.

Invariants: never more bytes than expected are written; on return the file is complete and has the digest. Only what
can pass (a connection lost, a server overloaded) is tried again.

Out of scope: names in the cache and locking (debian.inputs).
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from typing import BinaryIO, Protocol

from powernode.base.errors import DataError, MachineError

__all__ = ["GoneError", "Wanted", "fetch"]

_CHUNK = 1 << 17
_TIMEOUT_S = 30
_PAUSES_S = (0.5, 2.0, 5.0, 10.0)
_TRANSIENT = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors
_TEMPORARY = frozenset((408, 425, 429, 500, 502, 503, 504))


class Wanted(Protocol):
    @property
    def filename(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class GoneError(Exception):
    """The server no longer has the file."""


class _DifferentError(Exception):
    """Complete, but not the file that was pinned."""


def fetch(url: str, wanted: Wanted, file: BinaryIO, pause: Callable[[float], None]) -> None:
    """Completes `file`, which may hold a first part from an earlier time."""
    reason: Exception | None = None
    for wait in (0.0, *_PAUSES_S):
        if wait:
            pause(wait)
        resumed = file.seek(0, 2) > 0
        try:
            _attempt(url, wanted, file)
            return
        except _DifferentError as error:
            file.truncate(0)
            if not resumed:
                raise DataError(
                    "debian.input.digest",
                    f"{wanted.filename} from the archive is not the package in the lock",
                    expected=f"{wanted.size} bytes, sha256 {wanted.sha256}",
                    found=str(error),
                ) from None
            reason = error  # perhaps the old part was another file's: once more from the start
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise GoneError from None
            if error.code == 416:
                file.truncate(0)
            elif error.code not in _TEMPORARY:
                raise _unreachable(url, wanted, error) from error
            reason = error
        except _TRANSIENT as error:
            reason = error
    assert reason is not None
    raise _unreachable(url, wanted, reason) from reason


def _attempt(url: str, wanted: Wanted, file: BinaryIO) -> None:
    have = file.seek(0, 2)
    if have >= wanted.size:
        file.truncate(0)
        have = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if have and (response.status != 206 or not _starts_at(response, have)):
            have = 0
            file.truncate(0)
        digest = sha256()
        file.seek(0)
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
        while chunk := response.read(_CHUNK):
            have += len(chunk)
            if have > wanted.size:
                raise _DifferentError("more bytes")
            digest.update(chunk)
            file.write(chunk)
    if have < wanted.size:
        if response.length:  # less than the server itself promised
            raise ConnectionError(f"the connection broke off after {have} of {wanted.size} bytes")
        raise _DifferentError(f"{have} bytes")
    file.flush()
    if digest.hexdigest() != wanted.sha256:
        raise _DifferentError(f"sha256 {digest.hexdigest()}")


def _starts_at(response: http.client.HTTPResponse, offset: int) -> bool:
    return (response.getheader("Content-Range") or "").startswith(f"bytes {offset}-")


def _unreachable(url: str, wanted: Wanted, reason: Exception) -> MachineError:
    return MachineError(
        "debian.input.unreachable",
        f"{wanted.filename} cannot be downloaded: {reason}",
        expected=f"a file at {url}",
        hint="try again, or name another archive with --archive",
    )
