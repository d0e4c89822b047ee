"""Mail in the shapes that programs give it: each of these was seen in some mailbox, and has to be read by a person."""

from __future__ import annotations

import binascii
from base64 import b64encode
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.parse import parse
from core.mail.values import Mailbox

# Headers.


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@x.test\nSubject: s\n\nbody",
        b"\xef\xbb\xbfFrom: a@x.test\nSubject: s\n\nbody",
        b"\n\r\nFrom: a@x.test\nSubject: s\n\nbody",
        b"From a@x.test Mon Jan  1 00:00:00 2024\nFrom: a@x.test\nSubject: s\n\nbody",
        b">From a@x.test Mon Jan  1 00:00:00 2024\nFrom: a@x.test\nSubject: s\n\nbody",
        b" From: a@x.test\nSubject: s\n\nbody",
        b"  continued from nowhere\nFrom: a@x.test\nSubject: s\n\nbody",
        b"From: a@x.test\nno colon here\nSubject: s\n\nbody",
        b"no colon here\nFrom: a@x.test\nSubject: s\n\nbody",
        b"From: a@x.test\nSubject: s\nbody",
        b"From: a@x.test\rSubject: s\r\rbody",
        b"From: a@x.test\r\nSubject: s\r\n\r\nbody",
        b"From: a@x.test\r\r\nSubject: s\r\r\n\r\r\nbody",
        b"From : a@x.test\nSubject\t:s\n\nbody",
        b"FROM: a@x.test\nsubject: s\n\nbody",
        b"F\0rom: x\nFrom: a@x.test\0\nSubject: s\0\n\nbody",
        b"From: a@x.test\nSubject:\n s\n\nbody",
        b"From:\n\ta@x.test\nSubject: s\n \n\nbody",
    ],
)
def test_a_header_is_read_however_it_begins_ends_and_breaks(raw: bytes) -> None:
    email = parse(raw)
    assert email.sender == Mailbox("", "a@x.test")
    assert (email.subject, email.text) == ("s", "body")


def test_the_words_of_a_body_without_a_blank_line_before_it_are_kept() -> None:
    raw = b"From: a@x.test\nSubject: s\nHello Bob,\nplease note:\nNote: it rains.\n\nBye"
    assert parse(raw).text == "Hello Bob,\nplease note:\nNote: it rains.\n\nBye"
    assert "No blank line" in parse(raw).defects[0]


def test_lines_among_fields_that_few_know_are_no_body() -> None:
    email = parse(b"Final-Recipient: a\nDiagnostic-Code: it is\nlonger\nStatus: 5.1.1\nAction: failed\n\n")
    assert email.header("Status") == "5.1.1"


@pytest.mark.parametrize(
    ("raw", "text"), [(b"", ""), (b"\n", ""), (b"Subject: x\n", ""), (b"Subject: x", ""), (b"only words", "only words")]
)
def test_next_to_nothing_is_a_mail_too(raw: bytes, text: str) -> None:
    assert parse(raw).text == text


def test_bytes_that_are_no_mail_are_kept_as_a_file() -> None:
    email = parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert (email.text, len(email.files)) == (None, 1)
    assert "no mail" in email.defects[0]


def test_behind_a_long_header_the_fields_that_count_are_still_read() -> None:
    head = b"".join(b"X-Spam-%d: %s\n" % (at, b"x" * 100) for at in range(2000))
    email = parse(b"From: a@x.test\n" + head + b"Subject: late\nFrom: b@x.test\n\nbody")
    assert (email.sender, email.subject, email.text) == (Mailbox("", "a@x.test"), "late", "body")
    assert len(email.headers) <= 501


def test_undeclared_bytes_in_a_header_are_read_as_the_body_is() -> None:
    raw = "From: Łukasz <l@x.test>\nSubject: Zażółć\nContent-Type: text/plain; charset=iso-8859-2\n\n"
    email = parse(raw.encode("iso-8859-2"))
    assert (email.sender, email.subject) == (Mailbox("Łukasz", "l@x.test"), "Zażółć")
    assert parse(raw.encode()).subject == "Zażółć"
    assert parse(raw.encode()).defects == ()


