"""What the rules may ask about: aliases, messages that a mail may answer, copies, senders and how often they write.

Loaded by a few queries for a whole batch. It only reads; what the batch itself adds is told to it by `learn_*`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from itertools import chain
from typing import Any

from core import clock
from core.errors import UnknownName
from core.gateway.spool import AGAIN, OPEN
from core.gateway.values import KnownMessage, Received, Route
from core.mail.address import domain_of, normalised
from core.mail.return_path import Origin, read_return_tag
from core.mail.thread import REPLY_ALIAS, alias_of, tokens_in
from core.mail.unsubscribe import ALIAS, read_unsubscribe_tag
from core.runtime import get_model, runtime, settings

CATCH_ALL = "*"
BY_HAND = ("load:", AGAIN)
"""How the sources of mails begin that a person brought in."""
_LATELY = timedelta(hours=2)
_MOST_REFERENCES = 50
_COLUMNS = ("id", "message_id", "tracking_identifier", "res_model", "res_id", "kind", "direction", "company_id")


@dataclass(frozen=True, slots=True)
class Copy:
    """A row of the spool that was dealt with, and what it led to."""

    spool_id: int
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """A contact that mail came from; `user_id` is who logs in as it."""

    contact_id: int
    active: bool = True
    user_id: int | None = None
    company_id: int | None = None

    @property
    def is_user(self) -> bool:
        return self.user_id is not None


class Lookup:
    """The database as one batch of mails needs to see it."""

    def __init__(self, routes: Sequence[Route], mailboxes: Iterable[str] = (), only_company: int | None = None):
        self.routes = tuple(routes)
        self.mailboxes = frozenset(mailboxes)
        """The addresses of the mailboxes that are fetched, which stand in Delivered-To whatever a mail is about."""
        self._only_company = only_company
        values = settings()
        self.own_domain = domain_of(f"@{values.MAIL_DOMAIN}")
        self.catchall_alias = values.CATCHALL_ALIAS.lower()
        self.bounce_alias = values.BOUNCE_ALIAS.lower()
        self._by_alias: dict[tuple[str, str], Route] = {}
        for route in self.routes:
            self._by_alias.setdefault((route.address, route.domain), route)
        self._by_id: dict[str, KnownMessage] = {}
        self._by_token: dict[str, KnownMessage] = {}
        self._by_row_id: dict[int, KnownMessage] = {}
        self._copies: dict[str, Copy] = {}
        self._senders: dict[str, list[Sender]] = defaultdict(list)
        self._lately: dict[tuple[str, str], int] = defaultdict(int)
        self._own: dict[str, bool] = {}
        """Of the addresses asked about, those that are ours: the mails of a batch come to the same few."""
        self._tokens: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._tags: dict[str, tuple[str, str] | None] = {}
        """What stands in recipients asked about, for the same reason: the reply tokens, and the alias with its tag."""

    @property
    def domains(self) -> frozenset[str]:
        """The domains that our aliases are at, in IDNA form."""
        return frozenset({self.own_domain, *(route.domain for route in self.routes)})

    async def prepare(self, mails: Iterable[Received]) -> None:
        """Load what is to be known for deciding about these mails."""
        mails = list(mails)
        await self._load_messages(mails)
        await self._load_copies(mails)
        await self._load_senders({mail.sender for mail in mails} - {""})
        await self._load_lately([mail for mail in mails if counts(mail)])

    def reply_tokens(self, email: Received) -> tuple[str, ...]:
        """Return the tokens of reply addresses among the recipients."""
        addresses = email.recipients
        if addresses not in self._tokens:
            found = [tokens_in(addresses, alias, self.own_domain) for alias in (self.catchall_alias, REPLY_ALIAS)]
            self._tokens[addresses] = tuple(dict.fromkeys(chain(*found)))
        return self._tokens[addresses]

    def bounce_tokens(self, email: Received) -> tuple[str, ...]:
        """Return the tokens of envelope senders of ours among the recipients."""
        return tokens_in(email.recipients, self.bounce_alias, self.own_domain)

    def origins(self, email: Received) -> tuple[Origin, ...]:
        """Return what the signed return paths that the mail came to say, each a proof that it was ours.

        One that a report gives back with the mail proves the same.
        """
        tags = [
            tag
            for local, tag in self._own_tags((*email.recipients, *email.told_addresses))
            if local == self.bounce_alias
        ]
        return tuple(origin for tag in tags if (origin := read_return_tag(settings().secret_keys, tag)))

    def left_lists(self, email: Received) -> tuple[Origin, ...]:
        """Return what the signed addresses to unsubscribe at say that a report gives back: good for leaving a list."""
        tags = (tag for local, tag in self._own_tags(email.told_addresses) if local == ALIAS)
        return tuple(Origin(*ids) for tag in tags if (ids := read_unsubscribe_tag(settings().secret_keys, tag)))

    def unsubscriptions(self, email: Received) -> tuple[tuple[int, int], ...]:
        """Return (message id, delivery id) of the signed addresses to unsubscribe at among the recipients."""
        tags = (tag for local, tag in self._own_tags(email.recipients) if local == ALIAS)
        return tuple(ids for tag in tags if (ids := read_unsubscribe_tag(settings().secret_keys, tag)))

    def _own_tags(self, addresses: Iterable[str]) -> list[tuple[str, str]]:
        return [tag for one in addresses if (tag := self._own_tag(one))]

    def _own_tag(self, address: str) -> tuple[str, str] | None:
        """Return alias and tag of an address at our domain."""
        if address not in self._tags:
            self._tags[address] = alias_of(address) if domain_of(address) == self.own_domain else None
        return self._tags[address]

    def by_row_id(self, message_id: int) -> KnownMessage | None:
        """Return the outbound message with the id that a signed return path names."""
        return self._by_row_id.get(message_id)

    def by_token(self, tokens: Iterable[str]) -> KnownMessage | None:
        """Return the message of the first token that was given out."""
        return next((self._by_token[token] for token in tokens if token in self._by_token), None)

    def by_message_id(self, message_ids: Iterable[str]) -> KnownMessage | None:
        """Return the first of these Message-IDs that is known."""
        return next((self._by_id[one] for one in message_ids if one in self._by_id), None)

    def knows_note(self, message_ids: Iterable[str]) -> bool:
        """Whether one of these Message-IDs is that of an internal note."""
        return any(self._by_id[one].kind == "note" for one in message_ids if one in self._by_id)

    def earlier_copy(self, email: Received) -> Copy | None:
        """Return another row of the spool with the same mail, dealt with already."""
        copy = self._copies.get(email.fingerprint)
        return None if copy is None or copy.spool_id == email.spool_id else copy

    def times_lately(self, email: Received) -> tuple[str, int]:
        """Return by which of its doors the sender got through most often within an hour, and how often."""
        by = [(door, self._lately[email.sender, door]) for door in self.doors(email)]
        return max(by, key=lambda pair: pair[1], default=("", 0))

    def doors(self, email: Received) -> tuple[str, ...]:
        """Return the entrances without their tags; where there is none, the catch-all that the mail came by."""
        plain = (f"{alias_of(one)[0]}@{domain_of(one)}" for one in self.entrances(email))
        caught = (route.alias for one in email.recipients if (route := self.catch_all_of(one)))
        return tuple(dict.fromkeys(plain)) or tuple(dict.fromkeys(caught))

    def sender(self, address: str, company_id: int | None = None) -> Sender | None:
        """Return the contact with this normalised address: an active one, a user's, the company's, the oldest first."""
        found = self._senders.get(address, ())
        return min(found, key=lambda one: (not one.active, not one.is_user, one.company_id != company_id), default=None)

    def route_of(self, address: str) -> Route | None:
        """Return the route whose alias this address is, with the tag that the address has after a `+`."""
        alias, tag = alias_of(address)
        route = self._by_alias.get((alias, domain_of(address)))
        return replace(route, tag=tag) if route is not None and tag else route

    def entrances(self, email: Received) -> tuple[str, ...]:
        """Return the addresses of ours that the mail came by, as they are written, the most telling first.

        Of a mailbox that is fetched, and is an alias too, only where the mail was written to it, or names no other.
        """
        ours = [address for address in email.recipients if self.is_own(address)]
        if not any(normalised(one) in self.mailboxes for one in ours):
            return tuple(ours)
        written = {normalised(mailbox.address) for mailbox in (*email.parsed.to, *email.parsed.cc)}
        meant = [one for one in ours if normalised(one) in written or normalised(one) not in self.mailboxes]
        return tuple(meant or ours)

    @cached_property
    def aliases(self) -> frozenset[str]:
        """The addresses that this system itself receives at, without tags."""
        own = (f"{alias}@{self.own_domain}" for alias in (self.catchall_alias, self.bounce_alias, ALIAS))
        return frozenset((*own, *(route.alias for route in self.routes)))

    def is_system(self, address: str) -> bool:
        """Whether it is a reply or bounce address, from which nobody writes."""
        if domain_of(address) != self.own_domain:
            return False
        is_alias = alias_of(address)[0] in (self.catchall_alias, self.bounce_alias)
        return is_alias or bool(tokens_in([address], REPLY_ALIAS, self.own_domain))

    def owns_domain_of(self, address: str) -> bool:
        """Whether the address is at a domain of ours, be there such an address or not."""
        return domain_of(address) in self.domains

    def company_of(self, email: Received) -> int | None:
        """Return the company that the domain it was written to belongs to, as all routes there are that company's; or
        the only one that there is.
        """
        domain = next((domain_of(one) for one in email.recipients if self.owns_domain_of(one)), None)
        companies = {route.company_id for route in self.routes if route.domain == domain}
        return companies.pop() if len(companies) == 1 and None not in companies else self._only_company

    def catch_all_of(self, address: str) -> Route | None:
        """Return the catch-all route of the address's domain; the system's own aliases have none."""
        if self.is_own(address) and not self.route_of(address):
            return None
        return self._by_alias.get((CATCH_ALL, domain_of(address)))

    def is_own(self, address: str) -> bool:
        """Whether the address is one that this system itself receives at: an alias, a reply or a bounce address."""
        is_own = self._own.get(address)
        if is_own is None:
            is_own = self._own[address] = self.is_system(address) or self.route_of(address) is not None
        return is_own

    def learn_message(self, message: KnownMessage) -> None:
        """Take note of a message that this batch just wrote."""
        if message.message_id:
            self._by_id.setdefault(message.message_id, message)

    def learn_copy(self, email: Received, record: str | None = None) -> None:
        """Take note of a mail that this batch just dealt with, and of what it led to."""
        self._copies.setdefault(email.fingerprint, Copy(email.spool_id, record))
        if record is not None and counts(email):
            for door in self.doors(email)[:1]:
                self._lately[email.sender, door] += 1

    def learn_sender(self, address: str, contact_id: int) -> Sender:
        """Take note of a contact that this batch just created."""
        self._senders[address].append(Sender(contact_id))
        return self._senders[address][-1]

    async def follows(self, contact_id: int, model: str) -> bool:
        """Whether the contact follows any record of the model."""
        follower = get_model("Follower")
        return bool(await follower.filter(contact_id=contact_id, res_model=model).exists())

    async def _load_messages(self, mails: list[Received]) -> None:
        ids = {one for mail in mails for one in message_ids_of(mail)}
        tokens = {token for mail in mails for token in (*self.reply_tokens(mail), *self.bounce_tokens(mail))}
        message = get_model("Message")
        rows: list[dict[str, Any]] = []
        if ids:
            rows += await message.filter(message_id__in=list(ids)).values(*_COLUMNS)
        if tokens:
            rows += await message.filter(tracking_identifier__in=list(tokens)).values(*_COLUMNS)
        if row_ids := {one.message_id for mail in mails for one in (*self.origins(mail), *self.left_lists(mail))}:
            rows += await message.filter(id__in=list(row_ids), direction="Outbound").values(*_COLUMNS)
        known = await _with_records([_known(row) for row in rows])
        # Ours before a stranger's who took its Message-ID, then the oldest.
        for one in sorted(known, key=lambda known: (known.direction != "Outbound", known.id)):
            if one.message_id:
                self._by_id.setdefault(one.message_id, one)
            if one.token:
                self._by_token.setdefault(one.token, one)
            if one.direction == "Outbound":
                self._by_row_id.setdefault(one.id, one)

    async def _load_copies(self, mails: list[Received]) -> None:
        database = runtime().database
        dialect = database.dialect
        rows = await database.fetch(
            f"""SELECT fingerprint, id, res_model, res_id FROM inbound_email
                WHERE {dialect.among_texts("fingerprint", dialect.param(1))}""",
            [dialect.texts(sorted({mail.fingerprint for mail in mails}))],
        )
        for row in rows:
            record = f"{row['res_model']}:{row['res_id']}" if row["res_model"] else None
            self._copies[row["fingerprint"]] = Copy(row["id"], record)

    async def _load_lately(self, mails: list[Received]) -> None:
        """Count what led to something within an hour, by sender and address of ours."""
        senders = sorted({mail.sender for mail in mails})
        if not senders or not settings().LOOP_MAILS_PER_HOUR:
            return
        database = runtime().database
        dialect = database.dialect
        rows = await database.fetch(
            f"""SELECT sender, recipient, COUNT(*) AS times FROM inbound_email
                WHERE {dialect.among_texts("sender", dialect.param(1))} AND received_at > {dialect.now(-3600)}
                  AND state = 'processed' AND recipient <> ''
                  AND source NOT LIKE '{BY_HAND[0]}%' AND source NOT LIKE '{OPEN}{BY_HAND[0]}%'
                  AND source NOT LIKE '%{BY_HAND[1]}%'
                GROUP BY sender, recipient""",
            [dialect.texts(senders)],
        )
        for row in rows:
            self._lately[row["sender"], row["recipient"]] += row["times"]

    async def _load_senders(self, addresses: set[str]) -> None:
        """Load the contacts of each address, the oldest first."""
        if not addresses:
            return
        rows = await _contacts("email", addresses)
        if missing := addresses - {row["email"] for row in rows}:
            rows += await _contacts("lower(email)", missing)
        if not rows:
            return
        user = get_model("User").filter(active=True, contact_id__in=[row["id"] for row in rows])
        users = dict(await user.order_by("-id").values_list("contact_id", "id"))
        for row in sorted(rows, key=lambda row: row["id"]):
            sender = Sender(row["id"], bool(row["active"]), users.get(row["id"]), row["company_id"])
            self._senders[normalised(row["email"])].append(sender)


async def open_lookup() -> Lookup:
    """Return a lookup that knows the routes and mailboxes, and nothing of any mail yet."""
    own = domain_of(f"@{settings().MAIL_DOMAIN}")
    rows = await get_model("EmailRoute").filter(active=True).order_by("id")
    companies: list[Any] = await get_model("Company").filter(active=True).limit(2).values_list("id", flat=True)
    logins = await get_model("IncomingMailServer").filter(active=True).values_list("username", flat=True)
    return Lookup(
        [
            Route(
                id=row.id,
                address=row.address.strip().lower(),
                domain=domain_of(f"@{row.domain}") if row.domain else own,
                target_model=row.target_model,
                target_name_field=row.target_name_field,
                defaults=row.defaults or {},
                sender_policy=row.sender_policy,
                company_id=row.company_id,
                acknowledgement_id=row.acknowledgement_id,
            )
            for row in rows
        ],
        mailboxes=[normalised(str(login)) for login in logins],
        only_company=companies[0] if len(companies) == 1 else None,
    )


def counts(email: Received) -> bool:
    """Whether a mail counts for how often its sender writes: what was written just now, and did not come by hand.

    What goes round in a circle is written by programs, and those date their mails (RFC 5322, section 3.6.1).
    """
    return bool(email.sender and email.parsed.date_at) and not is_old(email) and not is_by_hand(email)


def is_old(email: Received) -> bool:
    """Whether a mail was written a while ago, and is fetched only now."""
    written_at = email.parsed.date_at
    return written_at is not None and written_at < clock.now() - _LATELY


def is_by_hand(email: Received) -> bool:
    """Whether a person brought the mail in, rather than the network; in a dry run it is as if it came."""
    return email.spool_id > 0 and email.source.removeprefix(OPEN).startswith(BY_HAND)


def message_ids_of(email: Received) -> tuple[str, ...]:
    """Return the Message-IDs that a mail refers to, the likeliest first."""
    nearest_first = tuple(reversed(email.parsed.references))[:_MOST_REFERENCES]
    return tuple(dict.fromkeys((*email.told_ids, *email.parsed.in_reply_to[:_MOST_REFERENCES], *nearest_first)))


def _known(row: dict[str, Any]) -> KnownMessage:
    return KnownMessage(
        id=row["id"],
        message_id=row["message_id"],
        token=row["tracking_identifier"],
        res_model=row["res_model"],
        res_id=row["res_id"],
        kind=row["kind"],
        direction=row["direction"],
        company_id=row["company_id"],
    )


async def _with_records(messages: list[KnownMessage]) -> list[KnownMessage]:
    """Find out which of the messages still have their record."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for one in messages:
        if one.res_model and one.res_id:
            wanted[one.res_model].add(one.res_id)
    alive: dict[str, set[int]] = {}
    for name, ids in wanted.items():
        try:
            rows = get_model(name).filter(id__in=list(ids))
        except UnknownName:
            continue
        alive[name] = set(await rows.values_list("id", flat=True))
    return [one if one.res_model is None or one.res_id in alive.get(one.res_model, ())
            else replace(one, has_record=False) for one in messages]  # fmt: skip


async def _contacts(written: str, addresses: set[str]) -> list[dict[str, Any]]:
    """Return the contacts whose address, by an expression for how it is written, is one of these."""
    database = runtime().database
    dialect = database.dialect
    return await database.fetch(
        f"SELECT id, email, active, company_id FROM contact WHERE {dialect.among_texts(written, dialect.param(1))}",
        [dialect.texts(sorted(addresses))],
    )
