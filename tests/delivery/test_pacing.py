"""Rates of servers and domains hold over workers; urgent mail goes first, and patient mail goes too."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic
from typing import Any

import pytest

from core.delivery import pacing
from core.delivery.claim import claim
from core.delivery.engine import Engine
from core.delivery.pacing import Limit, take
from core.delivery.suspension import resume_queue, suspend_queue, suspension
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, queue_mail, states
from tests.servers.fake_mta import FakeMta

pytestmark = pytest.mark.anyio


async def test_no_stretch_of_time_sees_more_than_its_limit(host: Runtime) -> None:
    limit = Limit("server:1", 5, 1)
    taken: list[tuple[float, float]] = []
    """Asked and granted at; a busy machine puts time between."""
    until = monotonic() + 2.2
    while (asked_at := monotonic()) < until:
        granted, wait_s = await take([limit], 3)
        taken += [(asked_at, monotonic())] * granted
        await asyncio.sleep(0.01 if granted else min(wait_s, 0.05))
    assert 8 <= len(taken) <= 15
    for begin, _ in taken:
        assert sum(begin <= asked_at and granted_at < begin + 0.99 for asked_at, granted_at in taken) <= 5


async def test_takers_at_once_share_a_limit(host: Runtime) -> None:
    limit = Limit("server:1", 7, 3600)
    granted = await asyncio.gather(*(take([limit], 2) for _ in range(10)))
    assert sum(count for count, _ in granted) == 7
    assert all(wait_s > 0 for count, wait_s in granted if not count)


async def test_two_workers_keep_a_servers_rate(host: Runtime, mta: FakeMta) -> None:
    await get_model("OutgoingMailServer").all().update(rate_per_minute=5)
    for number in range(9):
        await queue_mail(f"a{number}@b.test")
    async with Engine("one") as one, Engine("two") as two:
        await asyncio.gather(one.drain(), two.drain())
    assert len(mta.ledger) == 5
    waiting = await get_model("Message").filter(send_state="Queued")
    assert len(waiting) == 4
    assert "rate" in waiting[0].error


async def test_a_slow_domain_holds_no_other_up(host: Runtime, mta: FakeMta) -> None:
    await get_model("DomainPace").create(domain="Slow.test", rate_per_minute=1)
    for domain in ("slow.test", "slow.test", "fast.test", "fast.test"):
        await queue_mail(f"x@{domain}")
    await drain()
    seen = Counter(accepted.recipient.partition("@")[2] for accepted in mta.ledger)
    assert seen == {"slow.test": 1, "fast.test": 2}


async def test_every_other_domain_may_have_a_pace_of_its_own(host: Runtime, mta: FakeMta) -> None:
    await get_model("DomainPace").create(domain="*", rate_per_minute=1)
    for domain in ("one.test", "one.test", "two.test"):
        await queue_mail(f"x@{domain}")
    await drain()
    assert Counter(accepted.recipient for accepted in mta.ledger) == {"x@one.test": 1, "x@two.test": 1}


async def test_a_mail_with_more_recipients_than_the_rate_still_goes(host: Runtime, mta: FakeMta) -> None:
    await get_model("OutgoingMailServer").all().update(rate_per_minute=2)
    message = await queue_mail(*(f"a{number}@b.test" for number in range(5)))
    await drain()
    assert set((await states(message)).values()) == {"sent"}


async def test_mails_one_by_one_use_no_more_of_a_rate_than_they_are(host: Runtime, mta: FakeMta) -> None:
    await get_model("OutgoingMailServer").all().update(rate_per_day=200)
    await get_model("DomainPace").create(domain="b.test", rate_per_day=100)
    for number in range(3):
        await queue_mail(f"a{number}@b.test")
        await drain()
    used = {row.limit_key.partition(":")[0]: row.used for row in await get_model("PaceUse").all()}
    assert len(mta.ledger) == 3
    assert used == {"server": 3, "domain": 3}


async def test_a_domain_that_said_no_is_not_asked_for_each_mail_and_each_mail_says_which(
    host: Runtime, mta: FakeMta
) -> None:
    messages = {}
    for domain in ("one.test", "two.test"):
        await get_model("DomainPace").create(domain=domain, rate_per_minute=1)
        for number in range(4):
            messages[domain] = await queue_mail(f"a{number}@{domain}")
    asked = 0

    async def counted(limits: Any, wanted: int) -> Any:
        nonlocal asked
        asked += 1
        return await take_and_tell(limits, wanted)

    take_and_tell = pacing._take
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing, "_take", counted)
        await drain()
    for domain, message in messages.items():
        await message.refresh_from_db()
        assert domain in message.error
    assert len(mta.ledger) == 2
    assert asked == 4


async def test_limits_that_nobody_asks_for_leave_nothing_behind(host: Runtime) -> None:
    uses = get_model("PaceUse")
    await uses.create(limit_key="domain:gone.test/60", slice=1, used=1)
    await take([Limit("domain:here.test", 5, 60)], 1)
    await get_model("Message").cron_forget()
    assert await uses.all().values_list("limit_key", flat=True) == ["domain:here.test/60"]


async def test_what_waited_longest_gets_its_turn_among_urgent_mail(host: Runtime) -> None:
    patient = await queue_mail(priority="low")
    for _ in range(3):
        await queue_mail(priority="high")
    _, rows = await claim(1, oldest_first=True)
    assert [row.message_id for row in rows] == [patient.pk]


async def test_a_suspended_queue_sends_nothing_by_any_path(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail()
    await suspend_queue("The relay moves")
    await drain()
    await message.send_now()
    await get_model("Message").cron_flush()
    assert not mta.ledger
    assert (await suspension()).reason == "The relay moves"
    assert await resume_queue()
    await drain()
    assert len(mta.ledger) == 1


async def test_suspending_stops_what_is_claimed_already(host: Runtime, mta: FakeMta) -> None:
    for number in range(6):
        await queue_mail(f"a{number}@b.test")
    async with Engine() as engine:
        before = engine.ledger.begin

        async def begin(job: object) -> bool:
            await suspend_queue()
            return await before(job)  # type: ignore[arg-type]

        engine.ledger.begin = begin  # type: ignore[method-assign]
        await engine.flush()
    assert not mta.ledger
    assert await get_model("Delivery").filter(state="queued").count() == 6
