"""Queueing: everything that a mail needs is checked and fixed here, in the caller's transaction.

Whatever could differ between two tries is decided now: recipients, Message-ID, Date, signature and branding.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from core import clock
from core.delivery.engine import TOPIC
from core.delivery.idempotency import earlier_outcome, keep_outcome
from core.delivery.policy import retry_schedule
from core.delivery.request import QueueRequest, domain_of_sender
from core.delivery.servers import Servers, load_servers
from core.errors import UserError
from core.events import ring
from core.mail.address import header_text, parse_address
from core.mail.compose import check_headers
from core.mail.guard import LOOP_HEADER, loop_tag
from core.mail.invite import Invite, calendar_of, invitation
from core.mail.styles import inlined
from core.mail.thread import checked_id, message_id, reply_address
from core.mail.values import Mailbox
from core.mail.words import clean_text
from core.orm.insert import insert_many
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_SUBJECT_CHARS = 998
_KEY_SCOPE = "queue_email"


async def queue(request: QueueRequest) -> Any:
    """Store the message and its deliveries; returns the Message, an earlier one where the idempotency key has one."""
    known = _Known()
    if request.idempotency_key is not None:
        return await _queue_once(request, request.idempotency_key, known)
    ready = await _ready(request, known)
    async with transaction():
        await _save(ready.message)
        await _store([ready])
    return ready.message


async def queue_many(requests: Iterable[QueueRequest]) -> list[Any]:
    """Store many messages and their deliveries, all or none; returns the Messages in the order of the requests."""
    known = _Known()
    asked = list(requests)
    if any(request.idempotency_key is not None for request in asked):
        async with transaction():
            return [await queue(request) for request in asked]
    ready = [await _ready(request, known) for request in asked]
    async with transaction():
        await insert_many(runtime().database, [one.message for one in ready if one.request.message is None])
        for one in ready:
            if one.request.message is not None:
                await _save(one.message)
        await _store(ready)
    return [one.message for one in ready]


async def _queue_once(request: QueueRequest, key: str, known: _Known) -> Any:
    """Queue what has not been queued under this key before."""
    ready = await _ready(request, known)
    async with transaction():
        earlier = await earlier_outcome(_KEY_SCOPE, key, request.fingerprint())
        if earlier is None:
            await _save(ready.message)
            await _store([ready])
            await keep_outcome(_KEY_SCOPE, key, {"message_id": ready.message.pk})
            return ready.message
    message = await get_model("Message").get_or_none(id=earlier["message_id"])
    if message is None:
        raise UserError(f'The mail that was queued with the idempotency key "{key}" has been deleted since.')
    return message


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request that passed every check, and the Message that says so."""

    request: QueueRequest
    message: Any
    recipients: Mapping[str, list[Mailbox]]


async def _ready(request: QueueRequest, known: _Known) -> _Ready:
    recipients = request.recipients()
    request.check()
    sender = await _sender(request, known)
    message = request.message or get_model("Message")(kind="message", channel="email")
    if message.send_state not in (None, "Draft"):
        raise UserError(f"Message {message.pk} is {message.send_state} already; use action_retry to send it again.")
    await _fill(message, request, sender, recipients, known)
    for one in (sender, *([parse_address(request.sender)] if request.sender else ())):
        await known.require_sender(message.author_id, message.company_id, one.address)
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
        files = [*one.request.attachments, *await _inline_files(one)]
        if files:
            await one.message.attachments.add(*files)
    await insert_deliveries([row for one in stored for row in _deliveries(one)])


async def insert_deliveries(rows: Sequence[tuple[Any, ...]]) -> None:
    """Store deliveries and wake the engine; a row is message, recipient, kind, priority, due at or None, wait in s."""
    database = runtime().database
    param, dialect = database.dialect.param, database.dialect
    # Due now by the database's clock, which decides what is due; this host's may differ.
    await database.execute_many(
        f"""INSERT INTO delivery (message_id, recipient, kind, priority, due_at, state, attempts, open_count,
                                  click_count, bounce_kind)
            VALUES ({param(1)}, {param(2)}, {param(3)}, {param(4)}, COALESCE({param(5)}, {dialect.after(param(6))}),
                    'queued', 0, 0, 0, '')""",
        rows,
    )
    await ring(TOPIC)


