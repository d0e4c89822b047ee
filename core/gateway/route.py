"""Routing a mail that never was one: its parts come from a caller instead of a mailbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core import clock
from core.gateway.apply import Decided, begin_records, first_entry
from core.gateway.entries import Entries
from core.gateway.lookup import open_lookup
from core.gateway.rules import alias, catch_all
from core.gateway.values import NewRecord, Pass, Received
from core.mail.address import tolerant_addresses
from core.mail.body import html_to_text
from core.mail.values import IncomingEmail
from core.orm.transaction import transaction


async def route_inbound(recipients: Sequence[str], sender_email: str, subject: str, body: str) -> Any:
    """Create and return the record of the first route for these recipients, or return None; `body` is HTML.

    A recipient is an address, as a header has it, or an alias of MAIL_DOMAIN alone. Threading is not looked at.
    """
    lookup = await open_lookup()
    whole = [text if "@" in text else f"{text}@{lookup.own_domain}" for text in recipients]
    to = tuple(mailbox for text in whole for mailbox in tolerant_addresses(text))
    sender = next(iter(tolerant_addresses(sender_email)), None)
    parsed = IncomingEmail(
        subject=subject, sender=sender, to=to, recipients=to, html=body, text=html_to_text(body), date_at=clock.now()
    )
    email = Received(parsed=parsed, source="call", fingerprint="", text=parsed.text or "", html=body)
    await lookup.prepare([email])
    verdict = await alias.decide(email, lookup)
    if isinstance(verdict, Pass):
        verdict = await catch_all.decide(email, lookup)
    if not isinstance(verdict, NewRecord):
        return None
    route, entries = verdict.routes[0], Entries(lookup)
    async with transaction():
        (record,) = (await begin_records([Decided(email, replace(verdict, routes=(route,)), ())], lookup)).values()
        await first_entry(route, record, email, lookup, entries)
        await entries.write()
    return record
