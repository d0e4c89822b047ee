"""Rich Text Format as Outlook sends it: unpacked, and turned into the HTML or the text that it carries.

Outlook packs a body's RTF by LZFu (MS-OXRTFCP), and mostly that RTF is HTML in disguise (MS-OXRTFEX). Both readers are
bounded in what they give and linear in what they take; they run nothing, load nothing and never raise on any bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from core.mail.charset import codec_of, decode
from core.mail.words import clean_text
from core.pattern import pattern

RTF_MAX_BYTES = 512 * 1024
_MAX_DEPTH = 200
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans "
    rb"SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4096


class RtfBody(NamedTuple):
    """What a rich text says: its HTML where it was made from HTML, else its plain text."""

    html: str | None
    text: str | None


def unpacked_rtf(data: bytes) -> bytes:
    """Return the RTF of a PR_RTF_COMPRESSED value, cut at `RTF_MAX_BYTES`; empty where it is no such value."""
    if len(data) < 16:
        return b""
    kind = data[8:12]
    size = min(int.from_bytes(data[4:8], "little"), RTF_MAX_BYTES)
    if kind == b"MELA":
        return data[16 : 16 + size]
    return _lzfu(data, size) if kind == b"LZFu" else b""


def _lzfu(data: bytes, size: int) -> bytes:
    """Undo LZFu: after each byte of eight flags come single bytes, and references into what came before."""
    out = bytearray(_DICTIONARY)
    end = len(_DICTIONARY) + size
    at = 16
    while at < len(data) and len(out) < end:
        flags = data[at]
        at += 1
        for _ in range(8):
            if flags & 1:
                if at + 1 >= len(data):
                    return bytes(out[len(_DICTIONARY) : end])
                pair = data[at] << 8 | data[at + 1]
                at += 2
                # An offset into a window of 4096 bytes that is written round and round.
                back = (len(out) - (pair >> 4)) % _WINDOW
                if not back:
                    return bytes(out[len(_DICTIONARY) : end])
                _repeat(out, back, (pair & 15) + 2)
            elif at < len(data):
                out.append(data[at])
                at += 1
            flags >>= 1
    return bytes(out[len(_DICTIONARY) : end])


def _repeat(out: bytearray, back: int, length: int) -> None:
    start = len(out) - back
    if start < 0:
        out += bytes(length)
    else:
        piece = out[start : start + length]
        out += (piece * (length // len(piece) + 1))[:length]


_TOKEN = pattern(
    rb"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\([^a-zA-Z])|([{}])|([^\\{}\r\n]+)|[\r\n]+|\\", re.DOTALL
)
_SKIPPED = frozenset({
    *(b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"headerl", b"headerr"),
    *(b"headerf", b"footer", b"footerl", b"footerr", b"footerf", b"footnote", b"themedata", b"datastore", b"listtable"),
    *(b"listoverridetable", b"generator"),
})  # fmt: skip
_CHARACTERS = {
    b"par": "\n", b"line": "\n", b"sect": "\n", b"page": "\n", b"row": "\n", b"cell": "\t", b"tab": "\t",
    b"lquote": "\u2018", b"rquote": "\u2019", b"ldblquote": "\u201c", b"rdblquote": "\u201d", b"bullet": "\u2022",
    b"endash": "\u2013", b"emdash": "\u2014", b"emspace": "\u2003", b"enspace": "\u2002",
}  # fmt: skip
_SYMBOLS = {b"~": "\u00a0", b"_": "-", b"{": "{", b"}": "}", b"\\": "\\", b"\n": "\n", b"\r": "\n"}


@dataclass(slots=True)
class _Group:
    """What holds between two braces."""

    skipped: bool = False
    html_tag: bool = False
    shadowed: bool = False
    """Between htmlrtf and htmlrtf0 stands what the HTML says already."""
    alternatives: int = 1
    """How many characters follow each Unicode one for programs that know none (`\\uc`)."""

    def copied(self) -> _Group:
        return _Group(self.skipped, self.html_tag, self.shadowed, self.alternatives)


@dataclass(slots=True)
class _RtfReader:
    """One pass over the tokens of an RTF."""

    from_html: bool
    codec: str
    group: _Group = field(default_factory=_Group)
    outer: list[_Group] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    coded: bytearray = field(default_factory=bytearray)
    """Bytes of the code page, of which several may make one character."""
    to_skip: int = 0
    starred: bool = False
    first_of_pair: int = 0

    def read(self, rtf: bytes) -> str:
        for token in _TOKEN.finditer(rtf):
            code, word, number, symbol, brace, text = token.groups()
            if code is not None:
                self._add_bytes(bytes((int(code, 16),)))
            elif text is not None:
                self._add_bytes(text)
            elif brace is not None:
                self._turn(brace)
            elif symbol is not None:
                self._sign(symbol)
            elif word is not None:
                self._obey(word, int(number) if number else None)
        self._flush()
        return "".join(self.out)

    def _is_heard(self) -> bool:
        return not self.group.skipped and not self.group.shadowed

    def _add_bytes(self, data: bytes) -> None:
        self.starred = False
        if self.to_skip:
            skipped = min(self.to_skip, len(data))
            self.to_skip -= skipped
            data = data[skipped:]
        if data and self._is_heard():
            self.coded += data

    def _add(self, text: str) -> None:
        if self._is_heard():
            self._flush()
            self.out.append(text)

    def _flush(self) -> None:
        if self.coded:
            self.out.append(decode(bytes(self.coded), self.codec).text)
            self.coded.clear()

    def _turn(self, brace: bytes) -> None:
        self.to_skip = 0
        if brace == b"{":
            if len(self.outer) < _MAX_DEPTH:
                self.outer.append(self.group)
                self.group = self.group.copied()
        elif self.outer:
            self.group = self.outer.pop()

    def _sign(self, symbol: bytes) -> None:
        if symbol == b"*":
            self.starred = True
        elif symbol in _SYMBOLS:
            if self.to_skip:
                self.to_skip -= 1
            else:
                self._add(_SYMBOLS[symbol])

    def _obey(self, word: bytes, number: int | None) -> None:
        starred, self.starred = self.starred, False
        if word == b"htmltag" and starred:
            self.group.html_tag = self.from_html
            self.group.skipped |= not self.from_html
        elif starred or word in _SKIPPED:
            self.group.skipped = True
        elif word == b"htmlrtf":
            self.group.shadowed = self.from_html and number != 0
        elif word == b"uc":
            self.group.alternatives = min(max(number or 0, 0), 10)
        elif word == b"u" and number is not None:
            self._add_unicode(number % 65536)
            self.to_skip = self.group.alternatives
        elif word in _CHARACTERS and not (self.from_html and self.group.html_tag and word not in (b"par", b"tab")):
            self._add(_CHARACTERS[word])

    def _add_unicode(self, unit: int) -> None:
        """Add a UTF-16 unit; of a pair, the second completes the first."""
        if 0xD800 <= unit < 0xDC00:
            self.first_of_pair = unit
        elif 0xDC00 <= unit < 0xE000:
            if self.first_of_pair:
                self._add(chr(0x10000 + ((self.first_of_pair - 0xD800) << 10) + unit - 0xDC00))
            self.first_of_pair = 0
        else:
            self._add(chr(unit))


_CODE_PAGE = pattern(rb"\\ansicpg(\d{1,5})")
_HTML_MARK = b"\\fromhtml"


def read_rtf(rtf: bytes) -> RtfBody:
    """Return what an RTF of at most `RTF_MAX_BYTES` says."""
    rtf = rtf[:RTF_MAX_BYTES]
    if not rtf.startswith(b"{\\rtf"):
        return RtfBody(None, None)
    page = _CODE_PAGE.search(rtf, 0, 2000)
    named = f"cp{page[1].decode('ascii')}" if page else "cp1252"
    codec = "utf-8" if named == "cp65001" else named if codec_of(named) else "cp1252"
    from_html = rtf.find(_HTML_MARK, 0, 2000) >= 0
    said = clean_text(_RtfReader(from_html, codec).read(rtf)).strip()
    return RtfBody(said, None) if from_html else RtfBody(None, said)
