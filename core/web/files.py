"""Files for saving, in a way that no browser opens or believes them."""

from __future__ import annotations

from urllib.parse import quote

from fastapi.responses import Response

from core.web.edge import FILE_POLICY

_TYPES = frozenset({
    *("application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "text/csv"),
    "message/rfc822",
})  # fmt: skip
_NAME_CHARS = 150


def download(content: bytes, name: str, content_type: str = "application/octet-stream") -> Response:
    """Answer with a file to be saved under `name` (RFC 6266), in a sandbox should anybody open it all the same."""
    known = content_type if content_type in _TYPES else "application/octet-stream"
    return Response(
        content,
        headers={
            "Content-Type": known,
            "Content-Disposition": disposition(name),
            "Content-Security-Policy": FILE_POLICY,
        },
    )


def disposition(name: str) -> str:
    """Return the header that names a download: only characters that do no harm in a file system."""
    stem = "".join(char if char.isprintable() and char not in '/\\:*?"<>|' else "_" for char in name)
    whole = stem.strip(" .")[-_NAME_CHARS:] or "file"
    plain = whole.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(whole, safe='')}"
