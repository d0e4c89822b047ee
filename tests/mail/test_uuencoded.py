"""Files written into a text are found where they are whole, and words are left alone."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.uuencoded import taken_out
from tests.budget import within


def uuencoded(data: bytes) -> bytes:
    lines = (binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 some file.bin\n" + b"".join(lines) + b"`\nend\n"


def yencoded(data: bytes) -> bytes:
    coded = bytearray()
    for byte in data:
        shifted = (byte + 42) % 256
        coded += bytes((61, (shifted + 64) % 256)) if shifted in (0, 10, 13, 61) else bytes((shifted,))
    return b"=ybegin line=128 size=%d name=a b.bin\r\n%s\r\n=yend size=%d\r\n" % (len(data), coded, len(data))


@given(st.binary(min_size=1, max_size=300))
def test_a_uuencoded_file_is_taken_out(data: bytes) -> None:
    for text in (b"before\n" + uuencoded(data) + b"after\n", (b"x\n" + uuencoded(data)).replace(b"\n", b"\r\n")):
        rest, files = taken_out(text)
        assert [(file.name, file.content) for file in files] == [(b"some file.bin", data)]
        assert rest in (b"before\nafter\n", b"x\r\n")


@given(st.binary(max_size=300))
def test_a_yencoded_file_is_taken_out(data: bytes) -> None:
    rest, files = taken_out(b"before\r\n" + yencoded(data) + b"after")
    assert [(file.name, file.content) for file in files] == [(b"a b.bin", data)]
    assert rest == b"before\r\nafter"


def test_lost_spaces_at_the_end_of_a_line_do_no_harm() -> None:
    coded = uuencoded(bytes(45) + b"x").replace(b"`", b" ")
    stripped = b"\n".join(line.rstrip() for line in coded.split(b"\n"))
    assert taken_out(stripped)[1][0].content == bytes(45) + b"x"


@pytest.mark.parametrize(
    "text",
    [
        b"please begin 644 now\nend\n",
        b"begin 644 me\nwords of mine\nend\n",
        b"begin 644 me\n#0V%T\n",
        b"begin 644 me\nend\n",
        b"=ybegin line=128 size=5 name=x\r\nabc\r\n=yend size=5\r\n",
        b"=ybegin line=128 size=5 name=x\r\nabc",
    ],
)
def test_words_stay(text: bytes) -> None:
    assert taken_out(text) == (text, [])


@given(
    st.binary() | st.lists(st.sampled_from([b"begin 644 x\n", b"end\n", b"#0V%T\n", b"=yend \n", b"x"])).map(b"".join)
)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    taken_out(data)


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 x\n" * 150_000 + b"end\n",
        b"begin 644 x\n" + b"!    \n" * 300_000 + b"end\n",
        b"=ybegin line=1 size=1 name=x\n" * 60_000 + b"=yend \n",
        b"end\n" * 400_000 + b"begin 644 x\n",
    ],
)
def test_i8_two_megabytes_are_read_at_once(text: bytes) -> None:
    with within(0.5):
        taken_out(text)
