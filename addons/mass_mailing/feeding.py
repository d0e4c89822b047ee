"""Feeding the queue with a campaign's mails, a batch at a time.

A batch is rendered first and taken in one transaction with its messages, so that a killed worker neither loses nor
repeats anybody. Whoever feeds holds the campaign's row, so two feeders never take the same recipient, and a pause waits
for the batch under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from core.api import (
    AddressError,
    PostroomError,
    QueueRequest,
    UserError,
    checked_address,
    database,
    get_model,
    header_form,
    transaction,
)

from .audience import Person, reader_of
from .settling import holds, skip_unwanted

_BATCH = 500
_PRIORITY = 20
"""Behind all mail that somebody waits for; its readers are told nothing of it."""
_GONE = "record_gone"
_REASON_CHARS = 500
_MOST_CHARS = 500_000
"""Of one mail's body; a batch of them is in memory at once."""


async def feed(campaign: Any, room: int) -> int:
    """Queue the next mails of a running campaign, at most `room`; return how many recipients were dealt with.

    UserError where none of them can be queued, and all still wait.
    """
    recipients = get_model("CampaignRecipient")
    waiting = recipients.filter(campaign_id=campaign.pk, state="waiting").order_by("id")
    ids: list[int] = await waiting.limit(min(_BATCH, room)).values_list("id", flat=True)
    if not ids:
        return 0
    async with transaction():
        skipped = await skip_unwanted(campaign, ids) if await holds(campaign, "running") else 0
    rows = await recipients.filter(id__in=ids, state="waiting").order_by("id")
    people = [Person(one.address, one.name, one.record_model, one.record_id) for one in rows]
    mails = await rendered_for(campaign, people)
    async with transaction():
        if not await holds(campaign, "running"):
            return skipped
        mine = await _take([one.pk for one in rows])
        taken = [(row.pk, mail) for row, mail in zip(rows, mails, strict=True) if row.pk in mine]
        queued = iter(await _queued([mail for _, mail in taken if isinstance(mail, QueueRequest)]))
        became = [(row_id, next(queued) if isinstance(mail, QueueRequest) else mail) for row_id, mail in taken]
        faults = [(row_id, one) for row_id, one in became if isinstance(one, PostroomError)]
        if (
            len(faults) > 1
            and len(faults) == len(became)
            and not any(isinstance(one, _RecordGone) for _, one in faults)
        ):
            raise UserError(str(faults[0][1]))
        await _link([(row_id, one.pk) for row_id, one in became if not isinstance(one, PostroomError)])
        await _give_up(faults)
    return skipped + len(taken)


async def _queued(mails: Sequence[QueueRequest]) -> list[Any]:
    """Return the Message of each mail, or why it cannot be queued: a bad one is found by halves, and stops no other."""
    try:
        async with transaction():
            return list(await get_model("Message").queue_many(mails))
    except UserError as error:
        if len(mails) == 1:
            return [error]
    half = len(mails) // 2
    return [*await _queued(mails[:half]), *await _queued(mails[half:])]


class _RecordGone(UserError):
    """What a mail would be rendered for has been deleted since the start."""


async def rendered_for(campaign: Any, people: Sequence[Person], *, to: str = "") -> list[QueueRequest | PostroomError]:
    """Return a request to the queue for each of some people, or why there is none; nothing is stored.

    `to` is another address for all of them: a test, which counts nothing.
    """
    records = await _records(people)
    found = [one for one in records if one is not None]
    texts = iter(await _texts(campaign, found))
    options = await _options(campaign)
    if to:
        options["track"] = False
    kept: dict[str, str] = {}
    mails: list[QueueRequest | PostroomError] = []
    for person, record in zip(people, records, strict=True):
        text = _RecordGone(_GONE) if record is None else next(texts)
        if isinstance(text, PostroomError):
            mails.append(text)
            continue
        if len(text["body"]) > _MOST_CHARS:
            mails.append(UserError(f"The mail has {len(text['body'])} characters; at most {_MOST_CHARS} may go."))
            continue
        for name in ("from_email", "reply_to"):
            # Mails whose options are the very same are checked together.
            if (value := options[name] or text.get(name)) is not None:
                text[name] = kept.setdefault(value, value)
        subject = f"[Test] {text.pop('subject')}" if to else text.pop("subject")
        mails.append(QueueRequest(to=(to or _header_of(person),), subject=subject, **{**options, **text}))
    return mails