async def _inline_files(ready: _Ready) -> list[Any]:
    """Return the inline images as Attachments that bear the names which the HTML calls them by."""
    model, files = get_model("Attachment"), []
    for name, image in ready.request.inline_images.items():
        is_bytes = isinstance(image, bytes)
        content = image if is_bytes else bytes(image.content)
        files.append(
            await model.create(
                name=header_text(name) if is_bytes else image.name,
                content_type=image_type(content) if is_bytes else image.content_type,
                content=content,
                size_bytes=len(content),
                sha256=sha256(content).hexdigest(),
                content_id=checked_id(f"<{name}>")[1:-1],
                res_model=ready.message.res_model,
                res_id=ready.message.res_id,
            )
        )
    return files


_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_type(content: bytes) -> str:
    """Return an image's content type by its first bytes; UserError for what mail programs do not show."""
    for start, content_type in _MAGIC.items():
        if content.startswith(start):
            return content_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise UserError("An inline image is PNG, JPEG, GIF or WebP; pass another file as an Attachment.")


class _Known:
    """What the requests of one call share, asked once: their authors' contacts and companies."""

    def __init__(self) -> None:
        self._contacts: dict[int, Any] = {}
        self._companies: dict[int | None, Any] = {}
        self._servers: Servers | None = None

    async def require_sender(self, author_id: int | None, company_id: int | None, address: str) -> None:
        """Refuse a From address that the servers' allow-lists leave to nobody: UserError."""
        if self._servers is None:
            self._servers = await load_servers() if await _are_domains_allowed() else Servers((), {})
        self._servers.require_sender(author_id, company_id, address)

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


async def _are_domains_allowed() -> bool:
    """Whether any server has an allow-list at all: without one, nothing else need be read."""
    allowed = "SELECT 1 FROM outgoing_mail_server WHERE active AND CAST(from_domains AS TEXT) <> '[]' LIMIT 1"
    return bool(await runtime().database.fetch(allowed))


async def _company(company_id: int | None) -> Any:
    if company_id:
        return await get_model("Company").get_or_none(id=company_id)
    companies = await get_model("Company").filter(active=True).limit(2)
    return companies[0] if len(companies) == 1 else None


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


async def _fill(
    message: Any, request: QueueRequest, sender: Mailbox, recipients: Mapping[str, list[Mailbox]], known: _Known
) -> None:
    company = request.company or await known.company_of(request.author)
    token = request.tracking_identifier or message.tracking_identifier or secrets.token_hex(16)
    message.direction = "Outbound"
    message.author = request.author if hasattr(request.author, "contact_id") else None
    message.company = company
    message.email_from = format_header(sender)
    message.email_to = [format_header(mailbox) for mailbox in recipients["to"]]
    message.email_cc = [format_header(mailbox) for mailbox in recipients["cc"]]
    message.reply_to = format_header(parse_address(request.reply_to)) if request.reply_to else _reply_to(message, token)
    message.subject = header_text(" ".join(request.subject.splitlines()))[:_SUBJECT_CHARS]
    message.body = inlined(clean_text(request.body))
    message.text = None if request.text is None else clean_text(request.text)
    check_headers(request.headers)
    message.headers = {LOOP_HEADER: _own_tag(), **request.headers}
    message.message_id = message_id(f"{secrets.token_hex(12)}.{token[:8]}", domain_of_sender(sender))
    message.date_at = clock.now().replace(microsecond=0)
    message.send_state = "Queued"
    message.scheduled_at = request.scheduled_at
    message.expires_at = request.expires_at
    message.max_retries = retry_schedule(request.lane).max_retries
    message.priority = request.lane
    message.importance = request.importance
    message.individual = request.individual
    message.unsubscribe_list = request.unsubscribe_list
    message.track = _tracks(request, company)
    message.calendar = _calendar(request, message.date_at)
    message.on_unknown = request.on_unknown or message.on_unknown
    message.tracking_identifier = token
    message.use_company_branding = request.use_company_branding
    message.include_signature = request.include_signature
    message.presentation = _presentation(request, company, await _files(message, request))


