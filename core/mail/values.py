"""The words of the mail room: a mailbox, a file, an e-mail going out, an e-mail come in, and what was read out of it.

Plain frozen values; they hold what they are given and check nothing. A Message-ID is stored everywhere with its angle
brackets (`<unique@domain>`, RFC 5322 section 3.6.4). Bcc is never a header: a blind copy is only an envelope recipient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import NamedTuple


class Mailbox(NamedTuple):
    """A person or a place that mail goes to: a display name, which may be empty, and an address without brackets."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class File:
    """An attached or inline file: its name, lower-case content type, bytes, and Content-ID without angle brackets."""

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """An invitation as iCalendar text (RFC 5545), and the iTIP method that the text names: REQUEST, CANCEL, REPLY."""

    text: str
    method: str


class Woven(NamedTuple):
    """HTML that many recipients share, but for a word of each one's own between every two segments.

    A word has up to 75 letters, digits, hyphens and underscores. `str()` puts them together.
    """

    segments: tuple[str, ...]
    words: Sequence[str]

    def __str__(self) -> str:
        pairs = zip(self.segments, self.words, strict=False)
        return "".join(chain(chain.from_iterable(pairs), self.segments[-1:]))


class OutgoingEmail(NamedTuple):
    """All that composition needs, and nothing about the envelope or the server.

    `message_id`, `in_reply_to` and `references` carry angle brackets. `date` is aware. With `text` None, a text part is
    made from `html`; with both None the body is empty. An inline file is shown where the HTML says `cid:` and its
    `content_id`. `headers` are extra ones, in order, after ours; what a field below says, none of them may say again.
    Where a text is empty, its header is not written.
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    message_id: str
    date: datetime
    cc: tuple[Mailbox, ...] = ()
    reply_to: Mailbox | None = None
    real_sender: Mailbox | None = None
    """The Sender header (RFC 5322 section 3.6.2), where another than the author in From hands the mail over."""
    html: str | None = None
    text: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[File, ...] = ()
    inline_files: tuple[File, ...] = ()
    calendar: Calendar | None = None
    importance: str = ""
    """high, low, or empty for normal: Importance and Priority (RFC 2156), and X-Priority."""
    unsubscribe_url: str = ""
    """Goes into List-Unsubscribe (RFC 2369). An https one must obey a POST of one click (RFC 8058), and says so."""
    unsubscribe_mailto: str = ""
    """An address; any mail to it unsubscribes."""
    list_id: str = ""
    """`news.example.com` or `Our news <news.example.com>` (RFC 2919)."""
    feedback_id: str = ""
    """Up to four words with colons between, the sender's own last: what complaint statistics are kept by."""
    auto_submitted: str = ""
    """auto-generated or auto-replied (RFC 3834): no person wrote this mail, and no program should answer it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What an invitation that came in says: it starts at a moment, or on a day that it takes whole, or nobody knows.

    `method` is that of iTIP (RFC 5546), such as REQUEST, CANCEL or REPLY, or empty. `starts_at` is UTC.
    """

    method: str
    uid: str
    summary: str
    location: str
    starts_at: datetime | None
    starts_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingEmail:
    """A mail as read: every text decoded and free of NUL and surrogates, where a header came twice the first one.

    `headers` holds all of them in order, names as written. `recipients` are the addresses this mail may have been
    delivered to, most telling first: Delivered-To, X-Original-To, Envelope-To, To, Cc, Resent-To, Resent-Cc. `date_at`
    is UTC, a date without a zone too; where Date cannot be true, it is when the last server received the mail.
    Identifiers keep their angle brackets. `event` is what the first calendar part says. `defects` say in words what
    was wrong, guessed or cut.
    """

    headers: tuple[tuple[str, str], ...] = ()
    subject: str = ""
    sender: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    recipients: tuple[Mailbox, ...] = ()
    return_path: str | None = None
    """The envelope sender as the last server wrote it: empty for the null sender `<>`, None where nothing says."""
    date_at: datetime | None = None
    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    text: str | None = None
    html: str | None = None
    files: tuple[File, ...] = ()
    event: Event | None = None
    defects: tuple[str, ...] = ()
    _by_name: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[str, ...]] = {}
        for name, value in self.headers:
            key = name.lower()
            by_name[key] = (*by_name[key], value) if key in by_name else (value,)
        object.__setattr__(self, "_by_name", by_name)

    def header(self, name: str) -> str | None:
        """Return the first header of that name in any case, or None."""
        values = self._by_name.get(name.lower())
        return values[0] if values else None

    def headers_named(self, name: str) -> tuple[str, ...]:
        """Return every header of that name in any case, top to bottom."""
        return self._by_name.get(name.lower(), ())


@dataclass(frozen=True, slots=True)
class Reply:
    """A body in two: what its writer added, and the older text under it, with the signature, to be shown folded."""

    new: str
    quoted: str
    is_signature: bool = False
    """Whether nothing but a signature is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BouncedRecipient:
    """One recipient's fate in a delivery report (RFC 3464 section 2.3).

    `address` is the final recipient, `original_address` the one that was sent to where the report names it. `action`
    is failed, delayed, delivered, relayed or expanded; `status` an enhanced code such as `5.1.1`, or None; `hard` is
    true where the report says that the address itself will never take mail; `cause` a word of `bounce_cause.Cause`.
    """

    address: str
    action: str
    status: str | None
    diagnostic: str
    hard: bool
    original_address: str | None = None
    cause: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A delivery report: what became of each recipient, and of which of our mails it speaks.

    It names no recipient where it does not say who it was; `original_return_path` and `original_subject` are empty
    where it does not give them back.
    """

    recipients: tuple[BouncedRecipient, ...]
    original_message_id: str | None
    envelope_id: str | None
    reporting_mta: str | None
    original_return_path: str = ""
    original_subject: str = ""
