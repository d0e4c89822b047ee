"""Who a campaign is for: asked page by page, and frozen as its recipients when it starts.

A page is read by the id of the last one before it, so no audience is ever in memory as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.api import (
    Access,
    AddressError,
    UserError,
    access_of,
    acting_user,
    checked_address,
    database,
    get_model,
)

from .settling import skip_unwanted

_PAGE = 1_000
_NAME_CHARS = 200
_ADDRESS_CHARS = 320
_SAMPLE = 10
_MOST_STEPS = 3
_FROZEN = {
    "campaign_id": "bigint",
    "address": "text",
    "name": "text",
    "record_model": "text",
    "record_id": "bigint",
    "state": "text",
    "reason": "text",
}


@dataclass(frozen=True, slots=True)
class Person:
    """One of an audience. `reason` is why it cannot be written to, such as `no_address`; `address` is normalised."""

    address: str
    name: str
    model: str
    record_id: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """How many an audience is, before anything is frozen; `sample` is its beginning."""

    records: int
    addresses: int
    without_address: int
    suppressed: int
    sample: Sequence[Person]


async def audience_of_campaign(campaign: Any) -> AsyncIterator[list[Person]]:
    """Yield a campaign's audience in pages, records without any address left out.

    UserError for a field that is none, AccessDenied for what the campaign's user may not read.
    """
    rows, model, columns = await _source(campaign)
    last_id = 0
    while True:
        page = await rows.filter(id__gt=last_id).order_by("id").limit(_PAGE).values_list("id", *columns)
        if not page:
            return
        last_id = page[-1][0]
        yield [_person(model, *row) for row in page if row[1]]


async def first_of(campaign: Any) -> list[Person]:
    """Return the first of a campaign's audience who has an address, or nobody."""
    async for page in audience_of_campaign(campaign):
        if found := [one for one in page if not one.reason]:
            return found[:1]
    return []


async def check_audience(campaign: Any) -> None:
    """Raise what asking for the audience would raise, and ask for nobody."""
    await _source(campaign)


async def size_of(campaign: Any) -> int:
    """Return how many records an audience is, with or without an address."""
    rows, _, _ = await _source(campaign)
    return int(await rows.count())


async def preview(campaign: Any) -> Preview:
    """Count an audience, each address once, and show its beginning; nothing is stored."""
    rows, _, _ = await _source(campaign)
    list_name = await campaign.list_name()
    seen: set[str] = set()
    suppressed, without, sample = 0, 0, list[Person]()
    async for page in audience_of_campaign(campaign):
        without += sum(1 for one in page if one.reason)
        fresh = {one.address: one for one in page if not one.reason and one.address not in seen}
        seen |= fresh.keys()
        sample += list(fresh.values())[: _SAMPLE - len(sample)]
        asked = [(at, address, list_name) for at, address in enumerate(fresh)]
        suppressed += len(await get_model("Suppression").suppressed(asked))
    records = await rows.count()
    return Preview(records, len(seen), without, suppressed, sample)


async def freeze(campaign: Any) -> int:
    """Store the audience as the campaign's recipients, each address once; return how many those are.

    Who must not be written to is among them, with the reason.
    """
    recipients = get_model("CampaignRecipient")
    sql = f"""INSERT INTO {recipients._meta.db_table} ({", ".join(_FROZEN)})
              SELECT {", ".join(f"given.{name}" for name in _FROZEN)} FROM {{rows}}
              WHERE TRUE ON CONFLICT (campaign_id, address) DO NOTHING"""
    async for page in audience_of_campaign(campaign):
        rows = [
            (
                campaign.pk,
                one.address,
                one.name,
                one.model,
                one.record_id,
                "skipped" if one.reason else "waiting",
                one.reason,
            )
            for one in page
        ]
        await database().batch(database().dialect.over(sql, _FROZEN, rows))
    await skip_unwanted(campaign)
    count: int = await recipients.filter(campaign_id=campaign.pk).count()
    return count


async def _source(campaign: Any) -> tuple[Any, str, list[str]]:
    """Return the query of the audience's records, their model, and the columns of address and name."""
    if campaign.mailing_list_id is not None:
        rows = get_model("MailingSubscription").filter(list_id=campaign.mailing_list_id)
        return rows, "MailingSubscription", ["address", "name"]
    access = await _access(campaign)
    model = campaign.audience_model
    columns = [
        _column(access, model, path) for path in (campaign.address_field, campaign.name_field or campaign.address_field)
    ]
    rows = access.records(model)
    if campaign.audience_filter:
        # What a filter finds over a to-many relation it finds several times.
        chosen = access.records(model).filter(access.matching(model, campaign.audience_filter))
        rows = chosen.distinct()
    return rows, model, columns if campaign.name_field else columns[:1]


async def reader_of(campaign: Any) -> Access | None:
    """Return the rights of whoever acts, else of the campaign's user; None for the host's own, which has no limits."""
    user = acting_user() or await get_model("User").get_or_none(id=campaign.user_id or 0)
    return await access_of(user) if user is not None else None


async def _access(campaign: Any) -> Access:
    access = await reader_of(campaign)
    if access is None or not await get_model("User").exists(id=access.user_id, active=True):
        raise UserError(f'"{campaign.name}" has no active user; let somebody start it whose rights limit its audience.')
    return access


def _column(access: Access, model: str, path: str) -> str:
    """Return the query's name of a field over relations, each step of which the user may read."""
    steps = path.split(".")
    if len(steps) > _MOST_STEPS:
        raise UserError(f"{path} leads too far; at most {_MOST_STEPS} steps are followed.")
    for step in steps[:-1]:
        field = _field(model, step, path)
        access.require_field(model, step)
        if step not in get_model(model)._meta.fk_fields:
            raise UserError(f"{path}: {model}.{step} leads to no other record.")
        model = field.related_model.__name__
        access.require(model)
    if _field(model, steps[-1], path).field_type is not str:
        raise UserError(f"{path}: {model}.{steps[-1]} holds no text.")
    access.require_field(model, steps[-1])
    return "__".join(steps)


def _field(model: str, name: str, path: str) -> Any:
    field = get_model(model)._meta.fields_map.get(name)
    if field is None:
        raise UserError(f"{path}: {model} has no field {name}.")
    return field


def _person(model: str, record_id: int, address: object, name: object = "") -> Person:
    text, called = str(address), " ".join("".join(c if c.isprintable() else " " for c in str(name or "")).split())
    try:
        return Person(checked_address(text), called[:_NAME_CHARS], model, record_id)
    except AddressError:
        return Person(text.strip()[:_ADDRESS_CHARS], called[:_NAME_CHARS], model, record_id, "no_address")
