"""Queueing: everything that a mail needs is checked and fixed here, in the caller's transaction.

Whatever could differ between two tries is decided now: recipients, Message-ID, Date, signature and branding.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from core.delivery.engine import TOPIC
from core.delivery.mailing import Mailing, Mailings, format_header
from core.delivery.request import QueueRequest, check_entry
from core.errors import UserError
from core.events import announce, ring
from core.idempotency import earlier_outcome, keep_outcome, scope_of
from core.mail.address import header_text
from core.mail.styles import inlined
from core.mail.thread import checked_id, references_of, reply_address
from core.mail.words import clean_text
from core.orm.dialect import Children, Dialect
from core.orm.feed import Change
from core.orm.insert import insert_rows, stored_record
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_SUBJECT_CHARS = 998
_KEY_SCOPE = "queue_email"
_AT_A_STRETCH = 500
"""So many requests are checked before the event loop turns."""


async def queue(request: QueueRequest) -> Any:
    """Store the message and its deliveries; returns the Message, an earlier one where the idempotency key has one."""
    if request.idempotency_key is not None:
        return await _queue_once(request, request.idempotency_key)
    (message,) = await _store([await _ready(request, Mailings())])
    return message


async def queue_many(requests: Iterable[QueueRequest]) -> list[Any]:
    """Store many messages and their deliveries, all or none; returns the Messages in the order of the requests."""
    mailings, asked = Mailings(), list(requests)
    for one in asked:
        if not isinstance(one, QueueRequest):
            raise UserError(f"queue_many takes QueueRequests, not {type(one).__name__}.")
    if any(request.idempotency_key is not None for request in asked):
        async with transaction():
            return [await queue(request) for request in asked]
    ready = []
    for number, request in enumerate(asked, 1):
        ready.append(await _ready(request, mailings))
        if number % _AT_A_STRETCH == 0:
            await asyncio.sleep(0)
    return await _store(ready)


async def _queue_once(request: QueueRequest, key: str) -> Any:
    """Queue what has not been queued under this key before."""
    scope = scope_of(_KEY_SCOPE)
    async with transaction():
        earlier = await earlier_outcome(scope, key, request.fingerprint())
        if earlier is None:
            (message,) = await _store([await _ready(request, Mailings())])
            await keep_outcome(scope, key, {"message_id": message.pk})
            return message
    message = await get_model("Message").get_or_none(id=earlier["message_id"])
    if message is None:
        raise UserError(f'The mail that was queued with the idempotency key "{key}" has been deleted since.')
    return message


class _Ready(NamedTuple):
    """A request that passed every check. `values` are what its message says, by attributes: all of it where it is new.

    A delivery is recipient, kind, priority, due at or None, and wait in s.
    """

    request: QueueRequest
    values: dict[str, Any]
    deliveries: list[tuple[Any, ...]]


async def _ready(request: QueueRequest, mailings: Mailings) -> _Ready:
    recipients = request.recipients()
    mailing = await mailings.of(request)
    values: dict[str, Any] = {
        "email_to": [format_header(mailbox) for kind, mailbox in recipients if kind == "to"],
        "subject": header_text(" ".join(request.subject.splitlines()))[:_SUBJECT_CHARS],
        "body": _clean_html(request.body),
        "text": None if request.text is None else clean_text(request.text),
        "message_id": mailings.message_id(mailing),
        "tracking_identifier": header_text(request.tracking_identifier) if request.tracking_identifier else None,
        "track": _tracks(request, mailing),
    }
    if request.in_reply_to or request.references:
        values |= _thread(request)
    if request.cc:
        values["email_cc"] = [format_header(mailbox) for kind, mailbox in recipients if kind == "cc"]
    if request.message is None:
        values = {**mailing.row, **values}
    else:
        values = {"email_cc": [], **deepcopy(mailing.values), **values, **_of_draft(request, mailing)}
    if request.message is not None or request.has_files:
        request.check_files()
        files = await _files(request)
        values["presentation"] = {**mailing.values["presentation"], **({"files": files} if files else {})}
    return _Ready(request, values, [(mailbox.address, kind, *mailing.job) for kind, mailbox in recipients])


@lru_cache(maxsize=4)
def _clean_html(body: str) -> str:
    """Return a body as it is kept; many mails may have the same one."""
    return inlined(clean_text(body))


def _tracks(request: QueueRequest, mailing: Mailing) -> bool:
    wanted = request.tracking_identifier is not None if request.track is None else request.track
    return wanted and not mailing.is_untracked


def _thread(request: QueueRequest) -> dict[str, Any]:
    """Return what the mail answers; AddressError for what is no Message-ID."""
    answered = checked_id(request.in_reply_to) if request.in_reply_to else None
    return {
        "in_reply_to": answered,
        "thread_references": references_of(request.references or ([answered] if answered else ())),
    }


def _of_draft(request: QueueRequest, mailing: Mailing) -> dict[str, Any]:
    """Return what a message that was there before has a say in."""
    message = request.message
    check_entry(message)
    token = request.tracking_identifier or message.tracking_identifier or secrets.token_hex(16)
    return {
        "tracking_identifier": header_text(token),
        "reply_to": mailing.values["reply_to"] or _reply_to(message, token),
        "on_unknown": request.on_unknown or message.on_unknown,
    }


def _reply_to(message: Any, token: str) -> str:
    """A mail of a record is answered to an address that leads back to that record; others go to their author."""
    values = settings()
    if message.res_model is None or len(token) not in (26, 32):
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


async def _store(ready: Sequence[_Ready]) -> list[Any]:
    """Store the messages, new ones at once, and what hangs on them; wake the worker."""
    if any(one.request.message is not None or one.request.has_files for one in ready):
        async with transaction():
            messages = await _store_each(ready)
    else:
        messages = await _insert(ready)
    await ring(TOPIC)
    await announce(*(Change("queue", ("Queued",), company_id=one) for one in {made.company_id for made in messages}))
    return messages


async def _store_each(ready: Sequence[_Ready]) -> list[Any]:
    new = iter(await _insert([one for one in ready if one.request.message is None]))
    messages = []
    for one in ready:
        message = await _take_draft(one) if one.request.message is not None else next(new)
        files = [*one.request.attachments, *await _inline_files(one.request, message)]
        if files:
            await message.attachments.add(*files)
        messages.append(message)
    return messages


async def _insert(ready: Sequence[_Ready]) -> list[Any]:
    """Store new messages and their deliveries in as few steps of the database as there can be."""
    database, model = runtime().database, get_model("Message")
    children = Children(_delivery_sql(database.dialect), _DELIVERY, [one.deliveries for one in ready])
    ids = await insert_rows(database, model, [one.values for one in ready], children)
    return [stored_record(model, one.values, row_id) for one, row_id in zip(ready, ids, strict=True)]


_DELIVERY = {"recipient": "text", "kind": "text", "priority": "int", "due_at": "timestamptz", "wait_s": "float8"}
"""What a delivery is given, and PostgreSQL's types for it; due at may be None."""


