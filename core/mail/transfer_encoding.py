"""The content of a part out of its transfer encoding (RFC 2045 section 6), by whatever name programs call that.

Nothing raises: what is not encoded as it says is taken as it is. Linear.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp

from core.mail.uuencoded import taken_out
from core.mail.words import decode_base64
from core.pattern import pattern

_UUENCODED = frozenset({"uuencode", "xuuencode", "xuue", "uue", "xuu", "yenc", "xyenc"})
_AS_IT_IS = frozenset({"", "7bit", "8bit", "binary", "7bits", "8bits", "7", "8", "none", "plain", "identity", "bit"})
_NOT_A_LETTER = pattern("[^a-z0-9]+")
_PROSE = pattern(
    rb"\s*[A-Za-z]{1,20}[,:.!]? [A-Za-z]{1,20}[,:.!]? [A-Za-z]{1,20}[\s,:.!?]|\s*<(?:!doctype|html)\b", re.IGNORECASE
)
_SOFT_BREAK = pattern(rb"=[ \t]+\r?\n")
_LARGE_BYTES = 1024 * 1024
_PADDING_BYTES = 16


def encoding_named(encoding: str) -> str:
    """Return the letters and digits of an encoding's name, without comments and what else some programs add."""
    if encoding in ("", "7bit", "8bit", "base64"):
        return encoding
    return _NOT_A_LETTER.sub("", encoding.lower().partition(";")[0].partition("(")[0])


def decoded_content(data: bytes, start: int, end: int, encoding: str, content_type: str, defects: list[str]) -> bytes:
    """Return the content that the part `data[start:end]` of that type carries, and tell what was wrong."""
    named = encoding_named(encoding)
    if named == "base64" and end - start > _LARGE_BYTES and (large := _large_base64(data, start, end)) is not None:
        return large
    content = data[start:end]
    if named == "base64":
        if content_type.startswith(("text/", "multipart/")) and _PROSE.match(content):
            defects.append("A text is said to be base64 and is not.")
            return content
        return decode_base64(content)
    if named == "quotedprintable":
        return a2b_qp(_SOFT_BREAK.sub(b"=\n", content) if b"= " in content or b"=\t" in content else content)
    if named in _UUENCODED:
        _, files = taken_out(content)
        return files[0].content if files else content
    if named not in _AS_IT_IS:
        defects.append(f'The encoding "{encoding[:40]}" of a part is unknown; the part is read as it is.')
    return content


def _large_base64(data: bytes, start: int, end: int) -> bytes | None:
    """Read orderly base64 where it lies, without a copy; None for what needs a closer look."""
    if data.find(b"=", start, end - _PADDING_BYTES) >= 0:
        return None
    try:
        return a2b_base64(memoryview(data)[start:end])
    except Error:
        return None
