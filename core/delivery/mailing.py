"""What the mails of one call have in common: everything but recipients and texts, checked and worked out once.

A mailing is known by the very objects that its requests name, so mails of other options are of another mailing. The
author's contact and company and the servers are read, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from itertools import count
from operator import attrgetter, is_
from secrets import token_hex
from typing import Any

from core import clock
from core.delivery.outgoing import check_composition
from core.delivery.policy import retry_schedule
from core.delivery.request import OF_EACH_MAIL, QueueRequest, domain_of_sender
from core.delivery.servers import Servers, load_servers
from core.errors import UserError
from core.mail.address import header_text, parse_address
from core.mail.guard import LOOP_HEADER, loop_tag
from core.mail.invite import Invite, calendar_of, invitation
from core.mail.thread import message_id
from core.mail.values import Mailbox
from core.mail.words import clean_text
from core.orm.insert import blank_row
from core.runtime import get_model, runtime, settings

_of_mailing = attrgetter(*(one.name for one in fields(QueueRequest) if one.name not in OF_EACH_MAIL))
_ANY_MAIL = {"subject": "x", "body": "<p>x</p>", "text": "x"}


@dataclass(frozen=True, slots=True)
class Mailing:
    """What requests share. `values` are of a message, by the attributes of its columns, and `row` is all of a new one.

    `job` is what each delivery has: priority, due at or None, and the wait in seconds.
    """

    asked: tuple[Any, ...]
    """What the requests name for it; these objects must stay, since the mailing is known by them."""
    values: Mapping[str, Any]
    row: Mapping[str, Any]
    job: tuple[int, Any, float]
    message_id_end: str
    is_untracked: bool
    """Whether the company wants nothing counted."""


class Mailings:
    """The mailings of one call, and what they share in turn: authors' contacts and companies, and the servers."""

    def __init__(self) -> None:
        self.queued_at = clock.now()
        self._made: dict[tuple[int, ...], Mailing] = {}
        self._last: Mailing | None = None
        self._users: dict[int, Any] = {}
        self._senders: dict[tuple[int | None, int | None, int | None], _Sender] = {}
        self._servers: Servers | None = None
        # In the order of time, new ones stand side by side in the database's index.
        self._numbers = count(int(self.queued_at.timestamp() * 1e6))

    async def of(self, request: QueueRequest) -> Mailing:
        """Return the request's mailing; a new one is checked: UserError or AddressError for what may not go."""
        asked = _of_mailing(request)
        # Most are of the same mailing as the one before.
        if self._last is None or not all(map(is_, asked, self._last.asked)):
            key = tuple(map(id, asked))
            if key not in self._made:
                self._made[key] = await self._checked(request)
            self._last = self._made[key]
        return self._last

    def message_id(self, mailing: Mailing) -> str:
        """Return a new Message-ID, with its angle brackets, that nobody can guess."""
        return f"<{next(self._numbers):x}.{token_hex(12)}{mailing.message_id_end}"

    async def _checked(self, request: QueueRequest) -> Mailing:
        request.check()
        author = await self._author(request.author)
        known = await self._sender(author)
        sender = _from(request, author, known)
        company = request.company or known.company
        values = _values(request, author, sender, company, self.queued_at.replace(microsecond=0))
        values["presentation"] = _presentation(request, company, known.signature or getattr(author, "signature", ""))
        if known.has_allow_lists or request.server is not None:
            for one in (sender, parse_address(request.sender)) if request.sender else (sender,):
                await self._require_sender(values["author_id"], values["company_id"], one.address, request.server)
        row = {**blank_row(get_model("Message")), "kind": "message", "channel": "email", **values}
        any_id = message_id("x", domain_of_sender(sender))
        if request.is_unusual:
            check_composition({**row, **_ANY_MAIL, "message_id": any_id})
        due_at = runtime().database.dialect.time(request.scheduled_at) if request.scheduled_at else None
        return Mailing(
            asked=_of_mailing(request),
            values=values,
            row=row,
            job=(request.lane, due_at, float(request.undo_s)),
            message_id_end=any_id.removeprefix("<x"),
            is_untracked=company is not None and company.no_tracking,
        )

    async def _author(self, author: Any) -> Any:
        """Return the User that a Contact stands for, whose servers and signature are then used; others as they are."""
        if author is None or _is_user(author) or author.pk is None:
            return author
        if author.pk not in self._users:
            users = get_model("User").filter(contact_id=author.pk, active=True)
            self._users[author.pk] = await users.order_by("id").first()
        return self._users[author.pk] or author

    async def _sender(self, author: Any) -> _Sender:
        """Return what is known of a User; an author may be a Contact itself, or nobody. One query for each author."""
        user_id = author.pk if _is_user(author) else None
        key = getattr(author, "company_id", None), getattr(author, "contact_id", None), user_id
        if key not in self._senders:
            self._senders[key] = await _read_sender(*key)
        return self._senders[key]

    async def _require_sender(
        self, author_id: int | None, company_id: int | None, address: str, named: str | None
    ) -> None:
        """Refuse a From address that the servers' allow-lists leave to nobody, or not to the named one: UserError."""
        if self._servers is None:
            self._servers = await load_servers()
        self._servers.require_sender(author_id, company_id, address, named)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whoever a mail is from: the address that goes into From, and the company whose frame is around it."""

    name: str
    address: str
    company: _Company | None
    has_allow_lists: bool
    """Whether any server is only for some From domains: where none is, nothing else need be read."""
    signature: str
    """The HTML of the user's default EmailSignature; empty where there is none."""


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


