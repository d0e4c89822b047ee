"""The tus protocol 1.0.0 for resumable uploads (https://tus.io): what its headers say. Pure.

Known are the extensions creation, creation-with-upload, expiration, checksum and termination.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from core.errors import PostroomError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CHECKSUMS: Mapping[str, Any] = MappingProxyType({
    "sha1": hashlib.sha1,  # Every server must know it; it shows accidents, and proves nothing.
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
})  # fmt: skip
MEDIA_TYPE = "application/offset+octet-stream"
_METADATA_CHARS = 8192
_MOST_DIGITS = 18


class BadUpload(PostroomError):
    """A header of an upload that says nothing, or something impossible."""

    code = "bad_upload"


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request must hash to."""

    algorithm: str
    digest: bytes

    def new(self) -> Any:
        """Return a fresh hash of its kind."""
        return CHECKSUMS[self.algorithm]()


def metadata_in(header: str) -> dict[str, str]:
    """Read Upload-Metadata: `name bmFtZQ==,is_public`, keys with values in base64, or without any."""
    if len(header) > _METADATA_CHARS:
        raise BadUpload(f"Upload-Metadata is longer than {_METADATA_CHARS} characters.")
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, value = pair.partition(" ")
        if key in found:
            raise BadUpload("Upload-Metadata names a key twice.")
        found[key] = _base64(value, "Upload-Metadata").decode("utf-8", "replace").replace("\0", "")
    return found


def checksum_in(header: str) -> Checksum:
    """Read Upload-Checksum: `sha1 <base64>`."""
    algorithm, _, value = header.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise BadUpload(f"Upload-Checksum is by one of {', '.join(CHECKSUMS)}.")
    return Checksum(algorithm, _base64(value, "Upload-Checksum"))


def bytes_in(header: str | None, name: str) -> int:
    """Read a number of bytes, such as Upload-Offset."""
    text = (header or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise BadUpload(f"{name} must be a whole number of bytes.")
    return int(text)


def _base64(value: str, header: str) -> bytes:
    try:
        return b64decode(value.strip(), validate=True)
    except ValueError as error:
        raise BadUpload(f"{header} holds what is no base64.") from error
