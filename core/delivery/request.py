"""What is asked of the queue, and the checks that need nothing but the request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import MAXYEAR, MINYEAR, datetime
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypedDict

from core.errors import UserError, did_you_mean
from core.mail.address import domain_of, header_text, parse_address
from core.mail.compose import check_headers
from core.mail.invite import Invite
from core.mail.values import Calendar, Mailbox
from core.orm.record import Record
from core.runtime import settings

PRIORITIES = {"high": 5, "normal": 10, "low": 20}
"""Lanes by name; a lower number goes first. Retry schedules are kept by these names too."""


_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("to", "cc", "bcc", "attachments", "references"), ((tuple, list), "a list")),
    "in_reply_to": ((str,), "a text"),
    **dict.fromkeys(("subject", "body", "text", "feedback_id", "tracking_identifier", "reply_to"), ((str,), "a text")),
    **dict.fromkeys(("from_email", "sender", "server", "unsubscribe_list", "idempotency_key"), ((str,), "a text")),
    "template": ((str,), "a text"),
    **dict.fromkeys(("headers", "inline_images"), ((Mapping,), "a mapping of names")),
    **dict.fromkeys(("scheduled_at", "expires_at"), ((datetime,), "an aware datetime")),
    **dict.fromkeys(("individual", "use_company_branding", "include_signature", "track"), ((bool,), "True or False")),
    **dict.fromkeys(("has_field_tokens", "png_pixel"), ((bool,), "True or False")),
    "signature": ((str,), "a text"),
    "undo_s": ((int, float), "a number of seconds"),
    "invite": ((Invite, Calendar), "an Invite or a Calendar"),
    **dict.fromkeys(("author", "company", "message"), ((Record,), "a record or None")),
}
"""What each option must be, and how that is said to whoever passes something else."""
OF_EACH_MAIL = (
    *("to", "cc", "bcc", "subject", "body", "text", "attachments", "inline_images"),
    *("in_reply_to", "references", "tracking_identifier", "idempotency_key", "message"),
)
"""What mails of one mailing may differ in."""
_OF_MAILING = tuple(name for name in _KINDS if name not in OF_EACH_MAIL)
_of_each_mail = attrgetter(*OF_EACH_MAIL)
_of_mailing = attrgetter(*_OF_MAILING)
_LISTS = ("cc", "bcc", "references")
_MAY_BE_NONE = {
    *("text", "tracking_identifier", "reply_to", "from_email", "sender", "server", "unsubscribe_list"),
    *("idempotency_key", "scheduled_at", "expires_at", "track", "invite", "author", "company", "message"),
    *("signature", "template", "in_reply_to"),
}
_NO_NAMES: Mapping[str, Any] = MappingProxyType({})
_LONGEST_UNDO_S = 366 * 86_400
_MOST_PRIORITY = 2**31 - 1


@dataclass(slots=True, kw_only=True)
class QueueRequest:
    """What is asked of the queue; the names are those of `Message.queue_email`, where they are explained.

    It is not to be changed. It is not frozen either, which would make building one, for each of many mails, take four
    times as long.
    """

    author: Any
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str
    body: str
    text: str | None = None
    attachments: tuple[Any, ...] = ()
    inline_images: Mapping[str, Any] = field(default_factory=lambda: _NO_NAMES)
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    tracking_identifier: str | None = None
    use_company_branding: bool = True
    include_signature: bool = True
    company: Any = None
    message: Any = None
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    undo_s: float = 0
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_NAMES)
    priority: int | str = 10
    from_email: str | None = None
    sender: str | None = None
    server: str | None = None
    template: str | None = None
    individual: bool = False
    track: bool | None = None
    unsubscribe_list: str | None = None
    feedback_id: str = ""
    automatic: bool | str = False
    invite: Invite | Calendar | None = None
    on_unknown: str | None = None
    idempotency_key: str | None = None
    signature: str | None = None
    has_field_tokens: bool = False
    png_pixel: bool = False

    def __post_init__(self) -> None:
        _check_kinds(OF_EACH_MAIL, *map(type, _of_each_mail(self)))

    @property
    def lane(self) -> int:
        """The priority as a number; UserError for a name that is none."""
        if isinstance(self.priority, int):
            return self.priority
        if self.priority not in PRIORITIES:
            raise UserError(f"priority is a number, or one of {', '.join(PRIORITIES)}; not {self.priority!r}.")
        return PRIORITIES[self.priority]

    @property
    def is_unusual(self) -> bool:
        """Whether it asks for headers or parts that may contradict each other."""
        return bool(self.headers or self.feedback_id or self.unsubscribe_list or self.sender or self.invite)

    @property
    def importance(self) -> str:
        """What the mail itself says of its priority: only a named one is for its reader."""
        return str(self.priority) if self.priority in ("high", "low") else ""

    @property
    def has_files(self) -> bool:
        return bool(self.attachments or self.inline_images)

    def recipients(self) -> list[tuple[str, Mailbox]]:
        """Check every address, and keep each one once, with its kind: first as to, then cc, then bcc."""
        kept: dict[str, tuple[str, Mailbox]] = {}
        for kind, texts in (("to", self.to), ("cc", self.cc), ("bcc", self.bcc)):
            for mailbox in map(parse_address, texts):
                kept.setdefault(mailbox.address.casefold(), (kind, mailbox))
        if not kept:
            raise UserError("The mail has no recipient; give at least one address in contact_emails, cc or bcc.")
        if len(kept) > 1 and len(kept) > settings().MAX_RECIPIENTS:
            raise UserError(
                f"The mail has {len(kept)} recipients and MAX_RECIPIENTS is {settings().MAX_RECIPIENTS}; "
                "send it in several parts, or raise the limit."
            )
        if self.individual and any(kind != "to" for kind, _ in kept.values()):
            raise UserError("An individual mail names one recipient in each copy, so it has no Cc and no Bcc; use To.")
        return list(kept.values())

    def check(self) -> None:
        """Raise UserError for headers that may not go, and times that make no sense: for what a mailing shares."""
        _check_kinds(_OF_MAILING, *map(type, _of_mailing(self)))
        check_headers(self.headers)
        check_times(scheduled_at=self.scheduled_at, expires_at=self.expires_at)
        if self.scheduled_at and self.expires_at and self.expires_at <= self.scheduled_at:
            raise UserError("expires_at is not after scheduled_at, so the mail could never be sent.")
        if not 0 <= self.undo_s <= _LONGEST_UNDO_S:
            raise UserError("undo_s is a number of seconds from 0 to a year; for a fixed time use scheduled_at.")
        if not -_MOST_PRIORITY <= self.lane <= _MOST_PRIORITY:
            raise UserError(f"priority is at most {_MOST_PRIORITY}, as a number.")
        if self.on_unknown not in (None, "retry", "hold"):
            raise UserError(f"on_unknown is retry or hold, not {self.on_unknown!r}.")
        if self.automatic not in (True, False, "auto-generated", "auto-replied"):
            raise UserError(f"automatic is True, auto-generated or auto-replied, not {self.automatic!r}.")
        if self.unsubscribe_list == "" or len(header_text(self.unsubscribe_list or "")) > 100:
            raise UserError("unsubscribe_list names a list in up to 100 characters; leave it out for mail of no list.")

    def check_files(self) -> None:
        """Raise UserError for files that may not go."""
        values = settings()
        files = [*self.attachments, *self.inline_images.values()]
        for one in files:
            if not isinstance(one, bytes) and not hasattr(one, "size_bytes"):
                raise UserError(f"A file is an Attachment record, or bytes for an inline image; not {one!r:.60}.")
        if len(files) > values.MAX_ATTACHMENTS:
            raise UserError(f"The mail has {len(files)} attachments; at most {values.MAX_ATTACHMENTS} may go.")
        for name, size_bytes in _sizes(self):
            header_text(name)
            if size_bytes > values.MAX_ATTACHMENT_BYTES:
                raise UserError(
                    f'The attachment "{name}" has {size_bytes} bytes; '
                    f"at most {values.MAX_ATTACHMENT_BYTES} may go (MAX_ATTACHMENT_BYTES)."
                )

    def fingerprint(self) -> str:
        """Return what two requests share if they ask for the same mail."""
        asked = {one.name: _plain(getattr(self, one.name)) for one in fields(self) if one.name != "idempotency_key"}
        return blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=32).hexdigest()


class QueueOptions(TypedDict, total=False):
    """The further keywords of `Message.queue_email`, all optional."""

    cc: Sequence[str]
    bcc: Sequence[str]
    """Blind copies; they stand in no header and in nobody's copy."""
    from_email: str | None
    """`Name <address>` in From, instead of the author's."""
    sender: str | None
    """The Sender header, where another than From hands the mail over."""
    server: str | None
    """The key of the one server that may send it: an OutgoingMailServer's id as text. None lets the host choose."""
    template: str | None
    """The identifier of the EmailTemplate that the mail was made from, by which it can be found again."""
    reply_to: str | None
    in_reply_to: str | None
    """The Message-ID, in angle brackets, of the mail that this one answers."""
    references: Sequence[str]
    """The Message-IDs of the conversation, oldest first; without them, that of `in_reply_to`."""
    text: str | None
    """The plain text part; made from the HTML where it is not given."""
    headers: Mapping[str, str]
    inline_images: Mapping[str, Any]
    """By the name after `cid:` in the HTML: an Attachment, or the bytes of a PNG, JPEG, GIF or WebP."""
    invite: Invite | Calendar | None
    """An invitation, which mail programs offer to accept (`core.mail.invite`)."""
    priority: int | str
    """high, normal or low, which the reader's program shows; or a number, for the queue alone. Lower goes first."""
    individual: bool
    """Each recipient gets a copy that names no one else."""
    track: bool | None
    """Count opens and clicks; None means where a `tracking_identifier` is given. Needs BASE_URL."""
    unsubscribe_list: str | None
    """The list that this mail belongs to, which each recipient can leave by one click (RFC 8058)."""
    feedback_id: str
    """The Feedback-ID header, instead of one made from list, company and FEEDBACK_SENDER."""
    automatic: bool | str
    """No person wrote it: True or auto-generated, or auto-replied for an answer (RFC 3834)."""
    expires_at: datetime | None
    """Not sent from then on."""
    undo_s: float
    """Wait so long before the first try, for `Message.undo`."""
    on_unknown: str | None
    """retry or hold, where a try's outcome is not known."""
    idempotency_key: str | None
    """The same key again, for the same mail, gives the Message that it gave before."""
    signature: str | None
    """HTML under the mail, instead of the author's own signature."""
    has_field_tokens: bool
    """`{{field:slug}}` in subject and body stands for that field of the record, as it is when the mail is sent."""
    png_pixel: bool
    """Its pixel is `/email/pixel/TOKEN.png`, for programs that look for that."""


