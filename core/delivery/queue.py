"""Queueing: everything that a mail needs is checked and fixed here, in the caller's transaction.

Whatever could differ between two tries is decided now: recipients, Message-ID, Date, signature and branding.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from core import clock
from core.delivery.engine import TOPIC
from core.delivery.idempotency import earlier_outcome, keep_outcome
from core.delivery.outgoing import check_composition, mailbox_of
from core.delivery.policy import retry_schedule
from core.delivery.request import QueueRequest, domain_of_sender
from core.delivery.servers import Servers, load_servers
from core.errors import UserError
from core.events import ring
from core.mail.address import header_text, parse_address
from core.mail.guard import LOOP_HEADER, loop_tag
from core.mail.invite import Invite, calendar_of, invitation
from core.mail.styles import inlined
from core.mail.thread import checked_id, message_id, reply_address
from core.mail.values import Mailbox
from core.mail.words import clean_text
from core.orm.dialect import Dialect
from core.orm.insert import insert_many, insertion, new_record, take_ids
from core.orm.statement import Statement
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_SUBJECT_CHARS = 998
_KEY_SCOPE = "queue_email"
_FEW = 4
"""So many recipients go into one statement with their message; each number of them is a statement to be planned."""


async def queue(request: QueueRequest) -> Any:
    """Store the message and its deliveries; returns the Message, an earlier one where the idempotency key has one."""
    known = _Known()
    if request.idempotency_key is not None:
        return await _queue_once(request, request.idempotency_key, known)
    ready = await _ready(request, known)
    if request.message is None and not request.attachments and not request.inline_images:
        await _store_at_once(ready)
    else:
        async with transaction():
            await _store([ready])
    return ready.message


async def queue_many(requests: Iterable[QueueRequest]) -> list[Any]:
    """Store many messages and their deliveries, all or none; returns the Messages in the order of the requests."""
    known = _Known()
    asked = list(requests)
    for one in asked:
        if not isinstance(one, QueueRequest):
            raise UserError(f"queue_many takes QueueRequests, not {type(one).__name__}.")
    if any(request.idempotency_key is not None for request in asked):
        async with transaction():
            return [await queue(request) for request in asked]
    ready = [await _ready(request, known) for request in asked]
    async with transaction():
        await _store(ready)
    return [one.message for one in ready]


async def _queue_once(request: QueueRequest, key: str, known: _Known) -> Any:
    """Queue what has not been queued under this key before."""
    async with transaction():
        earlier = await earlier_outcome(_KEY_SCOPE, key, request.fingerprint())
        if earlier is None:
            ready = await _ready(request, known)
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
    sender = await _from(request, known)
    message = request.message
    values = await _values(request, sender, recipients, known)
    for one in (sender, parse_address(request.sender)) if request.sender else (sender,):
        await known.require_sender(request.author, values["company_id"], one.address)
    if request.is_unusual:
        check_composition(values)
    if message is None:
        return _Ready(request, new_record(get_model("Message"), kind="message", channel="email", **values), recipients)
    for name, value in values.items():
        setattr(message, name, value)
    return _Ready(request, message, recipients)


async def _store(ready: Sequence[_Ready]) -> None:
    """Store the messages, new ones at once, and what hangs on them; wake the worker."""
    await insert_many(runtime().database, [one.message for one in ready if one.request.message is None])
    for one in ready:
        if one.request.message is not None:
            await _save(one.message)
        files = [*one.request.attachments, *await _inline_files(one)]
        if files:
            await one.message.attachments.add(*files)
    await insert_deliveries([row for one in ready for row in _deliveries(one)])


async def _store_at_once(ready: _Ready) -> None:
    """Store one new message without files in a single step of the database."""
    database = runtime().database
    message, deliveries = insertion(database, [ready.message]), _deliveries(ready)
    if database.dialect.nests_writes and len(deliveries) <= _FEW:
        whole = _nested(database.dialect, message, deliveries)
        rows = await database.fetch(whole.sql, whole.params)
    else:
        into = _delivery_sql(database.dialect, database.dialect.last_id("message"), first=1)
        rows, *_ = await database.batch([message, *(Statement(into, row[1:]) for row in deliveries)])
    take_ids([ready.message], rows)
    await ring(TOPIC)


def _nested(dialect: Dialect, message: Statement, deliveries: Sequence[tuple[Any, ...]]) -> Statement:
    """Return one statement that stores the message and its deliveries, and needs no transaction around it."""
    writes, params = [f"stored AS ({message.sql})"], [*message.params]
    for number, row in enumerate(deliveries):
        into = _delivery_sql(dialect, "(SELECT id FROM stored)", first=len(params) + 1)
        writes.append(f"delivery_{number} AS ({into})")
        params += row[1:]
    return Statement(f"WITH {', '.join(writes)} SELECT id FROM stored", params)


async def insert_deliveries(rows: Sequence[tuple[Any, ...]]) -> None:
    """Store deliveries and wake the engine; a row is message, recipient, kind, priority, due at or None, wait in s."""
    database = runtime().database
    await database.execute_many(_delivery_sql(database.dialect, database.dialect.param(1), first=2), rows)
    await ring(TOPIC)


def _delivery_sql(dialect: Dialect, message_id: str, first: int) -> str:
    """Return the insert of a delivery of the message; `first` is the number of its first parameter, the recipient."""
    recipient, kind, priority, due_at, wait_s = map(dialect.param, range(first, first + 5))
    # Due now by the database's clock, which decides what is due; this host's may differ.
    return f"""INSERT INTO delivery (message_id, recipient, kind, priority, due_at, state, attempts, open_count,
                                     click_count, bounce_kind, crashes)
               VALUES ({message_id}, {recipient}, {kind}, {priority}, COALESCE({due_at}, {dialect.after(wait_s)}),
                       'queued', 0, 0, 0, '', 0)"""


async def _save(message: Any) -> None:
    """Store a message that was there before; of one in the database, such as a draft, also that it is queued now."""
    if message.pk is not None:
        database = runtime().database
        # Of two who send a draft at once, the database lets one; a copy in memory may be older than either.
        taken = await database.execute(
            f"""UPDATE message SET send_state = 'Queued', error = ''
                WHERE id = {database.dialect.param(1)} AND COALESCE(send_state, 'Draft') = 'Draft'""",
            [message.pk],
        )
        if not taken:
            raise UserError(f"Message {message.pk} was queued already; use action_retry to send it again.")
    await message.save()


async def _inline_files(ready: _Ready) -> list[Any]:
    """Return the inline images as Attachments that bear the names which the HTML calls them by."""
    model, files = get_model("Attachment"), []
    for name, image in ready.request.inline_images.items():
        is_bytes = isinstance(image, bytes)
        content = image if is_bytes else bytes(image.content)
        files.append(
            await model.keep(
                _image_name(name, content) if is_bytes else image.name,
                content,
                image_type(content) if is_bytes else image.content_type,
                content_id=checked_id(f"<{name}>")[1:-1],
                res_model=ready.message.res_model,
                res_id=ready.message.res_id,
            )
        )
    return files


def _image_name(name: str, content: bytes) -> str:
    """Return the image's name with the ending that its type has, for programs that show it as a file."""
    return header_text(name) if "." in name else f"{header_text(name)}.{image_type(content).partition('/')[2]}"


