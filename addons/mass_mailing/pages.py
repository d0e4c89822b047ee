"""The pages of mass mailing: the list of campaigns, and one campaign with what may be done about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.api import Right, UnknownName, UserError, get_model, my_access

from .audience import preview, size_of
from .models.campaign_recipient import STATES as RECIPIENT_STATES
from .statistics import standstills_of, statistics_of

HERE = "/addons/mass_mailing"
_NUMBER = re.compile(r"[0-9]{1,18}")
_MOST = 100
_MOST_PREVIEWED = 5_000
_TONES = {
    "sent": "good",
    "bounced": "bad",
    "failed": "bad",
    "unknown": "bad",
    "queued": "wait",
    "waiting": "wait",
    "finished": "good",
    "running": "wait",
    "paused": "bad",
    "scheduled": "wait",
}
_BAR = ("sent", "bounced", "failed", "unknown", "skipped", "cancelled", "queued", "waiting")
_ACTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "draft": (("start", "Start"),),
    "scheduled": (("cancel", "Back to draft"),),
    "running": (("pause", "Pause"), ("cancel", "Cancel for good")),
    "paused": (("resume", "Resume"), ("cancel", "Cancel for good")),
    "finished": (),
    "cancelled": (),
}
_SENTENCES = {
    "draft": "Nothing was sent yet.",
    "scheduled": "It starts by itself at its time.",
    "running": "{done} of {audience} are dealt with.",
    "paused": "{done} of {audience} are dealt with.",
    "finished": "All {audience} are dealt with.",
    "cancelled": "{done} of {audience} were dealt with, and no more are.",
}


async def campaigns(_query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the newest campaigns, each with how many were to get it and did."""
    found = await (await my_access()).records("Campaign").order_by("-id").limit(_MOST)
    standstills = await standstills_of(found)
    counts = await get_model("Campaign").counts([one.pk for one in found])
    rows = [
        {
            "url": f"{HERE}/campaign?id={one.pk}",
            "name": one.name,
            "mark": _mark(one.state),
            "standstill": standstills[one.pk],
            "audience": sum(counts[one.pk].values()),
            "sent": counts[one.pk]["sent"],
            "started_at": one.started_at or one.scheduled_at,
        }
        for one in found
    ]
    return {"campaigns": rows}


async def campaign(query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return one campaign: its state in a sentence, its figures, its recipients, and what may be done."""
    access = await my_access()
    found = await _find(query, Right.READ)
    await found.catch_up()
    figures = await statistics_of(found)
    state, last_id = query.get("state", ""), query.get("after", "0")
    if (state and state not in RECIPIENT_STATES) or not _NUMBER.fullmatch(last_id):
        raise UnknownName(f"There is no state {state[:40]} and no page {last_id[:40]}.")
    rows = get_model("CampaignRecipient").filter(campaign_id=found.pk, id__gt=int(last_id))
    if state:
        rows = rows.filter(state=state)
    recipients = await rows.order_by("id").limit(_MOST + 1)
    counts = {name: count for name, count in figures.states.items() if count}
    done = sum(count for name, count in counts.items() if name not in ("waiting", "queued", "unknown"))
    may = access.may("Campaign", Right.WRITE)
    return {
        "campaign": found,
        "mark": _mark(found.state),
        "sentence": _SENTENCES[found.state].format(done=done, audience=figures.audience),
        "standstill": (await standstills_of([found]))[found.pk],
        "figures": figures,
        "counts": counts,
        "bar": list(_bar(counts)),
        "titles": RECIPIENT_STATES,
        **await _expected(found),
        "recipients": [(one, _mark(one.state, RECIPIENT_STATES[one.state])) for one in recipients[:_MOST]],
        "state": state,
        "next_id": recipients[_MOST - 1].pk if len(recipients) > _MOST else None,
        "actions": _ACTIONS[found.state] if may else (),
        "may_retry": may and figures.states["failed"] > 0 and found.state in ("running", "paused", "finished"),
        "url": f"{HERE}/campaign?id={found.pk}",
    }


async def act(form: Mapping[str, str]) -> str:
    """Do what a button says, and return to the page."""
    found = await _find(form, Right.WRITE)
    match form.get("action"):
        case "start":
            await _check_count(found, form.get("count", ""))
            await found.start()
        case "pause":
            await found.pause(form.get("reason", ""))
        case "resume":
            await found.resume()
        case "cancel":
            await found.cancel()
        case "retry":
            await found.retry()
        case _:
            raise UserError("This button is none of the page; load it again.")
    return f"{HERE}/campaign?id={found.pk}"


async def _check_count(campaign: Any, typed: str) -> None:
    """Let nobody write to thousands by a slip: UserError unless the number that the page shows was typed."""
    size = (await _expected(campaign))["size"]
    if typed.strip() != str(size):
        raise UserError(f'"{campaign.name}" would go to {size}; type that number to start it.')


async def _expected(campaign: Any) -> Mapping[str, Any]:
    """Return whom a campaign that was not begun would go to; of a large audience only how many records it is.

    `size` is the number that whoever starts it by the page types.
    """
    if campaign.state not in ("draft", "scheduled"):
        return {"preview": None, "size": 0}
    size = await size_of(campaign)
    if size > _MOST_PREVIEWED:
        return {"preview": None, "size": size}
    found = await preview(campaign)
    return {"preview": found, "size": found.addresses - found.suppressed}


async def _find(query: Mapping[str, str], right: Right) -> Any:
    """Return the campaign that is named, or the newest where none is."""
    access = await my_access()
    if "id" not in query and (newest := await access.records("Campaign", right).order_by("-id").first()):
        return newest
    if not _NUMBER.fullmatch(query.get("id", "")):
        raise UnknownName("There is no such campaign; choose one from the list.")
    return await access.find("Campaign", int(query["id"]), right)


def _bar(counts: Mapping[str, int]) -> Iterator[tuple[str, str, float, float]]:
    """Yield (state, tone, start, width) of each part of a bar that is 1,000 wide."""
    start, whole = 0.0, sum(counts.values())
    for name in sorted(counts, key=_BAR.index):
        width = 1_000 * counts[name] / whole
        yield name, _TONES.get(name, ""), round(start, 2), round(width, 2)
        start += width


def _mark(state: str, word: str = "") -> Mapping[str, str]:
    return {"tone": _TONES.get(state, ""), "word": word or state.capitalize()}
