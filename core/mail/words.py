"""Bytes of any charset, and RFC 2047 encoded-words, into clean text; never raises, linear in its input.

A charset is taken from a closed list, as some of Python's codecs are quadratic, no text, or kept for ever once asked
for. What the declared charset cannot read is read as UTF-8, then as Windows-1252, then as Latin-1.
"""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases

_CODECS = {"cp874", "koi8_u", *aliases.values()} - {
    *("base64_codec", "bz2_codec", "hex_codec", "mbcs", "oem", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
    *("idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"),
}
_MEANT = {
    # What senders declare, and what they send: each is a superset of the declared one.
    "ascii": "utf_8",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_UNCLEAN = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\n]*+)\?=")


def decode_text(data: bytes, charset: str | None = None) -> str:
    """Return the bytes as text without NUL and lone surrogates; `charset` is what the sender declared, or None."""
    declared = _codec(charset) if charset else None
    for codec in (declared, "utf_8", "cp1252"):
        if codec is not None:
            try:
                return clean_text(data.decode(codec))
            except UnicodeDecodeError:
                continue
    return clean_text(data.decode("latin_1"))


def clean_text(text: str) -> str:
    """Return the text without NUL and lone surrogates."""
    return _UNCLEAN.sub("", text) if "\0" in text or not _is_encodable(text) else text


def _is_encodable(text: str) -> bool:
    """Tell whether there are no lone surrogates, in a seventh of the time that looking for them takes."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def decoded_words(text: str) -> str:
    """Return the text with its encoded-words decoded; neighbours are one text (RFC 2047 section 6.2).

    The result may hold line breaks that a sender hid in an encoded-word: the caller says what becomes of them.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    run = bytearray()
    run_charset = ""
    end = 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        charset = word[1].partition("*")[0].lower()
        if run and (between.strip() or charset != run_charset):
            pieces.append(decode_text(bytes(run), run_charset))
            run.clear()
        if not end or between.strip():
            pieces.append(between)
        run += _word_bytes(word[2], word[3])
        run_charset = charset
        end = word.end()
    if run:
        pieces.append(decode_text(bytes(run), run_charset))
    pieces.append(text[end:])
    return "".join(pieces)


def decode_base64(data: bytes) -> bytes:
    """Return what base64 says, skipping what does not belong and leaving off a last character that says nothing."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        kept = _ONLY_BASE64.sub(b"", data)
        return binascii.a2b_base64(kept[: len(kept) - (len(kept) % 4 == 1)] + b"==")


_ONLY_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def _word_bytes(encoding: str, coded: str) -> bytes:
    data = coded.encode("utf-8", "replace")
    if encoding in "bB":
        return decode_base64(data)
    return binascii.a2b_qp(data, header=True)


def _codec(charset: str) -> str | None:
    name = charset.strip().strip("\"'").lower().replace("-", "_").replace(" ", "_")
    codec = aliases.get(name, name)
    codec = _MEANT.get(codec, codec)
    return codec if codec in _CODECS else None
