"""The spool: raw mails are committed here before anybody is told that we have them (DELIVERY C8, C9).

Knows leases and tries, nothing of what is in a mail. A row is claimed by compare-and-set on the database's clock; its
try is committed with the claim, so that a mail that ends the process counts as well as one that raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import takewhile
from typing import Any
from uuid import uuid4

from tortoise.exceptions import IntegrityError

from core.events import announce
from core.gateway.large_mail import goes_in_pieces, read_in_pieces, write_in_pieces
from core.gateway.values import Account, Outcome, Received
from core.orm.feed import Change
from core.orm.insert import insert_many, new_record
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

BATCH_COUNT = 100
BATCH_BYTES = 8 * 1024 * 1024
OPEN = "open:"
"""How the sources of mails begin that anybody may bring: what they say of themselves is believed in nothing."""
_SOURCE_CHARS = 255
_LARGE_BYTES = 1024 * 1024
_CRASHED = "Reading it ended the process each time; nothing of it was done."

AGAIN = "replay:"
"""How the source of a mail begins that a person had dealt with once more."""
STATES = {
    Outcome.QUARANTINED: "quarantined",
    Outcome.UNSUBSCRIBED: "processed",
}
"""The spool state of the outcomes; of the others, those that led to an entry are `processed`, the rest `ignored`."""
_SETTLED = "'unmatched', 'ignored', 'quarantined', 'discarded'"
"""The states of mail that led to nothing, as SQL."""


@dataclass(slots=True)
class Spooled:
    """A claimed mail; `tries` counts this one. In a dry run `id` is 0."""

    id: int
    source: str
    tries: int
    raw: bytes = field(repr=False)
    authentication: dict[str, Any] | None = None
    """What was found about its sender, where it was judged before."""

    async def load(self) -> None:
        """Fetch the bytes of a large mail, which come with no claim, and again after `let_go`."""
        self.raw = self.raw or await raw_of(self.id)

    def let_go(self) -> None:
        """Give up the bytes of a large mail that was read: its files hold them once more, and the spool keeps them."""
        if len(self.raw) > _LARGE_BYTES:
            self.raw = b""


async def store(raw: bytes, source: str) -> int | None:
    """Commit a mail and return its id, or None where that source was stored before."""
    stored = await store_many([(source, raw)])
    return next(iter(stored.values()), None)


async def store_many(mails: Sequence[tuple[str, bytes]]) -> dict[str, int]:
    """Commit some (source, raw) in one transaction; return the ids of the new ones by source."""
    if too_long := next((source for source, _ in mails if len(source) > _SOURCE_CHARS), None):
        raise ValueError(f"the source {too_long[:60]}... is longer than {_SOURCE_CHARS} characters")
    while True:
        try:
            return await _store_new(mails)
        except IntegrityError:
            # Another process stored one of them between the question and the answer: then it is known.
            continue


async def tell_states(*states: str, company_id: int | None = None) -> None:
    """Let those who watch the inbox know that mails have these states now, once that is committed."""
    await announce(Change("inbound", states, company_id=company_id))


async def _store_new(mails: Sequence[tuple[str, bytes]]) -> dict[str, int]:
    model, database = get_model("InboundEmail"), runtime().database
    dialect = database.dialect
    async with transaction():
        stored = await database.fetch(
            f"SELECT source FROM inbound_email WHERE {dialect.among_texts('source', dialect.param(1))}",
            [dialect.texts([source for source, _ in mails])],
        )
        known = {row["source"] for row in stored}
        new = {source: raw for source, raw in mails if source not in known}
        rows = [
            new_record(model, source=source, sha256=sha256(raw).hexdigest(), size_bytes=len(raw))
            for source, raw in new.items()
        ]
        await insert_many(database, rows)
        ids = {row.source: row.id for row in rows}
        contents = [[ids[source], b"" if goes_in_pieces(raw) else raw] for source, raw in new.items()]
        await database.execute_many(
            f"INSERT INTO inbound_raw (email_id, content) VALUES ({dialect.param(1)}, {dialect.param(2)})", contents
        )
        for source, raw in new.items():
            if goes_in_pieces(raw):
                await write_in_pieces("inbound_raw", "email_id", ids[source], raw)
        if new:
            await tell_states("received")
        return ids


async def raw_of(spool_id: int) -> bytes:
    """Return the bytes of one mail as they came."""
    if runtime().database.dialect.name == "postgres":
        return await read_in_pieces("inbound_raw", "email_id", spool_id)
    row = await get_model("InboundRaw").get(email_id=spool_id)
    return bytes(row.content)


async def claim(after: int, ids: Sequence[int] | None = None, *, beside: bool = False) -> tuple[str, list[Spooled]]:
    """Lease the next mails that wait, beyond the id `after`; of `ids` only, when they are given.

    A mail that was tried before comes alone, so that it can harm no other. `beside` others that are not dealt with yet
    come only those before it, and before the next large one.
    """
    database = runtime().database
    dialect = database.dialect
    only = f"AND {dialect.among('id', dialect.param(2))}" if ids is not None else ""
    rows = await database.fetch(
        f"""SELECT id, size_bytes, tries FROM inbound_email
            WHERE state = 'received' AND id > {dialect.param(1)} {only}
              AND (lease_until IS NULL OR lease_until < {dialect.now()})
            ORDER BY id LIMIT {BATCH_COUNT}""",
        [after] if ids is None else [after, dialect.ids(ids)],
    )
    if beside:
        rows = list(takewhile(lambda row: not row["tries"] and row["size_bytes"] <= _LARGE_BYTES, rows))
    token = uuid4().hex
    wanted = _first_batch([(row["id"], row["size_bytes"], row["tries"]) for row in rows])
    if not wanted:
        return token, []
    claimed = await database.fetch(
        f"""UPDATE inbound_email
            SET lease_token = {dialect.param(1)}, lease_until = {dialect.now(settings().LEASE_SECONDS)},
                tries = tries + 1
            WHERE id IN (SELECT id FROM inbound_email
                         WHERE {dialect.among("id", dialect.param(2))} AND state = 'received'
                           AND (lease_until IS NULL OR lease_until < {dialect.now()})
                         {dialect.skip_locked})
            RETURNING id, source, tries, size_bytes, authentication""",
        [token, dialect.ids(wanted)],
    )
    # A large one is loaded when it is read.
    small = [row["id"] for row in claimed if row["size_bytes"] <= _LARGE_BYTES]
    contents = await database.fetch(
        f"SELECT email_id, content FROM inbound_raw WHERE {dialect.among('email_id', dialect.param(1))}",
        [dialect.ids(small)],
    )
    raws = {row["email_id"]: row["content"] for row in contents}
    mails = [
        Spooled(
            row["id"],
            row["source"],
            row["tries"],
            bytes(raws.get(row["id"], b"")),
            json.loads(row["authentication"] or "null"),
        )
        for row in claimed
    ]
    return token, sorted(mails, key=lambda mail: mail.id)


async def unclaim(token: str) -> None:
    """Give back a claim of which no mail was decided about."""
    database = runtime().database
    await database.execute(
        f"""UPDATE inbound_email SET tries = tries - 1, lease_token = NULL, lease_until = NULL
            WHERE lease_token = {database.dialect.param(1)}""",
        [token],
    )


def _first_batch(rows: Iterable[tuple[int, int, int]]) -> list[int]:
    """Return the ids of the first rows (id, bytes, tries) that go together."""
    batch: list[int] = []
    batch_bytes = 0
    for row_id, size_bytes, tries in rows:
        batch_bytes += size_bytes
        if batch and (tries or batch_bytes > BATCH_BYTES):
            break
        batch.append(row_id)
        if tries:
            break
    return batch


async def sweep() -> int:
    """Set aside the mails whose tries are used up though none came to an end; return how many."""
    database = runtime().database
    dialect = database.dialect
    return await database.execute(
        f"""UPDATE inbound_email SET state = 'quarantined', outcome = '{Outcome.QUARANTINED}',
                   error = CASE WHEN error = '' THEN {dialect.param(2)} ELSE error END,
                   lease_token = NULL, lease_until = NULL
            WHERE state = 'received' AND tries >= {dialect.param(1)}
              AND (lease_until IS NULL OR lease_until < {dialect.now()})""",
        [settings().QUARANTINE_AFTER, _CRASHED],
    )


async def hold(token: str, ids: Sequence[int]) -> set[int]:
    """Within the running transaction, lock those of the rows that this claim still has, and return their ids."""
    database = runtime().database
    dialect = database.dialect
    lock = "FOR UPDATE" if dialect.skip_locked else ""
    rows = await database.fetch(
        f"""SELECT id FROM inbound_email
            WHERE lease_token = {dialect.param(1)} AND {dialect.among("id", dialect.param(2))} {lock}""",
        [token, dialect.ids(ids)],
    )
    return {row["id"] for row in rows}


async def finish(done: Sequence[tuple[Received, Account]]) -> None:
    """Within the running transaction, write what became of mails.

    An IntegrityError tells that a copy of one of them was dealt with meanwhile.
    """
    database = runtime().database
    assignments = ", ".join(f"{column} = given.{column}" for column in _RESULT_TYPES if column != "id")
    sql = f"""UPDATE inbound_email SET {assignments}, lease_token = NULL, lease_until = NULL
              FROM {{rows}} WHERE inbound_email.id = given.id"""
    # Most mails of a batch go the same way, and are as much proven.
    traces = {trace: json.dumps([step._asdict() for step in trace]) for trace in {one.trace for _, one in done}}
    proofs = {proof: json.dumps(proof.as_dict()) for proof in {one.authentication for one, _ in done}}
    rows = [
        _result(received, account, traces[account.trace], proofs[received.authentication]) for received, account in done
    ]
    await database.batch(database.dialect.over(sql, _RESULT_TYPES, rows))
    for state, company_id in dict.fromkeys((_state(account), account.company_id) for _, account in done):
        await tell_states(state, company_id=company_id)


_RESULT_TYPES = {
    "id": "bigint",
    "state": "text",
    "outcome": "text",
    "trace": "jsonb",
    "error": "text",
    "fingerprint": "text",
    "message_id_header": "text",
    "subject": "text",
    "sender": "text",
    "res_model": "text",
    "res_id": "bigint",
    "message_id": "bigint",
    "authentication": "jsonb",
    "recipient": "text",
    "company_id": "bigint",
    "original_id": "bigint",
    "answer": "text",
}


def _state(account: Account) -> str:
    if account.waits:
        return "unmatched"
    return STATES.get(account.outcome, "processed" if account.message else "ignored")


def _result(received: Received, account: Account, trace: str, proof: str) -> tuple[object, ...]:
    model, _, record_id = (account.record or "").partition(":")
    has_record = bool(record_id) and model != "Message"
    is_again = original_of(received.source) is not None
    parsed = received.parsed
    return (
        received.spool_id,
        _state(account),
        account.outcome,
        trace,
        account.error or "",
        # A copy has the fingerprint of its original, which must be one row's alone.
        None if is_again or account.outcome is Outcome.DUPLICATE else received.fingerprint,
        parsed.message_id or "",
        parsed.subject[:998],
        received.sender[:320],
        model if has_record else None,
        int(record_id) if has_record else None,
        account.message,
        proof,
        account.door[:320],
        account.company_id,
        account.original,
        account.answer or "",
    )


async def fail(mail: Spooled, token: str, error: str, *, counts: bool) -> bool:
    """Note that this try failed and give the mail back, or set it aside after the last try; whether it was.

    A try that does not `count` is none of the mail's.
    """
    last = counts and mail.tries >= settings().QUARANTINE_AFTER
    changes: dict[str, Any] = {"state": "quarantined", "outcome": Outcome.QUARANTINED} if last else {}
    if not counts:
        changes = {"tries": mail.tries - 1}
    rows = get_model("InboundEmail").filter(id=mail.id, lease_token=token)
    await rows.update(error=error[:2000], lease_token=None, lease_until=None, **changes)
    await tell_states("quarantined" if last else "received")
    return last


def source_again(spool_id: int, source: str) -> str:
    """Return the delivery identity of a mail that is dealt with once more; what anybody may bring stays marked so."""
    mark = OPEN if source.startswith(OPEN) else ""
    return f"{mark}{AGAIN}{spool_id}:{uuid4().hex}"


def original_of(source: str) -> int | None:
    """Return the row that such a delivery identity is of; None for any other."""
    own = source.removeprefix(OPEN)
    return int(own.split(":")[1]) if own.startswith(AGAIN) else None


async def reopen(spool_id: int) -> bool:
    """Put a mail that led to nothing back to the start, with all its tries; whether it was one."""
    return bool(await reopen_all([spool_id]))


async def reopen_all(spool_ids: Sequence[int]) -> list[int]:
    """Put those of the mails that led to nothing back to the start, with all their tries; return their ids."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""UPDATE inbound_email SET state = 'received', tries = 0, fingerprint = NULL, lease_token = NULL,
                   lease_until = NULL
            WHERE {dialect.among("id", dialect.param(1))} AND state IN ({_SETTLED})
              AND (lease_until IS NULL OR lease_until < {dialect.now()})
            RETURNING id""",
        [dialect.ids(spool_ids)],
    )
    if rows:
        await tell_states("received")
    return sorted(row["id"] for row in rows)


async def take(spool_id: int) -> tuple[str, Spooled] | None:
    """Lease a mail that led to nothing, for a person who decides about it; None where it is not that, or is leased.

    Its state stays as it is until `finish`, so that giving it up with `give_back` leaves all as it was.
    """
    database = runtime().database
    dialect = database.dialect
    token = uuid4().hex
    rows = await database.fetch(
        f"""UPDATE inbound_email
            SET lease_token = {dialect.param(1)}, lease_until = {dialect.now(settings().LEASE_SECONDS)}
            WHERE id = {dialect.param(2)} AND state IN ({_SETTLED})
              AND (lease_until IS NULL OR lease_until < {dialect.now()})
            RETURNING source, tries, authentication""",
        [token, spool_id],
    )
    if not rows:
        return None
    judged = json.loads(rows[0]["authentication"] or "null")
    return token, Spooled(spool_id, rows[0]["source"], rows[0]["tries"], await raw_of(spool_id), judged)


async def give_back(token: str) -> None:
    """Let go of a mail that `take` leased."""
    await get_model("InboundEmail").filter(lease_token=token).update(lease_token=None, lease_until=None)
