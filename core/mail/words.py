"""RFC 2047 encoded-words and base64 as mail writes them, into clean text and bytes; never raises, linear in its input.

An encoded-word is decoded in every broken form that says what it means: with spaces or question marks inside, cut off
before its end, cut within a character, without the white space around it, of an unknown charset. Clean text holds no
NUL and no lone surrogate, which databases refuse.
"""

from __future__ import annotations

import binascii
import re

from core.mail.charset import Decoded, decode
from core.pattern import pattern

_UNCLEAN = pattern("[\0\ud800-\udfff]")
_WORD_START = pattern(r"=\?\s{0,2}([^?\s=]{1,60})\s{0,2}\?\s{0,2}([bBqQ])\s{0,2}\?")


def decode_text(data: bytes, charset: str | None = None) -> str:
    """Return the bytes as text without NUL and lone surrogates; `charset` is what the sender declared, or None."""
    return clean_text(decode(data, charset).text)


def clean_decoded(data: bytes, charset: str | None = None, hint: str | None = None) -> Decoded:
    """Return the bytes as clean text, and what was wrong with their charset."""
    text, doubt = decode(data, charset, hint)
    return Decoded(clean_text(text), doubt)


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
    end = at = 0
    while word := _WORD_START.search(text, at):
        word_end, at = _word_end(text, word)
        if word_end < 0:
            break
        between = text[end : word.start()]
        charset = word[1].partition("*")[0].lower()
        if run and (between.strip() or charset != run_charset):
            pieces.append(decode_text(bytes(run), run_charset))
            run.clear()
        if not end or between.strip():
            pieces.append(between)
        run += _word_bytes(word[2], text[word.end() : word_end])
        run_charset = charset
        end = at
    if run:
        pieces.append(decode_text(bytes(run), run_charset))
    pieces.append(text[end:])
    return "".join(pieces)


def _word_end(text: str, word: re.Match[str]) -> tuple[int, int]:
    """Return where the coded text of a word ends and where the word does, or -1 for one without an end.

    The last word of a text that was cut off has none, but nothing can follow it.
    """
    found = text.find("?=", word.end())
    if found >= 0:
        return found, found + 2
    rest = text[word.end() :]
    whole = rest and not rest.strip(_BASE64 if word[2] in "bB" else _PRINTABLE)
    return (len(text), len(text)) if whole else (-1, len(text))


_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=?"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def _word_bytes(encoding: str, coded: str) -> bytes:
    data = coded.encode("utf-8", "replace")
    if encoding in "bB":
        return decode_base64(data)
    return binascii.a2b_qp(data, header=True)


_NOT_BASE64 = bytes(byte for byte in range(256) if chr(byte) not in _BASE64.replace("?", ""))
_PADDING = pattern(rb"=+")
_MOST_RUNS = 400_000


def decode_base64(data: bytes) -> bytes:
    """Return what base64 says, skipping what does not belong and leaving off a last character that says nothing.

    Padding in the middle ends one run of base64; where nothing but base64 follows, the next is read too.
    """
    padding = data.find(b"=")
    if padding < 0 or not data[padding:].strip(b"=\r\n \t"):
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            pass
    if padding >= 0 and data[padding:].translate(None, b" \t\r\n") != data[padding:].translate(None, _NOT_BASE64):
        data = data[:padding]
    return b"".join(map(_run_of_base64, _PADDING.split(data.translate(None, _NOT_BASE64), _MOST_RUNS)))


def _run_of_base64(kept: bytes) -> bytes:
    return binascii.a2b_base64(kept[: len(kept) - (len(kept) % 4 == 1)] + b"==")
