"""Reading mail: every byte string gives an answer, quickly, and nothing of it is lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.parse import Limits, parse
from core.mail.values import Mailbox
from tests.budget import within

PLAIN = b"""\
Return-Path: <alice@example.org>
Delivered-To: leads@ours.test
From: "Alice =?utf-8?q?M=C3=BCller?=" <alice@example.org>
To: leads@ours.test, Bob <bob@example.net>
Cc: carol@example.net
Reply-To: sales@example.org
Subject: =?iso-8859-1?q?Gr=FC=DFe?=
 =?iso-8859-1?q?_und_mehr?= folded
Date: Sun, 29 Mar 2026 03:30:00 +0200
Message-ID: <1@example.org>
In-Reply-To: <17.abc@ours.test>
References: <16.abc@ours.test>
 <17.abc@ours.test>
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Sch=F6n
"""

MIXED = b"""\
From: a@example.org
Subject: parts
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=outer2

--outer2
Content-Type: text/plain

plain words
--outer2
Content-Type: multipart/related; boundary=in

--in
Content-Type: text/html; charset="utf-8"

<p>html <img src="cid:logo@x"></p>
--in
Content-Type: image/png; name=logo.png
Content-ID: <logo@x>
Content-Disposition: inline
Content-Transfer-Encoding: base64

iVBORw0K
--in--
--outer2--
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*0*=utf-8''Rechnung%20; filename*1*=M%C3%A4rz; filename*2=.pdf
Content-Transfer-Encoding: base64

JVBERi0=
--outer
Content-Type: message/rfc822

Subject: inner

