"""Mails, and what becomes of them in the hands of a hostile or a broken program. All of it follows from the numbers
that a `Random` gives, so that a seed tells an input."""

from __future__ import annotations

from random import Random

from tests.fuzz.seeds import SEEDS

TOKENS = (
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\r\r\n", b"\0", b"\t", b" ", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b$B"),
    *(b":", b";", b"=", b'"', b"'", b"\\", b"<", b">", b"(", b")", b"@", b",", b"*", b"%", b"?=", b"=?", b"?q?", b"--"),
    *(b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Content-Type: ", b"Content-Transfer-Encoding: ", b"Received: x; "),
    *(b"multipart/mixed; boundary=out", b"multipart/alternative; boundary=in", b"message/rfc822", b"text/html"),
    *(
        b"message/partial",
        b"message/external-body",
        b"application/ms-tnef",
        b"text/rtf",
        b"text/calendar",
        b"text/enriched",
    ),
    *(
        b"base64",
        b"quoted-printable",
        b"x-uuencode",
        b"charset=",
        b"utf-16",
        b"utf-7",
        b"iso-2022-jp",
        b"gb2312",
        b"hz",
    ),
    *(b"filename*0*=utf-8''%", b"name=", b"=?utf-8?b?", b"=?x?q?", b"--out\n", b"--in\n", b"--out--\n", b"\n--"),
    *(
        b"begin 644 x\n",
        b"end\n",
        b"=ybegin size=1 name=x\n",
        b"=yend \n",
        b"<div>",
        b"<b>",
        b"<!--",
        b"<img src=",
        b"&#0;",
    ),
    *(b"{\\rtf1 ", b"\\u8364?", b"\\'e4", b"BEGIN:VEVENT\n", b"DTSTART;TZID=x:20240101T000000\n", b"9" * 30, b"-1"),
    *(b"On Monday Ada wrote:\n", b"> ", b"-- \n", b"\x78\x9f\x3e\x22", b"\xd8\x00", b"\xed\xa0\x80", b"\xe2\x80\xae"),
)

_MAX_BYTES = 60_000


def mutated(random: Random) -> bytes:
    """Return one mail, mutated a few times."""
    data = bytearray(random.choice(SEEDS))
    for _ in range(random.choice((1, 1, 2, 3, 5, 8, 20))):
        random.choice(_WAYS)(random, data)
        del data[_MAX_BYTES:]
    return bytes(data)


def _put_token(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    data[at : at + random.choice((0, 0, 1, 4))] = random.choice(TOKENS)


def _put_bytes(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    data[at : at + random.randint(0, 4)] = random.randbytes(random.randint(0, 4))


def _repeat(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    piece = bytes(data[at : at + random.randint(1, 60)]) or random.choice(TOKENS)
    data[at:at] = piece * random.choice((1, 2, 10, 300, 1500))


def _repeat_token(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    data[at:at] = random.choice(TOKENS) * random.choice((2, 20, 500, 3000))


def _take_away(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    del data[at : at + random.choice((1, 5, 50, len(data)))]


def _move_line(random: Random, data: bytearray) -> None:
    lines = bytes(data).splitlines(keepends=True)
    if lines:
        line = lines.pop(random.randrange(len(lines)))
        lines.insert(random.randint(0, len(lines)), line)
        data[:] = b"".join(lines)


def _put_mail(random: Random, data: bytearray) -> None:
    at = random.randint(0, len(data))
    data[at:at] = random.choice(SEEDS)


def _other_line_ends(random: Random, data: bytearray) -> None:
    lines = bytes(data).splitlines()
    data[:] = random.choice((b"\n", b"\r\n", b"\r", b"\r\r\n", b"\n\n")).join(lines)


_WAYS = (
    *(_put_token, _put_token, _put_token, _put_bytes, _repeat, _repeat_token, _take_away, _move_line, _put_mail),
    _other_line_ends,
)
