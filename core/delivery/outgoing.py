"""From a message's row to the bytes of its mail: the same bytes on every try.

What could change between two tries was fixed when the message was queued: its Message-ID and Date, its signature and
branding, its attachments' contents. What `{{field:slug}}` stands for is fixed before the first try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from html import escape
from json import JSONDecoder
from typing import Any

from core.errors import UserError
from core.mail.address import domain_of, envelope_address, parse_address
from core.mail.branding import branded, branded_text
from core.mail.compose import compose
from core.mail.invite import calendar_of
from core.mail.return_path import return_path
from core.mail.thread import ids_in
from core.mail.tracking import tracker
from core.mail.unsubscribe import unsubscribe_address, unsubscribe_url
from core.mail.values import File, Mailbox, OutgoingEmail, Woven
from core.pattern import pattern
from core.runtime import get_model, runtime, settings

LARGE_BYTES = 1_000_000
"""From this size on, a mail is composed beside the event loop."""

UNSUBSCRIBE_MARK = "%unsubscribe_url%"
"""Stands in the body of a list's mail for the recipient's own link."""
_ANY_LINK = "https://list.invalid/"
_NO_LABEL = pattern(r"[^a-z0-9]")

_LONGEST_FILTERING_S = 30.0
"""An addon's filter that never answers must not keep a lane."""

_OWN = ("id", "res_id", "email_to", "message_id")
"""The columns that differ within a mailing; where all others are equal, they are read once."""
COLUMNS = (
    *_OWN,
    "author_id",
    "company_id",
    "res_model",
    "email_from",
    "email_cc",
    "reply_to",
    "subject",
    "body",
    "text",
    "headers",
    "in_reply_to",
    "thread_references",
    "date_at",
    "presentation",
    "channel",
    "individual",
    "unsubscribe_list",
    "track",
    "importance",
    "calendar",
    "has_field_tokens",
    "server",
)

_decode = JSONDecoder().raw_decode
"""What `json.loads` does takes three times as long around it."""
_JSON_COLUMNS = ("email_cc", "headers", "presentation")


def _read_json(text: str) -> Any:
    """Most are empty, or a list of one address."""
    if text == "[]":
        return []
    return {} if text == "{}" else _decode(text)[0]


async def load_outgoing(ids: Sequence[int]) -> dict[int, Outgoing]:
    """Return the mails of messages, by id, in two queries."""
    database = runtime().database
    dialect = database.dialect
    params = [dialect.ids(ids)]
    _, rows = await database.client.execute_query(
        f"""SELECT {", ".join(COLUMNS)}, COALESCE(expires_at <= {dialect.now()}, FALSE)
            FROM message WHERE {dialect.among("id", dialect.param(1))}""",
        params,
    )
    links = await database.fetch(
        f"""SELECT message_id, attachment_id FROM message_attachment
            WHERE {dialect.among("message_id", dialect.param(1))} ORDER BY attachment_id""",
        params,
    )
    files: dict[int, tuple[int, ...]] = {}
    for link in links:
        files[link["message_id"]] = *files.get(link["message_id"], ()), link["attachment_id"]
    names = (*COLUMNS[len(_OWN) :], "is_expired")
    loaded: dict[int, Outgoing] = {}
    before: Any = None
    for row in rows:
        # What a mailing shares lies side by side. Of rows by name, SQLite's are looked up column by column.
        values = row[len(_OWN) :]
        if values != before:
            before, common = values, Common(dict(zip(names, values, strict=True)))
        loaded[row[0]] = Outgoing(common, row[: len(_OWN)], files.get(row[0], ()))
    return loaded


