"""Composition: the bytes read back as what was put in, by our reader, the standard library's, and one in Rust."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from itertools import zip_longest
from typing import Any

import fast_mail_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AddressError, UserError
from core.mail.compose import compose
from core.mail.parse import parse
from core.mail.values import Calendar, File, Mailbox, OutgoingEmail, Woven

ALICE = Mailbox("Alice", "alice@example.org")
BOB = Mailbox("Bob", "bob@example.net")
AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def outgoing(**changed: Any) -> OutgoingEmail:
    values: dict[str, Any] = {
        "sender": ALICE,
        "to": (BOB,),
        "subject": "Invoice 17",
        "message_id": "<17.abc@example.org>",
        "date": AT,
        "text": "Hello",
    }
    return OutgoingEmail(**values | changed)


def read_by_library(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def assert_fit_for_the_wire(raw: bytes) -> None:
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.isascii()
    assert b"\0" not in raw


printable = st.characters(exclude_categories=("C", "Zl", "Zp"))
line = st.text(printable, max_size=120).map(lambda text: " ".join(text.split()))
body = st.text(st.one_of(printable, st.sampled_from("\n\r .-=_")), max_size=400)
names = st.text(st.one_of(printable, st.sampled_from('",<>@\\()=?_ ')), max_size=60).map(lambda t: " ".join(t.split()))
addresses = st.sampled_from(
    ["a@example.org", "a.b+c@x.test", "o'neil@localhost", "x_y=z@sub.example.com", "a@bücher.test"]
)
mailboxes = st.builds(Mailbox, names, addresses)
ids = st.sampled_from(["<1.x@example.org>", "<" + "a" * 60 + "@" + "b" * 60 + ">", "<no-at-sign>"])
file_names = st.text(printable, min_size=1, max_size=90).filter(lambda n: n.strip())
files = st.builds(
    File,
    file_names,
    st.sampled_from(["application/pdf", "text/csv", "image/png", "x", "multipart/mixed"]),
    st.binary(max_size=300),
)
urls = st.text(st.sampled_from("abz09-._~:/?#[]@!$&'()*+;=%"), max_size=300).map(lambda rest: "https://x.test/" + rest)
emails = st.builds(
    OutgoingEmail,
    sender=mailboxes,
    to=st.lists(mailboxes, max_size=30).map(tuple),
    cc=st.lists(mailboxes, max_size=3).map(tuple),
    reply_to=st.none() | mailboxes,
    real_sender=st.none() | mailboxes,
    subject=line,
    message_id=ids,
    date=st.integers(4 * 10**8, 4 * 10**9).map(lambda at: datetime.fromtimestamp(at, timezone(timedelta(hours=-5)))),
    html=st.none() | body,
    text=st.none() | body,
    in_reply_to=st.none() | ids,
    references=st.lists(ids, max_size=12, unique=True).map(tuple),
    headers=st.lists(st.tuples(st.sampled_from(["X-One", "Precedence", "X-Long-Name-Two"]), line), max_size=3).map(
        tuple
    ),
    attachments=st.lists(files, max_size=3).map(tuple),
    inline_files=st.lists(
        st.builds(File, file_names, st.just("image/png"), st.binary(max_size=99), ids.map(lambda i: i[1:-1])),
        max_size=2,
    ).map(tuple),
    calendar=st.none() | st.just(Calendar("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nX-A:ü\r\nEND:VCALENDAR", "REQUEST")),
    importance=st.sampled_from(["", "high", "low"]),
    unsubscribe_url=st.just("") | urls,
    unsubscribe_mailto=st.sampled_from(["", "leave+" + "a" * 32 + "@example.org", "müll@bücher.test"]),
    list_id=st.just("") | line.map(lambda name: name.replace("<", "").replace(">", "") + " <news.example.com>"),
    feedback_id=st.sampled_from(["", "a:b:c:postroom", "postroom"]),
    auto_submitted=st.sampled_from(["", "auto-generated", "auto-replied"]),
)


def intended_names(email: OutgoingEmail) -> list[str]:
    """Return the names of the headers that the mail must have, all of them, in order."""
    optional = {
        "Sender": email.real_sender,
        "To": email.to or not email.cc,
        "Cc": email.cc,
        "Reply-To": email.reply_to,
        "In-Reply-To": email.in_reply_to,
        "References": email.references,
        "List-Id": email.list_id,
        "List-Unsubscribe": email.unsubscribe_url or email.unsubscribe_mailto,
        "List-Unsubscribe-Post": email.unsubscribe_url.startswith("https:"),
        "Feedback-ID": email.feedback_id,
    }
    optional |= dict.fromkeys(("X-Priority", "Importance", "Priority"), email.importance)
    optional |= dict.fromkeys(("Auto-Submitted", "X-Auto-Response-Suppress"), email.auto_submitted)
    order = (
        *("From", "Sender", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
        *("X-Priority", "Importance", "Priority", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"),
        *("Feedback-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
    )
    return [name for name in order if optional.get(name, True)] + [name for name, _ in email.headers]


def intended_types(email: OutgoingEmail) -> list[str]:
    """Return the content types of all parts that the mail must have, in the order of the tree."""
    related = ["multipart/related", "text/html", *["image/png"] * len(email.inline_files)]
    html = ["text/html"] if not email.inline_files else related
    readable = ["text/plain"]
    if email.html is not None or email.calendar:
        shown = html if email.html is not None else []
        readable = ["multipart/alternative", "text/plain", *shown, *(["text/calendar"] if email.calendar else [])]
    files = [] if email.html is not None else ["image/png"] * len(email.inline_files)
    known = {"application/pdf", "text/csv", "image/png"}
    files += [
        one.content_type if one.content_type in known else "application/octet-stream" for one in email.attachments
    ]
    files += ["application/ics"] if email.calendar else []
    return ["multipart/mixed", *readable, *files] if files else readable


def body_headers(message: EmailMessage) -> list[str]:
    return ["Content-Type"] if message.is_multipart() else ["Content-Type", "Content-Transfer-Encoding"]


def normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def in_idna(mailbox: Mailbox) -> Mailbox:
    return Mailbox(mailbox.name, mailbox.address.replace("bücher", "xn--bcher-kva"))


@given(emails)
@settings(max_examples=300, deadline=None)
def test_our_reader_gives_back_what_was_composed(written: OutgoingEmail) -> None:
    raw = compose(written)
    assert_fit_for_the_wire(raw)
    read = parse(raw)

    assert read.defects == ()
    assert read.sender == in_idna(written.sender)
    assert read.to == tuple(map(in_idna, written.to))
    assert read.cc == tuple(map(in_idna, written.cc))
    assert read.reply_to == ((in_idna(written.reply_to),) if written.reply_to else ())
    assert read.subject == written.subject
    assert read.message_id == written.message_id
    assert read.date_at == written.date
    assert read.in_reply_to == ((written.in_reply_to,) if written.in_reply_to else ())
    assert read.references == written.references
    assert [pair for pair in read.headers if pair[0] in {name for name, _ in written.headers}] == list(written.headers)
    assert read.html == (None if written.html is None else normal(written.html))
    if written.text is not None and (written.text.strip() or not read.html):
        assert read.text == normal(written.text)
    calendars = [written.calendar.text.encode()] * 2 if written.calendar else []
    assert sorted(f.content for f in read.files) == sorted(
        [*calendars, *(f.content for f in written.attachments + written.inline_files)]
    )
    if written.html is not None:
        assert [f.content_id for f in read.files if f.content_id] == [f.content_id for f in written.inline_files]


@given(emails)
@settings(max_examples=200, deadline=None)
def test_the_standard_library_reads_the_same(written: OutgoingEmail) -> None:
    message = read_by_library(compose(written))

    assert message.keys() == [*intended_names(written), "MIME-Version", *body_headers(message)]
    assert [part.get_content_type() for part in message.walk()] == intended_types(written)
    assert message["Subject"] == written.subject
    assert [a.addr_spec for a in message["From"].addresses] == [in_idna(written.sender).address]
    if written.to:
        assert [a.addr_spec for a in message["To"].addresses] == [in_idna(m).address for m in written.to]
    assert message["Message-ID"] == written.message_id
    assert (message["References"] or "").split() == list(written.references)
    assert "Bcc" not in message
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert (None if html is None else normal(html.get_content())) == (
        None if written.html is None else normal(written.html)
    )
    if written.text is not None:
        assert text is not None
        assert normal(text.get_content()) == normal(written.text)
    parts = [part for part in message.iter_attachments() if part.get_filename() != "invite.ics"]
    expected = written.attachments if written.html is not None else written.inline_files + written.attachments
    assert [part.get_payload(decode=True) for part in parts] == [file.content for file in expected]


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from nodes(child)


@given(emails)
@settings(max_examples=200, deadline=None)
def test_a_parser_that_shares_no_code_reads_the_same(written: OutgoingEmail) -> None:
    tree = fast_mail_parser.parse_email_tree(compose(written))
    names = [*intended_names(written), "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
    assert [name for name in dict.fromkeys(names) if name in tree.headers] == list(tree.headers)
    assert sum(map(len, tree.headers.values())) == len(intended_names(written)) + 2 + (not tree.children)
    assert tree.headers["Subject"] == [written.subject]
    assert tree.headers["Message-ID"] == [written.message_id]
    if written.unsubscribe_url:
        assert tree.headers["List-Unsubscribe"][0].startswith(f"<{written.unsubscribe_url}>")
    parts = list(nodes(tree))
    assert [part.content_type for part in parts] == intended_types(written)
    contents = [part.content for part in parts if part.disposition in ("attachment", "inline")]
    files = [*written.inline_files, *written.attachments]
    invites = [written.calendar.text.encode()] if written.calendar else []
    assert contents == [*(file.content for file in files), *invites]
    ids = [part.content_id for part in parts if part.content_id]
    assert ids == [file.content_id for file in written.inline_files]


words = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=75)


@given(st.lists(body | st.text("é =.x", max_size=160), min_size=1, max_size=5), st.lists(words, min_size=4, max_size=4))
def test_html_that_is_shared_but_for_some_words_reads_as_put_together(segments: list[str], own: list[str]) -> None:
    woven = Woven(tuple(segments), own[: len(segments) - 1])
    assert str(woven) == "".join(part for pair in zip_longest(segments, woven.words, fillvalue="") for part in pair)
    raw = compose(outgoing(html="<p>without</p>"), woven)
    assert_fit_for_the_wire(raw)
    if b"quoted-printable" in raw:
        assert max(map(len, raw.split(b"\r\n"))) <= 76
    together = compose(outgoing(html=str(woven)))
    assert (
        read_by_library(raw).get_body(("html",)).get_content()
        == read_by_library(together).get_body(("html",)).get_content()
    )
    assert parse(raw).html == parse(together).html
    assert parse(raw).text == parse(together).text


def test_mails_of_one_body_share_its_bytes_and_its_boundary() -> None:
    body = {"text": "Très chère", "html": "<p>Très chère</p>"}
    one = compose(outgoing(**body))
    other = compose(outgoing(**body, to=(ALICE,), message_id="<18.abc@example.org>"))
    different = compose(outgoing(**body | {"text": "Très cher"}))
    assert one.partition(b"MIME-Version")[2] == other.partition(b"MIME-Version")[2]
    boundaries = {read_by_library(raw).get_boundary() for raw in (one, other, different)}
    assert len(boundaries) == 2
    assert [part.get_content() for part in read_by_library(one).iter_parts()] == list(body.values())


def test_the_same_value_gives_the_same_bytes() -> None:
    assert compose(outgoing(html="<p>x</p>")) == compose(outgoing(html="<p>x</p>"))


def test_a_text_part_is_made_from_the_html() -> None:
    read = parse(compose(outgoing(text=None, html='<p>Pay <a href="https://x.test/1">here</a></p>')))
    assert read.text == "Pay [here](https://x.test/1)"


def test_a_message_for_blind_copies_only_names_nobody() -> None:
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in compose(outgoing(to=()))


def test_file_names_of_every_kind_survive() -> None:
    names = [
        "a.pdf",
        'say "hi".pdf',
        "Rechnung März.pdf",
        "ä" * 120 + ".pdf",
        "100% = sure.txt",
        "=?utf-8?q?x?=.txt",
        "a;b.txt",
    ]
    files = tuple(File(name, "application/pdf", b"x") for name in names)
    raw = compose(outgoing(attachments=files))
    assert [part.get_filename() for part in read_by_library(raw).iter_attachments()] == names


def test_a_forwarded_mail_stays_readable_where_its_bytes_allow_it() -> None:
    inner = compose(outgoing(subject="inner"))
    raw = compose(outgoing(message_id="<other@x.test>", attachments=(File("mail.eml", "message/rfc822", inner),)))
    assert parse(raw).files == (File("mail.eml", "message/rfc822", inner.removesuffix(b"\r\n") + b"\r\n"),)
    binary = compose(outgoing(attachments=(File("mail.eml", "message/rfc822", b"Subject: \xe4\n\nx"),)))
    assert parse(binary).files[0].content == b"Subject: \xe4\n\nx"


def test_a_forwarded_mail_of_ours_stays_whole_but_not_within_itself() -> None:
    inner = compose(outgoing(html="<p>Hi</p>", attachments=(File("a.pdf", "application/pdf", b"%PDF"),)))
    forwarded = File("mail.eml", "message/rfc822", inner)
    tree = fast_mail_parser.parse_email_tree(compose(outgoing(message_id="<other@x.test>", attachments=(forwarded,))))
    assert [part.content_type for part in nodes(tree)] == [
        *("multipart/mixed", "text/plain", "message/rfc822", "multipart/mixed", "multipart/alternative"),
        *("text/plain", "text/html", "application/pdf"),
    ]
    itself = parse(compose(outgoing(attachments=(forwarded,))))
    assert [(file.content_type, file.content) for file in itself.files] == [("application/octet-stream", inner)]


@pytest.mark.parametrize("text", ["\n.\n", "\r.\r", "\n.\r\n", ".\r\n", "a\r\n.\r\nMAIL FROM:<x@y.test>"])
def test_s4_no_bare_line_end_reaches_the_wire(text: str) -> None:
    raw = compose(outgoing(text=text, html=text, attachments=(File("a.txt", "text/plain", text.encode()),)))
    assert_fit_for_the_wire(raw)


@pytest.mark.parametrize("break_", ["\r", "\n", "\r\n", "\0", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\ud800"])
@pytest.mark.parametrize(
    "made",
    [
        lambda bad: {"subject": bad},
        lambda bad: {"sender": Mailbox(bad, "a@x.test")},
        lambda bad: {"to": (Mailbox("", bad + "@x.test"),)},
        lambda bad: {"message_id": f"<{bad}@x.test>"},
        lambda bad: {"in_reply_to": f"<{bad}@x.test>"},
        lambda bad: {"references": (f"<{bad}@x.test>",)},
        lambda bad: {"headers": (("X-A", bad),)},
        lambda bad: {"attachments": (File(bad, "text/plain", b""),)},
        lambda bad: {"html": "", "inline_files": (File("a", "image/png", b"", bad),)},
    ],
)
def test_s1_a_line_break_in_a_header_is_refused(break_: str, made: Any) -> None:
    with pytest.raises(AddressError):
        compose(outgoing(**made(f"hi{break_}Bcc: evil@x.test")))


@pytest.mark.parametrize("name", ["Bcc", "FROM", "Content-Type", "Resent-Bcc", "X A", "X:", "", "Ü", "X\r\nBcc"])
def test_s1_an_extra_header_cannot_replace_ours(name: str) -> None:
    with pytest.raises(UserError):
        compose(outgoing(headers=((name, "x"),)))


def test_s1_a_hostile_content_type_becomes_plain_bytes() -> None:
    raw = compose(outgoing(attachments=(File("a", "text/html\r\nX-Evil: 1", b"x"),)))
    assert b"X-Evil" not in raw


def test_a_date_without_zone_is_refused() -> None:
    with pytest.raises(UserError, match="aware"):
        compose(outgoing(date=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_a_local_part_beyond_ascii_goes_out_as_utf8() -> None:
    assert "To: müller@example.org\r\n".encode() in compose(outgoing(to=(Mailbox("", "müller@example.org"),)))


def test_an_identifier_is_never_folded() -> None:
    ids = tuple(f"<{'x' * 70}{number}@example.org>" for number in range(20))
    raw = compose(outgoing(references=ids))
    assert all(id_.encode() in raw for id_ in ids)


def test_a_word_too_long_for_a_line_is_encoded_or_refused() -> None:
    assert_fit_for_the_wire(compose(outgoing(subject="x" * 5000)))
    assert parse(compose(outgoing(subject="x" * 5000))).subject == "x" * 5000


def test_the_same_moment_in_two_zones_is_written_in_each() -> None:
    noon = datetime(2026, 7, 5, 12, tzinfo=UTC)
    east = noon.astimezone(timezone(timedelta(hours=9)))
    lines = [compose(outgoing(date=date)) for date in (noon, east, noon)]
    assert b"Date: Sun, 05 Jul 2026 12:00:00 +0000\r\n" in lines[0]
    assert b"Date: Sun, 05 Jul 2026 21:00:00 +0900\r\n" in lines[1]
    assert lines[2] == lines[0]
