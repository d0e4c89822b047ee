"""Queueing: everything that a mail needs is checked and fixed here, in the caller's transaction.

Whatever could differ between two tries is decided now: recipients, Message-ID, Date, signature and branding.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core import clock
from core.delivery.engine import TOPIC
from core.errors import UserError
from core.events import ring
from core.mail.address import domain_of, header_text, parse_address
from core.mail.guard import LOOP_HEADER, loop_tag
from core.mail.thread import message_id, reply_address
from core.mail.values import Mailbox
from core.orm.insert import insert_many
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_SUBJECT_CHARS = 998


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRequest:
    """What is asked of the queue; the names are those of `Message.queue_email`."""

    author: Any
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str
    body: str
    text: str | None = None
    attachments: tuple[Any, ...] = ()
    tracking_identifier: str | None = None
    use_company_branding: bool = True
    include_signature: bool = True
    company: Any = None
    message: Any = None
    scheduled_at: datetime | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    priority: int = 10
    from_email: str | None = None


async def queue(request: QueueRequest) -> Any:
    """Store the message and its deliveries; returns the Message."""
    ready = await _ready(request, _Known())
    async with transaction():
        await _save(ready.message)
        await _store([ready])
    return ready.message


async def queue_many(requests: Iterable[QueueRequest]) -> list[Any]:
    """Store many messages and their deliveries, all or none; returns the Messages in the order of the requests."""
    known = _Known()
    ready = [await _ready(request, known) for request in requests]
    async with transaction():
        await insert_many(runtime().database, [one.message for one in ready if one.request.message is None])
        for one in ready:
            if one.request.message is not None:
                await _save(one.message)
        await _store(ready)
    return [one.message for one in ready]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request that passed every check, and the Message that says so."""

    request: QueueRequest
    message: Any
    recipients: Mapping[str, list[Mailbox]]


async def _ready(request: QueueRequest, known: _Known) -> _Ready:
    recipients = _recipients(request)
    sender = await _sender(request, known)
    _check_files(request)
    message = request.message or get_model("Message")(kind="message", channel="email")
    if message.send_state not in (None, "Draft"):
        raise UserError(f"Message {message.pk} is {message.send_state} already; use action_retry to send it again.")
    await _fill(message, request, sender, recipients, known)
    return _Ready(request, message, recipients)


async def _save(message: Any) -> None:
    """Store a message; of one that is stored already, such as a draft, also that it is queued now."""
    is_stored = message.pk is not None
    await message.save()
    if is_stored:
        await get_model("Message").filter(id=message.pk).update(send_state="Queued", error="")


async def _store(stored: Sequence[_Ready]) -> None:
    """Store what hangs on messages that are stored."""
    for one in stored:
        if one.request.attachments:
            await one.message.attachments.add(*one.request.attachments)
    database = runtime().database
    param, now = database.dialect.param, database.dialect.now()
    # Due now by the database's clock, which decides what is due; this host's may differ.
    await database.execute_many(
        f"""INSERT INTO delivery (message_id, recipient, kind, priority, due_at, state, attempts)
            VALUES ({param(1)}, {param(2)}, {param(3)}, {param(4)}, COALESCE({param(5)}, {now}), 'queued', 0)""",
        [row for one in stored for row in _deliveries(one)],
    )
    await ring(TOPIC)


class _Known:
    """What the requests of one call share, asked once: their authors' contacts and companies."""

    def __init__(self) -> None:
        self._contacts: dict[int, Any] = {}
        self._companies: dict[int | None, Any] = {}

    async def contact_of(self, author: Any) -> Any:
        """Return the contact behind a User; an author may be a Contact itself, or nobody."""
        if author is None or not hasattr(author, "contact_id"):
            return author
        contact_id = author.contact_id
        if contact_id and contact_id not in self._contacts:
            self._contacts[contact_id] = await get_model("Contact").get_or_none(id=contact_id)
        return self._contacts.get(contact_id)

    async def company_of(self, author: Any) -> Any:
        """Return the author's company, or the only one there is."""
        company_id = getattr(author, "company_id", None)
        if company_id not in self._companies:
            self._companies[company_id] = await _company(company_id)
        return self._companies[company_id]


async def _company(company_id: int | None) -> Any:
    if company_id:
        return await get_model("Company").get_or_none(id=company_id)
    companies = await get_model("Company").filter(active=True).limit(2)
    return companies[0] if len(companies) == 1 else None


def _recipients(request: QueueRequest) -> dict[str, list[Mailbox]]:
    """Check every address, and keep each one once: first as To, then Cc, then Bcc."""
    seen: set[str] = set()
    kept: dict[str, list[Mailbox]] = {"to": [], "cc": [], "bcc": []}
    for kind, texts in (("to", request.to), ("cc", request.cc), ("bcc", request.bcc)):
        for mailbox in map(parse_address, texts):
            if mailbox.address.casefold() not in seen:
                seen.add(mailbox.address.casefold())
                kept[kind].append(mailbox)
    if not seen:
        raise UserError("The mail has no recipient; give at least one address in contact_emails, cc or bcc.")
    if len(seen) > settings().MAX_RECIPIENTS:
        raise UserError(
            f"The mail has {len(seen)} recipients and MAX_RECIPIENTS is {settings().MAX_RECIPIENTS}; "
            "send it in several parts, or raise the limit."
        )
    return kept