class Common:
    """What messages that were queued together have in common: read and composed once."""

    def __init__(self, row: dict[str, Any]):
        self.row = row
        """Times and JSON may be as they are stored; `is_expired` says that the message's time is over."""
        self.is_tracked = bool(row["track"] and settings().TRACKING and settings().BASE_URL)
        self.is_personal = bool(row["individual"] or row["unsubscribe_list"] or self.is_tracked)
        self._is_read = False
        self._email: OutgoingEmail | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The row as plain values; read late, since many rows wait in memory."""
        if not self._is_read:
            read = {name: _read_json(self.row[name]) for name in _JSON_COLUMNS}
            read["date_at"] = runtime().database.dialect.read_time(self.row["date_at"])
            self.row |= read
            self._is_read = True
        return self.row

    def with_texts(self, texts: Mapping[str, Any]) -> Common:
        """Return what one message alone is made of once its texts are others."""
        changed = copy(self)
        changed.row, changed._email = {**self.row, **texts}, None
        return changed

    def email(self, message: Mapping[str, Any]) -> OutgoingEmail:
        """Return the mail of one of the messages, which has no files."""
        if self._email is None:
            self._email = _composed(message, ())
            return self._email
        sender, _, subject, _, *rest = self._email
        to = tuple(map(parse_address, message["email_to"]))
        return OutgoingEmail._make((sender, to, subject, message["message_id"], *rest))


class Outgoing:
    """The mail of one message: made once, and copied where each recipient gets one of its own."""

    def __init__(self, common: Common, own: Sequence[Any], attachment_ids: tuple[int, ...] = ()):
        self.row = common.row
        self.is_tracked = common.is_tracked
        self.is_personal = common.is_personal
        """Whether the copies differ: no two recipients can then share a transaction with a server."""
        self._common = common
        self._own = own
        self._attachment_ids = attachment_ids
        self._message: dict[str, Any] | None = None
        self._email: OutgoingEmail | None = None

    @property
    def message(self) -> Mapping[str, Any]:
        """The row as plain values, of the names in COLUMNS, and `attachment_ids`."""
        if self._message is None:
            key, res_id, to, message_id = self._own
            own = {"id": key, "res_id": res_id, "email_to": _read_json(to), "message_id": message_id}
            own["attachment_ids"] = self._attachment_ids
            self._message = self._common.values | own
        return self._message

    async def fix(self) -> None:
        """Put the fields' present values in the place of their tokens, for this try and all that follow."""
        self._common = self._common.with_texts(await get_model("Message").fix_field_tokens(self._own[0]))
        self.row, self._message = self._common.row, None

    async def email(self) -> OutgoingEmail:
        """Return the mail as a value, its attachments loaded, as the addons' filters left it.

        Before its first try, its field tokens stand for what the fields say now.
        """
        if self._email is None:
            message = self.message
            has_files = message["attachment_ids"] or message["presentation"].get("files")
            is_alike = not (has_files or message["has_field_tokens"])
            if message["has_field_tokens"]:
                message = {**message, **await get_model("Message").filled_texts(message["id"])}
            files = await _files(message) if has_files else ()
            email = self._common.email(message) if is_alike else _composed(message, files)
            is_filtered = runtime().hooks.users_of("filter_outgoing_email")
            self._email = await _filtered(email, message) if is_filtered else email
        return self._email

    async def copy(self, recipient: str, delivery_id: int) -> OutgoingEmail:
        """Return the mail as this recipient gets it, but for what is counted; the same on every try."""
        email = self._email or await self.email()
        changes: dict[str, Any] = {}
        if self.message["individual"]:
            changes["to"] = tuple(one for one in email.to if one.address == recipient) or (Mailbox("", recipient),)
        if self.message["unsubscribe_list"]:
            changes |= _with_way_out(email, self.message, recipient, delivery_id)
        return email._replace(**changes) if changes else email

    def tracked(self, html: str | None, delivery_id: int) -> Woven | None:
        """Return the HTML of a copy with what is counted in it; None where nothing is."""
        if html is None or not self.is_tracked:
            return None
        values = settings()
        has_png = "png_pixel" in self.message["presentation"]
        return tracker(values.BASE_URL, values.secret_keys).woven(html, delivery_id, png=has_png)


def _composed(message: Mapping[str, Any], files: Sequence[File]) -> OutgoingEmail:
    presentation = message["presentation"]
    return OutgoingEmail(
        sender=parse_address(message["email_from"]),
        real_sender=parse_address(presentation["sender"]) if "sender" in presentation else None,
        to=tuple(map(parse_address, message["email_to"])),
        cc=tuple(map(parse_address, message["email_cc"])),
        reply_to=parse_address(message["reply_to"]) if message["reply_to"] else None,
        subject=message["subject"],
        html=branded(message["body"], presentation) if message["body"] else None,
        text=None if message["text"] is None else branded_text(message["text"], presentation),
        message_id=message["message_id"],
        date=message["date_at"],
        in_reply_to=message["in_reply_to"],
        references=ids_in(message["thread_references"]) if message["thread_references"] else (),
        headers=tuple(message["headers"].items()),
        attachments=tuple([file for file in files if file.content_id is None]),
        inline_files=tuple([file for file in files if file.content_id is not None]),
        calendar=calendar_of(message["calendar"]) if message["calendar"] else None,
        importance=message["importance"],
        list_id=_list_id(message["unsubscribe_list"]) if message["unsubscribe_list"] else "",
        feedback_id=presentation.get("feedback_id", ""),
        auto_submitted=presentation.get("automatic", ""),
    )