_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_type(content: bytes) -> str:
    """Return an image's content type by its first bytes; UserError for what mail programs do not show."""
    for start, content_type in _MAGIC.items():
        if content.startswith(start):
            return content_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise UserError("An inline image is PNG, JPEG, GIF or WebP; pass another file as an Attachment.")


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whoever a mail is from: the address that goes into From, and the company whose frame is around it."""

    name: str
    address: str
    company: _Company | None
    has_allow_lists: bool
    """Whether any server is only for some From domains: where none is, nothing else need be read."""


@dataclass(frozen=True, slots=True)
class _Company:
    """What a mail shows of a company, by the names of its columns."""

    pk: int
    name: str
    color: str
    address: str
    website: str
    footer: str
    no_tracking: bool


class _Known:
    """What the requests of one call share, asked once: their authors' contacts and companies, and the servers."""

    def __init__(self) -> None:
        self._senders: dict[tuple[int | None, int | None], _Sender] = {}
        self._max_retries: dict[int, int] = {}
        self._servers: Servers | None = None
        self._allowed: set[tuple[int | None, int | None, str]] = set()

    async def sender(self, author: Any) -> _Sender:
        """Return what is known of a User; an author may be a Contact itself, or nobody. One query for each author."""
        key = getattr(author, "company_id", None), getattr(author, "contact_id", None)
        if key not in self._senders:
            self._senders[key] = await _read_sender(*key)
        return self._senders[key]

    async def require_sender(self, author: Any, company_id: int | None, address: str) -> None:
        """Refuse a From address that the servers' allow-lists leave to nobody: UserError."""
        author_id = author.pk if hasattr(author, "contact_id") else None
        if not (await self.sender(author)).has_allow_lists or (author_id, company_id, address) in self._allowed:
            return
        if self._servers is None:
            self._servers = await load_servers()
        self._servers.require_sender(author_id, company_id, address)
        self._allowed.add((author_id, company_id, address))

    def max_retries(self, lane: int) -> int:
        """Return how often mail of a priority is tried again."""
        if lane not in self._max_retries:
            self._max_retries[lane] = retry_schedule(lane).max_retries
        return self._max_retries[lane]


