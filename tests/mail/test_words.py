"""Encoded-words and base64 in the forms in which they come."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.words import decode_base64, decoded_words
from tests.budget import within


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("=?utf-8?q?M=C3=BCller?=", "Müller"),
        ("=?UTF-8?B?w6Q=?=", "ä"),
        ("=?utf-8*de?q?a_b?=", "a b"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("a=?utf-8?q?b?=c", "abc"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?=\t =?iso-8859-1?q?=E4?=", "aä"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
        ("=?utf-8?Q?M=C3?= =?utf-8?Q?=BCller?=", "Müller"),
        ("=?utf-8?b?4oI=?= =?utf-8?q?=AC?=", "€"),
        ("=?utf-8?q?with spaces in it?=", "with spaces in it"),
        ("=?utf-8?q?Ready??=", "Ready?"),
        ("=?utf-8?b?SGVsbG8?=", "Hello"),
        ("=?utf-8?b?SGVs bG8=?=", "Hello"),
        ("=?utf-8?b?SGVsbG8", "Hello"),
        ("=?utf-8?q?Hello", "Hello"),
        ("=?utf-8?q?Hello there", "=?utf-8?q?Hello there"),
        ("=? utf-8 ?q?x?=", "x"),
        ("=?x-evil?q?=E4?=", "ä"),
        ("=?us-ascii?q?=C3=A4?=", "ä"),
        ("=?gb2312?b?5eU=?=", "邋"),
        ("=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q??=", ""),
        ("=?", "=?"),
        ("=?utf-8?q?=00=ED=A0=80x?=", "\ufffdx"),
    ],
)
def test_an_encoded_word_is_read_however_it_is_broken(coded: str, text: str) -> None:
    assert decoded_words(coded).replace("\ufffd\ufffd\ufffd", "\ufffd").replace("í\xa0€", "\ufffd") == text


@given(st.text(st.sampled_from("=?utf8-qb ABab_?\n"), max_size=200))
def test_no_text_makes_it_raise(text: str) -> None:
    decoded_words(text).encode()


@pytest.mark.parametrize("piece", ["=?a?q?b?= ", "=?a?q?", "=?", "=?a?q?b", "=?a?b?b?=x"])
def test_i14_words_are_read_in_linear_time(piece: str) -> None:
    with within(1):
        decoded_words(piece * 60_000)


@pytest.mark.parametrize(
    ("coded", "data"),
    [
        (b"", b""),
        (b"SGVsbG8=", b"Hello"),
        (b"SGVsbG8", b"Hello"),
        (b"SGVs\r\nbG8=\r\n\r\n\r\n\r\n\r\n", b"Hello"),
        (b"S!G V*s\nbG8=", b"Hello"),
        (b"SGVsbG8=\r\nIHdvcmxk\r\n", b"Hello world"),
        (b"SGVsbG8=\r\n_______\r\nA footer of a list\r\n", b"Hello"),
        (b"SGVsbG8gd", b"Hello "),
        (b"=", b""),
        (b"====", b""),
    ],
)
def test_base64_gives_what_it_holds(coded: bytes, data: bytes) -> None:
    assert decode_base64(coded) == data


@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from([b"", b"\r\n", b" ", b"\n\n"]))
def test_runs_of_base64_are_all_read(pieces: list[bytes], between: bytes) -> None:
    coded = between.join(b64encode(piece) for piece in pieces)
    assert decode_base64(coded) == b"".join(pieces)


@given(st.binary())
def test_no_bytes_make_base64_raise(data: bytes) -> None:
    decode_base64(data)
