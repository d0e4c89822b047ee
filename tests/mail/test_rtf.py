"""Rich text: unpacked, and read into the HTML or the text that it carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.rtf import RTF_MAX_BYTES, read_rtf, unpacked_rtf
from tests.budget import within


def packed(rtf: bytes) -> bytes:
    """Return RTF as LZFu without a single reference: nine bytes for eight."""
    groups = b"".join(b"\0" + rtf[at : at + 8] for at in range(0, len(rtf), 8))
    return len(groups).to_bytes(4, "little") + len(rtf).to_bytes(4, "little") + b"LZFu" + bytes(4) + groups


@given(st.binary(max_size=100))
def test_what_is_packed_comes_out_again(rtf: bytes) -> None:
    assert unpacked_rtf(packed(rtf)) == rtf


def test_the_example_of_the_specification_is_unpacked() -> None:
    """MS-OXRTFCP section 3.1.1, and 3.1.2 with a reference that overlaps what it writes."""
    simple = "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232 0af32068656c090020627705b06c647d0a800fa0"
    assert unpacked_rtf(bytes.fromhex(simple.replace(" ", ""))) == (
        b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    )
    repeating = "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0"
    assert unpacked_rtf(bytes.fromhex(repeating)) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


def test_what_is_not_packed_is_taken_as_it_is() -> None:
    assert unpacked_rtf(bytes(8) + b"MELA" + bytes(4) + b"x") == b""
    assert unpacked_rtf(bytes(4) + b"\x03\0\0\0" + b"MELA" + bytes(4) + b"abcd") == b"abc"
    assert unpacked_rtf(b"") == unpacked_rtf(b"x" * 20) == b""


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    unpacked_rtf(bytes(4) + b"\xff\xff\xff\xff" + b"LZFu" + bytes(4) + data)
    read_rtf(data)
    read_rtf(b"{\\rtf1\\fromhtml1 " + data)


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (rb"{\rtf1\ansi Hello\par world}", "Hello\nworld"),
        (rb"{\rtf1{\fonttbl{\f0 Arial;}}{\colortbl;\red0;}{\*\generator x;}\f0 Hello}", "Hello"),
        (rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe}", "Grüße"),
        (rb"{\rtf1\ansi\ansicpg932 \'93\'fa\'96\'7b}", "日本"),
        (rb"{\rtf1\ansi\uc1 \u8364?5 \u-10179?\u-8704?}", "€5 😀"),
        (rb"{\rtf1\uc2\u228\'c3\'a4x}", "äx"),
        (rb"{\rtf1 a\{b\}\\c\~d\tab e}", "a{b}\\c\u00a0d\te"),
        (rb"{\rtf1 {\pict 89504e47}x}}}}y", "xy"),
        (rb"{\rtf1 a\bogus1 b}", "ab"),
    ],
)
def test_rich_text_is_read_as_text(rtf: bytes, text: str) -> None:
    assert read_rtf(rtf) == (None, text)


def test_html_in_disguise_is_read_as_html() -> None:
    rtf = (
        rb"{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0{\fonttbl{\f0 Arial;}}"
        rb"{\*\htmltag19 <html>}{\*\htmltag34 <body>}{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 "
        rb"\'cf\'f0\'e8\'e2\'e5\'f2 {\*\htmltag84 <b>}\htmlrtf {\b \htmlrtf0 you"
        rb"{\*\htmltag84 &nbsp;}\htmlrtf \'a0\htmlrtf0 {\*\htmltag92 </b>}\htmlrtf }\htmlrtf0 "
        rb"\htmlrtf\par}\htmlrtf0 {\*\htmltag72 </p>}{\*\mhtmltag84 <img src=x>}{\*\htmltag27 </html>}}"
    )
    html, text = read_rtf(rtf)
    assert text is None
    assert html == "<html><body><p>Привет <b>you&nbsp;</b></p></html>"


@pytest.mark.parametrize("piece", [b"{", b"}", b"\\'41", b"\\u1?", b"\\*\\a", b"\\", b"\\~", b"{\\*\\htmltag a}"])
def test_i8_the_largest_rich_text_is_read_in_time(piece: bytes) -> None:
    with within(1):
        read_rtf(b"{\\rtf1\\fromhtml1 " + piece * (RTF_MAX_BYTES // len(piece)))
