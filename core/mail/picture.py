"""How large a picture says it is, from its first bytes: PNG, GIF, JPEG, WebP. It unpacks nothing."""

from __future__ import annotations

from struct import unpack, unpack_from

from core.pattern import pattern

_FRAME = pattern(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]")
_MAX_SEGMENTS = 10_000


def pixels_of(content: bytes) -> int | None:
    """Return width times height; None for what no browser would show either, or is cut short."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = unpack(">II", content[16:24])
    elif content.startswith(b"GIF8") and len(content) >= 10:
        width, height = unpack("<HH", content[6:10])
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP" and len(content) >= 30:
        width, height = _webp(content)
    elif content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    else:
        return None
    return int(width) * int(height)


def _webp(content: bytes) -> tuple[int, int]:
    """The three forms of the container (RFC 9649, 2.5 to 2.7)."""
    if content[12:16] == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if content[12:16] == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(content: bytes) -> int | None:
    """Go from segment to segment up to the frame header (ITU T.81, B.2.2)."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(content) or content[at] != 0xFF:
            return None
        if _FRAME.match(content, at):
            height, width = unpack_from(">HH", content, at + 5)
            return int(height) * int(width)
        at += 1 if content[at + 1] == 0xFF else 2 + unpack_from(">H", content, at + 2)[0]
    return None
