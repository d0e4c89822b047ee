"""What holds for any bytes whatever that come as a mail, through all that reads them before a page shows them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.gateway.reading import Terms, read
from core.mail.file_name import NAME_MAX_BYTES
from core.mail.parse import DEFAULT_LIMITS, parse
from core.mail.quotation import split_reply
from core.mail.quotation_html import split_reply_html
from core.mail.sanitise import cleaned_html
from core.mail.values import IncomingEmail

READ_BUDGET_S = 0.5
SHOW_BUDGET_S = 5.0
"""Of processor time, for a mail of up to two megabytes; the second is the hard bound for replies and HTML together."""
_TERMS = Terms(frozenset({"ours.test"}), 50, "https://mail.ours.test")


def check(raw: bytes, slowed: float = 1.0) -> None:
    """Read the bytes as a mail, and fail where anything that must hold does not; `slowed` is how much tracing costs."""
    started = time.process_time()
    email = parse(raw)
    received = read(raw, "fuzz:1", _TERMS)
    taken = time.process_time() - started
    assert taken < READ_BUDGET_S * slowed, f"reading took {taken:.2f} s for {len(raw)} bytes"
    _check_email(email, raw)
    started = time.process_time()
    split_reply(received.text)
    split_reply_html(received.html)
    cleaned = cleaned_html(received.html, lambda cid: f"/files/{len(cid)}").html
    assert "<script" not in cleaned.lower(), "a script in clean HTML"
    taken = time.process_time() - started
    assert taken < SHOW_BUDGET_S * slowed, f"showing took {taken:.2f} s for {len(raw)} bytes"


def _check_email(email: IncomingEmail, raw: bytes) -> None:
    for text in _texts(email):
        text.encode("utf-8")
        assert "\0" not in text, "NUL in a text"
    for name, value in email.headers:
        assert not set("\r\n") & set(name + value), "a line break in a header"
    for mailbox in (*email.recipients, *((email.sender,) if email.sender else ())):
        assert not set("\r\n<>\0") & set(mailbox.address), "an address that is none"
        assert "@" in mailbox.address, "an address that is none"
    names = [file.name for file in email.files]
    assert len({name.lower() for name in names}) == len(names), "two files of one name"
    for name in names:
        assert name, "a file without a name"
        assert not set(name) & set('/\\\r\n\0"<>'), "a dangerous file name"
        assert len(name.encode()) <= NAME_MAX_BYTES + 20, "a long file name"
    assert len(names) <= 2 * DEFAULT_LIMITS.parts, "too many files"
    size = sum(len(file.content) for file in email.files)
    assert size <= 20 * len(raw) + 2**20, "more bytes than a mail can hold"
    assert email.date_at is None or email.date_at.utcoffset() is not None, "a date without a zone"


def _texts(email: IncomingEmail) -> Iterator[str]:
    yield from (email.subject, email.text or "", email.html or "", *email.defects, *email.references)
    yield from (file.name for file in email.files)
    yield from (file.content_id or "" for file in email.files)
    yield from (part for header in email.headers for part in header)
    yield from (part for mailbox in email.recipients for part in (mailbox.name, mailbox.address))
    if email.event:
        yield from (email.event.summary, email.event.location, email.event.uid, email.event.method)
