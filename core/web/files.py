"""Files for saving, in a way that no browser opens or believes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from core.mail.file_type import BYTES
from core.orm.blob import pieces_of
from core.runtime import runtime
from core.web.edge import FILE_POLICY
from core.web.ranges import wanted_part

SERVED_TYPES = frozenset({
    *("application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "text/csv"),
    *("message/rfc822", BYTES),
})  # fmt: skip
"""What a file may be said to be; all others are just bytes."""
_NAME_CHARS = 150


def download(content: bytes, name: str, content_type: str = BYTES) -> Response:
    """Answer with a file to be saved under `name` (RFC 6266), in a sandbox should anybody open it all the same."""
    return Response(content, headers=_headers(name, content_type))


def send_file(request: Request, file: Any) -> Response:
    """Answer a GET or HEAD with an Attachment, or the part of it that is asked for, as it comes from the database."""
    etag = f'"{file.sha256}"'
    part = wanted_part(request.headers, request.method, etag, file.size_bytes)
    headers = {**_headers(file.name, file.content_type), "Accept-Ranges": "bytes", "ETag": etag, **part.headers}
    if part.status in (304, 416) or request.method == "HEAD":
        return Response(status_code=part.status, headers=headers)
    content = pieces_of(runtime().database, "attachment", file.pk, part.start, part.end)
    return StreamingResponse(content, part.status, headers)


def content_address(file: Any) -> str:
    """Return where an Attachment's bytes are, for programs and pages alike."""
    return f"/api/files/{file.uuid}/content"


def disposition(name: str) -> str:
    """Return the header that names a download: only characters that do no harm in a file system."""
    stem = "".join(char if char.isprintable() and char not in '/\\:*?"<>|' else "_" for char in name)
    whole = stem.strip(" .")[-_NAME_CHARS:] or "file"
    plain = whole.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(whole, safe='')}"


def _headers(name: str, content_type: str) -> dict[str, str]:
    return {
        "Content-Type": content_type if content_type in SERVED_TYPES else BYTES,
        "Content-Disposition": disposition(name),
        "Content-Security-Policy": FILE_POLICY,
    }
