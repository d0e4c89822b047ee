"""What mass mailing adds to the HTTP API: campaigns, their recipients and figures, and many subscribers at once."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Body, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from core.api import Access, Right, UnknownName, acting_user, csv_cell, get_model, my_access, related, transaction

from .audience import preview
from .shapes import (
    LARGEST,
    Audience,
    CampaignChanges,
    Campaigns,
    CampaignTold,
    NewCampaign,
    Pause,
    Recipients,
    RecipientState,
    RecipientTold,
    Retried,
    Start,
    State,
    StatisticsTold,
    Subscribed,
    Subscribers,
    Tested,
)
from .statistics import statistics_of

_COLUMNS = (
    *("address", "name", "state", "reason", "record_model", "record_id", "sent_at", "opened_at", "fetched_at"),
    *("clicked_at", "bounced_at", "complained_at", "unsubscribed_at"),
)
_PAGE = 1_000
_DRAFT = {"name": "Spring", "mailing_list": 1, "subject": "Hello {{ name }}", "body": "<p>Dear {{ name }}</p>"}

CampaignId = Annotated[int, Path(ge=0, le=LARGEST, examples=[1])]
_Cursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before; without it, the first page."),
]
_Limit = Annotated[int, Query(ge=1, le=200)]


async def campaigns(state: State | None = None, cursor: _Cursor = None, limit: _Limit = 50) -> Campaigns:
    """Return campaigns, newest first."""
    rows = (await my_access()).records("Campaign")
    if state is not None:
        rows = rows.filter(state=state)
    if cursor is not None:
        rows = rows.filter(id__lt=int(cursor))
    found = await rows.order_by("-id").limit(limit + 1)
    page = found[:limit]
    more = str(page[-1].pk) if len(found) > limit else None
    return Campaigns(items=await CampaignTold.of_all(page), next_cursor=more)


async def create(asked: Annotated[NewCampaign, Body(examples=[_DRAFT])]) -> CampaignTold:
    """Make a draft, of the company that the caller works for."""
    access = await my_access()
    access.require("Campaign", Right.CREATE)
    campaign = get_model("Campaign")(user_id=access.user_id, company_id=access.company_id)
    await _write(access, campaign, asked, Right.CREATE)
    return await CampaignTold.of(campaign)


async def campaign(campaign_id: CampaignId) -> CampaignTold:
    """Return one campaign, and why it stands still where it does."""
    found = await _find(campaign_id)
    await found.catch_up()
    return await CampaignTold.of(found)


async def update(
    campaign_id: CampaignId, asked: Annotated[CampaignChanges, Body(examples=[{"subject": "Good morning"}])]
) -> CampaignTold:
    """Change a draft; what is not given stays."""
    found = await _find(campaign_id, Right.WRITE)
    await _write(await my_access(), found, asked, Right.WRITE)
    return await CampaignTold.of(found)


async def delete(campaign_id: CampaignId) -> None:
    """Delete a draft."""
    await (await _find(campaign_id, Right.DELETE)).delete()


async def start(campaign_id: CampaignId, asked: Start | None = None) -> CampaignTold:
    """Freeze the audience, as the caller may read it, and begin; or do so at a time."""
    found = await _find(campaign_id, Right.WRITE)
    if asked is not None and asked.scheduled_at is not None:
        await found.schedule(asked.scheduled_at)
    else:
        await found.start()
    return await CampaignTold.of(found)


async def pause(campaign_id: CampaignId, asked: Pause | None = None) -> CampaignTold:
    """Send no more of it, also nothing that waits in the queue."""
    found = await _find(campaign_id, Right.WRITE)
    await found.pause(asked.reason if asked else "")
    return await CampaignTold.of(found)


async def resume(campaign_id: CampaignId) -> CampaignTold:
    """Go on."""
    found = await _find(campaign_id, Right.WRITE)
    await found.resume()
    return await CampaignTold.of(found)


async def cancel(campaign_id: CampaignId) -> CampaignTold:
    """Stop it for good; one that only waits for its time is a draft again."""
    found = await _find(campaign_id, Right.WRITE)
    await found.cancel()
    return await CampaignTold.of(found)


async def retry(campaign_id: CampaignId) -> Retried:
    """Make a new mail for those whose last one failed, and for nobody else."""
    return Retried(retried=await (await _find(campaign_id, Right.WRITE)).retry())


async def test(campaign_id: CampaignId) -> Tested:
    """Send the caller the mail as the first of the audience would get it."""
    found = await _find(campaign_id, Right.WRITE)
    user: Any = acting_user()
    contact = await related(user, "contact")
    to = (contact.email if contact else "") or user.login
    return Tested(message_id=(await found.send_test(to)).pk, to=to)


async def audience(campaign_id: CampaignId) -> Audience:
    """Count whom it would go to if it started now, and show the first of them."""
    return Audience.of(await preview(await _find(campaign_id)))


async def statistics(campaign_id: CampaignId) -> StatisticsTold:
    """Return the campaign in figures."""
    found = await _find(campaign_id)
    await found.catch_up()
    return StatisticsTold.of(await statistics_of(found))


async def recipients(
    campaign_id: CampaignId, state: RecipientState | None = None, cursor: _Cursor = None, limit: _Limit = 50
) -> Recipients:
    """Return who gets it, and what became of each mail."""
    found = await _find(campaign_id)
    await found.catch_up()
    rows = _recipients(found, state)
    if cursor is not None:
        rows = rows.filter(id__gt=int(cursor))
    page = await rows.order_by("id").limit(limit + 1)
    more = str(page[limit - 1].pk) if len(page) > limit else None
    return Recipients(items=list(map(RecipientTold.of, page[:limit])), next_cursor=more)


async def export(campaign_id: CampaignId, state: RecipientState | None = None) -> StreamingResponse:
    """Return the same as a CSV file, all of it, a page at a time."""
    found = await _find(campaign_id)
    await found.catch_up()
    name = f'attachment; filename="campaign-{found.pk}.csv"'
    return StreamingResponse(_csv(found, state), media_type="text/csv", headers={"Content-Disposition": name})


async def subscribe(
    list_id: Annotated[int, Path(ge=0, le=LARGEST, examples=[1])],
    asked: Annotated[Subscribers, Body(examples=[{"subscribers": [{"address": "ada@engine.example", "name": "Ada"}]}])],
) -> Subscribed:
    """Put many on a list, all or none; known ones stay as they are, and nobody who left comes back by it."""
    access = await my_access()
    access.require("MailingSubscription", Right.CREATE)
    of_list = await access.find("MailingList", list_id, Right.CREATE.of_whole)
    people = [(one.address, one.name) for one in asked.subscribers]
    return Subscribed(given=len(people), new=await get_model("MailingSubscription").subscribe(of_list, people))


async def _find(campaign_id: int, right: Right = Right.READ) -> Any:
    return await (await my_access()).find("Campaign", campaign_id, right)


async def _write(access: Access, campaign: Any, asked: BaseModel, right: Right) -> None:
    """Store what was given, where all of it is the caller's to name and a campaign can be made of it."""
    values = asked.model_dump(exclude_unset=True)
    for name, model in (("mailing_list", "MailingList"), ("template", "EmailTemplate")):
        if name in values:
            values[f"{name}_id"] = values.pop(name)
            if values[f"{name}_id"] is not None:
                await access.find(model, values[f"{name}_id"])
    if values.get("server") is not None:
        await _check_server(access, values["server"])
    async with transaction():
        await campaign.write(values)
        await access.check_written([campaign], right)


async def _check_server(access: Access, key: str) -> None:
    """Let nobody write by the account of another user or company, which the queue would, as it was named."""
    for one in await get_model("OutgoingMailServer").overview():
        if one.key == key and one.server is not None and not one.server.whose_else(access.user_id, access.company_id):
            return
    raise UnknownName(f"There is no mail server {key} for you; /api/email/smtpOptions lists those there are.")


def _recipients(campaign: Any, state: str | None) -> Any:
    rows = get_model("CampaignRecipient").filter(campaign_id=campaign.pk)
    return rows.filter(state=state) if state is not None else rows


async def _csv(campaign: Any, state: str | None) -> AsyncIterator[str]:
    yield _lines([_COLUMNS])
    last_id = 0
    while page := await _recipients(campaign, state).filter(id__gt=last_id).order_by("id").limit(_PAGE):
        last_id = page[-1].pk
        yield _lines([[csv_cell(getattr(one, name)) for name in _COLUMNS] for one in page])


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