inner body
--outer--
epilogue
"""


def test_a_plain_mail_is_read() -> None:
    email = parse(PLAIN)
    assert email.sender == Mailbox("Alice Müller", "alice@example.org")
    assert email.subject == "Grüße und mehr folded"
    assert email.text == "Schön"
    assert email.html is None
    assert email.date_at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert email.message_id == "<1@example.org>"
    assert email.in_reply_to == ("<17.abc@ours.test>",)
    assert email.references == ("<16.abc@ours.test>", "<17.abc@ours.test>")
    assert [m.address for m in email.recipients] == ["leads@ours.test", "bob@example.net", "carol@example.net"]
    assert email.reply_to == (Mailbox("", "sales@example.org"),)
    assert email.return_path == "alice@example.org"
    assert email.header("SUBJECT") == email.subject
    assert email.defects == ()


def test_the_line_ends_make_no_difference() -> None:
    assert parse(MIXED.replace(b"\n", b"\r\n")).text == parse(MIXED).text == "plain words"


def test_parts_find_their_place() -> None:
    email = parse(MIXED)
    assert email.text == "plain words"
    assert email.html == '<p>html <img src="cid:logo@x"></p>'
    assert [(f.name, f.content_type, f.content, f.content_id) for f in email.files] == [
        ("logo.png", "image/png", b"\x89PNG\r\n", "logo@x"),
        ("Rechnung März.pdf", "application/pdf", b"%PDF-", None),
        ("inner.eml", "message/rfc822", b"Subject: inner\n\ninner body", None),
    ]


@pytest.mark.parametrize(
    ("date", "at"),
    [
        (b"Sun, 29 Mar 2026 03:30:00", datetime(2026, 3, 29, 3, 30, tzinfo=UTC)),
        (b"29 Mar 2026 03:30 -0000", datetime(2026, 3, 29, 3, 30, tzinfo=UTC)),
        (b"Sun, 29 Mar 2026 03:30:00 -0500 (EST)", datetime(2026, 3, 29, 8, 30, tzinfo=UTC)),
        (b"Sun, 99 Mar 2026 03:30:00", None),
        (b"Fri, 31 Dec 9999 23:59:59 -1400", None),
        (b"Sun, 29 Mar 2026 03:30:00 +999999999", datetime(2026, 3, 29, 3, 30, tzinfo=UTC)),
        (b"", None),
        (b"yesterday", None),
    ],
)
def test_a_date_without_zone_is_utc_and_a_wrong_one_none(date: bytes, at: datetime | None) -> None:
    assert parse(b"Date: " + date + b"\n\n").date_at == at


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        ("x-evil", b"\xc3\xa4", "ä"),
        ("utf-8", b"\xe4", "ä"),
        ("us-ascii", b"\xc3\xa4", "ä"),
        ("iso-8859-1", b"\x80", "€"),
        ("gb2312", "镕".encode("gb18030"), "镕"),
        ("koi8-u", "є".encode("koi8_u"), "є"),
        ("utf-16", "aä".encode("utf-16"), "aä"),
        ("rot13", b"abc", "abc"),
        ("zlib", b"abc", "abc"),
        ("punycode", b"abc-tda", "abc-tda"),
        ("unicode_escape", b"\\ud800", "\\ud800"),
        ("utf-7", b"+2AA-x", "x"),
        ("../../etc", b"a\0b", "ab"),
        ("", b"\x81", "\x81"),
    ],
)
def test_i11_any_charset_gives_clean_text(charset: str, content: bytes, text: str) -> None:
    assert parse(b'Content-Type: text/plain; charset="%s"\n\n' % charset.encode() + content).text == text


def test_i11_of_a_doubled_header_the_first_counts_and_all_are_shown() -> None:
    email = parse(b"From: a@x.test\nFrom: ceo@ours.test\nSubject: one\nsubject: two\n\n")
    assert email.sender == Mailbox("", "a@x.test")
    assert (email.subject, email.headers_named("Subject")) == ("one", ("one", "two"))
    assert len(email.defects) == 2


@pytest.mark.parametrize("name", ["Parse", "Message", "__class__", "Subject_json", "headers", "defects"])
def test_i11_a_header_named_like_a_method_is_a_header(name: str) -> None:
    assert parse(f"{name}: x\n\n".encode()).header(name) == "x"


def test_i11_lines_that_are_no_headers_are_passed_over() -> None:
    email = parse(b"no colon here\n: empty\nSubject: a\0b\n\nbody")
    assert (email.subject, email.text) == ("ab", "body")
    assert "no header fields" in email.defects[0]


@pytest.mark.parametrize("raw", [b"hello", b"hello\n\nworld", b"\n\nhello", b"From nobody\nhello\n\nworld"])
def test_a_mail_without_a_header_is_all_body(raw: bytes) -> None:
    assert parse(raw).text == raw.decode().removeprefix("\n")


def test_s1_a_hidden_line_break_never_reaches_a_header_value() -> None:
    email = parse(b"Subject: =?utf-8?q?hi=0D=0ABcc=3A_evil=40x.test?=\nX-A: a\rBcc: b@x.test\n\n")
    assert email.subject == "hi Bcc: evil@x.test"
    assert email.header("Bcc") is None
    assert not any(set("\r\n\0") & set(value) for _, value in email.headers)


def test_encoded_words_cut_within_a_character_are_joined() -> None:
    assert parse(b"Subject: =?utf-8?b?w6Q=?= =?utf-8?q?=C3?= =?utf-8?q?=A4?= x\n\n").subject == "ää x"


def test_i5_the_sender_is_never_taken_from_a_name() -> None:
    assert parse(b'From: "ceo@ours.test" <x@evil.test>\n\n').sender == Mailbox("ceo@ours.test", "x@evil.test")
    assert parse(b"From: alice@example.org)bob@evil.test\n\n").sender is None


@pytest.mark.parametrize(
    ("header", "path"), [(b"Return-Path: <>\n", ""), (b"", None), (b"Return-Path: a@x.test\n", "a@x.test")]
)
def test_the_null_sender_is_told_from_an_unknown_one(header: bytes, path: str | None) -> None:
    assert parse(header + b"Subject: x\n\n").return_path == path


def nested(depth: int) -> bytes:
    heads = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(depth))
    return b"".join(heads) + b"\ndeep words\n"


def many(parts: int) -> bytes:
    return b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\npart\n" * parts + b"--b--\n"


@pytest.mark.parametrize("raw", [nested(31), nested(1000), many(1001), many(100_000)])
def test_i12_beyond_the_limits_the_mail_is_kept_whole(raw: bytes) -> None:
    email = parse(raw)
    assert [(f.name, f.content_type, f.content) for f in email.files] == [("original.eml", "message/rfc822", raw)]
    assert "original.eml" in email.defects[0]


def test_i12_within_the_limits_it_is_read() -> None:
    assert parse(nested(30)).text == "deep words"
    assert parse(many(900)).files == ()


@pytest.mark.parametrize(
    "content_type", [b"multipart/mixed", b"multipart/mixed; boundary=", b"multipart/mixed; boundary=zzz"]
)
def test_i12_a_multipart_without_its_boundary_is_text(content_type: bytes) -> None:
    email = parse(b"Content-Type: " + content_type + b"\n\n--b\n\nwords\n")
    assert email.text is not None
    assert "words" in email.text


def test_i14_a_long_header_is_cut_and_the_body_still_read() -> None:
    for head in (b"X-A: " + b"a" * 1_000_000, b"X-A: a\n" * 600 + b"X-B: b"):
        email = parse(b"Subject: s\n" + head + b"\n\nbody")
        assert (email.subject, email.text) == ("s", "body")
        assert len(email.headers) <= 500
        assert "longer than allowed" in email.defects[0]


def test_more_addresses_than_allowed_are_not_read() -> None:
    email = parse(b"To: " + b", ".join(b"a%d@x.test" % number for number in range(20)) + b"\n\n", Limits(addresses=10))
    assert len(email.to) == len(email.recipients) == 10
    assert email.defects


def test_a_body_beyond_the_limit_becomes_a_file() -> None:
    email = parse(b"Content-Type: text/html\n\n" + b"<p>" * 100, Limits(html_bytes=50))
    assert email.html is None
    assert email.files[0].content == b"<p>" * 100


def test_h6_a_second_html_part_is_not_swallowed_by_the_first() -> None:
    part = b"--b\nContent-Type: text/html\n\n%s\n"
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        + part % b'<b>hi</b><img src="http://e/'
        + part % b"<i>secret</i>"
        + part % b'">'
        + b"--b--"
    )
    email = parse(raw)
    assert email.html == '<div><b>hi</b></div>\n<div><i>secret</i></div>\n<div>"&gt;</div>'
    assert email.files == ()


@pytest.mark.parametrize(
    ("content", "decoded"),
    [
        (b"YWJj", b"abc"),
        (b"YWJ", b"ab"),
        (b"YW Jj\n!!", b"abc"),
        (b"Y", b""),
        (b"", b""),
        (b"=", b""),
        (b"YWJjZ", b"abc"),
    ],
)
def test_broken_base64_gives_what_it_holds(content: bytes, decoded: bytes) -> None:
    raw = b"Content-Type: application/x\nContent-Transfer-Encoding: BASE64\n\n" + content
    assert parse(raw).files[0].content == decoded


SAMPLES = [PLAIN, MIXED, nested(5), many(3), b"", b"\n", b"\r\n\r\nx", b"From x\nSubject: y\n\n", b"\xff" * 50]


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    parse(raw)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 8), st.binary(max_size=6)), max_size=12),
)
@settings(max_examples=500, deadline=None)
def test_no_mutilated_mail_makes_it_raise_or_yields_unclean_text(
    sample: bytes, cuts: list[tuple[int, int, bytes]]
) -> None:
    raw = bytearray(sample)
    for at, length, put in cuts:
        at %= len(raw) + 1
        raw[at : at + length] = put
    email = parse(bytes(raw))
    texts = [
        email.text or "",
        email.html or "",
        email.subject,
        *(f.name for f in email.files),
        *(v for _, v in email.headers),
    ]
    for text in texts:
        text.encode("utf-8")
        assert "\0" not in text


BOMBS = {
    "encoded-words": b"Subject: " + b"=?utf-8?q?a?= " * 4_000 + b"\n\n",
    "parameters": b"Content-Type: text/plain" + b"; a=b" * 12_000 + b"\n\n",
    "unclosed parameters": b"Content-Type: text/plain" + b'; a="\\' * 9_000 + b"\n\n",
    "semicolons": b"Content-Type: text/plain" + b";" * 60_000 + b"\n\n",
    "continuations": b"Content-Type: text/plain" + b"".join(b";a*%d*=b" % n for n in range(6_000)) + b"\n\n",
    "addresses": b"To: " + b"a@b.test," * 7_000 + b"\n\n",
    "comments": b"From: " + b"(" * 60_000 + b"\n\n",
    "ids": b"References: " + b"<" * 60_000 + b"\n\n",
    "boundaries": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bb\n" * 200_000,
    "blank lines": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 200_000,
    "one line": b"Content-Type: text/html\n\n" + b"x" * 5_000_000,
    "base64 of nothing": b"Content-Transfer-Encoding: base64\n\n" + b"!" * 2_000_000,
    "qp": b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * 2_000_000,
    "no header end": b"X" * 5_000_000,
    "forwarded": b"Content-Type: message/rfc822\n\n" * 2_000,
    "fields": b"Subject: x\n" * 180_000,
    "fields and others": b"From: b\nodd\n" * 160_000,
    "others": b"Subject: x\n" + b"odd\n" * 400_000 + b"To: y\n",
    "carriage returns": b"a: b\r" * 350_000,
    "false boundaries": b"Content-Type: multipart/mixed\n\n" + b"--x\n" * 450_000,
    "headers of parts": b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + b"content-a:b\n" * 160_000,
    "html parts": b"Content-Type: multipart/mixed; boundary=b\n\n"
    + (b"--b\nContent-Type: text/html\n\n" + b"<p>x<b>" * 290) * 900,
    "pieces of base64": b"Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n" + b"QQ==\n" * 400_000,
    "flowed": b"Content-Type: text/plain; format=flowed\n\n" + b"a \n" * 600_000,
    "rich text": b"Content-Type: text/rtf\n\n{\\rtf1 " + b"\\u1?" * 400_000,
    "nested": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(29))
    + b"\n"
    + b"--b\n" * 450_000,
    "attributes": b"Content-Type: application/ms-tnef\n\n\x78\x9f\x3e\x22\0\0" + b"\1\2\x90\0\0\0\0\0\0\0\0" * 170_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_i8_no_single_mail_stalls_the_reader(name: str) -> None:
    with within(2.5):
        parse(BOMBS[name])