async def _read_sender(company_id: int | None, contact_id: int | None, user_id: int | None) -> _Sender:
    """Read the author's contact and company, or the only company that there is."""
    database = runtime().database
    param = database.dialect.param
    rows = await database.fetch(
        f"""SELECT company.id AS pk, company.name, company.color, company.address, company.website, company.footer,
                   company.no_tracking, contact.name AS sender_name, contact.email AS sender_address,
                   EXISTS (SELECT 1 FROM outgoing_mail_server
                           WHERE active AND CAST(from_domains AS TEXT) <> '[]') AS has_allow_lists,
                   (SELECT html FROM email_signature
                    WHERE user_id = {param(4)} AND is_default ORDER BY id LIMIT 1) AS signature
            FROM (SELECT 1 AS one) AS anyone
            LEFT JOIN contact ON contact.id = {param(1)}
            LEFT JOIN company ON company.id = {param(2)} OR ({param(3)} AND company.active)
            LIMIT 2""",
        [contact_id, company_id, company_id is None, user_id],
    )
    row = rows[0]
    is_clear = row["pk"] is not None and len(rows) == 1
    company = _Company(*(row[field.name] for field in fields(_Company))) if is_clear else None
    return _Sender(
        name=row["sender_name"] or "",
        address=row["sender_address"] or "",
        company=company,
        has_allow_lists=bool(row["has_allow_lists"]),
        signature=row["signature"] or "",
    )


def _is_user(author: Any) -> bool:
    return hasattr(author, "contact_id")


def _from(request: QueueRequest, author: Any, known: _Sender) -> Mailbox:
    """Return the From address: the one asked for, the author's contact's, his login, or the configured one."""
    if request.from_email:
        return parse_address(request.from_email)
    values = settings()
    is_contact = author is not None and not _is_user(author)
    address = (author.email if is_contact else known.address) or getattr(author, "login", "")
    if "@" in address:
        return Mailbox((author.name if is_contact else known.name) or author.name, parse_address(address).address)
    if values.SMTP_FROM_EMAIL:
        return Mailbox(values.SMTP_FROM_NAME, parse_address(values.SMTP_FROM_EMAIL).address)
    raise UserError("The mail has no sender: give the author's contact an e-mail address, or set SMTP_FROM_EMAIL.")


def _values(request: QueueRequest, author: Any, sender: Mailbox, company: Any, queued_at: datetime) -> dict[str, Any]:
    """Return what the messages say of their sending, by the attributes of their columns."""
    return {
        "direction": "Outbound",
        "author_id": author.pk if _is_user(author) else None,
        "author_contact_id": author.pk if author is not None and not _is_user(author) else None,
        "company_id": company.pk if company is not None else None,
        "email_from": format_header(sender),
        "reply_to": format_header(parse_address(request.reply_to)) if request.reply_to else "",
        "headers": {LOOP_HEADER: own_tag(), **request.headers},
        "date_at": queued_at,
        "send_state": "Queued",
        "scheduled_at": request.scheduled_at,
        "expires_at": request.expires_at,
        "max_retries": retry_schedule(request.lane).max_retries,
        "priority": request.lane,
        "importance": request.importance,
        "individual": request.individual,
        "unsubscribe_list": request.unsubscribe_list,
        "calendar": _calendar(request, queued_at),
        "on_unknown": request.on_unknown,
        "server": request.server,
        "template": request.template,
        "use_company_branding": request.use_company_branding,
        "include_signature": request.include_signature,
        "has_field_tokens": request.has_field_tokens,
    }


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


def _presentation(request: QueueRequest, company: Any, own_signature: str) -> dict[str, Any]:
    """Return what the mails look like beside their text; a key that would say nothing is left out."""
    presentation: dict[str, Any] = {}
    signature = own_signature if request.signature is None else request.signature
    if request.include_signature and signature:
        presentation["signature"] = signature
    if request.png_pixel:
        presentation["png_pixel"] = True
    if request.use_company_branding and company is not None:
        shown = ("name", "color", "address", "website", "footer")
        presentation["branding"] = {key: getattr(company, key) for key in shown}
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


def format_header(mailbox: Mailbox) -> str:
    """Return `Name <address>` as people read it; composition encodes what a header needs."""
    if not mailbox.name:
        return mailbox.address
    name = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{mailbox.address}>'