@pytest.mark.parametrize(
    ("dates", "at"),
    [
        (b"Date: Tue, 5 Mar 2024 10:00:00 +0100\n", datetime(2024, 3, 5, 9, tzinfo=UTC)),
        (b"Date: Thu, 1 Jan 1970 00:00:00 +0000\n", None),
        (
            b"Date: 1 Jan 1970 00:00:00 +0000\nReceived: x; 5 Mar 2024 10:00:00 +0100\n",
            datetime(2024, 3, 5, 9, tzinfo=UTC),
        ),
        (b"Date: 5 Mar 2031 10:00:00\nReceived: x; 5 Mar 2024 10:00:00 +0100\n", datetime(2024, 3, 5, 9, tzinfo=UTC)),
        (b"Date: 1 Mar 2024 10:00:00\nReceived: x; 5 Mar 2024 10:00:00 +0100\n", datetime(2024, 3, 1, 10, tzinfo=UTC)),
        (b"Received: x;\n\t5 Mar 2024 10:00:00 +0100 (CET)\n", datetime(2024, 3, 5, 9, tzinfo=UTC)),
        (b"Received: x\n", None),
        (b"", None),
    ],
)
def test_where_the_date_cannot_be_true_the_server_says_when(dates: bytes, at: datetime | None) -> None:
    assert parse(b"From: a@x.test\n" + dates + b"\n").date_at == at


def test_all_that_names_who_a_mail_was_for_is_exposed() -> None:
    raw = (
        b"X-Original-To: leads@ours.test\nDelivered-To: box@ours.test\nEnvelope-To: info@ours.test\n"
        b"Resent-To: r@ours.test\nTo: list@x.test\nCc: c@x.test\n\n"
    )
    assert {mailbox.address for mailbox in parse(raw).recipients} == {
        *("leads@ours.test", "box@ours.test", "info@ours.test", "r@ours.test", "list@x.test", "c@x.test"),
    }


# Bodies.


def mixed(*parts: bytes, kind: bytes = b"mixed", boundary: bytes = b"b") -> bytes:
    inner = b"".join(b"--%s\n%s\n" % (boundary, part) for part in parts)
    return b"Content-Type: multipart/%s; boundary=%s\n\n%s--%s--\n" % (kind, boundary, inner, boundary)


PLAIN = b"Content-Type: text/plain\n\n"
HTML = b"Content-Type: text/html\n\n"
IMAGE = b"Content-Type: image/png; name=i.png\nContent-Disposition: inline\nContent-Id: <i@x>\n\nPNG"


def test_apple_mail_puts_pictures_between_texts() -> None:
    email = parse(mixed(PLAIN + b"above", IMAGE, PLAIN + b"between", IMAGE, PLAIN + b"below"))
    assert email.text == "above\n\nbetween\n\nbelow"
    assert email.html is None
    assert [file.name for file in email.files] == ["i.png", "i (2).png"]


def test_apple_mail_puts_files_between_html_within_an_alternative() -> None:
    rich = mixed(HTML + b"<b>one</b>", b"Content-Type: application/pdf\n\n%PDF", HTML + b"two", boundary=b"in")
    email = parse(mixed(PLAIN + b"one two", rich, kind=b"alternative"))
    assert email.text == "one two"
    assert email.html == "<div><b>one</b></div>\n<div>two</div>"
    assert [file.content for file in email.files] == [b"%PDF"]


def test_words_that_html_brings_along_are_not_said_twice() -> None:
    rich = mixed(HTML + b"<p>hi", PLAIN + b"footer", boundary=b"in")
    email = parse(mixed(PLAIN + b"hi", rich, kind=b"alternative"))
    assert (email.text, email.html) == ("hi", "<div><p>hi</p></div>\n<div>footer</div>")


def test_a_footer_of_a_list_is_shown_in_both_forms() -> None:
    both = mixed(PLAIN + b"hi", HTML + b'<div class="gmail_quote">hi</div>', kind=b"alternative", boundary=b"in")
    email = parse(mixed(both, PLAIN + b"the <list>"))
    assert email.text == "hi\n\nthe <list>"
    assert email.html == '<div><div class="gmail_quote">hi</div></div>\n<div>the &lt;list&gt;</div>'


def test_plain_words_beside_html_are_shown_in_both_forms() -> None:
    email = parse(mixed(PLAIN + b"before", HTML + b"<p>after</p>"))
    assert email.text == "before\n\nafter"
    assert email.html == "<div>before</div>\n<div><p>after</p></div>"