@lru_cache(maxsize=1024)
def _check_kinds(names: tuple[str, ...], *found: type) -> None:
    """Raise UserError unless the types are such as the options of these names must be of."""
    for name, kind in zip(names, found, strict=True):
        kinds, words = _KINDS[name]
        if not (issubclass(kind, kinds) or (kind is type(None) and name in _MAY_BE_NONE)):
            raise UserError(f"{name} is {words}, not {kind.__name__}.")


def check_times(**times: datetime | None) -> None:
    """Raise UserError for a time without a zone, or of a year that is not whole in all of them."""
    for name, at in times.items():
        if at is not None and at.tzinfo is None:
            raise UserError(f"{name} needs a time zone; pass an aware datetime.")
        if at is not None and not MINYEAR < at.year < MAXYEAR:
            raise UserError(f"{name} is in the year {at.year}; give a nearer time.")


def check_entry(message: Any) -> None:
    """Raise UserError for an entry of a timeline that must not become a mail: a note, a change, or what came in."""
    if message.kind in ("note", "tracking") or message.direction == "Inbound":
        what = f"a {message.kind} of {message.res_model}" if message.direction != "Inbound" else "a mail that came in"
        raise UserError(f"Message {message.pk} is {what}, and stays as it is; queue a mail of its own.")