def check_composition(message: Mapping[str, Any]) -> None:
    """Raise what composing the mail would raise, files aside, while whoever queues it can still be told."""
    email = _composed({"in_reply_to": None, "thread_references": "", **message}, ())
    compose(email._replace(unsubscribe_url=_ANY_LINK) if message["unsubscribe_list"] else email)


async def _filtered(email: OutgoingEmail, message: Mapping[str, Any]) -> OutgoingEmail:
    try:
        async with asyncio.timeout(_LONGEST_FILTERING_S) as limit:
            changed: OutgoingEmail = await runtime().hooks.filter("filter_outgoing_email", email, message=message)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UserError(f"It took over {_LONGEST_FILTERING_S:g} s; see what the addons' filters wait for.") from error
    if domain_of(changed.sender.address) != domain_of(email.sender.address):
        raise UserError(
            f"An addon changed From to {changed.sender.address}; server and signature were chosen for the domain of "
            f"{email.sender.address}. Queue the mail with that sender instead."
        )
    return changed._replace(message_id=email.message_id, date=email.date)


def _list_id(name: str) -> str:
    """Return the list's name as one of ours (RFC 2919): letters, digits and hyphens, under MAIL_DOMAIN."""
    label = "-".join(_NO_LABEL.sub(" ", name.casefold()).split()) or "list"
    return f"{label[:60]}.{settings().MAIL_DOMAIN}"


def _with_way_out(email: OutgoingEmail, message: Mapping[str, Any], recipient: str, delivery_id: int) -> dict[str, Any]:
    """Return what tells a recipient how to leave the list: headers, and the address where the body asks for it."""
    values = settings()
    changes: dict[str, Any] = {}
    url = ""
    if values.BASE_URL:
        url = unsubscribe_url(values.BASE_URL, values.secret_keys, recipient, message["unsubscribe_list"])
        changes["unsubscribe_url"] = url
    if values.MAIL_DOMAIN != "localhost":
        way = unsubscribe_address(values.secret_keys, values.MAIL_DOMAIN, message["id"], delivery_id)
        changes["unsubscribe_mailto"] = way
    for name in ("html", "text"):
        body = getattr(email, name)
        if body and UNSUBSCRIBE_MARK in body:
            changes[name] = body.replace(UNSUBSCRIBE_MARK, escape(url) if name == "html" else url)
    return changes


async def mail_bytes(outgoing: Outgoing, recipient: str = "", delivery_id: int = 0, tracks: bool = False) -> bytes:
    """Return the exact bytes that a server is given for a recipient; without one, those that no copy differs from."""
    email = await outgoing.copy(recipient, delivery_id) if recipient else await outgoing.email()
    woven = outgoing.tracked(email.html, delivery_id) if recipient and tracks else None
    files = email.attachments + email.inline_files
    if files and sum([len(file.content) for file in files]) > LARGE_BYTES:
        return await asyncio.to_thread(compose, email, woven)
    return compose(email, woven)


def envelope_sender(message: Mapping[str, Any], delivery_id: int | None) -> str:
    """Return the address that bounces go to: ours, signed, where MAIL_DOMAIN is set up, else From.

    An automatic reply has none (RFC 3834 section 3.3). `delivery_id` is None where recipients share the mail.
    """
    if message["presentation"].get("automatic") == "auto-replied":
        return ""
    values = settings()
    if values.MAIL_DOMAIN != "localhost":
        return return_path(values.secret_keys, values.BOUNCE_ALIAS, values.MAIL_DOMAIN, message["id"], delivery_id)
    return envelope_address(parse_address(message["email_from"]).address)


async def _files(message: Mapping[str, Any]) -> list[File]:
    """Return the files that the message was queued with, all of them or an error: a mail never goes without one."""
    ids, queued = message["attachment_ids"], message["presentation"].get("files", [])
    records = await get_model("Attachment").filter(id__in=list(ids)).order_by("id")
    if queued != sorted(record.sha256 for record in records):
        raise UserError(
            f"The mail was queued with {len(queued)} attachments, and not all of them are there as they were; "
            "attach them again and send it as a new mail."
        )
    return [File(one.name, one.content_type, bytes(one.content), one.content_id) for one in records]