@pytest.mark.parametrize("kind", [b"related", b"mixed"])
def test_an_alternative_may_stand_in_or_around_the_pictures(kind: bytes) -> None:
    around = mixed(PLAIN + b"t", mixed(HTML + b"<p>h", IMAGE, kind=kind, boundary=b"in"), kind=b"alternative")
    within = mixed(mixed(PLAIN + b"t", HTML + b"<p>h", kind=b"alternative", boundary=b"in"), IMAGE, kind=kind)
    for email in map(parse, (around, within)):
        assert (email.text, email.html, [file.content_id for file in email.files]) == ("t", "<p>h", ["i@x"])


def test_of_several_html_alternatives_the_last_is_the_richest() -> None:
    email = parse(mixed(PLAIN + b"t", HTML + b"<p>poor", HTML + b"<p>rich", kind=b"alternative"))
    assert (email.text, email.html) == ("t", "<p>rich")
    assert [file.content for file in email.files] == [b"<p>poor"]


def test_a_blank_text_beside_html_says_nothing() -> None:
    email = parse(mixed(PLAIN + b" \n", HTML + b"<p>h", kind=b"alternative"))
    assert (email.text, email.html) == (None, "<p>h")


def test_a_text_with_a_name_in_its_type_alone_is_the_body() -> None:
    email = parse(b"Content-Type: text/plain; name=body.txt\n\nwords")
    assert (email.text, email.files) == ("words", ())
    email = parse(b"Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=a.txt\n\nwords")
    assert (email.text, email.files[0].name) == (None, "a.txt")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text",
        b"Content-Type: plain",
        b"Content-Type: ",
        b"Content-Type: text/plain/x; a=b",
        b"Content-Type: text/plain charset=us-ascii",
        b"Content-Type: text/markdown",
        b"Content-Type: =?utf-8?q?x?=",
        b"Content-Type: text/plain>",
        b"Content-Type: <html>",
        b"Content-Type: text/plain;; charset",
    ],
)
def test_a_type_that_cannot_be_read_is_text(head: bytes) -> None:
    assert parse(head + b"\n\nwords").text == "words"


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        (b'boundary="b"', b"--b\n\none\n--b\n\ntwo\n--b--"),
        (b'boundary="b"', b"--b  \n\none\n--b\t\n\ntwo\n--b--  \nepilogue"),
        (b'boundary="b "', b"--b\n\none\n--b\n\ntwo"),
        (b"boundary=b", b"preamble\n--b\n\none\n--bb\n\n--b-\n--b\n\ntwo\n--b--"),
        (b"boundary=b (comment)", b"--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--"),
        (b"x=y", b"--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--"),
        (b"boundary=wrong", b"--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--"),
        (b'boundary="\xc3\xa4"', b"--\xc3\xa4\n\none\n--\xc3\xa4\n\ntwo\n--\xc3\xa4--"),
        (b"boundary=b", b"--b\n\nContent-Type: text/plain\n\none\n--b\n\ntwo\n--b--"),
        (b'boundary="--b"', b"----b\n\none\n----b\n\ntwo\n----b--"),
    ],
)
def test_parts_are_found_however_the_boundary_is_broken(boundary: bytes, body: bytes) -> None:
    text = parse(b"Content-Type: multipart/mixed; " + boundary + b"\n\n" + body).text
    assert text is not None
    assert text.startswith("one")
    assert text.endswith("two")
    assert "b-" not in text.replace("--bb\n\n--b-", "")