def with_tuples(options: QueueOptions) -> dict[str, Any]:
    """Return the options as a QueueRequest takes them; TypeError names one that there is not."""
    unknown = sorted(set(options) - set(QueueOptions.__annotations__))
    if unknown:
        raise TypeError(
            f"queue_email has no keyword {unknown[0]}.{did_you_mean(unknown[0], QueueOptions.__annotations__)}"
        )
    values: dict[str, Any] = dict(options)
    return {name: as_tuple(name, value) if name in _LISTS else value for name, value in values.items()}


def as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    """Return what was passed for a list; UserError for a single text or record, which would be taken to pieces."""
    if isinstance(values, (str, bytes, Mapping)) or hasattr(values, "pk") or not isinstance(values, Iterable):
        raise UserError(f"{name} is a list, not {type(values).__name__}; put a single one into brackets.")
    return tuple(values)


def _sizes(request: QueueRequest) -> Iterator[tuple[str, int]]:
    for one in request.attachments:
        yield one.name, one.size_bytes
    for name, image in request.inline_images.items():
        yield name, len(image) if isinstance(image, bytes) else image.size_bytes


def _plain(value: Any) -> Any:
    """Return a record as its key, bytes as their hash, and the rest as it is."""
    if isinstance(value, bytes):
        return blake2b(value, digest_size=32).hexdigest()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return [type(value).__name__, value.pk] if hasattr(value, "pk") else value


def domain_of_sender(sender: Mailbox) -> str:
    """Return what stands right of the @ in Message-IDs: MAIL_DOMAIN where it is set up, else the sender's domain."""
    domain = settings().MAIL_DOMAIN
    return domain if domain != "localhost" else domain_of(sender.address)