async def _sender(request: QueueRequest, known: _Known) -> Mailbox:
    if request.from_email:
        return parse_address(request.from_email)
    values = settings()
    contact = await known.contact_of(request.author)
    address = getattr(contact, "email", "") or getattr(request.author, "login", "")
    if "@" in address:
        return Mailbox(getattr(contact, "name", "") or request.author.name, parse_address(address).address)
    if values.SMTP_FROM_EMAIL:
        return Mailbox(values.SMTP_FROM_NAME, parse_address(values.SMTP_FROM_EMAIL).address)
    raise UserError("The mail has no sender: give the author's contact an e-mail address, or set SMTP_FROM_EMAIL.")


def _check_files(request: QueueRequest) -> None:
    values = settings()
    if len(request.attachments) > values.MAX_ATTACHMENTS:
        raise UserError(
            f"The mail has {len(request.attachments)} attachments; at most {values.MAX_ATTACHMENTS} may go."
        )
    for attachment in request.attachments:
        if attachment.size_bytes > values.MAX_ATTACHMENT_BYTES:
            raise UserError(
                f'The attachment "{attachment.name}" has {attachment.size_bytes} bytes; '
                f"at most {values.MAX_ATTACHMENT_BYTES} may go (MAX_ATTACHMENT_BYTES)."
            )


async def _fill(
    message: Any, request: QueueRequest, sender: Mailbox, recipients: Mapping[str, list[Mailbox]], known: _Known
) -> None:
    values = settings()
    company = request.company or await known.company_of(request.author)
    token = request.tracking_identifier or message.tracking_identifier or secrets.token_hex(16)
    message.direction = "Outbound"
    message.author = request.author if hasattr(request.author, "contact_id") else None
    message.company = company
    message.email_from = format_header(sender)
    message.email_to = [format_header(mailbox) for mailbox in recipients["to"]]
    message.email_cc = [format_header(mailbox) for mailbox in recipients["cc"]]
    message.reply_to = request.reply_to or _reply_to(message, token)
    message.subject = header_text(" ".join(request.subject.splitlines()))[:_SUBJECT_CHARS]
    message.body = request.body
    message.text = request.text
    message.headers = {LOOP_HEADER: _own_tag(), **{name: header_text(text) for name, text in request.headers.items()}}
    message.message_id = message_id(f"{secrets.token_hex(12)}.{token[:8]}", _id_domain(sender))
    message.date_at = clock.now().replace(microsecond=0)
    message.send_state = "Queued"
    message.scheduled_at = request.scheduled_at
    message.max_retries = values.MAX_RETRIES
    message.priority = request.priority
    message.tracking_identifier = token
    message.use_company_branding = request.use_company_branding
    message.include_signature = request.include_signature
    message.presentation = _presentation(request, company, await _files(message, request))


def _own_tag() -> str:
    """Return what this instance knows its own mail by, should it come back."""
    return loop_tag(settings().SECRET_KEY.get_secret_value().partition(",")[0].strip())


def _reply_to(message: Any, token: str) -> str:
    """A mail of a record is answered to an address that leads back to that record; others go to their author."""
    values = settings()
    if message.res_model is None or len(token) not in (26, 32):
        return ""
    return reply_address(token, values.CATCHALL_ALIAS, values.MAIL_DOMAIN)


def _id_domain(sender: Mailbox) -> str:
    domain = settings().MAIL_DOMAIN
    return domain if domain != "localhost" else domain_of(sender.address)


async def _files(message: Any, request: QueueRequest) -> list[str]:
    """Return the hashes of all files that go along, those of a draft among them: what is sent must be just these."""
    attached = list(request.attachments)
    if message.pk is not None:
        attached += await message.attachments.all()
    return sorted({file.pk: file.sha256 for file in attached}.values())


def _presentation(request: QueueRequest, company: Any, files: list[str]) -> dict[str, Any]:
    presentation: dict[str, Any] = {}
    signature = getattr(request.author, "signature", "")
    if request.include_signature and signature:
        presentation["signature"] = signature
    if request.use_company_branding and company is not None:
        shown = ("name", "color", "address", "website", "footer")
        presentation["branding"] = {key: getattr(company, key) for key in shown}
    if files:
        presentation["files"] = files
    return presentation


def _deliveries(ready: _Ready) -> list[tuple[Any, ...]]:
    request = ready.request
    due_at = runtime().database.dialect.time(request.scheduled_at) if request.scheduled_at else None
    return [
        (ready.message.pk, mailbox.address, kind, request.priority, due_at)
        for kind, mailboxes in ready.recipients.items()
        for mailbox in mailboxes
    ]


def format_header(mailbox: Mailbox) -> str:
    """Return `Name <address>` as people read it; composition encodes what a header needs."""
    if not mailbox.name:
        return mailbox.address
    name = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{mailbox.address}>'
