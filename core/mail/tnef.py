"""Outlook's winmail.dat: its body and the files in it (Transport Neutral Encapsulation Format, MS-OXTNEF, MS-OXPROPS).

One pass over the attributes, each bounded by the bytes that are there; what is broken ends the reading, and what was
read until then counts. Embedded messages are read to a small depth. Checksums are not looked at, as some programs
write wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from core.mail.charset import codec_of
from core.mail.rtf import read_rtf, unpacked_rtf
from core.mail.words import decode_text

_SIGNATURE = b"\x78\x9f\x3e\x22"
_MAX_DEPTH = 3
_MAX_ATTRIBUTES = 20_000
_MAX_PROPERTIES = 20_000
_MAX_FILES = 500

# Attributes (MS-OXTNEF 2.1.3.2).
_BODY = 0x800C
_CODE_PAGE = 0x9007
_MESSAGE_PROPERTIES = 0x9003
_NEW_FILE = 0x9002
_FILE_TITLE = 0x8010
_FILE_DATA = 0x800F
_FILE_PROPERTIES = 0x9005

# Properties (MS-OXPROPS).
_PLAIN_BODY, _HTML_BODY, _RTF_BODY, _HTML_CODE_PAGE, _SUBJECT = 0x1000, 0x1013, 0x1009, 0x3FDE, 0x0037
_SHORT_NAME, _LONG_NAME, _SHOWN_NAME, _MIME_TYPE, _CONTENT_ID = 0x3704, 0x3707, 0x3001, 0x370E, 0x3712
_OBJECT = 0x3701

# Types of properties (MS-OXCDATA 2.11.1): those of a fixed size, and those that say their length.
_SIZES = {0x2: 4, 0x3: 4, 0x4: 4, 0x5: 8, 0x6: 8, 0x7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_STRING8, _UNICODE, _OBJECT_TYPE, _BINARY = 0x1E, 0x1F, 0x0D, 0x102
_SAY_THEIR_LENGTH = frozenset({_STRING8, _UNICODE, _OBJECT_TYPE, _BINARY})
_MULTIPLE = 0x1000


@dataclass(slots=True)
class TnefFile:
    """An attached file as Outlook wrote it: its name as written, and what it claims to be, or an empty string."""

    name: str = ""
    content_type: str = ""
    content_id: str = ""
    content: bytes = b""


@dataclass(slots=True)
class Tnef:
    """What a winmail.dat holds; `text` and `html` are None where it has no such body."""

    subject: str = ""
    text: str | None = None
    html: str | None = None
    files: list[TnefFile] = field(default_factory=list)


class _Property(NamedTuple):
    id: int
    type: int
    values: list[bytes]


def read_tnef(data: bytes, depth: int = 0) -> Tnef | None:
    """Return what a TNEF stream holds, or None where the bytes are none; never raises."""
    if not data.startswith(_SIGNATURE):
        return None
    found = Tnef()
    codec = "cp1252"
    for number, value in _attributes(data):
        if number == _CODE_PAGE:
            codec = _codec(int.from_bytes(value[:4], "little"))
        elif number == _BODY:
            found.text = decode_text(value, codec).rstrip("\0")
        elif number == _MESSAGE_PROPERTIES:
            _read_message(value, codec, found)
        elif number == _NEW_FILE:
            if len(found.files) == _MAX_FILES:
                break
            found.files.append(TnefFile())
        elif number in (_FILE_TITLE, _FILE_DATA, _FILE_PROPERTIES):
            _read_file(number, value, codec, found, depth)
    found.files = [file for file in found.files if file.content or file.name]
    return found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each attribute: a byte of level, its number and type, its length, its value, a checksum."""
    at = len(_SIGNATURE) + 2
    for _ in range(_MAX_ATTRIBUTES):
        if at + 9 > len(data) or data[at] not in (1, 2):
            return
        number = int.from_bytes(data[at + 1 : at + 3], "little")
        length = int.from_bytes(data[at + 5 : at + 9], "little")
        yield number, data[at + 9 : at + 9 + length]
        at += 9 + length + 2


def _codec(code_page: int) -> str:
    named = "utf-8" if code_page == 65001 else "us-ascii" if code_page == 20127 else f"cp{code_page}"
    return named if codec_of(named) else "cp1252"


