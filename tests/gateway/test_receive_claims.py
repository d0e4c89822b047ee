"""Claims of the spool: tries counted honestly, one bad mail harms no other, and what is in hand is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import pytest
from tortoise.exceptions import OperationalError

from core.gateway import receive, spool
from core.gateway.lookup import Lookup
from core.gateway.receive import process, process_pending
from core.gateway.spool import Spooled
from core.gateway.values import Received
from core.runtime import Runtime, get_model
from tests.faults.full_disk import full
from tests.gateway.conftest import change_settings, mail

pytestmark = pytest.mark.anyio


async def two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store two mails that are claimed one by one."""
    monkeypatch.setattr(spool, "BATCH_COUNT", 1)
    for number in range(2):
        await spool.store(mail(str(number)), f"test:{number}")


async def test_a_mail_that_fails_is_tried_three_times_and_then_set_aside_whole_while_others_go_on(
    routes: dict[str, Any],
) -> None:
    for number, subject in enumerate(("crash the rule", "fine", "fine too")):
        await spool.store(mail(subject), f"test:{number}")
    reports = [await process_pending() for _ in range(4)]
    assert [report.outcomes for report in reports] == [
        {"failed": 1, "record": 2},
        {"failed": 1},
        {"quarantined": 1},
        {},
    ]
    row = await get_model("InboundEmail").get(source="test:0")
    assert (row.state, row.outcome, row.tries) == ("quarantined", "quarantined", 3)
    assert row.error == "RuntimeError: the rule crashed"
    assert await row.content() == mail("crash the rule")


async def test_a_disk_without_room_uses_up_no_try_of_a_mail(routes: dict[str, Any], host: Runtime) -> None:
    await spool.store(mail("desks", body="0123456789\r\n" * 20_000), "test:0")
    async with full(host, "message"):
        reports = [await process_pending() for _ in range(4)]
    assert [report.outcomes for report in reports] == [{"failed": 1}] * 4
    row = await get_model("InboundEmail").get()
    assert (row.state, row.tries) == ("received", 0)
    assert (await process_pending()).outcomes == {"record": 1}


async def test_reading_that_takes_too_long_counts_as_a_failure(routes: dict[str, Any], host: Runtime) -> None:
    change_settings(host, PARSE_SECONDS=1e-9)
    await spool.store(mail("slow"), "test:1")
    reports = [await process_pending() for _ in range(3)]
    assert [report.outcomes for report in reports] == [{"failed": 1}, {"failed": 1}, {"quarantined": 1}]
    assert "PARSE_SECONDS" in (await get_model("InboundEmail").get()).error


async def test_a_mail_that_ends_the_process_comes_alone_and_then_not_at_all(routes: dict[str, Any]) -> None:
    inbound = get_model("InboundEmail")
    for number in range(3):
        await spool.store(mail(str(number)), f"test:{number}")
    # A worker claims all three and is killed; its lease runs out.
    _, claimed = await spool.claim(0)
    assert len(claimed) == 3
    assert (await spool.claim(0))[1] == []
    await inbound.all().update(lease_until=None)
    # The first one is the culprit: alone, it kills two more workers.
    for _ in range(2):
        _, claimed = await spool.claim(0)
        assert [mail.source for mail in claimed] == ["test:0"]
        await inbound.all().update(lease_until=None)
    report = await process_pending()
    assert report.outcomes == {"record": 2}
    culprit = await inbound.get(source="test:0")
    assert culprit.state == "quarantined"
    assert "ended the process" in culprit.error


async def test_the_next_mails_are_read_while_those_before_them_are_decided_about(
    routes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_batches(monkeypatch)
    second_is_read = asyncio.Event()
    read_in_time, prepare = receive.read_in_time, Lookup.prepare

    async def reading(mails: Sequence[Spooled], lookup: Lookup) -> list[Received]:
        done = await read_in_time(mails, lookup)
        if mails[0].source == "test:1":
            second_is_read.set()
        return done

    async def preparing(lookup: Lookup, mails: Sequence[Received]) -> None:
        async with asyncio.timeout(10):
            await second_is_read.wait()
        await prepare(lookup, mails)

    monkeypatch.setattr(receive, "read_in_time", reading)
    monkeypatch.setattr(Lookup, "prepare", preparing)
    assert (await process_pending()).outcomes == {"record": 2}


async def test_what_was_only_read_is_given_back_untried(
    routes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_batches(monkeypatch)

    async def stopped(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(spool, "finish", stopped)
    with pytest.raises(asyncio.CancelledError):
        await process_pending()
    rows = await get_model("InboundEmail").all().order_by("id").values("tries", "lease_token")
    assert [row["tries"] for row in rows] == [1, 0]
    assert rows[1]["lease_token"] is None


async def test_a_claim_that_fails_leaves_none_of_the_mails_in_hand(
    routes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.store(mail("mine"), "test:0")
    claim = spool.claim

    async def failing(*arguments: Any, beside: bool = False) -> Any:
        if beside:
            raise OperationalError("the disk is full")
        return await claim(*arguments)

    monkeypatch.setattr(spool, "claim", failing)
    with pytest.raises(OperationalError):
        await process_pending()
    row = await get_model("InboundEmail").get()
    assert (row.state, row.tries, row.lease_token) == ("received", 0, None)


async def test_beside_others_come_only_fresh_and_small_mails(routes: dict[str, Any]) -> None:
    ids = [await spool.store(mail(str(number)), f"test:{number}") for number in range(4)]
    inbound = get_model("InboundEmail")
    await inbound.filter(id=ids[2]).update(tries=1)
    _, claimed = await spool.claim(ids[0] or 0, beside=True)
    assert [one.id for one in claimed] == [ids[1]]
    assert await spool.claim(ids[1] or 0, beside=True) == (ANY, [])
    assert (await inbound.get(id=ids[2])).tries == 1
    await inbound.filter(id=ids[3]).update(size_bytes=10**7)
    assert await spool.claim(ids[2] or 0, beside=True) == (ANY, [])
    _, claimed = await spool.claim(ids[2] or 0)
    assert [one.id for one in claimed] == [ids[3]]


async def test_a_worker_that_lost_its_lease_writes_nothing(
    routes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = spool.claim

    async def robbed(*arguments: Any, **options: Any) -> Any:
        claimed = await claim(*arguments, **options)
        await get_model("InboundEmail").all().update(lease_token="somebody else's")
        return claimed

    monkeypatch.setattr(spool, "claim", robbed)
    mine = await spool.store(mail("mine"), "test:0")
    assert await process([mine or 0]) == []
    assert await get_model("Ticket").all().count() == 0
    assert (await get_model("InboundEmail").get()).state == "received"
