"""From the spool to the timeline: mails are claimed in small batches, read, decided about and carried out.

Whatever a mail leads to is written in one transaction. Mails that do well share it; as soon as anything fails, each of
the batch is tried alone, so that one bad mail stops no other. What is in the spool may have come in any way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from core.errors import UserError
from core.gateway import spool
from core.gateway.account import without_record
from core.gateway.apply import CarriedOut, Decided, RecordRefused, carry_out_all
from core.gateway.authenticity import authenticated
from core.gateway.decide import decide
from core.gateway.entries import Entries
from core.gateway.lookup import Lookup, message_ids_of, open_lookup
from core.gateway.reading import Terms, read
from core.gateway.spool import Spooled
from core.gateway.values import Account, Outcome, Received, Report, TraceStep, Verdict
from core.orm.outage import database_errors, is_outage
from core.orm.transaction import transaction
from core.runtime import settings
from core.tracing import span

log = structlog.get_logger(__name__)

Choose = Callable[[Received, Lookup], Awaitable[tuple[Verdict, tuple[TraceStep, ...]]]]
"""What decides about a mail: the rules, or a person."""


async def process_pending() -> Report:
    """Deal with every mail that waits in the spool; no mail is tried twice in a call."""
    report = Report()
    await spool.sweep()
    await _deal_with_all(report.add)
    return report


async def process(ids: Sequence[int]) -> list[Account]:
    """Deal with these mails of the spool, as far as they wait, and return what became of each."""
    accounts: list[Account] = []
    await _deal_with_all(accounts.append, ids)
    return accounts


class _Batch:
    """Mails that are leased together, and that are being read from now on."""

    def __init__(self, token: str, mails: Sequence[Spooled]):
        self.token = token
        self.mails = mails
        self.is_light = all(mail.raw and mail.tries == 1 for mail in mails)
        """Whether others may be read beside them: none of them is large, or was tried before."""
        self.is_tried = False
        """Whether it was begun to decide about them."""
        self.reading = asyncio.create_task(_read(mails))

    async def give_back(self) -> None:
        """Let go of mails that nothing was decided about, as if they had not been claimed."""
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        # Where the database cannot be told now, the lease ends by itself, and the try counts.
        with suppress(*database_errors()):
            await spool.unclaim(self.token)


async def _claim(after: int, ids: Sequence[int] | None, *, beside: bool = False) -> _Batch | None:
    token, mails = await spool.claim(after, ids, beside=beside)
    return _Batch(token, mails) if mails else None


async def _deal_with_all(tell: Callable[[Account], None], ids: Sequence[int] | None = None) -> None:
    """Deal with batch after batch; while one is decided about, the next one is read."""
    batch, following = await _claim(0, ids), None
    try:
        while batch is not None:
            after = batch.mails[-1].id
            if batch.is_light:
                following = await _claim(after, ids, beside=True)
            for account in await _deal_with(batch):
                tell(account)
            batch, following = following, None
            if batch is None:
                batch = await _claim(after, ids)
    finally:
        for one in (batch, following):
            if one is not None and not one.is_tried:
                await one.give_back()


async def _deal_with(batch: _Batch) -> list[Account]:
    token, mails = batch.token, batch.mails
    try:
        with span("mail.receive", mails=len(mails)):
            return await _settle(batch)
    except Exception as error:  # One mail is an edge: what it leads to, whatever that is, stays its own.
        if len(mails) > 1:
            return [account for mail in mails for account in await _deal_with(_Batch(token, [mail]))]
        if isinstance(error, RecordRefused):
            return await _without_record(token, mails[0], error)
        return [await _give_up(token, mails[0], error)]


async def _without_record(token: str, mail: Spooled, refused: RecordRefused) -> list[Account]:
    try:
        return await _settle(_Batch(token, [mail]), refusal=str(refused))
    except Exception as error:  # The same edge once more.
        return [await _give_up(token, mail, error)]


async def settle_as(token: str, mail: Spooled, choose: Choose) -> Account:
    """Write what a person chose for a mail that is leased under the token; raises where that cannot be done."""
    accounts = await _settle(_Batch(token, [mail]), choose=choose)
    if not accounts:
        raise UserError(f"Mail {mail.id} has just been dealt with by somebody else; look at it again.")
    return accounts[0]


async def _settle(batch: _Batch, refusal: str | None = None, choose: Choose = decide) -> list[Account]:
    """Decide and write for a whole batch, or raise with nothing done."""
    batch.is_tried = True
    lookup, received = await batch.reading
    await lookup.prepare(received)
    entries = Entries(lookup)
    async with transaction():
        held = await spool.hold(batch.token, [mail.id for mail in batch.mails])
        ours = [email for email in received if email.spool_id in held]
        carried_out = await _settle_all(ours, lookup, entries, refusal, choose)
        await entries.write()
        accounts = [one.finished() for one in carried_out]
        if refusal:
            accounts = [replace(one, error=refusal) for one in accounts]
        await spool.finish(list(zip(ours, accounts, strict=True)))
    return accounts


async def _settle_all(
    emails: Sequence[Received], lookup: Lookup, entries: Entries, refusal: str | None, choose: Choose
) -> list[CarriedOut]:
    """Decide about mails in order, and carry out together those of which none bears on the next."""
    done: list[CarriedOut] = []
    decided: list[Decided] = []
    about: set[str | None] = set()
    for email in emails:
        if not about.isdisjoint((email.sender, email.fingerprint, *message_ids_of(email))):
            # It is by the same sender, a copy of one of them, or answers one.
            done += await carry_out_all(decided, lookup, entries)
            decided, about = [], set()
        about |= {email.sender, email.fingerprint, email.parsed.message_id}
        if entries.holds(message_ids_of(email)):
            await entries.write()
        verdict, trace = await choose(email, lookup)
        decided.append(Decided(email, without_record(verdict, refusal) if refusal else verdict, trace))
    return done + await carry_out_all(decided, lookup, entries)


async def _read(mails: Sequence[Spooled]) -> tuple[Lookup, list[Received]]:
    """Read mails and judge who they are from; return them with a lookup that knows nothing of them yet."""
    lookup = await open_lookup()
    for mail in mails:
        await mail.load()
    received = await authenticated(await read_in_time(mails, lookup), mails)
    for mail in mails:
        mail.let_go()
    return lookup, received


async def read_in_time(mails: Sequence[Spooled], lookup: Lookup) -> list[Received]:
    """Read mails in a thread, or raise TimeoutError after PARSE_SECONDS, leaving the thread to its bounded work."""
    terms = Terms(lookup.domains, settings().MAX_ATTACHMENTS, settings().BASE_URL, lookup.mailboxes, lookup.aliases)
    budget_s = settings().PARSE_SECONDS

    def read_all() -> list[Received]:
        return [read(mail.raw, mail.source, terms, mail.id) for mail in mails]

    try:
        return await asyncio.wait_for(asyncio.to_thread(read_all), budget_s)
    except TimeoutError as error:
        raise TimeoutError(f"reading it took longer than PARSE_SECONDS ({budget_s:g} s)") from error


async def _give_up(token: str, mail: Spooled, error: Exception) -> Account:
    """Note the failure; after the last try the mail is set aside whole. A database without room uses up no try."""
    words = f"{type(error).__name__}: {error}"
    is_of_mail = isinstance(error, TimeoutError) or not is_outage(error)
    is_last = await spool.fail(mail, token, words, counts=is_of_mail)
    log.warning("mail failed", spool_id=mail.id, tries=mail.tries, quarantined=is_last, error=words)
    return Account(source=mail.source, outcome=Outcome.QUARANTINED if is_last else Outcome.FAILED, error=words)
