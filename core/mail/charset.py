"""Which charset bytes are in, and the bytes as text: as the sender declared where that can be, by a guess where not.

A charset is taken from a closed list, as some of Python's codecs are quadratic, no text, or kept for ever once asked
for. Names are read as mail writes them: quoted, with comments, hyphens or an `x-` too many, by their Windows names.
RFC 2045 section 5.1, RFC 1468 and RFC 1554 (Japanese), RFC 2781 (UTF-16); the supersets are those of the WHATWG's
Encoding Standard. Every step is linear. The text holds what the bytes hold, NUL too: `words` cleans it.
"""

from __future__ import annotations

from codecs import charmap_decode
from encodings.aliases import aliases
from typing import NamedTuple

from core.pattern import pattern


class Decoded(NamedTuple):
    """A text, and a sentence on what was wrong with its charset, or an empty string."""

    text: str
    doubt: str = ""


_CODECS = {"cp874", "koi8_u", "cp737", *aliases.values()} - {
    *("base64_codec", "bz2_codec", "hex_codec", "mbcs", "oem", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
    *("idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"),
}
_MEANT = {
    # What senders declare, and what they send: each is a superset of the declared one.
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "euc_jp": "euc_jis_2004",
}
_ALSO = {
    "utf_8": ("utf8mb4", "utf8mb3", "utf8bom", "utf8sig", "unicode11utf8", "utf08"),
    "utf_7": ("unicode11utf7",),
    "utf_16": ("unicode", "ucs2", "iso10646ucs2"),
    "cp1252": ("ansi", "western", "cp819", "winlatin1", "windows1252http"),
    "iso8859_15": ("latin9", "latin0"),
    "iso8859_8": ("iso88598i", "iso88598e", "logical", "visual"),
    "iso8859_6": ("iso88596i", "iso88596e"),
    "cp932": ("sjis", "mskanji", "win31j", "windows31j", "windows932"),
    "euc_jis_2004": ("eucjp", "eucjpms", "eucjpwin", "cp51932"),
    "iso2022_jp": ("cp50220", "cp50221", "cp50222", "jis", "iso2022jpms", "iso2022jp1"),
    "cp949": ("windows949", "korean", "ksc56011987", "ksc56011989", "ksc5601", "ksx1001", "isoir149", "ms949"),
    "gb18030": ("chinese", "gb", "cngb", "gb231280", "euccn", "windows936", "cp936", "ms936", "gbkgb2312"),
    "hz": ("hzgb2312",),
    "cp950": ("cnbig5", "big5eten", "windows950", "big5tw"),
    "big5hkscs": ("big5hk",),
    "mac_roman": ("mac", "macintosh"),
    "mac_latin2": ("macce", "maccentraleurope"),
    "mac_cyrillic": ("macukrainian",),
    "cp874": ("dos874", "windows874", "thai", "iso885911"),
    "koi8_r": ("koi8", "koi"),
    "koi8_u": ("koi8ru",),
    "cp866": ("ibm866", "dos866"),
}
_NOT_A_LETTER = pattern("[^a-z0-9]+")
_NAME = pattern(r"[^\s\"'`();,<>=]{1,40}")


def _known() -> dict[str, str]:
    """Return the codec behind every name; of a name only its letters and digits count."""
    names = {name: codec for name, codec in aliases.items() if codec in _CODECS} | {codec: codec for codec in _CODECS}
    known = {_NOT_A_LETTER.sub("", name): _MEANT.get(codec, codec) for name, codec in names.items()}
    windows = {f"{word}125{digit}": f"cp125{digit}" for word in ("windows", "win", "cp", "ms") for digit in range(9)}
    return known | windows | {name: codec for codec, also in _ALSO.items() for name in also}


_KNOWN = _known()
_SAYS_NOTHING = frozenset({
    *("", "unknown", "unknown8bit", "8bit", "7bit", "binary", "none", "null", "default", "userdefined", "auto"),
    *("ascii8bit", "charset", "undefined", "nil", "ascii", "usascii"),
})  # fmt: skip


def codec_of(charset: str) -> str | None:
    """Return the codec that reads a charset as mail declares it, or None for one that is unknown or says nothing."""
    name = _letters_of(charset)
    codec = _KNOWN.get(name)
    return None if codec == "ascii" else codec


def _letters_of(charset: str) -> str:
    found = _NAME.search(charset.lower().replace("charset=", ""))
    name = _NOT_A_LETTER.sub("", found[0]) if found else ""
    return name if name in _KNOWN else name.removeprefix("x")


_EBCDIC = frozenset({"cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"})
_SHIFTING = ("utf_7", "hz", "iso2022")
_WIDE = ("utf_16", "utf_32")
_WITH_PRIVATE_LETTERS = frozenset({"gb18030", "cp932", "cp949", "cp950", "big5hkscs"})
_PRIVATE = pattern("[\ue000-\uf8ff]")
_ESCAPES = pattern(rb"\x1b(?:\$[@B(]|\([JI])")
_KOREAN_ESCAPE = b"\x1b$)C"


def decode(data: bytes, declared: str | None = None, hint: str | None = None) -> Decoded:
    """Return the bytes as text; `declared` is what the sender said, `hint` a likely charset where that says nothing.

    Where nearly all of the bytes are of the declared charset, U+FFFD stands for the others.
    """
    codec = codec_of(declared) if declared else None
    if data.isascii() and _means_ascii(data, codec):
        return Decoded(data.decode("ascii"))
    if mark := _byte_order_mark(data):
        return Decoded(data.decode(mark, "replace"))
    if codec is None:
        return _guessed(data, declared or "", hint)
    text = _strictly(data, codec)
    if text is not None and not (codec in _WITH_PRIVATE_LETTERS and _PRIVATE.search(text)):
        return Decoded(text)
    # Bytes of another charset are hardly ever UTF-8 by chance.
    if data.isascii() or _strictly(data, "utf_8") is None:
        if text is None:
            text = _mostly(data, codec)
        if text is not None:
            return Decoded(text, f"A text holds bytes that are not of its charset, {codec}.")
    return _guessed(data, declared or "", hint)


def _means_ascii(data: bytes, codec: str | None) -> bool:
    if codec is None:
        return b"\x1b" not in data and b"\0" not in data
    if codec.startswith(_WIDE):
        return b"\0" not in data
    return not codec.startswith(_SHIFTING) and codec not in _EBCDIC


def _byte_order_mark(data: bytes) -> str | None:
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf_8_sig"
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf_32"
    return "utf_16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _strictly(data: bytes, codec: str) -> str | None:
    if codec == "utf_16":
        codec = _byte_order(data)
    for one in _VARIANTS.get(codec, (codec,)):
        try:
            return data.decode(one)
        except UnicodeDecodeError:
            continue
    return None


_VARIANTS = {
    "iso2022_jp": ("iso2022_jp_2", "iso2022_jp_ext"),
    "cp950": ("cp950", "big5hkscs"),
    "euc_jis_2004": ("euc_jp", "euc_jis_2004"),
}


def _byte_order(data: bytes) -> str:
    """Return the byte order that a UTF-16 text without a mark shows by where its NULs are."""
    sample = data[:4096]
    return "utf_16_be" if sample[::2].count(0) > sample[1::2].count(0) else "utf_16_le"


def _mostly(data: bytes, codec: str) -> str | None:
    """Return the text with U+FFFD in it, or None where so much is wrong that the charset must be another."""
    if codec == "iso2022_jp" and data.count(b"\x1b") <= _MOST_SHIFTS:
        return _windows_japanese(data)
    if codec == "utf_7":
        return None
    text = _replaced(data, codec)
    if codec.startswith((*_SHIFTING, *_WIDE)):
        return text
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if 2 * text.count("\ufffd") <= beyond_ascii else None


_MOST_SHIFTS = 100_000
_OF_SEVERAL_BYTES = ("utf_", "gb", "big5", "cp932", "cp949", "cp950", "euc_", "shift_", "johab", "hz", "iso2022")


def _replaced(data: bytes, codec: str) -> str:
    """Return the text with U+FFFD for what the codec cannot read; of one byte a character, without a call for each."""
    if codec.startswith(_OF_SEVERAL_BYTES):
        return data.decode(codec, "replace")
    table = bytes(range(256)).decode(codec, "replace")
    if codec == "cp1252":
        table = "".join(chr(at) if char == "\ufffd" else char for at, char in enumerate(table))
    return charmap_decode(data, "strict", table)[0]


_HALF_WIDTH = pattern(rb"\x1b\(I([^\x1b]*)")


def _windows_japanese(data: bytes) -> str:
    """Read ISO-2022-JP as Windows writes it: with half-width katakana, and with row 13, which JIS X 0213 has too."""
    pieces = _HALF_WIDTH.split(data.replace(b"\x1b$B", b"\x1b$(Q"))
    pieces[1::2] = [bytes(byte | 0x80 for byte in piece) for piece in pieces[1::2]]
    return "".join(piece.decode("cp932" if at % 2 else "iso2022_jp_2004", "replace") for at, piece in enumerate(pieces))


# The guess.


def _guessed(data: bytes, declared: str, hint: str | None) -> Decoded:
    codec = _guess(data, hint)
    text = _strictly(data, codec)
    if text is None:
        text = _replaced(data, codec)
    if declared and _letters_of(declared) not in _SAYS_NOTHING:
        named = "not that of the text" if codec_of(declared) else "unknown"
        return Decoded(text, f'The charset "{declared[:40]}" is {named}; it is read as {codec}.')
    return Decoded(text, f"A text that is not ASCII declares no charset; it is read as {codec}.")


def _guess(data: bytes, hint: str | None) -> str:
    if _KOREAN_ESCAPE in data:
        return "iso2022_kr"
    if data.isascii() and _ESCAPES.search(data):
        return "iso2022_jp"
    if len(data) >= 8 and 10 * data.count(0) > 4 * len(data):
        return _byte_order(data)
    if _strictly(data, "utf_8") is not None or _mostly(data, "utf_8") is not None:
        return "utf_8"
    hinted = codec_of(hint) if hint else None
    if (
        hinted
        and hinted != "cp1252"
        and not hinted.startswith((*_WIDE, "utf_"))
        and _strictly(data, hinted) is not None
    ):
        return hinted
    return _guess_by_letters(data[:_SAMPLE_BYTES])


_SAMPLE_BYTES = 16 * 1024
_FEW = 4
_RUNS = pattern(rb"[\x80-\xff]+")
_KANA = pattern("[\u3041-\u30fe]")
_HANGUL = pattern("[\uac00-\ud7a3]")
_CJK = pattern("[\u2460-\u24ff\u3000-\u9fff\uff00-\uff60]")


def _guess_by_letters(sample: bytes) -> str:
    """Guess by which bytes are frequent: letters of one small alphabet stand together, accents stand alone."""
    runs = _RUNS.findall(sample)
    high = b"".join(runs)

    def share(first: int, last: int) -> float:
        return sum(map(high.count, range(first, last + 1))) / len(high)

    if 2 * len(high) < 3 * len(runs) or not high:
        return "cp1252"
    asian = _guess_asian(sample)
    if asian is None and len(high) < 2 * len(runs):
        return "cp1252"
    if share(0xC0, 0xDF) >= 0.8 and len(high) > _FEW:
        return "koi8_r"
    if share(0xE0, 0xFF) >= 0.7 and len(high) > _FEW:
        if share(0xDC, 0xDF) >= 0.04:
            return "cp1253"
        return "cp1255" if len(high) >= 20 and share(0xE0, 0xFA) == 1 else "cp1251"
    return asian or "cp1252"


def _guess_asian(sample: bytes) -> str | None:
    for codec in ("cp932", "euc_jis_2004", "euc_kr", "gb2312", "cp950"):
        text = _strictly(sample, codec)
        if text is None and len(sample) == _SAMPLE_BYTES:
            text = _strictly(sample[:-1], codec)
        letters = sum(1 for char in text if char > "\x7f") if text else 0
        if not text or letters < 2:
            continue
        kana, hangul, cjk = (len(pattern.findall(text)) / letters for pattern in (_KANA, _HANGUL, _CJK))
        japanese = codec in ("cp932", "euc_jis_2004")
        if (japanese and kana > 0.2 and cjk > 0.9) or (codec == "euc_kr" and hangul > 0.9):
            return _MEANT.get(codec, codec)
        if codec in _LAST_COMMON and cjk > 0.9 and _is_common(text, codec):
            return _MEANT.get(codec, codec)
    return None


_LAST_COMMON = {"gb2312": 0xD7, "cp950": 0xC6}
"""The first byte of the last common characters; the rare ones come after."""


def _is_common(text: str, codec: str) -> bool:
    """Tell whether most characters are common ones: two accents beside each other often make a rare one."""
    leads = [char.encode(codec, "replace")[0] for char in text if char > "\x7f"]
    return 2 * sum(0x80 < lead <= _LAST_COMMON[codec] for lead in leads) > len(leads)
