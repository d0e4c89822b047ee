"""A structured header value, `text/plain; charset="utf-8"`, into the value and its parameters, however they came.

RFC 2045 section 5.1 and RFC 2231: continuations and charsets, the mixtures that programs make of both, encoded-words
where none belong, semicolons left out, quotes within quotes. Of a parameter that comes twice the first counts, and the
RFC 2231 form before the plain one.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from core.mail.words import decode_text
from core.pattern import pattern

_VALUE = pattern(r"\s*([^\s;\"]*)")
_PARAMETER = pattern(
    r"(?:;\s*+|(?<!\s)\s++)([^\s=;\"]++)\s*+=\s*+"
    r"(?:\"((?:[^\"\\]|\\.?|\"(?!\s*(?:;|$|[\w*-]{1,40}=)))*)\"?|([^;\"]*+))",
    re.DOTALL,
)
_CONTINUED = pattern(r"([^*]++)(?:\*(\d{1,4}))?(\*?)")
_QUOTED_PAIR = pattern(r"\\([\"\\])")
_WINDOWS_PATH = pattern(r"(?:[A-Za-z]:\\|\\\\)")
_MOST_CHARS = 16 * 1024


def value_and_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Return the lower-case value and the parameters by lower-case name, RFC 2231 decoded, encoded-words not."""
    text = text[:_MOST_CHARS]
    value = _VALUE.match(text)
    main = value[1].lower() if value else ""
    end = value.end() if value else 0
    if "=" in main:
        main, text, end = "", f";{text}", 0
    if end == len(text):
        return main, {}
    plain: dict[str, str] = {}
    extended: dict[str, dict[int, tuple[bool, str]]] = {}
    for match in _PARAMETER.finditer(text, end):
        name, quoted, bare = match.groups()
        if "*" not in name:
            plain.setdefault(name.lower(), bare.strip() if quoted is None else _unquoted(quoted))
        elif named := _CONTINUED.fullmatch(name):
            piece = bare.strip() if quoted is None else _unquoted(quoted)
            extended.setdefault(named[1].lower(), {}).setdefault(int(named[2] or 0), (bool(named[3]), piece))
    return main, plain | {name: _joined(pieces) for name, pieces in extended.items()}


def _unquoted(text: str) -> str:
    if "\\" not in text or _WINDOWS_PATH.match(text):
        return text
    return _QUOTED_PAIR.sub(r"\1", text)


def _joined(pieces: dict[int, tuple[bool, str]]) -> str:
    start = min(pieces)
    coded, first = pieces[start]
    charset = None
    if coded and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
    data = bytearray()
    for number in sorted(pieces):
        coded, text = pieces[number]
        text = first if number == start else text
        data += unquote_to_bytes(text) if coded else text.encode("utf-8")
    return decode_text(bytes(data), charset)