def _read_message(value: bytes, codec: str, found: Tnef) -> None:
    rtf = b""
    html = b""
    html_codec = codec
    for one in _properties(value):
        if one.id == _SUBJECT:
            found.subject = _text(one, codec)
        elif one.id == _PLAIN_BODY:
            found.text = _text(one, codec)
        elif one.id == _HTML_CODE_PAGE and one.values:
            html_codec = _codec(int.from_bytes(one.values[0], "little"))
        elif one.id == _HTML_BODY and one.type in (_STRING8, _UNICODE):
            found.html = _text(one, codec)
        elif one.id == _HTML_BODY and one.values:
            html = one.values[0]
        elif one.id == _RTF_BODY and one.values:
            rtf = unpacked_rtf(one.values[0])
    if html:
        found.html = decode_text(html, html_codec)
    said = read_rtf(rtf)
    found.html = found.html or said.html
    found.text = found.text or said.text


def _read_file(number: int, value: bytes, codec: str, found: Tnef, depth: int) -> None:
    if not found.files:
        found.files.append(TnefFile())
    file = found.files[-1]
    if number == _FILE_DATA:
        file.content = value
    elif number == _FILE_TITLE:
        file.name = file.name or decode_text(value, codec).rstrip("\0")
    else:
        names: dict[int, str] = {}
        for one in _properties(value):
            if one.id in (_LONG_NAME, _SHORT_NAME, _SHOWN_NAME):
                names[one.id] = _text(one, codec)
            elif one.id == _MIME_TYPE:
                file.content_type = _text(one, codec).strip().lower()
            elif one.id == _CONTENT_ID:
                file.content_id = _text(one, codec).strip().strip("<>")
            elif one.id == _OBJECT and one.values:
                _read_object(one, file, found, depth)
        file.name = names.get(_LONG_NAME) or file.name or names.get(_SHORT_NAME) or names.get(_SHOWN_NAME) or ""


def _read_object(one: _Property, file: TnefFile, found: Tnef, depth: int) -> None:
    """Read a file's data; an object has the number of its interface in 16 bytes first, and may be a message."""
    content = one.values[0][16:] if one.type == _OBJECT_TYPE else one.values[0]
    inner = read_tnef(content, depth + 1) if depth < _MAX_DEPTH else None
    if inner is None or (inner.html is None and inner.text is None):
        file.content = file.content or content
        return
    ending, body = (".txt", inner.text or "") if inner.html is None else (".html", inner.html)
    file.content = body.encode()
    file.content_type = "text/plain" if inner.html is None else "text/html"
    file.name = (inner.subject or file.name or "message") + ending
    found.files[-1:-1] = inner.files[: _MAX_FILES - len(found.files)]


def _properties(value: bytes) -> Iterator[_Property]:
    reader = _Bytes(value)
    try:
        for _ in range(min(reader.number(4), _MAX_PROPERTIES)):
            yield _property(reader)
    except EOFError:
        return


def _property(reader: _Bytes) -> _Property:
    kind, number = reader.number(2), reader.number(2)
    if number >= 0x8000:
        _pass_name(reader)
    bare = kind & ~_MULTIPLE
    size = _SIZES.get(bare)
    if size is None and bare not in _SAY_THEIR_LENGTH:
        raise EOFError
    count = reader.number(4) if size is None or kind & _MULTIPLE else 1
    if count > reader.left:
        raise EOFError
    values = [reader.take(reader.number(4) if size is None else size, padded=True) for _ in range(count)]
    return _Property(number, bare, values)


def _pass_name(reader: _Bytes) -> None:
    """Pass over the name of a property: a set's number in 16 bytes, then a number, or a text with its length."""
    reader.take(16)
    if reader.number(4):
        reader.take(reader.number(4), padded=True)
    else:
        reader.take(4)


def _text(one: _Property, codec: str) -> str:
    if not one.values:
        return ""
    return decode_text(one.values[0], "utf-16-le" if one.type == _UNICODE else codec).rstrip("\0")


class _Bytes:
    """Bytes read one after the other; raises EOFError where they end too early."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int, *, padded: bool = False) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError
        self._at += size + (-size % 4 if padded else 0)
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")
