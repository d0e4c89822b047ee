"""S11: a server with an allow-list of domains sends as these alone, whoever asks, and says so before it is queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.security.door import Door, door_to, read

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

FOREIGN = (
    "boss@evil.test",
    "Boss <boss@evil.test>",
    '"boss@acme.test" <boss@evil.test>',
    "boss@acme.test.evil.test",
    "boss@evilacme.test",
    "boss@sub.acme.test",
    "boss@acme.test.",
    "boss@xn--acme-test.test",
    "boss@\u0430cme.test",
    "boss@acm\u0435.test",
    "boss@acme\u3002test",
    "boss@acme.test@evil.test",
    "boss@evil.test (boss@acme.test)",
    "boss@acme.test, boss@evil.test",
    "boss%evil.test@gmail.test",
    "boss@ACME.test.evil.test",
)


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live"}


@pytest.fixture
async def door(host: Runtime) -> AsyncIterator[Door]:
    async with door_to(from_domains=["acme.test", "b\u00fccher.test"]) as opened:
        yield opened


async def _only_ours(door: Door) -> None:
    for accepted in await door.sent():
        message = read(accepted.raw)
        assert accepted.sender.rpartition("@")[2] == "acme.test"
        for name in ("From", "Sender"):
            for one in message[name].addresses if name in message else ():
                assert one.domain in ("acme.test", "xn--bcher-kva.test"), (name, str(message[name]))
        assert {"Return-Path", "Resent-From", "Resent-Sender"}.isdisjoint(message.keys())


async def test_s11_a_foreign_from_is_refused_at_once(door: Door) -> None:
    for text in FOREIGN:
        assert await door.queue(from_email=text) is None, text
    assert await get_model("Message").all().count() == 0
    assert not await door.sent()


async def test_s11_so_is_a_foreign_sender(door: Door) -> None:
    for text in FOREIGN:
        assert await door.queue(sender=text) is None, text
    await _only_ours(door)


async def test_s11_no_header_names_another_sender(door: Door) -> None:
    for name in ("From", "Sender", "Return-Path", "Resent-From", "Resent-Sender", "return-path", "SENDER"):
        assert await door.queue(headers={name: "boss@evil.test"}) is None, name
    await _only_ours(door)
    assert not door.mta.ledger


async def test_s11_a_user_s_own_address_is_held_to_it_too(door: Door) -> None:
    for number, text in enumerate(FOREIGN):
        contact = await get_model("Contact").create(name="Boss", email=text[:200])
        user = await get_model("User").create(login=f"boss{number}", name="Boss", contact=contact)
        await _refused(user)
    await _only_ours(door)
    assert not door.mta.ledger


async def _refused(user: Any) -> None:
    with pytest.raises(ValueError):
        await get_model("Message").queue_email(user, ["kim@customer.test"], "Hi", "<p>x</p>")


async def test_s11_what_was_stored_otherwise_is_not_sent(door: Door) -> None:
    """An import, or a list that was made shorter after the mail was queued."""
    for text in ("boss@evil.test", "boss@sub.acme.test"):
        message = await door.queue()
        await get_model("Message").filter(id=message.pk).update(email_from=text)
    assert not await door.sent()
    assert not door.mta.ledger


async def test_s11_our_own_domains_go_in_every_spelling(door: Door) -> None:
    for text in ("office@acme.test", "Office <office@ACME.test>", "office@b\u00fccher.test", "o@xn--bcher-kva.test"):
        assert await door.queue(from_email=text, sender=text) is not None, (text, door.refused)
    await _only_ours(door)
    assert len(door.mta.ledger) == 4
