"""Carrying out a verdict: record, timeline entry and files, within the caller's transaction.

Decides nothing. What it raises undoes the whole mail; RecordRefused says that the new record was at fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import PostroomError, TemporaryFailure
from core.events import is_heard, tell
from core.gateway.account import account_of
from core.gateway.answer import answer_to, send_answer
from core.gateway.entries import Entries
from core.gateway.lookup import Lookup, message_ids_of
from core.gateway.report import note_bounce, note_other
from core.gateway.target import header_form, new_record, refusal_of
from core.gateway.values import (
    Account,
    Bounced,
    KnownMessage,
    NewRecord,
    Noted,
    Outcome,
    Received,
    Reply,
    Route,
    TraceStep,
    Unmatched,
    Unsubscribed,
    Verdict,
)
from core.mail.body import text_to_html
from core.mail.values import Mailbox
from core.orm.insert import insert_many
from core.orm.insert import new_record as new_row
from core.orm.outage import is_outage
from core.orm.record import Record
from core.runtime import get_model, runtime

_SUBJECT_CHARS = 998
_REASON_CHARS = 500
_NAME_CHARS = 200
_ADDRESS_CHARS = 320

Records = Mapping[tuple[int, int], Any]
"""The records that mails created, by the ids of mail and route."""


class RecordRefused(PostroomError):
    """A route matched, and its record could not be created; the message says why."""

    code = "unrouted"


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """The account of a mail, and the timeline entry it led to, which has its id once the entries are written."""

    account: Account
    entry: Any = None

    def finished(self) -> Account:
        """Return the account with the entry's id."""
        return self.account if self.entry is None else replace(self.account, message=self.entry.id)


@dataclass(frozen=True, slots=True)
class Decided:
    """A mail, and what the rules say of it."""

    email: Received
    verdict: Verdict
    trace: tuple[TraceStep, ...]


async def carry_out_all(decided: Sequence[Decided], lookup: Lookup, entries: Entries) -> list[CarriedOut]:
    """Do what verdicts mean that do not hang together: contacts and records of all of them are created together."""
    records = await begin_records(decided, lookup)
    done = []
    for one in decided:
        done.append(await carry_out(one, lookup, entries, records))
        if done[-1].account.outcome is not Outcome.DUPLICATE:
            lookup.learn_copy(one.email, done[-1].account.record)
    return done


async def carry_out(decided: Decided, lookup: Lookup, entries: Entries, records: Records) -> CarriedOut:
    """Do what the verdict means; `records` are those that it asks for, timeline entries wait in `entries`."""
    email, verdict, trace = decided.email, decided.verdict, decided.trace
    account = account_of(verdict, email, trace, lookup)
    match verdict:
        case Reply(parent, _, also):
            entry = await _post_reply(parent, email, lookup, entries)
            account, _ = await _tell_of(also, parent, account, email, lookup, entries, records)
            return CarriedOut(account, entry)
        case NewRecord(routes, _, about):
            account, entry = await _tell_of(routes, about, account, email, lookup, entries, records)
            return CarriedOut(await _answered(account, verdict, email, lookup, entries, entry), entry)
        case Bounced():
            return CarriedOut(account, await note_bounce(verdict, email, entries))
        case Noted():
            return CarriedOut(account, await note_other(verdict, email, entries))
        case Unsubscribed(message_id, delivery_id):
            await _unsubscribe(message_id, delivery_id)
        case Unmatched():
            await tell("email_unmatched", email=email)
            account = await _answered(account, verdict, email, lookup, entries)
    return CarriedOut(account)


async def _know_senders(emails: Sequence[Received], lookup: Lookup) -> None:
    """Create contacts for the senders that nobody knows."""
    unknown = [email for email in emails if email.sender and lookup.sender(email.sender) is None]
    new = {email.sender: email.parsed.sender for email in unknown}
    model = get_model("Contact")
    contacts = [
        new_row(model, name=(author.name or author.address)[:_NAME_CHARS], email=address[:_ADDRESS_CHARS])
        for address, author in new.items()
        if author is not None
    ]
    if model.save is Record.save:
        await insert_many(runtime().database, contacts)
    else:  # An addon's own is to see each.
        for contact in contacts:
            await contact.save()
    for address, contact in zip(new, contacts, strict=True):
        lookup.learn_sender(address, contact.id)


async def begin_records(decided: Sequence[Decided], lookup: Lookup) -> Records:
    """Create the contacts and records that verdicts ask for; RecordRefused for one of a single mail that cannot be."""
    await _know_senders([one.email for one in decided if isinstance(one.verdict, Reply | NewRecord)], lookup)
    made: dict[tuple[int, int], Any] = {}
    by_model: dict[Any, list[Any]] = defaultdict(list)
    for one in decided:
        for route in _routes_of(one.verdict):
            sender = lookup.sender(one.email.sender, route.company_id)
            try:
                record = await new_record(route, one.email, sender.contact_id if sender else None)
                if len(decided) == 1:
                    await record.save()
            except Exception as error:
                if isinstance(error, TemporaryFailure) or is_outage(error):
                    raise  # The database or the network, not the record: the same mail may do better later.
                raise RecordRefused(refusal_of(route, error)) from error
            made[one.email.spool_id, route.id] = record
            by_model[type(record)].append(record)
    if len(decided) > 1:
        for model, records in by_model.items():
            await model.save_many(records)
    return made