async def _read_sender(company_id: int | None, contact_id: int | None) -> _Sender:
    """Read the author's contact and company, or the only company that there is."""
    database = runtime().database
    param = database.dialect.param
    rows = await database.fetch(
        f"""SELECT company.id AS pk, company.name, company.color, company.address, company.website, company.footer,
                   company.no_tracking, contact.name AS sender_name, contact.email AS sender_address,
                   EXISTS (SELECT 1 FROM outgoing_mail_server
                           WHERE active AND CAST(from_domains AS TEXT) <> '[]') AS has_allow_lists
            FROM (SELECT 1 AS one) AS anyone
            LEFT JOIN contact ON contact.id = {param(1)}
            LEFT JOIN company ON company.id = {param(2)} OR ({param(3)} AND company.active)
            LIMIT 2""",
        [contact_id, company_id, company_id is None],
    )
    row = rows[0]
    is_clear = row["pk"] is not None and len(rows) == 1
    company = _Company(*(row[field.name] for field in fields(_Company))) if is_clear else None
    return _Sender(row["sender_name"] or "", row["sender_address"] or "", company, bool(row["has_allow_lists"]))


async def _from(request: QueueRequest, known: _Known) -> Mailbox:
    """Return the From address: the one asked for, the author's contact's, his login, or the configured one."""
    if request.from_email:
        return mailbox_of(request.from_email)
    author, values = request.author, settings()
    sender = await known.sender(author)
    is_contact = author is not None and not hasattr(author, "contact_id")
    address = (author.email if is_contact else sender.address) or getattr(author, "login", "")
    if "@" in address:
        return Mailbox((author.name if is_contact else sender.name) or author.name, parse_address(address).address)
    if values.SMTP_FROM_EMAIL:
        return Mailbox(values.SMTP_FROM_NAME, parse_address(values.SMTP_FROM_EMAIL).address)
    raise UserError("The mail has no sender: give the author's contact an e-mail address, or set SMTP_FROM_EMAIL.")


async def _values(
    request: QueueRequest, sender: Mailbox, recipients: Mapping[str, list[Mailbox]], known: _Known
) -> dict[str, Any]:
    """Return what the message says of its sending, by the attributes of its columns."""
    earlier = request.message
    company = request.company or (await known.sender(request.author)).company
    token = request.tracking_identifier or getattr(earlier, "tracking_identifier", None) or secrets.token_hex(16)
    queued_at = clock.now().replace(microsecond=0)
    return {
        "direction": "Outbound",
        "author_id": request.author.pk if hasattr(request.author, "contact_id") else None,
        "company_id": company.pk if company is not None else None,
        "email_from": format_header(sender),
        "email_to": [format_header(mailbox) for mailbox in recipients["to"]],
        "email_cc": [format_header(mailbox) for mailbox in recipients["cc"]],
        "reply_to": format_header(parse_address(request.reply_to)) if request.reply_to else _reply_to(earlier, token),
        "subject": header_text(" ".join(request.subject.splitlines()))[:_SUBJECT_CHARS],
        "body": inlined(clean_text(request.body)),
        "text": None if request.text is None else clean_text(request.text),
        "headers": {LOOP_HEADER: own_tag(), **request.headers},
        "message_id": message_id(f"{secrets.token_hex(12)}.{token[:8]}", domain_of_sender(sender)),
        "date_at": queued_at,
        "send_state": "Queued",
        "scheduled_at": request.scheduled_at,
        "expires_at": request.expires_at,
        "max_retries": known.max_retries(request.lane),
        "priority": request.lane,
        "importance": request.importance,
        "individual": request.individual,
        "unsubscribe_list": request.unsubscribe_list,
        "track": _tracks(request, company),
        "calendar": _calendar(request, queued_at),
        "on_unknown": request.on_unknown or getattr(earlier, "on_unknown", None),
        "tracking_identifier": token,
        "use_company_branding": request.use_company_branding,
        "include_signature": request.include_signature,
        "presentation": _presentation(request, company, await _files(request)),
    }


def _tracks(request: QueueRequest, company: Any) -> bool:
    wanted = request.tracking_identifier is not None if request.track is None else request.track
    return wanted and not (company is not None and company.no_tracking)


def _calendar(request: QueueRequest, now: datetime) -> str | None:
    invite = request.invite
    if invite is None:
        return None
    return invitation(invite, now).text if isinstance(invite, Invite) else calendar_of(clean_text(invite.text)).text


def own_tag() -> str:
    """Return what this instance knows its own mail by, should it come back."""
    return _tag(settings().SECRET_KEY.get_secret_value())


@lru_cache(maxsize=16)
def _tag(secret: str) -> str:
    return loop_tag(secret.partition(",")[0].strip())


def _reply_to(earlier: Any, token: str) -> str:
    """A mail of a record is answered to an address that leads back to that record; others go to their author."""
    values = settings()
    if earlier is None or earlier.res_model is None or len(token) not in (26, 32):
        return ""
    return reply_address(token, values.CATCHALL_ALIAS, values.MAIL_DOMAIN)


async def _files(request: QueueRequest) -> list[str]:
    """Return the hashes of all files that go along, those of a draft among them: what is sent must be just these."""
    attached = list(request.attachments)
    if request.message is not None and request.message.pk is not None:
        attached += await request.message.attachments.all()
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
