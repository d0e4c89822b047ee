"""What mass mailing adds to the command line: `postroom campaign ...`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from core.api import UnknownName, UserError, get_model

from .statistics import standstills_of, statistics_of

_NUMBER = re.compile(r"[0-9]{1,18}")


async def ls(_words: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each campaign, newest first."""
    campaigns = await get_model("Campaign").all().order_by("-id")
    standstills = await standstills_of(campaigns)
    return [_row(one, standstills[one.pk]) for one in campaigns]


async def start(words: Sequence[str]) -> list[dict[str, Any]]:
    """Start the named campaign."""
    campaign = await _named(words)
    await campaign.start()
    return await _told(campaign)


async def pause(words: Sequence[str]) -> list[dict[str, Any]]:
    """Pause the named campaign; the further words are the reason."""
    campaign = await _named(words, more=True)
    await campaign.pause(" ".join(words[1:]))
    return await _told(campaign)


async def resume(words: Sequence[str]) -> list[dict[str, Any]]:
    """Go on with the named campaign."""
    campaign = await _named(words)
    await campaign.resume()
    return await _told(campaign)


async def cancel(words: Sequence[str]) -> list[dict[str, Any]]:
    """Stop the named campaign for good."""
    campaign = await _named(words)
    await campaign.cancel()
    return await _told(campaign)


async def retry(words: Sequence[str]) -> list[dict[str, Any]]:
    """Make a new mail for those who got none."""
    campaign = await _named(words)
    await campaign.retry()
    return await _told(campaign)


async def report(words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the figures of the named campaign, one a row."""
    campaign = await _named(words)
    await campaign.catch_up()
    figures = await statistics_of(campaign)
    plain = ("audience", "accepted", "delivered", "bounced", "opened_by_people", "opened_by_machines", "clicked")
    rows: dict[str, Any] = {name: getattr(figures, name) for name in (*plain, "unsubscribed", "complained")}
    rows |= {f"state: {state}": count for state, count in figures.states.items()}
    rows |= {f"rate: {name}": "n/a" if rate is None else f"{rate:.1%}" for name, rate in figures.rates.items()}
    rows |= {f"{state}: {reason}": count for state, reason, count in figures.reasons}
    return [
        *await _told(campaign, ("figure", "value")),
        *({"figure": name, "value": value} for name, value in rows.items()),
    ]


async def _named(words: Sequence[str], *, more: bool = False) -> Any:
    if not words or not _NUMBER.fullmatch(words[0]) or (len(words) > 1 and not more):
        raise UserError("Name one campaign by its number, which `postroom campaign ls` shows.")
    found = await get_model("Campaign").get_or_none(id=int(words[0]))
    if found is None:
        raise UnknownName(f"There is no campaign {words[0]}; `postroom campaign ls` shows them.")
    return found


async def _told(campaign: Any, pair: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    row = _row(campaign, (await standstills_of([campaign]))[campaign.pk])
    return [row] if pair is None else [dict(zip(pair, item, strict=True)) for item in row.items()]


def _row(campaign: Any, standstill: str) -> dict[str, Any]:
    return {
        "id": campaign.pk,
        "name": campaign.name,
        "state": campaign.state,
        "standstill": standstill,
        "scheduled_at": campaign.scheduled_at,
        "started_at": campaign.started_at,
        "finished_at": campaign.finished_at,
    }
