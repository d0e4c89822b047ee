"""What a campaign came to: figures that add up to its audience, and why it stands still where it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.api import database, get_model, now

from .models.campaign_recipient import STATES

_RATE_WINDOW = timedelta(minutes=5)
_MOST_REASONS = 20
_COUNTED = {
    "opened": "opened_at IS NOT NULL",
    "fetched": "fetched_at IS NOT NULL AND opened_at IS NULL",
    "clicked": "clicked_at IS NOT NULL",
    "unsubscribed": "unsubscribed_at IS NOT NULL",
    "complained": "complained_at IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """A campaign in figures. `states` add up to `audience`.

    `accepted` were taken by a server, and `delivered` are those that did not come back. `opened_by_people` is an
    estimate, `opened_by_machines` were fetched and by no person. The rates are shares of the accepted, and None where
    that is nobody.
    """

    audience: int
    states: Mapping[str, int]
    accepted: int
    delivered: int
    bounced: int
    opened_by_people: int
    opened_by_machines: int
    clicked: int
    unsubscribed: int
    complained: int
    rates: Mapping[str, float | None]
    reasons: tuple[tuple[Any, str, int], ...]
    """(state, reason, how many) of those who got nothing, the most first."""
    sent_per_minute: float | None
    """Over the last minutes of a running campaign."""
    seconds_left: int | None


async def statistics_of(campaign: Any) -> Statistics:
    """Count a campaign's recipients as they were last settled."""
    counts = await _counts(campaign)
    states = {state: int(counts.get(state, {}).get("n", 0)) for state in STATES}
    total = {name: sum(int(row[name] or 0) for row in counts.values()) for name in _COUNTED}
    accepted = states["sent"] + states["bounced"]
    shares = {"delivered": states["sent"], "bounced": states["bounced"], **total}
    per_minute = await _sent_per_minute(campaign)
    left = states["waiting"] + states["queued"]
    return Statistics(
        audience=sum(states.values()),
        states=states,
        accepted=accepted,
        delivered=states["sent"],
        bounced=states["bounced"],
        opened_by_people=total["opened"],
        opened_by_machines=total["fetched"],
        clicked=total["clicked"],
        unsubscribed=total["unsubscribed"],
        complained=total["complained"],
        rates={name: round(part / accepted, 4) if accepted else None for name, part in shares.items()},
        reasons=await _reasons(campaign),
        sent_per_minute=per_minute,
        seconds_left=round(left / per_minute * 60) if per_minute else None,
    )


async def standstills_of(campaigns: Sequence[Any]) -> Mapping[int, str]:
    """Return why nothing of a campaign leaves, in a sentence, as far as that is known; empty where it goes on, by id.

    As many statements, however many campaigns.
    """
    stopped, servers = "", list[Any]()
    if any(one.state == "running" for one in campaigns):
        stopped = await get_model("QueueSuspension").what_stops()
        servers = await get_model("OutgoingMailServer").overview()
    return {one.pk: _standstill(one, stopped, servers) for one in campaigns}


def _standstill(campaign: Any, stopped: str, servers: Sequence[Any]) -> str:
    if campaign.state == "paused":
        return f"Paused: {campaign.paused_reason}"
    if campaign.state != "running":
        return f"It could not be started: {campaign.paused_reason}" if campaign.paused_reason else ""
    own = [one for one in servers if one.is_active and _may_send(one, campaign)]
    if stopped or not own or any(one.state == "used" for one in own):
        return stopped
    # A server that failed stays so, also when its pause is over, until it has taken a mail.
    until = f", and is left alone until {own[0].paused_until:%Y-%m-%d %H:%M} UTC" if own[0].paused_until else ""
    return f"No mail server works. {own[0].name} does not{until}: {own[0].reason}"


def _may_send(one: Any, campaign: Any) -> bool:
    """Whether a server, as an `Overview`, is one that may send the mails of a campaign."""
    if campaign.server is not None:
        return bool(one.key == campaign.server)
    return one.server is None or not one.server.whose_else(campaign.user_id, campaign.company_id)


async def _counts(campaign: Any) -> Mapping[str, Mapping[str, Any]]:
    counted = ", ".join(f"SUM(CASE WHEN {which} THEN 1 ELSE 0 END) AS {name}" for name, which in _COUNTED.items())
    rows = await database().fetch(
        f"""SELECT state, COUNT(*) AS n, {counted}
            FROM {_table()} WHERE campaign_id = {database().dialect.param(1)} GROUP BY state""",
        [campaign.pk],
    )
    return {row["state"]: row for row in rows}


async def _reasons(campaign: Any) -> tuple[tuple[str, str, int], ...]:
    rows = await database().fetch(
        f"""SELECT state, reason, COUNT(*) AS n FROM {_table()}
            WHERE campaign_id = {database().dialect.param(1)} AND reason <> ''
            GROUP BY state, reason ORDER BY COUNT(*) DESC, reason LIMIT {_MOST_REASONS}""",
        [campaign.pk],
    )
    return tuple((row["state"], row["reason"], int(row["n"])) for row in rows)


async def _sent_per_minute(campaign: Any) -> float | None:
    """Return how many left a minute lately, by the campaign's own age where it is younger than the window."""
    if campaign.state != "running":
        return None
    since = max(now() - _RATE_WINDOW, campaign.started_at)
    minutes = (now() - since).total_seconds() / 60
    sent = await get_model("CampaignRecipient").filter(campaign_id=campaign.pk, sent_at__gte=since).count()
    return round(sent / minutes, 1) if sent and minutes > 0 else None


def _table() -> str:
    return str(get_model("CampaignRecipient")._meta.db_table)
