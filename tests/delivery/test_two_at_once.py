"""Two who do something with one message at once: a person and a worker, or a person twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.delivery.engine import Engine
from core.delivery.suppression import suppress
from core.errors import UserError
from core.runtime import Runtime, get_model
from tests.delivery.conftest import SENDER, drain, queue_mail, states
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


async def _draft() -> Any:
    return await get_model("Message").create(kind="message", direction="Outbound", send_state="Draft", subject="Hi")


async def _queue(draft: Any, **options: Any) -> Any:
    return await queue_mail(message=draft, **options)


async def test_send_now_leaves_a_worker_what_it_has_and_waits_for_it(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.3),)})) as mta:
        await get_model("OutgoingMailServer").create(name="fake", server="127.0.0.1", port=mta.port, use_ssl=False)
        message = await queue_mail()
        async with Engine() as worker:
            flush = asyncio.create_task(worker.flush())
            async with asyncio.timeout(5):
                while not mta.ledger:
                    await asyncio.sleep(0.01)
            await message.send_now()
            assert message.send_state == "Sent"
            await flush
        await message.send_now()
    assert len(mta.ledger) == 1


async def test_send_now_says_where_nothing_is_left_to_send(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail()
    await message.cancel()
    with pytest.raises(UserError, match="no recipient that waits"):
        await message.send_now()


async def test_a_draft_that_two_send_goes_once(host: Runtime, mta: FakeMta) -> None:
    draft = await _draft()
    first, second = [await get_model("Message").get(id=draft.pk) for _ in range(2)]
    await _queue(first)
    with pytest.raises(UserError, match="already"):
        await _queue(second)
    await drain()
    assert len(mta.ledger) == 1


async def test_a_dry_run_leaves_the_draft_as_it_was(host: Runtime, mta: FakeMta) -> None:
    draft = await _draft()
    await get_model("Message").dry_run(None, ["a@b.test"], "Hi", "<p>Hi</p>", from_email=SENDER, message=draft)
    assert (draft.send_state, draft.message_id) == ("Draft", None)
    await _queue(draft)
    assert await states(draft) == {"kim@customer.test": "queued"}


async def test_a_key_gives_a_draft_that_was_queued_by_it(host: Runtime, mta: FakeMta) -> None:
    draft = await _draft()
    again = await get_model("Message").get(id=draft.pk)
    await _queue(draft, idempotency_key="once")
    assert (await _queue(again, idempotency_key="once")).pk == draft.pk
    await drain()
    assert len(mta.ledger) == 1


async def test_a_mail_whose_time_ends_while_another_is_answered_is_not_sent(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.8),)})) as mta:
        await get_model("OutgoingMailServer").create(
            name="fake", server="127.0.0.1", port=mta.port, use_ssl=False, concurrency=1
        )
        await queue_mail("slow@b.test")
        late = await queue_mail("late@b.test", expires_at=clock.now() + timedelta(seconds=0.7))
        await drain()
    await late.refresh_from_db()
    assert [one.recipient for one in mta.ledger] == ["slow@b.test"]
    assert late.send_state == "Cancelled"
    assert "expires_at" in late.error


async def test_a_mail_given_back_after_its_mark_is_not_said_to_be_on_its_way(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.3),)})) as mta:
        await get_model("OutgoingMailServer").create(
            name="fake", server="127.0.0.1", port=mta.port, use_ssl=False, concurrency=1
        )
        await queue_mail("slow@b.test")
        shared = await queue_mail("kim@b.test", "sam@b.test")
        async with Engine() as engine:
            flush = asyncio.create_task(engine.flush())
            async with asyncio.timeout(5):
                while not mta.ledger:
                    await asyncio.sleep(0.01)
            await suppress("sam@b.test", reason="unsubscribe")
            await flush
        await shared.refresh_from_db()
    assert (await states(shared), shared.send_state) == ({"kim@b.test": "queued", "sam@b.test": "queued"}, "Queued")


@pytest.mark.parametrize("settings", [{"MAIL_MODE": "live", "MAIL_DOMAIN": "acme.test", "RETRY_LIFETIME_HOURS": 1.0}])
async def test_a_mail_that_is_tried_again_by_hand_has_its_life_before_it(host: Runtime) -> None:
    async with FakeMta(Script(recipients={"kim@customer.test": Act(reply="450 4.2.0 busy")})) as mta:
        await get_model("OutgoingMailServer").create(name="fake", server="127.0.0.1", port=mta.port, use_ssl=False)
        message = await queue_mail()
        await get_model("Message").filter(id=message.pk).update(date_at=clock.now() - timedelta(days=5))
        await drain()
        assert await states(message) == {"kim@customer.test": "failed"}
        await message.action_retry()
        await drain()
    assert await states(message) == {"kim@customer.test": "queued"}


async def test_a_suppression_after_the_claim_holds_for_a_domain_beyond_ascii(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.3),)})) as mta:
        await get_model("OutgoingMailServer").create(
            name="fake", server="127.0.0.1", port=mta.port, use_ssl=False, concurrency=1
        )
        await queue_mail("slow@b.test")
        late = await queue_mail("Kim@b\u00fccher.test")
        async with Engine() as engine:
            flush = asyncio.create_task(engine.flush())
            async with asyncio.timeout(5):
                while not mta.ledger:
                    await asyncio.sleep(0.01)
            await suppress("kim@b\u00fccher.test", reason="unsubscribe")
            await flush
            await engine.drain()
    assert [one.recipient for one in mta.ledger] == ["slow@b.test"]
    assert set((await states(late)).values()) == {"cancelled"}
