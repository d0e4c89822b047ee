"""Charsets: every name that mail uses is known, every text is read, and what was guessed is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.charset import _KNOWN, codec_of, decode
from tests.budget import within


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("utf-8", "utf_8"),
        ('"UTF-8"', "utf_8"),
        ("utf8", "utf_8"),
        ("utf-8 (Unicode)", "utf_8"),
        ("utf-8;", "utf_8"),
        ("utf\u20138", "utf_8"),
        ("charset=utf-8", "utf_8"),
        ("utf8mb4", "utf_8"),
        ("unicode-1-1-utf-7", "utf_7"),
        ("iso-8859-1", "cp1252"),
        ("ISO_8859-1:1987", "cp1252"),
        ("iso8859-15", "iso8859_15"),
        ("iso-8859-8-i", "iso8859_8"),
        ("windows-1252", "cp1252"),
        ("win-1251", "cp1251"),
        ("cp-1250", "cp1250"),
        ("x-cp1250", "cp1250"),
        ("ANSI", "cp1252"),
        ("gb2312", "gb18030"),
        ("gb_2312-80", "gb18030"),
        ("x-gbk", "gb18030"),
        ("hz-gb-2312", "hz"),
        ("big5", "cp950"),
        ("big5-hkscs", "big5hkscs"),
        ("ks_c_5601-1987", "cp949"),
        ("euc-kr", "cp949"),
        ("shift_jis", "cp932"),
        ("x-sjis", "cp932"),
        ("windows-31j", "cp932"),
        ("iso-2022-jp", "iso2022_jp"),
        ("cp50220", "iso2022_jp"),
        ("koi8-r", "koi8_r"),
        ("tis-620", "cp874"),
        ("macintosh", "mac_roman"),
        ("x-mac-roman", "mac_roman"),
        ("us-ascii", None),
        ("unknown-8bit", None),
        ("x-unknown", None),
        ("x-evil", None),
        ("zlib", None),
        ("rot13", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("", None),
    ],
)
def test_a_charset_is_known_by_the_names_that_mail_gives_it(name: str, codec: str | None) -> None:
    assert codec_of(name) == codec


RUSSIAN = "Привет, как дела? Мы хотели бы получить ваше предложение на следующую неделю."
JAPANESE = "こんにちは、見積もりをお願いします。①"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (RUSSIAN, "koi8_r"),
        (RUSSIAN, "cp1251"),
        ("Привет", "cp1251"),
        ("Καλημέρα σας, θα ήθελα μια προσφορά", "cp1253"),
        ("שלום רב, אני רוצה לקבל הצעת מחיר", "cp1255"),
        (JAPANESE, "cp932"),
        (JAPANESE[:-1], "euc_jp"),
        (JAPANESE[:-1], "iso2022_jp"),
        ("你好，我们想要一份报价单，谢谢。", "gb2312"),
        ("您好，我們想要一份報價單，謝謝。", "big5"),
        ("안녕하세요 견적을 부탁드립니다", "euc_kr"),
        ("안녕하세요 견적을 부탁드립니다", "iso2022_kr"),
        ("Müller für Grüße aus Köln à la carte", "cp1252"),
        ("Grüße aus Köln", "cp1252"),
        ("déjà vu – “quoted”", "cp1252"),
        ("ÄÖÜ", "cp1252"),
        ("Grüße aus Köln", "utf_8"),
        ("Grüße aus Köln", "utf_8_sig"),
        ("Grüße aus Köln", "utf_16"),
        ("Grüße aus Köln", "utf_16_be"),
    ],
)
@pytest.mark.parametrize("declared", [None, "x-unknown", "us-ascii"])
def test_a_text_without_a_usable_charset_is_read_by_a_guess(text: str, codec: str, declared: str | None) -> None:
    assert decode(text.encode(codec), declared).text == text


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        (b"\x80uro", "iso-8859-1", "€uro"),
        ("镕".encode("gb18030"), "gb2312", "镕"),
        ("①②㈱".encode("cp932"), "shift_jis", "①②㈱"),
        (b"\x1b$B-!8!\x1b(I12\x1b(B", "iso-2022-jp", "①検ｱｲ"),
        ("똠".encode("cp949"), "ks_c_5601-1987", "똠"),
        ("ab".encode("utf_16_le"), "utf-16", "ab"),
        ("ab".encode("utf_16_be"), "utf-16", "ab"),
        (b"plain", "utf-16", "plain"),
        (b"plain + sums", "utf-7", "plain + sums"),
        (b"+AOQ-", "utf-7", "ä"),
        (b"+AOQ-", None, "+AOQ-"),
        ("你好，我公司".encode(), "gb2312", "你好，我公司"),
        ("ä".encode(), "us-ascii", "ä"),
        (b"\xe4", "utf-8", "ä"),
    ],
)
def test_a_charset_is_what_senders_mean_by_it(data: bytes, declared: str | None, text: str) -> None:
    assert decode(data, declared).text == text


def test_one_wrong_byte_spoils_no_text() -> None:
    text, doubt = decode("Grüße aus Köln und Düsseldorf".encode() + b"\xff", "utf-8")
    assert text == "Grüße aus Köln und Düsseldorf\ufffd"
    assert "not of its charset" in doubt


def test_a_guess_is_told_and_certainty_is_not() -> None:
    assert decode(b"plain", "x-evil").doubt == decode(b"plain").doubt == decode("ä".encode(), "utf-8").doubt == ""
    assert "x-evil" in decode(b"\xe4", "x-evil").doubt
    assert "declares no charset" in decode(b"\xe4").doubt
    assert "not that of the text" in decode(b"\xe4", "utf-8").doubt


def test_the_charset_of_the_body_is_a_hint_for_its_headers() -> None:
    assert decode("Łódź".encode("cp1250"), None, "windows-1250").text == "Łódź"


CHARSETS = [
    *("utf-8", "utf-7", "utf-16", "utf-32", "gb2312", "big5", "hz", "johab", "iso-2022-jp", "iso-2022-kr", "euc-jp"),
    *("shift_jis", "windows-1252", "iso-8859-7", "cp037", "x", None),
]


@given(st.binary(max_size=300), st.sampled_from(CHARSETS))
def test_no_bytes_make_it_raise(data: bytes, declared: str | None) -> None:
    decode(data, declared)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_declared_truly_is_read_truly(text: str) -> None:
    assert decode(text.encode(), "utf-8").text == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("piece", "declared"),
    [
        (b"\xff", None),
        (b"\xe4\xbd ", "utf-8"),
        (b"\x81\xff", "shift_jis"),
        (b"\x1b(I\xff", "iso-2022-jp"),
        (b"\x1b$B", "iso-2022-jp"),
        (b"+AAA\xff", "utf-7"),
        (b"~{", "hz"),
        (b"\x81", "windows-1252"),
        (b"\xff\xff\xff\xd2", "iso-8859-7"),
        (b"a\0", None),
    ],
)
def test_i8_two_megabytes_of_anything_are_read_at_once(piece: bytes, declared: str | None) -> None:
    data = piece * (2_000_000 // len(piece))
    with within(0.5):
        decode(data, declared)


def test_every_codec_that_a_name_leads_to_exists() -> None:
    for codec in sorted(set(_KNOWN.values())):
        b"a".decode(codec, "replace")
