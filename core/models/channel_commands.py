"""The commands that every channel has: `postroom <channel> send|test|ls`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any

from core import clock
from core.contributions import Command
from core.delivery.channel import ChannelMessage, channel_named, try_provider
from core.errors import TemporaryFailure, UnknownName, UserError, did_you_mean
from core.mail.retry import Outcome
from core.runtime import get_model

_TEST_TEXT = "Postroom: this provider works."


def channel_commands(channel: str) -> list[Command]:
    """Return the commands of a channel, for `register_commands`."""
    return [
        Command(
            "send",
            partial(_send, channel),
            "Queue a message: ADDRESS TEXT [MODEL:ID].",
            '"+49 151 12345678" "Your table is ready." CrmLead:7',
        ),
        Command(
            "test",
            partial(_test, channel),
            "Send one message at once: PROVIDER ADDRESS [TEXT].",
            'Gateway "+49 151 12345678"',
        ),
        Command("ls", partial(_ls, channel), "List the providers, and which of them are paused, and why."),
    ]


async def _send(channel: str, words: Sequence[str]) -> list[dict[str, Any]]:
    if not 2 <= len(words) <= 3:
        raise UserError(f"Write: postroom {channel} send ADDRESS TEXT [MODEL:ID]")
    address, text, *rest = words
    if rest:
        model, _, key = rest[0].partition(":")
        record = await get_model(model).get_or_none(id=int(key)) if key.isdecimal() else None
        if record is None or not hasattr(record, "send_message"):
            raise UserError(f"{rest[0]} is no record with a timeline; write it as CrmLead:7.")
        message = await record.send_message(text, channel=channel, to=[address])
    else:
        message = await get_model("Message").queue_message(channel, None, [address], text)
    measure = channel_named(channel).measure
    length = {"length": measure(text)} if measure else {}
    return [{"message": message.pk, "to": message.email_to, "state": message.send_state, **length}]


async def _test(channel: str, words: Sequence[str]) -> list[dict[str, Any]]:
    if not 2 <= len(words) <= 3:
        raise UserError(f"Write: postroom {channel} test PROVIDER ADDRESS [TEXT]")
    name, address, text = words[0], channel_named(channel).address(words[1]), (*words, _TEST_TEXT)[2]
    providers = await get_model(channel_named(channel).provider_model).all()
    provider = next((one for one in providers if name in (one.name, one.identifier)), None)
    if provider is None:
        known = [one.name for one in providers]
        raise UnknownName(
            f'There is no provider "{name}".{did_you_mean(name, known)} There are: {", ".join(known) or "none"}.'
        )
    started_at = monotonic()
    result = await try_provider(provider, ChannelMessage(address, text, "", "0"))
    ms = round((monotonic() - started_at) * 1000)
    if result.outcome is not Outcome.SENT:
        raise TemporaryFailure(f"{provider.name}: {result.outcome}: {result.words} ({ms} ms)")
    told = {"outcome": str(result.outcome), "words": result.words, "ms": ms, "remote_id": result.remote_id}
    return [{"provider": provider.name, **told}]


async def _ls(channel: str, _words: Sequence[str]) -> list[dict[str, Any]]:
    providers = await get_model(channel_named(channel).provider_model).all().order_by("priority", "id")
    pauses = {one.server: one for one in await get_model("ServerPause").filter(until_at__gt=clock.now())}
    rows = []
    for one in providers:
        pause = pauses.get(one.key)
        state = "off" if not one.active else "paused" if pause else "used"
        until = {"paused_until": pause.until_at if pause else None, "reason": pause.reason if pause else ""}
        receipts = one.receipt_url() or "none without BASE_URL"
        rows.append({"name": one.name, "kind": one.kind, "state": state, **until, "receipts": receipts})
    return rows
