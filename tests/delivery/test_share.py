"""The lanes of a claim: none of them falls with another, and nothing that was taken is left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import clock
from core.delivery import share
from core.delivery.engine import Engine
from core.delivery.pacing import Pace
from core.errors import UserError
from core.runtime import Runtime, get_model
from tests.delivery.conftest import queue_mail, states
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


async def _away(*_: object) -> Any:
    raise ConnectionError("the database went away")


async def _server(mta: FakeMta, **values: Any) -> Any:
    account = {"name": "fake", "server": "127.0.0.1", "port": mta.port, "use_ssl": False}
    return await get_model("OutgoingMailServer").create(**{**account, **values})


async def test_a_database_that_fails_one_lane_puts_no_other_lanes_mail_in_doubt(
    host: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F31, C2: what is in a server's hands keeps its answer."""
    async with FakeMta(Script(recipients={"late@b.test": Act(delay_s=0.2)}, steps={"dot": (Act(delay_s=1),)})) as mta:
        await _server(mta, concurrency=2)
        slow, late = await queue_mail("slow@b.test"), await queue_mail("late@b.test")
        monkeypatch.setattr(share, "still_claimed", _away)
        async with Engine() as engine:
            flush = asyncio.create_task(engine.flush())
            async with asyncio.timeout(5):
                while not mta.ledger:
                    await asyncio.sleep(0.01)
            # Taken away between its claim and its mark: the lane looks which mails are still its own.
            await get_model("Delivery").filter(message_id=late.pk).update(lease_token="another")
            await flush
    assert await states(slow) == {"slow@b.test": "sent"}
    assert [one.recipient for one in mta.ledger] == ["slow@b.test"]


async def test_a_pace_that_cannot_be_asked_loses_no_mail(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeMta(Script()) as mta:
        await _server(mta, rate_per_day=1000)
        message = await queue_mail()
        with monkeypatch.context() as patch:
            patch.setattr(Pace, "admit", _away)
            async with Engine() as engine:
                await engine.flush()
        assert await states(message) == {"kim@customer.test": "queued"}
        await get_model("Delivery").all().update(due_at=clock.now() - timedelta(seconds=1))
        async with Engine() as engine:
            await engine.drain()
        assert await states(message) == {"kim@customer.test": "sent"}


async def test_words_on_a_wait_are_only_for_what_waits(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeMta(Script()) as mta:
        server = await _server(mta)
        await get_model("ServerPause").create(
            server=str(server.pk), until_at=clock.now() + timedelta(minutes=5), failures=5, reason="refused"
        )
        stopped, waiting = await queue_mail(), await queue_mail()

        async def stop_and_release(*args: Any, **options: Any) -> None:
            await stopped.cancel()
            await release(*args, **options)

        release = share.release
        monkeypatch.setattr(share, "release", stop_and_release)
        async with Engine() as engine:
            await engine.flush()
    await stopped.refresh_from_db()
    await waiting.refresh_from_db()
    assert (stopped.send_state, stopped.error) == ("Cancelled", "")
    assert "is left alone" in waiting.error
    assert "refused" in waiting.error


async def test_a_time_at_the_end_of_all_times_is_refused_or_kept(host: Runtime, mta: FakeMta) -> None:
    for name in ("scheduled_at", "expires_at"):
        for at in (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)):
            with suppress(UserError):
                await queue_mail(**{name: at})
