"""What kind of file some bytes are: as they show; what only claims to be something a browser opens is just bytes.

Pure, and the one door for files of every origin. It reads beginnings alone and unpacks nothing.
"""

from __future__ import annotations

from typing import Any

from core.pattern import pattern

BYTES = "application/octet-stream"
START_BYTES = 8192
"""So much of a file's beginning is enough to tell."""
_TYPE_CHARS = 127
_TYPE = pattern(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_OPENED_BY_BROWSERS = (
    *("image/", "application/pdf", "text/html", "text/xml", "text/javascript", "text/ecmascript"),
    *("application/xhtml", "application/xml", "application/javascript", "application/ecmascript"),
)
_CONTAINERS = ("application/zip", "application/gzip", "application/x-tar", "application/vnd.openxmlformats")
"""What holds other things, so a name says more than the first bytes do."""
_OF_TWO_LETTERS = frozenset({"image/bmp", "application/x-msdownload", "application/postscript"})
"""Kinds that are told by two letters, with which a text may begin as well."""
_OF_MANY_NAMES = ("audio", "video", "font")


def content_type_of(start: bytes, said: str) -> str:
    """Return the type of a file that begins with `start`; `said` is what its sender calls it, or empty."""
    said = said.lower().partition(";")[0].strip()
    if not _TYPE.fullmatch(said) or len(said) > _TYPE_CHARS or said.startswith(_OPENED_BY_BROWSERS):
        said = BYTES
    shown = _shown(start[:START_BYTES])
    if shown is None:
        return said
    return said if said != BYTES and _says_more(said, shown) else shown


def _says_more(said: str, shown: str) -> bool:
    family = shown.partition("/")[0]
    if shown.startswith(_CONTAINERS):
        return said.startswith("application/")
    return family in _OF_MANY_NAMES and said.startswith(f"{family}/")


def _shown(start: bytes) -> str | None:
    import filetype  # Only files need it.

    kind: Any = filetype.guess(start) if start else None
    if kind is None or (kind.mime in _OF_TWO_LETTERS and b"\0" not in start):
        return None
    return str(kind.mime)
