"""What became of a campaign's mails: copied from their deliveries by whole sets, since nothing is counted twice then.

A recipient's state follows its delivery's: nothing here decides anything but who is not to be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.api import database, get_model, transaction

from .models.campaign_recipient import OPEN

_DROPPED = "EXISTS (SELECT 1 FROM attempt AS a WHERE a.delivery_id = d.id AND a.outcome = 'dropped')"
"""Whether the queue would not send it any more: its address is suppressed."""
_STATE = f"""CASE d.state
    WHEN 'sent' THEN CASE WHEN d.bounce_kind <> '' THEN 'bounced' ELSE 'sent' END
    WHEN 'failed' THEN 'failed'
    WHEN 'unknown' THEN 'unknown'
    WHEN 'cancelled' THEN CASE WHEN {_DROPPED} THEN 'skipped' ELSE 'cancelled' END
    ELSE 'queued' END"""
_REASON = f"""CASE
    WHEN d.state IN ('sent', 'queued', 'claimed', 'sending', 'held') AND d.bounce_kind = '' THEN ''
    WHEN d.state = 'cancelled' AND {_DROPPED} THEN COALESCE(
        (SELECT MIN(s.reason) FROM suppression AS s
         WHERE s.address = r.address AND s.list IN ('', m.unsubscribe_list, '*')), substr(m.error, 1, 500))
    ELSE substr(m.error, 1, 500) END"""
_SIGNS = {
    "opened_at": "opened_at",
    "fetched_at": "read_at",
    "clicked_at": "clicked_at",
    "bounced_at": "bounced_at",
    "complained_at": "complained_at",
}
"""Times that are set once, by their column here, with the delivery's."""


async def settle(campaign: Any) -> int:
    """Copy states and readings of all of a campaign's mails; return how many recipients changed."""
    async with transaction():
        if not await holds(campaign):
            return 0
        return await _copy(campaign, "TRUE") + await _end_deleted(campaign) + await _note_who_left(campaign)


async def settle_sending(campaign: Any) -> int:
    """Copy what became of those that were in the queue; return how many recipients changed."""
    async with transaction():
        if not await holds(campaign):
            return 0
        return await _copy(campaign, f"r.state IN ({_listed(OPEN)})") + await _end_deleted(campaign)


async def holds(campaign: Any, *states: str) -> bool:
    """Hold the campaign's row to the end of the transaction; False where another does, or it is in no such state.

    Whoever changes many recipients holds it, since two that did so at once could wait for each other for ever.
    """
    dialect = database().dialect
    which = f"AND state IN ({_listed(states)})" if states else ""
    rows = await database().fetch(
        f"SELECT id FROM {campaign._meta.db_table} WHERE id = {dialect.param(1)} {which} {dialect.skip_locked}",
        [campaign.pk],
    )
    return bool(rows)


async def skip_unwanted(campaign: Any, ids: Sequence[int] | None = None) -> int:
    """Skip those who wait, all or those with these ids, and must not be written to by now, with the reason."""
    dialect, table = database().dialect, _table()
    given: list[Any] = [campaign.pk, await campaign.list_name()]
    among = ""
    if ids is not None:
        given.append(dialect.ids(ids))
        among = f"AND {dialect.among(f'{table}.id', dialect.param(3))}"
    return await database().execute(
        f"""UPDATE {table} SET state = 'skipped', reason = s.reason FROM suppression AS s
            WHERE {table}.campaign_id = {dialect.param(1)} AND {table}.state = 'waiting' {among}
              AND s.address = {table}.address AND s.list IN ('', {dialect.param(2)}, '*')
              AND (s.expires_at IS NULL OR s.expires_at > {dialect.now()})""",
        given,
    )


async def queued_count(campaign: Any) -> int:
    """Return how many of a campaign's mails are in the queue."""
    count: int = await get_model("CampaignRecipient").filter(campaign_id=campaign.pk, state="queued").count()
    return count


async def has_open_rows(campaign: Any) -> bool:
    """Whether something is still to come of any recipient."""
    return bool(await get_model("CampaignRecipient").filter(campaign_id=campaign.pk, state__in=OPEN).exists())


async def _copy(campaign: Any, which: str) -> int:
    table, param = _table(), database().dialect.param(1)
    signs = ", ".join(f"d.{theirs} AS {ours}" for ours, theirs in _SIGNS.items())
    news = " OR ".join(f"(told.{name} IS NOT NULL AND {table}.{name} IS NULL)" for name in _SIGNS)
    return await database().execute(
        f"""UPDATE {table} SET state = told.state, reason = told.reason,
                   sent_at = COALESCE({table}.sent_at, told.sent_at),
                   {", ".join(f"{name} = COALESCE({table}.{name}, told.{name})" for name in _SIGNS)}
            FROM (SELECT r.id, {_STATE} AS state, {signs},
                         {_REASON} AS reason,
                         CASE WHEN d.state = 'sent' THEN m.sent_at END AS sent_at
                  FROM {table} AS r JOIN delivery AS d ON d.message_id = r.message_id
                                    JOIN message AS m ON m.id = r.message_id
                  WHERE r.campaign_id = {param} AND {which}) AS told
            WHERE {table}.id = told.id AND ({table}.state <> told.state OR {news})""",
        [campaign.pk],
    )


async def _end_deleted(campaign: Any) -> int:
    """End those whose mail somebody deleted before it had come to an end: nothing is told of it any more."""
    count: int = (
        await get_model("CampaignRecipient")
        .filter(campaign_id=campaign.pk, state__in=("queued", "unknown"), message_id__isnull=True)
        .update(state="cancelled", reason="mail_deleted")
    )
    return count


async def _note_who_left(campaign: Any) -> int:
    """Note who left the list after this mail, and before a later campaign's."""
    table, param = _table(), database().dialect.param
    return await database().execute(
        f"""UPDATE {table} SET unsubscribed_at = s.created_at FROM suppression AS s
            WHERE {table}.campaign_id = {param(1)} AND {table}.unsubscribed_at IS NULL
              AND s.address = {table}.address AND s.reason = 'unsubscribe' AND s.list IN ({param(2)}, '*')
              AND s.created_at >= {table}.sent_at
              AND NOT EXISTS (SELECT 1 FROM {table} AS later WHERE later.address = {table}.address
                              AND later.sent_at > {table}.sent_at AND later.sent_at <= s.created_at)""",
        [campaign.pk, await campaign.list_name()],
    )


def _table() -> str:
    return str(get_model("CampaignRecipient")._meta.db_table)


def _listed(states: Sequence[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)
