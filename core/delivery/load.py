"""From claimed rows to jobs: what a claim needs to know is asked once for all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from core.delivery.job import Claimed, Job
from core.delivery.outgoing import Outgoing, load_outgoing
from core.delivery.signing import UNSIGNED, signers
from core.delivery.suppression import suppressed
from core.errors import AddressError
from core.mail.address import domain_of, envelope_address, normalised, parse_address
from core.runtime import runtime

_EXPIRED = "The mail's time was over (expires_at) before it could be sent."


async def load_jobs(token: str, claimed: Sequence[Claimed]) -> list[Job]:
    """Return the mails to send for a claim, in its order; a message deleted since took its deliveries along."""
    by_message: dict[int, list[Claimed]] = defaultdict(list)
    for delivery in claimed:
        by_message[delivery.message_id].append(delivery)
    messages = await load_outgoing(list(by_message))
    domains = {key: _from_domain(one.row) for key, one in messages.items()}
    of_domain = await signers(set(domains.values()))
    left_alone = await _left_alone(messages, claimed)
    return [
        Job(
            token,
            messages[key],
            deliveries,
            tracks=not left_alone or left_alone.isdisjoint([delivery.recipient for delivery in deliveries]),
            signer=of_domain.get(domains[key], UNSIGNED),
        )
        for key, rows in by_message.items()
        if key in messages
        for deliveries in _shared(messages[key], rows)
    ]


async def _left_alone(messages: Mapping[int, Outgoing], claimed: Sequence[Claimed]) -> set[str]:
    """Return the recipients of tracked mail who want none of it counted."""
    tracked = [one.recipient for one in claimed if one.message_id in messages and messages[one.message_id].is_tracked]
    if not tracked:
        return set()
    database = runtime().database
    dialect = database.dialect
    asked = sorted({form for one in tracked for form in (one.lower(), normalised(one))})
    rows = await database.fetch(
        f"""SELECT email FROM contact
            WHERE no_tracking AND {dialect.among_texts("LOWER(email)", dialect.param(1))}""",
        [dialect.texts(asked)],
    )
    refused = {normalised(row["email"]) for row in rows}
    return {recipient for recipient in tracked if normalised(recipient) in refused} if refused else set()


def _shared(outgoing: Outgoing, rows: Sequence[Claimed]) -> Iterator[tuple[Claimed, ...]]:
    """Yield the deliveries that go in one transaction: each alone where the copies differ."""
    if outgoing.is_personal:
        yield from ((row,) for row in rows)
    else:
        yield tuple(rows)


def _from_domain(row: Mapping[str, Any]) -> str:
    return _domain_of_sender(row["email_from"]) if row["channel"] == "email" else ""


@lru_cache(maxsize=1024)
def _domain_of_sender(email_from: str) -> str:
    """Return the domain that signs; none where the sender is no address, which is told when a server is chosen."""
    with suppress(AddressError):
        return domain_of(envelope_address(parse_address(email_from).address))
    return ""


async def reasons_to_drop(jobs: Sequence[Job]) -> dict[int, str]:
    """Return why, by delivery id, for those that must not be sent any more: suppressed, or past their time."""
    expired = {one.id: _EXPIRED for job in jobs if job.outgoing.row["is_expired"] for one in job.deliveries}
    asked = [(one.id, one.recipient, job.outgoing.row["unsubscribe_list"]) for job in jobs for one in job.deliveries]
    return {**await suppressed(asked), **expired}
