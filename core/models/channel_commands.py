"""The commands that every channel has: `postroom <channel> send|test|ls`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic

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
        Command("send", partial(_send, channel), "Queue a message: ADDRESS TEXT [MODEL:ID]."),
        Command("test", partial(_test, channel), "Send one message at once: PROVIDER ADDRESS [TEXT]."),
        Command("ls", partial(_ls, channel), "List the providers, and which of them are paused, and why."),
    ]


async def _send(channel: str, words: Sequence[str]) -> None:
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
    print(
        f"Message {message.pk} to {', '.join(message.email_to)} is queued. {measure(text) if measure else ''}".rstrip()
    )


async def _test(channel: str, words: Sequence[str]) -> None:
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
    told = f"{result.outcome}: {result.words} ({(monotonic() - started_at) * 1000:.0f} ms)"
    if result.outcome is not Outcome.SENT:
        raise TemporaryFailure(f"{provider.name}: {told}")
    print(f"{provider.name}: {told}{f', as {result.remote_id}' if result.remote_id else ''}")


async def _ls(channel: str, _words: Sequence[str]) -> None:
    providers = await get_model(channel_named(channel).provider_model).all().order_by("priority", "id")
    pauses = {one.server: one for one in await get_model("ServerPause").filter(until_at__gt=clock.now())}
    if not providers:
        print(f"No provider; make a {channel_named(channel).provider_model} record.")
    for one in providers:
        state = "active" if one.active else "switched off"
        if one.key in pauses:
            state = f"paused until {pauses[one.key].until_at:%Y-%m-%d %H:%M:%S} UTC: {pauses[one.key].reason}"
        print(f"{one.name}: {one.kind}, {state}. Receipts: {one.receipt_url() or 'none without BASE_URL'}")