def _routes_of(verdict: Verdict) -> tuple[Route, ...]:
    match verdict:
        case Reply():
            return verdict.also
        case NewRecord():
            return verdict.routes
    return ()


async def _tell_of(
    routes: tuple[Route, ...],
    about: KnownMessage | None,
    account: Account,
    email: Received,
    lookup: Lookup,
    entries: Entries,
    records: Records,
) -> tuple[Account, Any]:
    """Put the mail on the timelines of the records of the routes; return the account with their ids, and the first
    one's entry.

    `about` is the message that the mail refers to: its timeline is told of them, and they of it.
    """
    made = [await first_entry(route, records[email.spool_id, route.id], email, lookup, entries) for route in routes]
    names = [f"{route.target_model}:{record.id}" for route, (record, _) in zip(routes, made, strict=True)]
    if about is not None:
        for name, (_, entry) in zip(names, made, strict=True):
            _link(about, name, entry, entries)
    kept = (account.record,) if account.outcome is Outcome.REPLY and account.record else ()
    told = (*kept, *names)
    company_id = made[0][1].company_id if made and not kept else account.company_id
    several = told if len(told) > 1 else ()
    return replace(account, record=told[0], records=several, company_id=company_id), made[0][1] if made else None


async def _answered(
    account: Account, verdict: Verdict, email: Received, lookup: Lookup, entries: Entries, entry: Any = None
) -> Account:
    """Answer the mail, where somebody wants that of a program, and say so in the account."""
    answer = await answer_to(verdict, email, lookup)
    if answer is None:
        return account
    if entry is not None and not answer.silence:
        await entries.write()  # On the timeline the mail stands before its answer.
    return replace(account, answer=await send_answer(answer, email, entry))


def _link(about: KnownMessage, name: str, entry: Any, entries: Entries) -> None:
    """Say on both timelines that a mail went from the one to the other."""
    if about.res_model is None or about.res_id is None:
        return
    here = (about.res_model, about.res_id, about.company_id, f"A mail about this was forwarded and became {name}.")
    there = (entry.res_model, entry.res_id, entry.company_id, f"The mail refers to a message of {about.record}.")
    for model, record_id, company_id, text in (here, there):
        entries.add(
            get_model("Message")(
                kind="system",
                direction="Internal",
                res_model=model,
                res_id=record_id,
                company_id=company_id,
                text=text,
                body=text_to_html(text),
            )
        )


async def _unsubscribe(message_id: int, delivery_id: int) -> None:
    delivery = (
        await get_model("Delivery").get_or_none(id=delivery_id, message_id=message_id).prefetch_related("message")
    )
    if delivery is not None:
        model = get_model("Suppression")
        await model.suppress(
            delivery.recipient,
            reason="unsubscribe",
            list=delivery.message.unsubscribe_list or model.EVERY_LIST,
            source="mail",
            note="by a mail to the address for it",
        )


async def first_entry(route: Route, record: Any, email: Received, lookup: Lookup, entries: Entries) -> tuple[Any, Any]:
    """Put the mail on the timeline of the record that it created; return both."""
    company_id = getattr(record, "company_id", None) or route.company_id
    where = {"res_model": route.target_model, "res_id": record.id, "company_id": company_id}
    message = await _post(email, lookup, entries, **where)
    await tell("email_routed", email=email, record=record, message=message)
    return record, message


async def _post_reply(parent: KnownMessage, email: Received, lookup: Lookup, entries: Entries) -> Any:
    """Put the mail under the message it answers; what answers an internal note, near or far, stays as internal."""
    is_inside = parent.kind == "note" or lookup.knows_note(message_ids_of(email))
    message = await _post(
        email,
        lookup,
        entries,
        res_model=parent.res_model,
        res_id=parent.res_id,
        parent_id=parent.id or None,
        company_id=parent.company_id,
        kind="note" if is_inside else "message",
    )
    if runtime().hooks.users_of("email_routed") or await is_heard("email_routed"):
        record = await get_model(parent.res_model).get_or_none(id=parent.res_id) if parent.res_model else None
        await tell("email_routed", email=email, record=record, message=message)
    return message


async def _post(email: Received, lookup: Lookup, entries: Entries, **where: Any) -> Any:
    """Make the mail a timeline entry. A From address is no proof: a user is its author only where that is verified."""
    parsed, proof = email.parsed, email.authentication
    sender = lookup.sender(email.sender, where["company_id"])
    message = new_row(
        get_model("Message"),
        direction="Inbound",
        author_contact_id=sender.contact_id if sender else None,
        author_id=sender.user_id if sender and proof.is_verified else None,
        authenticity=proof.verdict.value,
        authenticity_reason=proof.reason[:_REASON_CHARS],
        email_from=_shown(parsed.sender)[:512] if parsed.sender else "",
        email_to=[_shown(mailbox) for mailbox in parsed.to],
        email_cc=[_shown(mailbox) for mailbox in parsed.cc],
        reply_to=", ".join(map(_shown, parsed.reply_to))[:512],
        subject=parsed.subject[:_SUBJECT_CHARS],
        body=email.html,
        text=parsed.text,
        message_id=parsed.message_id,
        in_reply_to=next(iter(parsed.in_reply_to), None),
        thread_references=" ".join(parsed.references),
        date_at=parsed.date_at,
        **where,
    )
    entries.add(message, email.files)
    await tell("message_posted", message=message)
    return message


def _shown(mailbox: Mailbox) -> str:
    return header_form(mailbox.name, mailbox.address)