async def insert_deliveries(message_id: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store the deliveries of a message that there is; a row is what `_DELIVERY` names."""
    database = runtime().database
    sql = _delivery_sql(database.dialect).replace("{parent}", "given.message_id")
    types = {"message_id": "bigint", **_DELIVERY}
    await database.batch(database.dialect.over(sql, types, [(message_id, *row) for row in rows]))


def _delivery_sql(dialect: Dialect) -> str:
    # Due now by the database's clock, which decides what is due; this host's may differ.
    return f"""INSERT INTO delivery (message_id, recipient, kind, priority, due_at, state, attempts, open_count,
                                     click_count, bounce_kind, crashes)
               SELECT {{parent}}, given.recipient, given.kind, given.priority,
                      COALESCE(given.due_at, {dialect.after("given.wait_s")}), 'queued', 0, 0, 0, '', 0
               FROM {{rows}}"""


async def _take_draft(ready: _Ready) -> Any:
    """Make a message that was there before, such as an entry of a timeline or a draft, the send job."""
    message = ready.request.message
    for name, value in ready.values.items():
        setattr(message, name, value)
    await _save(message)
    await insert_deliveries(message.pk, ready.deliveries)
    return message


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


async def _inline_files(request: QueueRequest, message: Any) -> list[Any]:
    """Return the inline images as Attachments that bear the names which the HTML calls them by."""
    model, files = get_model("Attachment"), []
    for name, image in request.inline_images.items():
        is_bytes = isinstance(image, bytes)
        content = image if is_bytes else bytes(image.content)
        files.append(
            await model.keep(
                _image_name(name, content) if is_bytes else image.name,
                content,
                image_type(content) if is_bytes else image.content_type,
                content_id=checked_id(f"<{name}>")[1:-1],
                res_model=message.res_model,
                res_id=message.res_id,
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