def test_an_inner_boundary_that_is_the_outer_ones_loses_no_part() -> None:
    email = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + mixed(PLAIN + b"one", IMAGE) + b"--b\n\ntwo\n--b--"
    )
    assert email.text is not None
    assert "one" in email.text
    assert [file.content for file in email.files] == [b"PNG"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"base64", b64encode("Grüße aus Köln".encode())),
        (b"BASE64 (comment)", b64encode("Grüße aus Köln".encode()).rstrip(b"=")),
        (b"base-64", b"R3LDvMOf\r\n!!ZSBhdXMg S8O2bG4=\n\n"),
        (b"quoted-printable", b"Gr=C3=BC=C3=9Fe =\naus K=c3=b6ln"),
        (b"quoted_printable;", b"Gr=C3=BC=C3=9Fe =  \r\naus K=C3=B6ln="),
        (b"8bit", "Grüße aus Köln".encode()),
        (b"8-bit", "Grüße aus Köln".encode()),
        (b"7bit", "Grüße aus Köln".encode()),
        (b"binary", "Grüße aus Köln".encode()),
        (b"text/html", "Grüße aus Köln".encode()),
        (b"utf-8", "Grüße aus Köln".encode()),
        (b"", "Grüße aus Köln".encode()),
        (b"base64", "Grüße aus Köln".encode()),
    ],
)
def test_a_body_is_decoded_whatever_its_encoding_is_called(encoding: bytes, body: bytes) -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + encoding + b"\n\n" + body
    if encoding == b"base64" and b" " in body:
        body = b"This is not base64 at all, dear"
        assert parse(raw.partition(b"\n\n")[0] + b"\n\n" + body).text == body.decode()
    else:
        assert parse(raw).text == "Grüße aus Köln"


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable"])
def test_a_multipart_that_was_encoded_as_a_whole_is_read(encoding: bytes) -> None:
    inner = b"--b\n\none\n--b\n\ntwo =3D\n--b--\n"
    coded = b64encode(inner) if encoding == b"base64" else inner.replace(b"-", b"=2D")
    raw = b"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: " + encoding + b"\n\n" + coded
    text = parse(raw).text
    assert text is not None
    assert text.startswith("one\n\ntwo =")


def test_uuencoded_files_in_a_text_are_files() -> None:
    raw = b"Subject: x\n\nSee this:\nbegin 644 ../a.bin\n" + binascii.b2a_uu(b"\0\1\2") + b"`\nend\nBye\n"
    email = parse(raw)
    assert email.text == "See this:\nBye"
    assert [(file.name, file.content) for file in email.files] == [("a.bin", b"\0\1\2")]
    whole = b"Content-Type: image/gif; name=a.gif\nContent-Transfer-Encoding: x-uuencode\n\n" + raw.partition(b":\n")[2]
    assert parse(whole).files[0].content == b"\0\1\2"


def test_flowed_text_flows() -> None:
    raw = b"Content-Type: text/plain; format=Flowed; delsp=yes\n\nA para \ngraph.\n> quoted \n> text\n"
    assert parse(raw).text == "A paragraph.\n> quoted \n> text"


def test_other_kinds_of_text_are_shown_as_text() -> None:
    enriched = parse(b"Content-Type: text/enriched\n\n<bold>Hello</bold>\nyou")
    assert enriched.text == "Hello you"
    rich = parse(b"Content-Type: text/rtf\n\n{\\rtf1 Hello\\par you}")
    assert (rich.text, rich.files[0].content) == ("Hello\nyou", b"{\\rtf1 Hello\\par you}")
    both = mixed(PLAIN + b"plain", b"Content-Type: text/enriched\n\n<bold>rich</bold>", kind=b"alternative")
    assert parse(both).text == "plain"


@pytest.mark.parametrize(
    ("head", "html"),
    [
        (b"text/html", '<meta charset="windows-1251">'),
        (
            b"text/html; charset=unknown-8bit",
            "<META http-equiv=Content-Type content='text/html; charset=windows-1251'>",
        ),
        (b"text/html; charset=us-ascii", '<meta charset="windows-1251">'),
        (b"text/html; charset=windows-1251", '<meta charset="utf-8">'),
    ],
)
def test_html_may_tell_its_charset_itself(head: bytes, html: str) -> None:
    assert parse(b"Content-Type: " + head + b"\n\n" + (html + "да").encode("cp1251")).html == html + "да"


# Mails within mails, signatures, and what stands elsewhere.

INNER = b"From: b@x.test\nSubject: Re: Inner/mail\nX-Odd:  two  spaces \n\nbody \n \n\n"


@pytest.mark.parametrize("encoding", [b"7bit", b"8bit", b"base64"])
def test_a_forwarded_mail_is_kept_byte_for_byte(encoding: bytes) -> None:
    content = b64encode(INNER) if encoding == b"base64" else INNER
    part = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: " + encoding + b"\n\n" + content
    email = parse(mixed(PLAIN + b"see below", part))
    assert [(file.name, file.content_type, file.content) for file in email.files] == [
        ("mail.eml", "message/rfc822", INNER),
    ]
    assert email.text == "see below"