def _header_of(person: Person) -> str:
    """Return the name with the address; the address alone where the name is none that may stand in a header."""
    named = header_form(person.name, person.address)
    try:
        checked_address(named)
    except AddressError:
        return person.address
    return named


async def _records(people: Sequence[Person]) -> list[Any]:
    """Return what each person's mail is rendered for; None for what was deleted.

    Who was on a list when the campaign started is written to, also where the subscription was deleted since.
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    for one in people:
        wanted[one.model].append(one.record_id)
    found = {
        (model, record.pk): record
        for model, ids in wanted.items()
        for record in await get_model(model).filter(id__in=ids)
    }
    return [found.get((one.model, one.record_id)) or _stand_in(one) for one in people]


def _stand_in(person: Person) -> Any:
    if person.model != "MailingSubscription":
        return None
    return get_model(person.model)(address=person.address, name=person.name)


async def _texts(campaign: Any, records: Sequence[Any]) -> list[dict[str, Any] | PostroomError]:
    """Return subject, body and what else a template says of each record's mail, or its error."""
    templates = get_model("EmailTemplate")
    if not records:
        return []
    if campaign.template_id is None:
        reader = await reader_of(campaign)
        if reader is not None:
            reader.require(type(records[0]).__name__)
        own = templates(identifier=f"campaign {campaign.pk}", subject=campaign.subject, content=campaign.body)
        return [
            one if isinstance(one, PostroomError) else {"subject": one["subject"], "body": one["content"]}
            for one in await own.render_many(records, only=("subject", "content"), reader=reader)
        ]
    template = await templates.get(id=campaign.template_id)
    mails = await template.mails_for(records, to=(), cc=())
    return [mail if isinstance(mail, PostroomError) else _of_template(mail) for mail in mails]


def _of_template(mail: dict[str, Any]) -> dict[str, Any]:
    left_out = ("to", "cc", "track")
    return {name: value for name, value in mail.items() if name not in left_out} | {
        "attachments": tuple(mail["attachments"])
    }


async def _options(campaign: Any) -> dict[str, Any]:
    """Return what all mails of a campaign share."""
    return {
        "author": await campaign.user,
        "company": await campaign.company,
        "from_email": campaign.from_email or None,
        "reply_to": campaign.reply_to or None,
        "server": campaign.server,
        "track": campaign.tracked,
        "unsubscribe_list": await campaign.list_name(),
        "include_signature": False,
        "priority": _PRIORITY,
    }


async def _take(ids: Sequence[int]) -> set[int]:
    """Move those who still wait into the queue, and return which those are."""
    dialect = database().dialect
    rows = await database().fetch(
        f"""UPDATE {_table()} SET state = 'queued', reason = ''
            WHERE {dialect.among("id", dialect.param(1))} AND state = 'waiting' RETURNING id""",
        [dialect.ids(ids)],
    )
    return {row["id"] for row in rows}


async def _link(pairs: Sequence[tuple[int, int]]) -> None:
    sql = f"UPDATE {_table()} SET message_id = given.message FROM {{rows}} WHERE {_table()}.id = given.recipient"
    await database().batch(database().dialect.over(sql, {"recipient": "bigint", "message": "bigint"}, pairs))


async def _give_up(faults: Sequence[tuple[int, PostroomError]]) -> None:
    """Write down whose mail cannot be made, and why."""
    rows = [
        (row_id, "skipped" if isinstance(fault, _RecordGone) else "failed", str(fault)[:_REASON_CHARS])
        for row_id, fault in faults
    ]
    sql = f"""UPDATE {_table()} SET state = given.state, reason = given.reason FROM {{rows}}
              WHERE {_table()}.id = given.recipient"""
    types = {"recipient": "bigint", "state": "text", "reason": "text"}
    await database().batch(database().dialect.over(sql, types, rows))


def _table() -> str:
    return str(get_model("CampaignRecipient")._meta.db_table)
