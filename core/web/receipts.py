"""What a channel's provider told of each recipient, and how long a text is: for the timeline and the message page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from core.runtime import get_model, runtime

_EMAIL = "email"


async def receipts_of(messages: Sequence[Any]) -> dict[int, tuple[Any, ...]]:
    """Return the receipts by delivery, the first one first. E-mail has none."""
    ids = [delivery.id for message in messages if message.channel != _EMAIL for delivery in message.deliveries]
    by_delivery: dict[int, list[Any]] = defaultdict(list)
    for receipt in await get_model("Receipt").filter(delivery_id__in=ids).order_by("id") if ids else ():
        by_delivery[receipt.delivery_id].append(receipt)
    return {delivery_id: tuple(told) for delivery_id, told in by_delivery.items()}


def state_told(state: str, receipts: Sequence[Any]) -> str:
    """Return the state of a recipient as the receipts sharpen it."""
    if state != "sent":
        return state
    told = {receipt.state for receipt in receipts}
    return next((one for one in ("read", "delivered") if one in told), state)


def failure_told(state: str, receipts: Sequence[Any]) -> str:
    """Return why a provider could not deliver what it had taken; empty where that is not so."""
    return next((one.words for one in receipts if state == one.state == "failed"), "")


def channel_title(name: str) -> str:
    """`email` -> `Mail`, `sms` -> `SMS`; a channel that no addon brings any more keeps its name."""
    titles = {channel.name: channel.title for _, channel in runtime().contributions.channels}
    return titles.get(name, "Mail" if name == _EMAIL else name)


def length_of(message: Any) -> str:
    """Return how long an outbound text is on its channel, in words; empty where that is not counted."""
    channels = {channel.name: channel for _, channel in runtime().contributions.channels}
    measure = channels[message.channel].measure if message.channel in channels else None
    return measure(message.text) if measure and message.text and message.direction == "Outbound" else ""