def test_a_report_keeps_its_parts() -> None:
    status = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x.test\n\nAction: failed\n"
    headers = b"Content-Type: text/rfc822-headers\n\nSubject: lost\n"
    email = parse(mixed(PLAIN + b"Sorry", status, headers, kind=b"report"))
    assert email.text == "Sorry"
    assert [(file.content_type, file.content) for file in email.files] == [
        ("message/delivery-status", b"Reporting-MTA: dns; x.test\n\nAction: failed\n"),
        ("text/rfc822-headers", b"Subject: lost\n"),
    ]


def test_a_signature_and_a_signed_text_are_untouched() -> None:
    signature = (
        b"Content-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN PGP SIGNATURE-----\r\n\r\nx="
    )
    email = parse(mixed(PLAIN + b"words \n", signature, kind=b"signed"))
    assert (email.text, email.files[0].content) == ("words ", b"-----BEGIN PGP SIGNATURE-----\r\n\r\nx=")
    inline = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n- -- dashes \n more \n-----BEGIN PGP SIGNATURE-----\nx"
    )
    assert parse(b"Content-Type: text/plain; format=flowed\n\n" + inline.encode()).text == inline
    sealed = (
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n\nMIIB"
    )
    assert [(file.name, file.content) for file in parse(sealed).files] == [("part-1.p7m", b"0\x82\x01")]


def test_a_part_without_a_header_is_text() -> None:
    email = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nI have no header\n\n--b\n\ntwo\n--b\n\n"
    )
    assert email.text == "one\n\nI have no header\n\ntwo"


def test_a_parameter_on_a_line_of_its_own_without_white_space_spoils_no_header() -> None:
    part = b'Content-Type: application/zip; a=b;\nname="x.zip"\nContent-Disposition: attachment; filename="x.zip"\n\nPK'
    assert [(file.name, file.content) for file in parse(mixed(part)).files] == [("x.zip", b"PK")]


def test_what_is_not_in_the_mail_is_told() -> None:
    outside = (
        b'Content-Type: message/external-body; access-type=URL;\n URL="http://x.test/a"\n\nContent-Type: image/gif\n'
    )
    email = parse(mixed(PLAIN + b"see", outside))
    assert email.text is not None
    assert "http://x.test/a" in email.text
    piece = parse(b"Content-Type: message/partial; id=1; number=2; total=3\n\nmiddle of it")
    assert piece.text is not None
    assert "number: 2" in piece.text
    assert piece.text.endswith("middle of it")


def test_both_halves_of_an_apple_double_are_kept() -> None:
    fork = b"Content-Type: application/applefile; name=a.jpg\n\nfork"
    data = b"Content-Type: image/jpeg; name=a.jpg\n\ndata"
    email = parse(mixed(PLAIN + b"see", mixed(fork, data, kind=b"appledouble", boundary=b"in")))
    assert [(file.name, file.content) for file in email.files] == [("a.jpg", b"fork"), ("a (2).jpg", b"data")]


# Beside an independent reader.

words = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc", "Cf", "Cn"]), max_size=60
)
names = st.text(st.sampled_from("abcäöé 1_-"), min_size=1, max_size=80).map(lambda text: "f" + text.strip() + ".bin")


@given(words, words | st.none(), st.lists(st.tuples(names, st.binary(max_size=200)), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_proper_mail_is_read_as_the_standard_library_reads_it(
    text: str, html: str | None, files: list[tuple[str, bytes]], crlf: bool
) -> None:
    written = EmailMessage(policy=policy.default.clone(linesep="\r\n" if crlf else "\n"))
    written["From"], written["Subject"] = "a@x.test", "s " + text.strip()
    written.set_content(text)
    if html is not None:
        written.add_alternative(f"<p>{html}", subtype="html")
    for name, content in files:
        written.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    raw = written.as_bytes()
    theirs, ours = message_from_bytes(raw, policy=policy.default), parse(raw)
    assert [file.content for file in ours.files] == [part.get_content() for part in theirs.iter_attachments()]
    their_text = theirs.get_body(("plain",))
    assert their_text is not None
    if text.strip() or html is None:
        assert ours.text == their_text.get_content().replace("\r\n", "\n").rstrip("\n")
    assert " ".join(ours.subject.split()) == " ".join(theirs["Subject"].split())
    assert ours.defects == ()