def _tracks(request: QueueRequest, company: Any) -> bool:
    wanted = request.tracking_identifier is not None if request.track is None else request.track
    return wanted and not (company is not None and company.no_tracking)


def _calendar(request: QueueRequest, now: datetime) -> str | None:
    invite = request.invite
    if invite is None:
        return None
    return invitation(invite, now).text if isinstance(invite, Invite) else calendar_of(clean_text(invite.text)).text


def _own_tag() -> str:
    """Return what this instance knows its own mail by, should it come back."""
    return loop_tag(settings().SECRET_KEY.get_secret_value().partition(",")[0].strip())


def _reply_to(message: Any, token: str) -> str:
    """A mail of a record is answered to an address that leads back to that record; others go to their author."""
    values = settings()
    if message.res_model is None or len(token) not in (26, 32):
        return ""
    return reply_address(token, values.CATCHALL_ALIAS, values.MAIL_DOMAIN)


async def _files(message: Any, request: QueueRequest) -> list[str]:
    """Return the hashes of all files that go along, those of a draft among them: what is sent must be just these."""
    attached = list(request.attachments)
    if message.pk is not None:
        attached += await message.attachments.all()
    hashes = {file.pk: file.sha256 for file in attached}
    images = [
        sha256(image).hexdigest() if isinstance(image, bytes) else image.sha256
        for image in request.inline_images.values()
    ]
    return sorted([*hashes.values(), *images])


def _presentation(request: QueueRequest, company: Any, files: list[str]) -> dict[str, Any]:
    """Return what the mail looks like beside its text; a key that would say nothing is left out."""
    presentation: dict[str, Any] = {}
    signature = getattr(request.author, "signature", "")
    if request.include_signature and signature:
        presentation["signature"] = signature
    if request.use_company_branding and company is not None:
        shown = ("name", "color", "address", "website", "footer")
        presentation["branding"] = {key: getattr(company, key) for key in shown}
    if files:
        presentation["files"] = files
    if request.sender:
        presentation["sender"] = format_header(parse_address(request.sender))
    if request.automatic:
        presentation["automatic"] = "auto-generated" if request.automatic is True else request.automatic
    feedback_id = request.feedback_id or _feedback_id(request, company)
    if feedback_id:
        presentation["feedback_id"] = header_text(feedback_id)
    return presentation


def _feedback_id(request: QueueRequest, company: Any) -> str:
    """Return what complaint statistics are kept by: list, company, kind of mail and sender."""
    sender = settings().FEEDBACK_SENDER
    if not sender:
        return ""
    kind = "list" if request.unsubscribe_list else "automatic" if request.automatic else "message"
    name = "".join(char for char in request.unsubscribe_list or "" if char.isalnum())
    return f"{name}:{company.pk if company is not None else ''}:{kind}:{sender}"


def _deliveries(ready: _Ready) -> list[tuple[Any, ...]]:
    request = ready.request
    due_at = runtime().database.dialect.time(request.scheduled_at) if request.scheduled_at else None
    return [
        (ready.message.pk, mailbox.address, kind, request.lane, due_at, float(request.undo_s))
        for kind, mailboxes in ready.recipients.items()
        for mailbox in mailboxes
    ]


def format_header(mailbox: Mailbox) -> str:
    """Return `Name <address>` as people read it; composition encodes what a header needs."""
    if not mailbox.name:
        return mailbox.address
    name = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{mailbox.address}>'
